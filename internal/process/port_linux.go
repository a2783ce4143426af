package process

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// PortOwner says which process listens on a loopback address, for people: "pid 4711 (nginx)". It is ""
// where the system does not tell: processes of other users keep their descriptors to themselves.
func PortOwner(addr string) string {
	want, err := netip.ParseAddrPort(addr)
	if err != nil {
		return ""
	}
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, _ := os.ReadFile(table)
		for line := range strings.Lines(string(data)) {
			if inode, ok := listener(line, want); ok {
				sockets["socket:["+inode+"]"] = true
			}
		}
	}
	if len(sockets) == 0 {
		return ""
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && sockets[to] {
			pid := strings.Split(fd, "/")[2]
			name, _ := os.ReadFile("/proc/" + pid + "/comm")
			return fmt.Sprintf("pid %s (%s)", pid, bytes.TrimSpace(name))
		}
	}
	return ""
}

// listener reads a line of /proc/net/tcp: local address in the second field, 0A (listening) in the fourth,
// inode in the tenth. A wildcard listener owns the port of every address.
func listener(line string, want netip.AddrPort) (inode string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 10 || f[3] != "0A" {
		return "", false
	}
	host, port, _ := strings.Cut(f[1], ":")
	if n, err := strconv.ParseUint(port, 16, 16); err != nil || uint16(n) != want.Port() {
		return "", false
	}
	raw, err := hex.DecodeString(host)
	if err != nil {
		return "", false
	}
	for word := range slices.Chunk(raw, 4) { // 32-bit words in host order
		slices.Reverse(word)
	}
	ip, ok := netip.AddrFromSlice(raw)
	ip = ip.Unmap()
	return f[9], ok && (ip == want.Addr().Unmap() || ip.IsUnspecified())
}
