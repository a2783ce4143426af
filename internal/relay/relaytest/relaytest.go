// Package relaytest serves real relays to the tests of other rooms, as net/http/httptest serves handlers.
//
// Law of the room: only tests import it.
package relaytest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"wirefleet.dev/wire/internal/relay"
)

// Config is a relay before it runs.
type Config struct {
	Dir        string            // its state directory; "" for one of the test's
	Federation bool              // with a directory of handles, not local-only
	Tokens     map[string]string // the slots that it has from the start: id and token
}

// Relay is a relay in this process, on a loopback port that the system chose.
type Relay struct {
	Dir  string // its state directory
	Addr string // host:port, the same after a restart

	t          testing.TB
	federation bool
	end        func() error // nil where it does not run
}

// Start serves until the test ends.
func Start(t testing.TB, c Config) *Relay {
	t.Helper()
	r := &Relay{Dir: c.Dir, Addr: "127.0.0.1:0", t: t, federation: c.Federation}
	if r.Dir == "" {
		r.Dir = filepath.Join(t.TempDir(), "wire-relay")
	}
	if c.Tokens != nil {
		data, err := json.Marshal(c.Tokens)
		if err := errors.Join(err, os.MkdirAll(r.Dir, 0o700), os.WriteFile(filepath.Join(r.Dir, "tokens.json"), data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	r.Start()
	t.Cleanup(r.Stop)
	return r
}

// URL is its base URL.
func (r *Relay) URL() string { return "http://" + r.Addr }

// Start serves again after Stop, on the same address and whatever is in Dir by then.
func (r *Relay) Start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- relay.Serve(ctx, relay.Config{
			Bind: r.Addr, LocalOnly: !r.federation, StateDir: r.Dir, Stderr: io.Discard,
			Ready: func(addr string) error { ready <- addr; return nil },
		})
	}()
	select {
	case r.Addr = <-ready:
	case err := <-ended:
		cancel()
		r.t.Fatalf("relay: %v", err)
	}
	r.end = func() error { cancel(); return <-ended }
}

// Stop ends it as SIGTERM would; one that does not run stays as it is.
func (r *Relay) Stop() {
	r.t.Helper()
	if r.end == nil {
		return
	}
	err := r.end()
	r.end = nil
	if err != nil {
		r.t.Errorf("relay: %v", err)
	}
}
