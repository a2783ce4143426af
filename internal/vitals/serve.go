package vitals

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// CheckAddress is nil for HOST:PORT where HOST is a loopback address or localhost; port 0 is any free one.
func CheckAddress(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not HOST:PORT", addr)
	case !loopback(host):
		return fmt.Errorf("%s is not loopback: what is shown there is for this machine only", host)
	case port == "":
		return fmt.Errorf("%q has no port", addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: the port is a number up to 65535", addr)
	}
	return nil
}

func loopback(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().IsLoopback()
	}
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}

// Listen opens addr, which CheckAddress has found good.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	var c net.ListenConfig
	return c.Listen(ctx, "tcp", addr)
}

// Health says when a watcher is well: its last pass did not fail and is not older than Stale.
type Health struct{ Stale time.Duration }

// Server answers on the listener that it is given. observed is the document of /v1/observed.
func (v *Vitals) Server(h Health, observed func(context.Context) ([]byte, error)) *http.Server {
	look := &glance{look: observed}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := v.well(h.Stale, time.Now()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_ = v.Write(w) // a reader who is gone
	})
	mux.HandleFunc("GET /v1/observed", func(w http.ResponseWriter, r *http.Request) {
		doc, err := look.at(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(doc)
	})
	return &http.Server{
		Handler:           known(mux),
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
}

// known refuses whoever calls us by a name that is not ours: a page in a browser whose name was made to lead
// to loopback.
func known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = strings.Trim(r.Host, "[]")
		}
		if !loopback(host) {
			http.Error(w, "not a name of this machine's loopback", http.StatusForbidden)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func (v *Vitals) well(stale time.Duration, now time.Time) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.at.IsZero():
		return errors.New("no pass is over yet")
	case v.failed != nil:
		return fmt.Errorf("the last pass failed: %w", v.failed)
	case now.Sub(v.at) > stale:
		return fmt.Errorf("the last pass was %s ago", now.Sub(v.at).Round(time.Second))
	}
	return nil
}

// glance looks once for all who ask within a second: whoever asks often costs the relay no more.
type glance struct {
	look func(context.Context) ([]byte, error)

	mu   sync.Mutex
	last time.Time
	doc  []byte
}

func (g *glance) at(ctx context.Context) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.doc != nil && time.Since(g.last) < time.Second {
		return g.doc, nil
	}
	doc, err := g.look(ctx)
	if err != nil {
		return nil, err
	}
	g.doc, g.last = bytes.Clone(doc), time.Now()
	return g.doc, nil
}
