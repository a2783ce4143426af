// Package daemon is the sync loop of one session as a long-lived process (reference/home-and-daemon.md
// section 10, design.md section 7): file watch on the outbox and the config, one stream per own endpoint,
// and the interval as the safety net.
//
// Law of the room: it decides nothing about messages, mailbox does; it only says when.
package daemon

import (
	"context"
	"io"
	"time"

	"wirefleet.dev/wire/internal/home"
)

// Config is one daemon.
type Config struct {
	Session   home.Session
	Interval  time.Duration // at least 1 s
	Once      bool          // one cycle, then return; the pid record is left alone
	JSON      bool          // one line per cycle on Stdout (cli.md 2.11)
	Stdout    io.Writer
	Stderr    io.Writer
	Build     string // our own version, for life lock and pid record
	Owner     string // WIRE_OWNER: the wire.yaml that started it
	StartedBy string
}

// Run serves the session until ctx ends. Order: life lock, pid record, watches and streams, a first cycle
// (2 s at most; a dead relay is no failure), readiness line, loop. A living daemon of this home makes it
// return nil after naming that one. On the way out the record goes if it is still ours.
func Run(ctx context.Context, c Config) error { panic("seam") }

// Poke wakes the daemon of a session where a file watch could not be had; it never fails.
func Poke(s home.Session) { panic("seam") }
