package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// bindAddrs are the addresses that the host of a bind string means (relay.md 1.1): what stands between
// brackets, else what stands before the last colon, else all of it.
func bindAddrs(ctx context.Context, bind string) ([]netip.Addr, error) {
	host := bind
	if rest, ok := strings.CutPrefix(bind, "["); ok {
		if host, _, ok = strings.Cut(rest, "]"); !ok {
			return nil, fmt.Errorf("the IPv6 address in %q lacks its closing bracket", bind)
		}
	} else if i := strings.LastIndexByte(bind, ':'); i >= 0 {
		host = bind[:i]
	}
	if host == "" {
		return nil, errors.New("the host is empty and does not resolve")
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if a, ok := oldIPv4(host); ok {
		return []netip.Addr{a}, nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("resolving bind host %q: %w", host, err)
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap() // Go's resolver maps every IPv4 address
	}
	// Clients that are told "localhost" mostly mean 127.0.0.1.
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	return addrs, nil
}

// oldIPv4 reads what inet_aton reads, and so what the reference's resolver takes: one to four numbers,
// decimal, octal or hexadecimal, the last one filling the bytes that are left.
func oldIPv4(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var ip uint64
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 0, 32)
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		// "_", "0b" and "0o" are spellings that Go takes and C does not.
		if err != nil || n>>bits != 0 || strings.ContainsRune(p, '_') || len(p) > 1 && strings.ContainsRune("bBoO", rune(p[1])) {
			return netip.Addr{}, false
		}
		ip = ip<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)}), true
}

// checkLoopback is the --local-only check: every address must be loopback. An IPv4-mapped one is refused,
// as the reference does.
func checkLoopback(addrs []netip.Addr) error {
	for _, a := range addrs {
		if !isLoopback(a) {
			return fmt.Errorf("--local-only refuses non-loopback bind (%s)", a)
		}
	}
	return nil
}

func isLoopback(a netip.Addr) bool { return a.IsLoopback() && !a.Is4In6() }

// CanListen says why a relay could not listen at a bind string now; nil if it could.
func CanListen(ctx context.Context, bind string) error {
	addrs, err := bindAddrs(ctx, bind)
	if err != nil {
		return err
	}
	l, err := listen(ctx, bind, addrs)
	if err != nil {
		return err
	}
	return l.Close()
}

// listen binds the first of addrs that can be bound, at the port of the bind string.
func listen(ctx context.Context, bind string, addrs []netip.Addr) (net.Listener, error) {
	i := strings.LastIndexByte(bind, ':')
	if i < 0 || strings.HasSuffix(bind, "]") {
		return nil, errors.New("there is no port: HOST:PORT is wanted")
	}
	port, err := strconv.ParseUint(bind[i+1:], 10, 16)
	if err != nil {
		return nil, fmt.Errorf("the port %q is no number up to 65535", bind[i+1:])
	}
	if strings.HasPrefix(bind, "[") && !strings.Contains(bind[:i], ":") {
		return nil, errors.New("only an IPv6 address stands in brackets")
	}
	var lc net.ListenConfig
	var failed error
	for _, a := range addrs {
		l, err := lc.Listen(ctx, "tcp", netip.AddrPortFrom(a, uint16(port)).String())
		if err == nil {
			return l, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}
