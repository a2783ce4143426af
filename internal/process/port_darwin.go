package process

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"
)

// PortOwner says which process listens on a loopback address, for people: "pid 4711 (nginx)". It is ""
// where the system does not tell. darwin tells through lsof only.
func PortOwner(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/usr/sbin/lsof", "-nP", "-iTCP:"+port, "-sTCP:LISTEN", "-Fpc").Output()
	if err != nil {
		return ""
	}
	var pid string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if p, ok := strings.CutPrefix(line, "p"); ok {
			pid = p
		} else if name, ok := strings.CutPrefix(line, "c"); ok && pid != "" {
			return fmt.Sprintf("pid %s (%s)", pid, name)
		}
	}
	return ""
}
