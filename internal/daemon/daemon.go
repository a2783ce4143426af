// Package daemon is the sync loop of one session as a long-lived process (reference/home-and-daemon.md
// section 10, design.md section 7): file watch on the outbox and the config, one stream per own endpoint,
// and the interval as the safety net.
//
// Law of the room: it decides nothing about messages, mailbox does; it only says when. An idle daemon costs
// next to nothing: nothing here polls but the interval, and what a burst took is given back.
//
// The files: loop.go runs push and pull when woken, stream.go and watch.go wake them, poke.go is for where
// no watch can be had, keeper.go looks after record, home and memory, report.go is what people and scripts
// read.
package daemon

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/oklog/run"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/mailbox"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay/client"
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

// callTimeout is shorter than that of a command: one relay that hangs holds up a round, and the interval
// tries again anyway.
const callTimeout = 10 * time.Second

// Run serves the session until ctx ends. Order: life lock, pid record, watches and streams, a first cycle
// (2 s at most; a dead relay is no failure), readiness line, loop. A living daemon of this home makes it
// return nil after naming that one. On the way out the record goes if it is still ours. If the home is
// removed under it, it ends with an error rather than make it again.
func Run(ctx context.Context, c Config) error {
	c.Interval = max(c.Interval, time.Second)
	if !c.Session.Initialized() {
		return refuse(home.ErrNotInitialized)
	}
	if err := c.Session.Ensure(); err != nil {
		return refuse(err)
	}
	c.Stderr = process.CappedLog(c.Stderr, c.Session.DaemonLog())
	d := &daemon{
		Config: c,
		relay:  client.New(callTimeout),
		say:    newJournal(c.Stderr),
		push:   newWake(), pull: newWake(), routes: newWake(), check: newWake(),
		first: make(chan struct{}, 2),
	}
	defer d.relay.Close()
	d.box = mailbox.Open(c.Session, d.relay)
	if c.Once {
		return d.once(ctx)
	}
	return d.serve(ctx)
}

// refuse tells a starter that waits for readiness why there will be none.
func refuse(err error) error {
	process.NotifyReady(process.Readiness{Error: err.Error()})
	return err
}

// daemon is one running one.
type daemon struct {
	Config
	relay *client.Client
	box   *mailbox.Box
	say   *journal
	rest  thrift

	push, pull wake          // there may be something to post, to fetch
	routes     wake          // own endpoints may have changed
	check      wake          // the home may be gone, the pid record out of date
	first      chan struct{} // push and pull have each run once
	seen       routesSeen
	trust      os.FileInfo // trust.json when it was last looked at
	refused    streamsWaiting
	waiting    atomic.Bool  // the last push left something behind
	watching   atomic.Bool  // a file watch would tell of new mail
	missed     atomic.Bool  // the last pull did not get through everywhere
	deaf       atomic.Int32 // own endpoints that no open stream surely tells of
	lock       os.FileInfo  // the life lock that we hold
}

func (d *daemon) serve(ctx context.Context) error {
	k, err := d.enter()
	if k == nil || err != nil {
		return err
	}
	defer k.leave()
	defer d.rest.stop()
	if !d.JSON {
		d.say.line("wire daemon: syncing every %ds. SIGINT to stop.", int(d.Interval/time.Second))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group run.Group
	for _, actor := range d.actors(k) {
		group.Add(func() error { return actor(ctx) }, func(error) { cancel() })
	}
	return group.Run()
}

// actors run until the context ends; the first that returns ends all.
func (d *daemon) actors(k *keeper) []func(context.Context) error {
	all := []func(context.Context) error{k.keep, d.watch, d.streams}
	if d.JSON {
		return append(all, d.cycles)
	}
	return append(all, d.pushes, d.pulls)
}

// once is one cycle, in the reference's order.
func (d *daemon) once(ctx context.Context) error {
	if !d.JSON {
		d.say.line("wire daemon: single sync cycle, then exit")
	}
	c := cycle{pushed: d.doPush(ctx), pulled: d.doPull(ctx)}
	return d.report(c)
}

// held says who serves the home already.
func (d *daemon) held(l process.Life) {
	who := fmt.Sprintf("pid %d", l.PID)
	if l.StartedBy != "" {
		who += ", started by " + l.StartedBy
	}
	d.say.line("wire daemon: %s is served already (%s)", d.Session.Dir, who)
	process.NotifyReady(process.Readiness{Held: &l})
}
