// Package relay is the mailbox server (reference/relay.md): `wire relay-server`. Its store keeps the
// reference's state directory, so that either program can take over the other's, and acknowledges nothing
// that is not on disk: one writer per slot, appends fsynced in groups, no journal beside that format.
//
// Law of the room: only this package and client know an HTTP path; only this package knows a file of the
// relay's state directory.
package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"time"

	"wirefleet.dev/wire/internal/process"
)

// Config is one relay server.
type Config struct {
	Bind      string    // HOST:PORT as typed; port 0 is allowed
	LocalOnly bool      // loopback only, the half of the route table marked L
	StateDir  string    // the state directory itself, "…/wire-relay/local" for a local-only relay
	Stderr    io.Writer // listening line, shutdown line, background failures
	// Ready is called once the socket is bound, with its real address, before anything is served; its
	// error ends Serve.
	Ready func(addr string) error

	Build     string // our own version, for the life lock
	Owner     string // WIRE_OWNER: the wire.yaml that started it
	StartedBy string

	keepalive time.Duration    // of streams; tests shorten it
	now       func() time.Time // tests move it
}

// BindError is a failed --local-only check or bind; the state directory exists by then if it was the bind
// (relay.md 1.1).
type BindError struct {
	Bind string
	Err  error
}

func (e *BindError) Error() string { return fmt.Sprintf("binding %s: %v", e.Bind, e.Err) }
func (e *BindError) Unwrap() error { return e.Err }

// LifeLock is the path of server.lock in a state directory.
func LifeLock(stateDir string) string { return filepath.Join(stateDir, "server.lock") }

// LogFile is the path of the log of a relay that was started in the background.
func LogFile(stateDir string) string { return filepath.Join(stateDir, "server.log") }

// Limits of a connection that is not a stream. Clients of the reference pool connections for 90 s, so the
// idle limit has to be longer (relay.md Q19).
const (
	headerTimeout = 30 * time.Second
	idleTimeout   = 150 * time.Second
	maxHeader     = 400 << 10
	shutdownGrace = 5 * time.Second
)

// Serve runs the relay until ctx ends; then it ends streams, finishes requests (5 s at most), writes its
// counters and pull times and returns nil. A directory that another relay serves is an error naming it
// (*process.HeldError); one whose tokens.json does not parse is refused, untouched. If the state vanishes
// under it, it acknowledges nothing more and returns an error.
func Serve(ctx context.Context, c Config) error {
	addrs, noAddrs := bindAddrs(ctx, c.Bind)
	if c.LocalOnly {
		err := noAddrs
		if err == nil {
			err = checkLoopback(addrs)
		}
		if err != nil {
			return &BindError{Bind: c.Bind, Err: err}
		}
	}
	release, err := takeStateDir(c)
	if err != nil {
		return err
	}
	defer release()
	c.Stderr = process.CappedLog(c.Stderr, LogFile(c.StateDir))
	st, err := openStore(c.StateDir, c.Stderr)
	if err != nil {
		return err
	}
	defer st.close()
	if !c.LocalOnly {
		if err := st.loadInvites(c.clock()()); err != nil {
			return err
		}
	}
	if noAddrs != nil {
		return &BindError{Bind: c.Bind, Err: noAddrs}
	}
	// A thread that waits for the disk keeps its processor for a while; as many again serve requests.
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(max(before, 2*runtime.NumCPU()))
	defer runtime.GOMAXPROCS(before)
	l, err := listen(ctx, c.Bind, addrs)
	if err != nil {
		return &BindError{Bind: c.Bind, Err: err}
	}
	defer l.Close()
	c.announce(l.Addr().String())
	if c.Ready != nil {
		if err := c.Ready(l.Addr().String()); err != nil {
			return err
		}
	}
	return newServer(st, c).run(ctx, l)
}

// announce writes the listening line, whose beginning install scripts look for (relay.md 1.3), and the real
// address where that is another.
func (c Config) announce(addr string) {
	line := "wire relay-server listening on " + c.Bind
	if c.LocalOnly {
		line = "wire relay-server (LOCAL-ONLY) listening on " + c.Bind + " — phonebook + well-known endpoints disabled"
	}
	if addr != c.Bind {
		line += "\naddress: " + addr
	}
	fmt.Fprintln(c.Stderr, line)
}

func (c Config) clock() func() time.Time {
	if c.now != nil {
		return c.now
	}
	return time.Now
}

// takeStateDir makes the directory and takes its life lock.
func takeStateDir(c Config) (release func(), err error) {
	if err := makeStateDir(c.StateDir); err != nil {
		return nil, err
	}
	life, err := process.Self()
	if err != nil {
		return nil, err
	}
	life.Bind, life.Build = c.Bind, cmp.Or(c.Build, life.Build)
	life.Owner, life.StartedBy = c.Owner, c.StartedBy
	release, err = process.TakeLife(LifeLock(c.StateDir), life)
	if err != nil {
		return nil, fmt.Errorf("relay state %s: %w", c.StateDir, err)
	}
	return release, nil
}

// run serves l until ctx ends or the store fails.
func (s *server) run(ctx context.Context, l net.Listener) error {
	background, stopBackground := context.WithCancel(ctx)
	defer stopBackground()
	served := make(chan error, 1)
	var fresh freshConns
	h := &http.Server{
		ConnState:         fresh.track,
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          quietLog,
		// `OPTIONS *` goes through the route table like everything else.
		DisableGeneralOptionsHandler: true,
	}
	h.RegisterOnShutdown(fresh.hurry)
	go func() { served <- h.Serve(l) }()
	done := make(chan struct{})
	go func() { s.housekeeping(background); close(done) }()

	var failed error
	select {
	case <-ctx.Done():
		fmt.Fprint(s.stderr, "\nwire relay-server shutting down — final counter snapshot\n")
	case <-s.store.failed:
		failed = s.store.failure()
	case err := <-served:
		failed = fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	close(s.closing)
	limit, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	if err := h.Shutdown(limit); err != nil {
		h.Close()
	}
	stopBackground()
	<-done
	if failed != nil {
		return failed
	}
	return errors.Join(s.store.saveCounters(), s.store.savePulls(time.Now()))
}
