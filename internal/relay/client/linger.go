package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Linger keeps one idle connection to a relay and returns when the relay has closed it: it ended, or it no
// longer keeps idle connections. It asks nothing but one /healthz, so it costs the relay no more than that;
// answered is called when that is answered. reached says whether there was a connection at all. A base that
// is not http is errors.ErrUnsupported.
func (c *Client) Linger(ctx context.Context, base string, answered func()) (reached bool, err error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" {
		return false, fmt.Errorf("%s: only a connection to an http relay can be kept: %w", base, errors.ErrUnsupported)
	}
	d := net.Dialer{Timeout: 3 * time.Second}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "80")
	}
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", u.Host); err != nil {
		return true, err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return true, err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 4096))
	if err != nil {
		return true, err
	}
	answered()
	_, err = r.ReadByte()
	return true, err
}
