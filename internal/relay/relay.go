// Package relay is the mailbox server (reference/relay.md): `wire relay-server`. Its store keeps the
// reference's state directory, so that either program can take over the other's, and acknowledges nothing
// that is not on disk: one writer per slot, appends fsynced in groups, no journal beside that format.
//
// Law of the room: only this package and client know an HTTP path; only this package knows a file of the
// relay's state directory.
package relay

import (
	"context"
	"io"
)

// Config is one relay server.
type Config struct {
	Bind      string    // HOST:PORT as typed; port 0 is allowed
	LocalOnly bool      // loopback only, the half of the route table marked L
	StateDir  string    // the state directory itself, "…/wire-relay/local" for a local-only relay
	Stderr    io.Writer // listening line, shutdown line, background failures
	Ready     func(addr string) error
}

// BindError is a failed --local-only check or bind; the state directory exists by then (relay.md 1.1).
type BindError struct {
	Bind string
	Err  error
}

func (e *BindError) Error() string { panic("seam") }
func (e *BindError) Unwrap() error { return e.Err }

// Serve runs the relay until ctx ends; then it ends streams, finishes requests (5 s at most), writes its
// counters and returns nil. A directory that another relay serves is an error naming it; one whose
// tokens.json does not parse is refused, untouched. If the state vanishes under it, it acknowledges
// nothing more and returns an error.
func Serve(ctx context.Context, c Config) error { panic("seam") }

// LifeLock is the path of server.lock in a state directory.
func LifeLock(stateDir string) string { panic("seam") }

// LogFile is the path of the log of a relay that was started in the background.
func LogFile(stateDir string) string { panic("seam") }
