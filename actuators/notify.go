package actuators

import (
	"context"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/reconcile"
)

// notifyInterval is what notifiers are started with, in seconds, as the reference starts its own.
const notifyInterval = "2"

// startNotify starts a session's notifier and waits until it says that it is ready, but for no longer than Patience.
type startNotify struct{ Site }

func (a startNotify) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	return a.show(ctx, a.home(c.Subjects[0]))
}

func (s Site) show(ctx context.Context, h home.Session) (reconcile.Outcome, error) {
	made, err := s.patiently(ctx, func(ctx context.Context) (reconcile.Outcome, error) {
		ready, err := process.Spawn(ctx, process.Spec{
			Args: []string{"notify", "--interval", notifyInterval},
			Home: h.Dir, NoHome: h.Dir == "",
			Log: h.NotifyLog(),
			Env: s.startedBy(), Exe: s.Exe,
		})
		return outcome(ready.Held == nil, err)
	})
	if err != nil || made == reconcile.Already || s.By != "" {
		return made, err
	}
	return made, mark(h, func(m *home.Managed) { m.Notify = true })
}

// restartNotify replaces every proven notifier of a session by one of this executable.
type restartNotify struct{ Site }

func (a restartNotify) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	if err := a.lasts(); err != nil {
		return reconcile.Failed, err // before the old one is stopped: nothing could take its place
	}
	h := a.home(c.Subjects[0])
	if _, err := a.stopHolder(ctx, h.NotifyLife()); err != nil {
		return reconcile.Failed, err
	}
	table, err := census.Table(a.Machine)
	if err != nil {
		return reconcile.Failed, err
	}
	if err := a.stopProven(ctx, census.ShowingOf(h, table, nil).Others, h.NotifyPID(), nil); err != nil {
		return reconcile.Failed, err
	}
	return a.show(ctx, h)
}

// stopNotify stops our notifier of a session, which the file does not want.
type stopNotify struct{ Site }

func (a stopNotify) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	h := a.home(c.Subjects[0])
	stopped, err := a.stopHolder(ctx, h.NotifyLife())
	if err == nil {
		err = mark(h, func(m *home.Managed) { m.Notify = false })
	}
	return outcome(stopped, err)
}

// hush stops whoever reads what arrives in a home as a notifier, whatever for, and says whether anybody did.
func (s Site) hush(ctx context.Context, h home.Session) (stopped bool, err error) {
	if stopped, err = s.stopHolder(ctx, h.NotifyLife()); err != nil {
		return stopped, err
	}
	others, err := census.OtherNotifiers(s.Machine, h)
	if err != nil {
		return stopped, err
	}
	return stopped || len(others) > 0, s.stopProven(ctx, others, h.NotifyPID(), nil)
}
