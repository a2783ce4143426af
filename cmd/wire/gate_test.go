package main_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"sync"
	"time"
)

// gate stands in front of a relay and can hold one request, so that what asks can be met in the middle of
// its work: a handshake in place of a timer.
type gate struct {
	server *http.Server

	mu   sync.Mutex
	rule *hold
}

// hold is one request to be held.
type hold struct {
	match *regexp.Regexp // of "METHOD /path"
	left  int            // requests that match and still pass
	after bool           // hold the answer: the relay has done its work
	held  chan struct{}  // closed when it is there
	open  chan struct{}  // closed to let it go on
}

// openGate listens on addr and passes everything to the relay at upstream.
func openGate(addr, upstream string) (*gate, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	to := &url.URL{Scheme: "http", Host: upstream}
	g := &gate{}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to) },
		FlushInterval: -1, // streams
		ModifyResponse: func(r *http.Response) error {
			g.pass(r.Request, true)
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	g.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.pass(r, false)
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = g.server.Serve(l) }()
	return g, nil
}

// close ends it, held requests included.
func (g *gate) close() {
	g.open()
	_ = g.server.Close()
}

// hold holds the (skip+1)th request from now on that matches; nothing else is held any more.
func (g *gate) hold(pattern string, skip int, after bool) error {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	g.open()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rule = &hold{match: re, left: skip, after: after, held: make(chan struct{}), open: make(chan struct{})}
	return nil
}

// open lets what is held go on, and holds nothing more.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rule != nil {
		close(g.rule.open)
	}
	g.rule = nil
}

// caught is closed when the request that hold waits for is there.
func (g *gate) caught() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rule == nil {
		return nil
	}
	return g.rule.held
}

func (g *gate) wait() error {
	c := g.caught()
	if c == nil {
		return errors.New("the gate holds nothing")
	}
	select {
	case <-c:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("no such request within %v", patience)
	}
}

func (g *gate) pass(r *http.Request, after bool) {
	g.mu.Lock()
	h := g.rule
	if h == nil || h.after != after || !h.match.MatchString(r.Method+" "+r.URL.Path) {
		g.mu.Unlock()
		return
	}
	h.left--
	last := h.left < 0
	if last && h.left == -1 {
		close(h.held)
	} else if last {
		last = false // its turn is over: one request is held
	}
	g.mu.Unlock()
	if !last {
		return
	}
	select {
	case <-h.open:
	case <-r.Context().Done():
	}
}
