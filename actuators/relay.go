package actuators

import (
	"context"
	"errors"
	"fmt"
	"time"

	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/reconcile"
)

// startRelay starts the managed local relay with the machine's base as its WIRE_HOME, so that its state is
// never inside a session (design.md section 3).
type startRelay struct{ Site }

func (a startRelay) Do(ctx context.Context, _ reconcile.Change) (reconcile.Outcome, error) {
	r := a.Desired.LocalRelay
	switch err := a.Client.Identify(ctx, r.URL); {
	case err == nil:
		return reconcile.Already, nil
	case errors.Is(err, client.ErrNoRelay):
		who := process.PortOwner(r.Bind)
		if who == "" {
			who = "another program"
		}
		return reconcile.Failed, fmt.Errorf("%s is taken by %s", r.Bind, who)
	case !errors.Is(err, client.ErrRefused):
		return reconcile.Failed, err
	}
	dir, err := a.Machine.RelayState()
	if err != nil {
		return reconcile.Failed, err
	}
	if err := relay.Prepare(dir); err != nil {
		return reconcile.Failed, err
	}
	ready, err := process.Spawn(ctx, process.Spec{
		Args:   []string{"relay-server", "--bind", r.Bind, "--local-only"},
		Home:   a.Machine.Base,
		NoHome: a.Machine.Base == "",
		Log:    relay.LogFile(dir),
		Env:    a.startedBy(),
	})
	if err != nil {
		return reconcile.Failed, fmt.Errorf("the relay on %s did not start: %w", r.Bind, err)
	}
	if ready.Held != nil && ready.Held.Bind != r.Bind {
		return reconcile.Failed, fmt.Errorf("pid %d already serves %s, but on %s", ready.Held.PID, dir, ready.Held.Bind)
	}
	if err := a.Client.Identify(ctx, r.URL); err != nil {
		return reconcile.Failed, fmt.Errorf("the relay started, but %w", err)
	}
	if ready.Held != nil {
		return reconcile.Already, nil
	}
	return reconcile.Done, nil
}

// restartRelay replaces a relay of ours that does not answer, or listens elsewhere.
type restartRelay struct{ Site }

func (a restartRelay) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	dir, err := a.Machine.RelayState()
	if err != nil {
		return reconcile.Failed, err
	}
	bind := a.Desired.LocalRelay.Bind
	if l, held, _, err := process.ReadLife(relay.LifeLock(dir)); err == nil && held && l.Bind != bind {
		// Before the old one is stopped: nothing could take its place.
		if err := relay.CanListen(ctx, bind); err != nil {
			return reconcile.Failed, err
		}
	}
	if _, err := a.stopHolder(ctx, relay.LifeLock(dir)); err != nil {
		return reconcile.Failed, err
	}
	return startRelay(a).Do(ctx, c)
}

// stopRelay ends the relay that holds the life lock of this machine's relay state.
type stopRelay struct{ Site }

func (a stopRelay) Do(ctx context.Context, _ reconcile.Change) (reconcile.Outcome, error) {
	dir, err := a.Machine.RelayState()
	if err != nil {
		return reconcile.Failed, err
	}
	stopped, err := a.stopHolder(ctx, relay.LifeLock(dir))
	return outcome(stopped, err)
}

// stopHolder ends the process that holds a life lock; stopped is false if nobody does.
func (s Site) stopHolder(ctx context.Context, lock string) (stopped bool, err error) {
	l, held, proven, err := process.ReadLife(lock)
	switch {
	case err != nil:
		return false, err
	case !held:
		return false, nil
	case !proven:
		return false, fmt.Errorf("%s is held, but pid %d in it does not agree with the kernel: nothing signalled", lock, l.PID)
	}
	if err := s.stopProcess(ctx, l.PID, l.StartTicks, nil); err != nil {
		return true, err
	}
	s.tell(Stopped{l.PID})
	return true, nil
}

// unfit is how long a process that writes in place may keep us from ending it. One write takes it milliseconds; a file
// that is broken for good is nothing to wait for.
const unfit = time.Second

// stopProcess ends a process at a moment of which fit says that it may be ended there; nil for any.
func (s Site) stopProcess(ctx context.Context, pid int, startTicks uint64, fit func() bool) error {
	p, err := process.Open(pid, startTicks)
	if err != nil {
		if !process.Alive(pid, startTicks) {
			return nil
		}
		return err
	}
	defer func() { _ = p.Close() }()
	if fit != nil {
		if err := p.HaltWhen(ctx, unfit, fit); err != nil {
			return err
		}
	}
	return p.Stop(ctx, s.Grace)
}
