package daemon

import (
	"context"
	"errors"
	"sync"

	"wirefleet.dev/wire/internal/mailbox"
)

// wake is a bell: however often it rings while nobody listens, it is one wake-up.
type wake chan struct{}

func newWake() wake { return make(wake, 1) }

func (w wake) up() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// loop runs work now, and then whenever one of the bells rings. Each loop waits on its own work only: a peer
// that takes long to answer holds up no pull.
func (d *daemon) loop(ctx context.Context, first int, bells [2]wake, work func(context.Context)) error {
	for {
		if d.present() {
			work(ctx)
		} else {
			d.check.up() // the keeper ends it
		}
		for ; first > 0; first-- {
			d.first <- struct{}{}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-bells[0]:
		case <-bells[1]:
		}
	}
}

// round is the end of the interval. It is the safety net: a pull is left out while streams and a watch stand
// guard, the last one got through everywhere and is younger than mailbox.RestPull; a push while a watch stands guard and
// nothing is waiting, but for every restRounds-th time.
func (d *daemon) round(n int) {
	if d.JSON || d.deaf.Load() > 0 || d.missed.Load() || !d.watching.Load() || n%d.pullRounds() == 0 {
		d.pull.up()
	}
	if d.waiting.Load() || !d.watching.Load() || n%restRounds == 0 {
		d.push.up()
	}
	if n%restRounds == 0 {
		d.rest.soon() // what so many rounds without mail allocate is worth collecting
	}
}

const restRounds = 12

// pullRounds is how many rounds lie between two pulls of a slot that a stream tells of: a request to the relay costs
// more than all else that an idle fleet does. That is well below the time after which a session counts as silent.
func (d *daemon) pullRounds() int { return int(max(1, mailbox.RestPull/d.Interval)) }

func (d *daemon) pushes(ctx context.Context) error {
	return d.loop(ctx, 1, [2]wake{d.push, nil}, func(ctx context.Context) {
		_ = d.report(cycle{pushed: d.doPush(ctx)}) // a log that cannot be written is no reason to end
	})
}

func (d *daemon) pulls(ctx context.Context) error {
	return d.loop(ctx, 1, [2]wake{d.pull, nil}, func(ctx context.Context) {
		_ = d.report(cycle{pulled: d.doPull(ctx)})
	})
}

// cycles is the loop behind --json: whatever woke it, both halves run and make one line. A reader who is
// gone ends the daemon, as it ends the reference.
func (d *daemon) cycles(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := d.loop(ctx, 2, [2]wake{d.push, d.pull}, func(ctx context.Context) {
		var c cycle
		var both sync.WaitGroup
		both.Go(func() { c.pushed = d.doPush(ctx) })
		both.Go(func() { c.pulled = d.doPull(ctx) })
		both.Wait()
		if err := d.report(c); err != nil {
			cancel(err)
		}
	})
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// cycle is what one round did; a half that did not run is nil.
type cycle struct {
	pushed *pushed
	pulled *pulled
}

type pushed struct {
	mailbox.PushResult
	err error
}

type pulled struct {
	mailbox.PullResult
	unbound bool
	flat    string // position in the flat slot, which is what the reference's daemon reports; only with JSON
	err     error
}

func (d *daemon) doPush(ctx context.Context) *pushed {
	res, err := d.box.Push(ctx, mailbox.PushOptions{Report: d.JSON})
	if errors.As(err, new(mailbox.ErrNoPeers)) || ctx.Err() != nil {
		err = nil
	}
	d.waiting.Store(err != nil || len(res.Skipped) > 0)
	if len(res.Pushed) > 0 {
		d.rest.soon()
	}
	return &pushed{res, err}
}

func (d *daemon) doPull(ctx context.Context) *pulled {
	res, err := d.box.Pull(ctx)
	p := &pulled{PullResult: res, err: err}
	switch {
	case errors.As(err, new(mailbox.ErrUnbound)):
		p.err, p.unbound = nil, true
	case ctx.Err() != nil: // the end of the daemon is no failure of a relay
		p.err, p.Failed = nil, nil
	case err == nil && len(res.Failed) == 0:
		d.refused.nudge()
	}
	d.missed.Store(p.err != nil || len(p.Failed) > 0)
	if res.TotalSeen > 0 {
		d.rest.soon()
	}
	if d.JSON {
		if relay, err := d.Session.ReadRelay(); err == nil {
			p.flat = relay.Cursor(relay.SelfFlat())
		}
	}
	return p
}
