package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// checkLoopback is the --local-only check of relay.md 1.1: every address that the host part resolves to
// must be loopback.
func checkLoopback(ctx context.Context, bind string) error {
	host := bindHost(bind)
	if host == "" {
		return errors.New("--local-only refuses a non-loopback address: the host is empty")
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if !isLoopback(a) {
			return fmt.Errorf("--local-only refuses the non-loopback address %s", a)
		}
		return nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return fmt.Errorf("--local-only: the host did not resolve: %w", err)
	}
	for _, a := range addrs {
		if a = a.Unmap(); !isLoopback(a) {
			return fmt.Errorf("--local-only refuses %q: it resolves to the non-loopback address %s", host, a)
		}
	}
	return nil
}

// bindHost is the text between brackets, else that before the last colon, else all of it.
func bindHost(bind string) string {
	if rest, ok := strings.CutPrefix(bind, "["); ok {
		host, _, _ := strings.Cut(rest, "]")
		return host
	}
	if i := strings.LastIndexByte(bind, ':'); i >= 0 {
		return bind[:i]
	}
	return bind
}

// isLoopback refuses the IPv4-mapped form, as the reference does.
func isLoopback(a netip.Addr) bool { return a.IsLoopback() && !a.Is4In6() }

// fromHere says whether a request may have been meant for a loopback relay: a page that a browser was
// lured to has another Host (DNS rebinding) or another Origin (relay.md Q24).
func fromHere(r *http.Request) bool {
	if r.Host != "" && !loopbackHost(r.Host) {
		return false
	}
	for _, o := range r.Header["Origin"] {
		u, err := url.Parse(o)
		if err != nil || !loopbackHost(u.Host) {
			return false
		}
	}
	return true
}

func loopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && isLoopback(a)
}
