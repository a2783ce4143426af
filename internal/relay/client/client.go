// Package client speaks to a relay (reference/relay.md section 8): one shared transport with keep-alive,
// deadlines on every call, no proxy for loopback, and errors that tell refused, timeout, 401, 403, 404,
// 413 and 429 apart.
//
// Law of the room: only internal/relay and this package know an HTTP path of the relay. A token leaves only
// in the Authorization header, and only to the host and port of the slot's own URL.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/identity"
)

const (
	defaultTimeout = 30 * time.Second // the reference's (8.1)
	idleConns      = 32               // per relay: a mesh of probes and posts shares them

	// A slot holds 64 MiB and a page of the reference has no limit in bytes (Q30), so a page can be all of it.
	maxPage   = 96 << 20
	maxAnswer = 4 << 20
	maxRefuse = 64 << 10 // of the body of an answer that is not 2xx
)

// Slot is a mailbox at a relay.
type Slot struct {
	URL   string // base URL; a trailing slash is trimmed on use
	ID    string
	Token identity.Token
}

// Client is safe for concurrent use and meant to be shared.
type Client struct {
	http    http.Client
	timeout time.Duration
	silence time.Duration // how long a stream may be without a byte
}

// New is a client that gives each request at most timeout (0: 30 s) until the head of the answer and again
// as much for its body; a context can only shorten that. It takes proxies, trusted certificates and
// InsecureTLS from the environment of the process.
func New(timeout time.Duration) *Client {
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // a relay speaks nothing else, and each daemon would pay for HTTP/2
	t := &http.Transport{
		Proxy:               proxyFor,
		DialContext:         (&net.Dialer{Timeout: timeout, KeepAlive: time.Minute}).DialContext,
		TLSHandshakeTimeout: timeout,
		MaxIdleConnsPerHost: idleConns,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
		Protocols:           protocols,
	}
	if InsecureTLS() {
		warnOnce.Do(func() {
			if warn != nil {
				warn()
			}
		})
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	return &Client{
		http:    http.Client{Transport: t, CheckRedirect: redirect},
		timeout: timeout,
		silence: 90 * time.Second,
	}
}

// Close lets idle connections go.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// InsecureTLS says whether WIRE_INSECURE_SKIP_TLS_VERIFY switches certificate checks off (8.1).
func InsecureTLS() bool {
	switch strings.ToLower(os.Getenv("WIRE_INSECURE_SKIP_TLS_VERIFY")) {
	case "1", "true", "yes", "on":
		return true
	}
	return false
}

var (
	warn     func()
	warnOnce sync.Once
)

// OnInsecure has f called once, when the first client that checks no certificate is made: whoever owns stderr
// owes the user a warning then (8.1). It is for the start of a program.
func OnInsecure(f func()) { warn = f }

// redirect follows at most ten, and keeps the token from any other host or port: net/http would hand it to
// another port of the same host, which on loopback is another program.
func redirect(req *http.Request, via []*http.Request) error {
	if len(via) > 10 {
		return errors.New("too many redirects")
	}
	if first := via[0].URL; req.URL.Host != first.Host || req.URL.Scheme != first.Scheme {
		req.Header.Del("Authorization")
	}
	return nil
}

// request is one call before it has a base URL.
type request struct {
	call   string // its name in error texts (8.2)
	method string
	path   string // below the base URL, escaped
	token  identity.Token
	body   []byte // JSON; nil for none
	limit  int64  // of a 2xx body; 0 means maxAnswer
	asks   string // header in which the relay is to answer; "" for none
}

// answer is a 2xx answer, read to its end.
type answer struct {
	url    string // without userinfo
	header http.Header
	body   []byte
}

// errTimedOut is the cause with which our own timers cancel a request.
var errTimedOut = errors.New("operation timed out")

// do performs r below base. Errors are *CallError where no answer came, else *StatusError.
func (c *Client) do(ctx context.Context, base string, r request) (answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(c.timeout, func() { cancel(errTimedOut) })
	defer timer.Stop()

	resp, shown, err := c.send(ctx, base, r, "*/*")
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	timer.Reset(c.timeout)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return answer{}, refusal(r.call, shown, resp)
	}
	limit := r.limit
	if limit == 0 {
		limit = maxAnswer
	}
	body, err := readBody(resp, limit)
	if err != nil {
		return answer{}, &CallError{Method: r.method, URL: shown, Err: fmt.Errorf("reading the answer: %w", causeOf(ctx, err)), Answered: true}
	}
	return answer{url: shown, header: resp.Header, body: body}, nil
}

// send performs r up to the head of the answer; shown is its URL without userinfo.
func (c *Client) send(ctx context.Context, base string, r request, accept string) (resp *http.Response, shown string, err error) {
	raw := strings.TrimRight(base, "/") + r.path
	u, err := url.Parse(raw)
	if err != nil {
		return nil, raw, &CallError{Method: r.method, URL: "relay URL", Err: errors.New("not a URL")}
	}
	shown = u.Redacted()
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, shown, &CallError{Method: r.method, URL: shown, Err: errors.New("not an http or https URL")}
	}
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, raw, body)
	if err != nil {
		return nil, shown, &CallError{Method: r.method, URL: shown, Err: err}
	}
	req.Header["Accept"] = []string{accept}
	req.Header["User-Agent"] = nil
	if r.body != nil {
		req.Header["Content-Type"] = []string{"application/json"}
		// Every call of ours may be repeated, so that one on a kept connection that the relay has closed
		// meanwhile is sent again by net/http; the empty list is not sent.
		req.Header["Idempotency-Key"] = nil
	}
	if r.asks != "" {
		req.Header[r.asks] = []string{"?"}
	}
	if !r.token.Zero() {
		req.Header["Authorization"] = []string{"Bearer " + r.token.Reveal()}
	}
	resp, err = c.http.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // its text names the URL, userinfo and all, a second time
		}
		return nil, shown, &CallError{Method: r.method, URL: shown, Err: causeOf(ctx, err)}
	}
	return resp, shown, nil
}

// causeOf replaces what net/http makes of a cancelled context by why it was cancelled.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// refusal reads an answer that is not 2xx. A body that does not come is reported as empty.
func refusal(call, shown string, resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefuse))
	if err != nil {
		body = nil
	}
	return &StatusError{
		Call: call, URL: shown, Code: resp.StatusCode, Body: string(body), RetryAfter: retryAfter(resp.Header),
	}
}

// readBody reads a 2xx body of at most limit bytes, without the doubling of io.ReadAll where its length is known.
func readBody(resp *http.Response, limit int64) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, fmt.Errorf("%d bytes, more than %d", resp.ContentLength, limit)
	}
	if n := resp.ContentLength; n >= 0 {
		body := make([]byte, n)
		_, err := io.ReadFull(resp.Body, body)
		return body, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return body, err
}
