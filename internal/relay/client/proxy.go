package client

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// proxyFor is the proxy of a request: the environment's, but none for loopback, where the reference hands
// a bearer token to the proxy in clear (8.1). net/http knows no ALL_PROXY; here it stands in for a
// variable of the scheme that is not set.
func proxyFor(req *http.Request) (*url.URL, error) {
	host := req.URL.Hostname()
	if loopback(host) {
		return nil, nil
	}
	p, err := http.ProxyFromEnvironment(req)
	if p != nil || err != nil || firstEnv(strings.ToUpper(req.URL.Scheme)+"_PROXY") != "" {
		return p, err
	}
	all := firstEnv("ALL_PROXY")
	if all == "" || exempt(host, firstEnv("NO_PROXY")) {
		return nil, nil
	}
	if !strings.Contains(all, "://") {
		all = "http://" + all
	}
	return url.Parse(all)
}

// loopback says whether a URL's host is this machine by its very name.
func loopback(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func firstEnv(name string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return os.Getenv(strings.ToLower(name))
}

// exempt says whether list (NO_PROXY) names host: hosts with their subdomains, CIDR ranges, or "*".
func exempt(host, list string) bool {
	ip, ipErr := netip.ParseAddr(host)
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(entry)), ".")
		if entry == "*" {
			return true
		}
		if entry == "" {
			continue
		}
		if strings.EqualFold(host, entry) || strings.HasSuffix(strings.ToLower(host), "."+entry) {
			return true
		}
		if net, err := netip.ParsePrefix(entry); err == nil && ipErr == nil && net.Contains(ip) {
			return true
		}
	}
	return false
}
