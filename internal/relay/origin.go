package relay

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// fromHere says whether a request may have been meant for a loopback relay: a page that a browser was
// lured to has another Host (DNS rebinding) or another Origin (relay.md Q24). The name that the relay was
// told to bind is its own.
func (s *server) fromHere(r *http.Request) bool {
	if r.Host != "" && !s.isHere(r.Host) {
		return false
	}
	for _, o := range r.Header["Origin"] {
		u, err := url.Parse(o)
		if err != nil || !s.isHere(u.Host) {
			return false
		}
	}
	return true
}

func (s *server) isHere(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	if strings.EqualFold(host, "localhost") || s.name != "" && strings.EqualFold(host, s.name) {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && isLoopback(a)
}
