// Package notify shows what arrives on the desktop (reference/home-and-daemon.md 13), as a long-lived process
// or for one sweep of the inbox.
//
// Law of the room: one notification for an event, also across restarts: the cursor moves before it is shown,
// so a process that dies in between shows it never rather than twice. What a peer wrote is data: no option of
// a program, no markup and no control character of it reaches the desktop. Where there is no desktop, what
// would be shown is logged.
//
// The files: serve.go is the process, show.go decides what is shown, desktop*.go are the ways to show it.
package notify

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/mailbox"
	"wirefleet.dev/wire/internal/process"
)

// Config is one notifier.
type Config struct {
	Session  home.Session
	Interval time.Duration // between two looks where the system tells of no change; at least 1 s
	Peer     string        // show only what this peer sends; "" for all
	Once     bool          // one sweep
	JSON     bool          // print the events on Stdout instead (cli.md 2.7)
	Stdout   io.Writer
	Stderr   io.Writer

	Build     string // our own version, for life lock and pid record
	Owner     string // WIRE_OWNER: the wire.yaml that started it
	StartedBy string
}

// Run shows what arrives until ctx ends, or what is there with Once. Only one notifier shows what arrives in
// a home: a second one names the first and returns nil. Those with JSON are no notifiers, and there may be
// any number of them. The home need not be initialized.
func Run(ctx context.Context, c Config) error {
	c.Interval = max(c.Interval, time.Second)
	if err := c.Session.EnsureState(); err != nil {
		process.NotifyReady(process.Readiness{Error: err.Error()})
		return err
	}
	c.Stderr = process.CappedLog(c.Stderr, c.Session.NotifyLog())
	from, known := home.ReadOffsets(c.Session.NotifyCursor())
	n := &notifier{Config: c, reader: mailbox.Open(c.Session, nil).Reader(from), lost: !known}
	switch {
	case c.JSON && c.Once:
		return n.print()
	case c.JSON:
		return mailbox.Follow(ctx, c.Session, c.Interval, func() error { return n.survive(n.print()) })
	case c.Once:
		if l, held, _, err := process.ReadLife(c.Session.NotifyLife()); err == nil && held {
			n.servedBy(l)
			return nil
		}
		err := n.sweep(ctx)
		n.rest(ctx)
		return err
	}
	return n.serve(ctx)
}

type notifier struct {
	Config
	reader *mailbox.Reader
	lost   bool // no cursor told what was shown already

	recent  recent
	pace    pace
	over    backlog // what came faster than it is shown
	trouble string  // the last that was said
	mute    bool    // it was said that there is no desktop
	news    bool    // something was shown since this was last set to false
}

// unread is an error of Stdout: nobody reads what is printed.
type unread struct{ error }

// print prints all that has arrived, one JSON line for each.
func (n *notifier) print() error {
	out := bufio.NewWriter(n.Stdout)
	err := n.reader.Sweep(func(e mailbox.Arrival) error {
		if n.wants(e) {
			_, _ = out.Write(append(e.JSON(), '\n')) // Flush has its error
		}
		return nil
	})
	if ferr := out.Flush(); ferr != nil {
		return unread{ferr} // and is printed again
	}
	return errors.Join(err, n.save(n.reader.Offsets()))
}

func (n *notifier) wants(e mailbox.Arrival) bool { return n.Peer == "" || e.Peer == n.Peer }

func (n *notifier) save(at home.Offsets) error {
	return home.WriteOffsets(n.Session.NotifyCursor(), at)
}

// survive says what is wrong when it begins and goes on: the next sweep may do better. Only a home that is
// gone and a reader that is gone end a notifier.
func (n *notifier) survive(err error) error {
	switch {
	case n.gone():
		return fmt.Errorf("%s was removed", n.Session.Dir)
	case errors.As(err, new(unread)):
		return err
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != n.trouble {
		n.line("sweep error: %s", text)
	}
	n.trouble = text
	return nil
}

func (n *notifier) gone() bool {
	_, err := os.Stat(n.Session.StateDir())
	return errors.Is(err, fs.ErrNotExist)
}

func (n *notifier) line(format string, args ...any) {
	fmt.Fprintf(n.Stderr, "wire notify: "+format+"\n", args...)
}

// servedBy names who shows what arrives already.
func (n *notifier) servedBy(l process.Life) {
	who := fmt.Sprintf("pid %d", l.PID)
	if l.StartedBy != "" {
		who += ", started by " + l.StartedBy
	}
	n.line("%s is served already (%s)", n.Session.Dir, who)
}
