package actuators

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// startDaemon starts a session's daemon and waits until it says that it is ready.
type startDaemon struct{ Site }

func (a startDaemon) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	return a.startPatiently(ctx, a.wanted(c.Subjects[0]))
}

// startPatiently goes on after Patience if the daemon is not ready by then: one that was stopped on its way,
// or waits for a relay that does not answer, shall hold up nobody else.
func (s Site) startPatiently(ctx context.Context, w spec.Session) (reconcile.Outcome, error) {
	if s.Patience == 0 {
		return s.start(ctx, w)
	}
	type end struct {
		outcome reconcile.Outcome
		err     error
	}
	ended := make(chan end, 1)
	go func() {
		// Not with ctx, which is over when we return.
		ready, err := s.spawn(context.WithoutCancel(ctx), w)
		outcome, err := s.judge(w, ready, err)
		ended <- end{outcome, err}
	}()
	select {
	case e := <-ended:
		return s.marked(w, e.outcome, e.err)
	case <-time.After(s.Patience):
		return s.marked(w, reconcile.Begun, nil)
	}
}

func (s Site) start(ctx context.Context, w spec.Session) (reconcile.Outcome, error) {
	ready, err := s.spawn(ctx, w)
	outcome, err := s.judge(w, ready, err)
	return s.marked(w, outcome, err)
}

func (s Site) spawn(ctx context.Context, w spec.Session) (process.Readiness, error) {
	h := s.Machine.Session(w.Name)
	seconds := strconv.Itoa(max(1, int(w.Interval/time.Second)))
	return process.Spawn(ctx, process.Spec{
		Args: []string{"daemon", "--interval", seconds},
		Home: h.Dir,
		Log:  h.DaemonLog(),
		Env:  s.startedBy(),
	})
}

func (s Site) judge(w spec.Session, ready process.Readiness, err error) (reconcile.Outcome, error) {
	var log *fs.PathError
	switch {
	case errors.As(err, &log) && log.Path == s.Machine.Session(w.Name).DaemonLog():
		return reconcile.Failed, fmt.Errorf("opening daemon log %q: %w", log.Path, log.Err)
	case err != nil:
		return reconcile.Failed, err
	case ready.Held != nil:
		return reconcile.Already, nil
	}
	return reconcile.Done, nil
}

// marked records who started the daemon, where one was started.
func (s Site) marked(w spec.Session, outcome reconcile.Outcome, err error) (reconcile.Outcome, error) {
	if err != nil || outcome == reconcile.Already || s.By != "" {
		return outcome, err
	}
	return outcome, mark(s.Machine.Session(w.Name), func(m *home.Managed) { m.Daemon = true })
}

// mark records in the marker what an apply started. A session without a marker was not created by an apply: it
// gets one without an owner, so that it is never pruned.
func mark(h home.Session, change func(*home.Managed)) error {
	m, err := h.ReadManaged()
	if err != nil {
		return err
	}
	if m == nil {
		m = &home.Managed{}
	}
	before := *m
	if change(m); *m == before {
		return nil
	}
	return h.WriteManaged(*m)
}

// restartDaemon replaces every proven daemon of a session by one of this executable.
type restartDaemon struct{ Site }

func (a restartDaemon) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	w := a.wanted(c.Subjects[0])
	if _, err := process.CheckExecutable(); err != nil {
		return reconcile.Failed, err // before the old one is stopped: nothing could take its place
	}
	h := a.Machine.Session(w.Name)
	if _, err := a.stopHolder(ctx, h.DaemonLife()); err != nil {
		return reconcile.Failed, err
	}
	if _, err := a.stopOthers(ctx, h, 0); err != nil {
		return reconcile.Failed, err
	}
	if c.Roll {
		return a.start(ctx, w) // the next one has to wait
	}
	return a.startPatiently(ctx, w)
}

// stopDaemon stops our daemon of a session, which the file does not want.
type stopDaemon struct{ Site }

func (a stopDaemon) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	h := a.Machine.Session(c.Subjects[0])
	stopped, err := a.stopHolder(ctx, h.DaemonLife())
	if err == nil {
		err = mark(h, func(m *home.Managed) { m.Daemon = false })
	}
	switch {
	case err != nil:
		return reconcile.Failed, err
	case !stopped:
		return reconcile.Already, nil
	}
	return reconcile.Done, nil
}

// stopDuplicate leaves a session one daemon: ours, else the oldest of the reference's.
type stopDuplicate struct{ Site }

func (a stopDuplicate) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	h := a.Machine.Session(c.Subjects[0])
	_, held, proven, err := process.ReadLife(h.DaemonLife())
	if err != nil {
		return reconcile.Failed, err
	}
	keep := 1
	if held && proven {
		keep = 0
	}
	n, err := a.stopOthers(ctx, h, keep)
	switch {
	case err != nil:
		return reconcile.Failed, err
	case n == 0:
		return reconcile.Already, nil
	}
	return reconcile.Done, nil
}

// stopAll stops every proven daemon and notifier of a session.
type stopAll struct{ Site }

func (a stopAll) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	stopped, err := a.quiet(ctx, a.Machine.Session(c.Subjects[0]))
	switch {
	case err != nil:
		return reconcile.Failed, err
	case !stopped:
		return reconcile.Already, nil
	}
	return reconcile.Done, nil
}

// quiet stops whatever serves a home, its notifiers too, and says whether anything did.
func (s Site) quiet(ctx context.Context, h home.Session) (stopped bool, err error) {
	if stopped, err = s.stopHolder(ctx, h.DaemonLife()); err != nil {
		return stopped, err
	}
	n, err := s.stopOthers(ctx, h, 0)
	if err != nil {
		return stopped, err
	}
	hushed, err := s.hush(ctx, h)
	if err != nil {
		return stopped, err
	}
	if m, err := h.ReadManaged(); err == nil && m != nil {
		if err := mark(h, func(m *home.Managed) { m.Daemon, m.Notify = false, false }); err != nil {
			return stopped, err
		}
	}
	return stopped || n > 0 || hushed, nil
}

// stopOthers stops the daemons that the process table proves to serve h without holding its life lock, but
// for the keep oldest. It returns how many it stopped.
func (s Site) stopOthers(ctx context.Context, h home.Session, keep int) (int, error) {
	others, err := census.OtherDaemons(s.Machine, h)
	if err != nil {
		return 0, err
	}
	others = others[min(keep, len(others)):]
	return len(others), s.stopProven(ctx, others, h.DaemonPID())
}

// stopProven stops proven processes and removes the pid file if it names one of them.
func (s Site) stopProven(ctx context.Context, list []census.Daemon, record string) error {
	for _, o := range list {
		if err := s.stopProcess(ctx, o.PID, o.StartTicks); err != nil {
			return fmt.Errorf("pid %d: %w", o.PID, err)
		}
		if err := process.RemoveRecord(record, o.PID); err != nil {
			return err
		}
	}
	return nil
}
