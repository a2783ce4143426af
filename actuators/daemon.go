package actuators

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"time"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// startDaemon starts a session's daemon and waits until it says that it is ready.
type startDaemon struct{ Site }

func (a startDaemon) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	w := a.wanted(c.Subjects[0])
	if _, held, proven, err := process.ReadLife(a.home(w.Name).DaemonLife()); err == nil && held && proven {
		return reconcile.Already, nil // since the plan was made
	}
	return a.startPatiently(ctx, w)
}

// startPatiently is start, but for no longer than Patience.
func (s Site) startPatiently(ctx context.Context, w spec.Session) (reconcile.Outcome, error) {
	outcome, err := s.patiently(ctx, func(ctx context.Context) (reconcile.Outcome, error) { return s.serve(ctx, w) })
	return s.marked(w, outcome, err)
}

func (s Site) start(ctx context.Context, w spec.Session) (reconcile.Outcome, error) {
	outcome, err := s.serve(ctx, w)
	return s.marked(w, outcome, err)
}

// patiently goes on after Patience if what it starts is not ready by then: one that was stopped on its way, or waits
// for a relay that does not answer, shall hold up nobody else.
func (s Site) patiently(ctx context.Context, start func(context.Context) (reconcile.Outcome, error)) (reconcile.Outcome, error) {
	if s.Patience == 0 {
		return start(ctx)
	}
	type end struct {
		outcome reconcile.Outcome
		err     error
	}
	ended := make(chan end, 1)
	go func() {
		outcome, err := start(context.WithoutCancel(ctx)) // which is over when we return
		ended <- end{outcome, err}
	}()
	select {
	case e := <-ended:
		return e.outcome, e.err
	case <-time.After(s.Patience):
		return reconcile.Begun, nil
	}
}

func (s Site) serve(ctx context.Context, w spec.Session) (reconcile.Outcome, error) {
	ready, err := s.spawn(ctx, w)
	return s.judge(w, ready, err)
}

func (s Site) spawn(ctx context.Context, w spec.Session) (process.Readiness, error) {
	h := s.home(w.Name)
	if h.Initialized() { // its log goes where somebody may have removed everything since the plan was made
		if err := h.Ensure(); err != nil {
			return process.Readiness{}, err
		}
	}
	seconds := strconv.Itoa(max(1, int(w.Interval/time.Second)))
	return process.Spawn(ctx, process.Spec{
		Args: []string{"daemon", "--interval", seconds},
		Home: h.Dir, NoHome: h.Dir == "",
		Log: h.DaemonLog(),
		Env: s.startedBy(), Exe: s.Exe,
	})
}

func (s Site) judge(w spec.Session, ready process.Readiness, err error) (reconcile.Outcome, error) {
	var log *fs.PathError
	switch {
	case errors.As(err, &log) && log.Path == s.home(w.Name).DaemonLog():
		return reconcile.Failed, fmt.Errorf("opening daemon log %q: %w", log.Path, log.Err)
	case err != nil:
		return reconcile.Failed, err
	case ready.Held != nil:
		return reconcile.Already, nil
	}
	return reconcile.Done, nil
}

// marked records who started the daemon, where one was started. It runs also where that cannot be recorded because
// the marker does not parse, which is a finding of its own (reconcile.Beside).
func (s Site) marked(w spec.Session, outcome reconcile.Outcome, err error) (reconcile.Outcome, error) {
	if err != nil || outcome == reconcile.Already || s.By != "" {
		return outcome, err
	}
	err = mark(s.home(w.Name), func(m *home.Managed) { m.Daemon = true })
	if broken := new(home.FileError); errors.As(err, &broken) {
		err = nil
	}
	return outcome, err
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
	if err := a.lasts(); err != nil {
		return reconcile.Failed, err // before the old one is stopped: nothing could take its place
	}
	h := a.home(w.Name)
	if c.Takeover {
		switch p, err := pairing.InFlight(h, time.Now()); {
		case err != nil:
			return reconcile.Failed, err
		case p != nil: // begun since the plan was made
			return reconcile.Failed, errors.New("a pairing by code phrase is in flight: the reference's daemon goes on until it is over")
		}
	}
	if unit, pid := a.unitOf(ctx, h); unit != "" {
		return a.restartUnit(ctx, h, unit, pid)
	}
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

// unitOf is the unit of a service manager that keeps a home's daemon, and that one's pid; "" if none does.
func (s Site) unitOf(ctx context.Context, h home.Session) (unit string, pid int) {
	if s.Units == nil {
		return "", 0
	}
	table, err := census.Table(s.Machine)
	for _, d := range census.ServingOf(h, table, err).All() {
		if unit, ok := s.Units.Owner(ctx, d.PID); ok {
			return unit, d.PID
		}
	}
	return "", 0
}

// unitReady is how long a manager's new daemon may take until it serves; unitLook how often it is looked for.
const (
	unitReady = 10 * time.Second
	unitLook  = 20 * time.Millisecond
)

// restartUnit has the manager replace its daemon, for one that we stopped and started ourselves would be in
// nobody's care. Others that serve the home are stopped after that.
func (s Site) restartUnit(ctx context.Context, h home.Session, unit string, pid int) (reconcile.Outcome, error) {
	before := map[int]bool{}
	serving := func() []census.Daemon {
		table, err := census.Table(s.Machine)
		return census.ServingOf(h, table, err).All()
	}
	for _, d := range serving() {
		before[d.PID] = true
	}
	if err := s.Units.Restart(ctx, unit); err != nil {
		return reconcile.Failed, fmt.Errorf("pid %d belongs to %s, which could not be restarted: %w", pid, unit, err)
	}
	ctx, cancel := context.WithTimeout(ctx, unitReady)
	defer cancel()
	for {
		for _, d := range serving() {
			if !before[d.PID] {
				s.tell(Stopped{pid})
				_, err := s.stopOthers(ctx, h, 0, d.PID)
				return reconcile.Done, err
			}
		}
		select {
		case <-ctx.Done():
			return reconcile.Failed, fmt.Errorf("%s was restarted, but no daemon of it serves %s", unit, h.Dir)
		case <-time.After(unitLook):
		}
	}
}

// stopDaemon stops our daemon of a session, which the file does not want.
type stopDaemon struct{ Site }

func (a stopDaemon) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	h := a.home(c.Subjects[0])
	stopped, err := a.stopHolder(ctx, h.DaemonLife())
	if err == nil {
		err = mark(h, func(m *home.Managed) { m.Daemon = false })
	}
	return outcome(stopped, err)
}

// stopDuplicate leaves a session one daemon: ours, else the oldest of the reference's.
type stopDuplicate struct{ Site }

func (a stopDuplicate) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	h := a.home(c.Subjects[0])
	_, held, proven, err := process.ReadLife(h.DaemonLife())
	if err != nil {
		return reconcile.Failed, err
	}
	keep := 1
	if held && proven {
		keep = 0
	} else if err := a.recordOldest(h); err != nil {
		return reconcile.Failed, err
	}
	n, err := a.stopOthers(ctx, h, keep)
	return outcome(n > 0, err)
}

// recordOldest makes the record of a home name the oldest of several daemons of the reference, which stays. Each of
// them wrote it when it started and never again, so with the others gone it would name nobody, and the reference
// would start one more. It comes first: a crash after it leaves a record that is true.
func (s Site) recordOldest(h home.Session) error {
	others, err := census.OtherDaemons(s.Machine, h)
	if err != nil || len(others) == 0 {
		return err
	}
	oldest := others[0]
	rec, _ := process.ReadRecord(h.DaemonPID())
	if rec.PID == oldest.PID {
		return nil
	}
	r := process.Record{
		Schema: process.Schema, PID: oldest.PID, BinPath: oldest.Exe, Version: cmp.Or(rec.Version, process.Level),
		StartedAt: oldest.Started.UTC().Format(time.RFC3339Nano),
	}
	if card, err := h.ReadCard(); err == nil {
		if did, ok := card["did"].(string); ok {
			r.DID = &did
		}
	}
	if file, err := h.ReadRelay(); err == nil {
		if flat := file.SelfFlat(); flat.RelayURL != "" {
			r.RelayURL = &flat.RelayURL
		}
	}
	return process.WriteRecord(h.DaemonPID(), r)
}

// stopAll stops every proven daemon and notifier of a session.
type stopAll struct{ Site }

func (a stopAll) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	stopped, err := a.quiet(ctx, a.home(c.Subjects[0]))
	return outcome(stopped, err)
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
// for the keep oldest and those spared. It returns how many it stopped.
func (s Site) stopOthers(ctx context.Context, h home.Session, keep int, spare ...int) (int, error) {
	others, err := census.OtherDaemons(s.Machine, h)
	if err != nil {
		return 0, err
	}
	others = slices.DeleteFunc(others[min(keep, len(others)):], func(d census.Daemon) bool { return slices.Contains(spare, d.PID) })
	return len(others), s.stopProven(ctx, others, h.DaemonPID(), func() bool { return !h.Torn() })
}

// stopProven stops proven processes and removes the pid file if it names one of them. fit says at what moments they
// may be ended; nil for any.
func (s Site) stopProven(ctx context.Context, list []census.Daemon, record string, fit func() bool) error {
	for _, o := range list {
		if err := s.stopProcess(ctx, o.PID, o.StartTicks, fit); err != nil {
			return fmt.Errorf("pid %d: %w", o.PID, err)
		}
		s.tell(Stopped{o.PID})
		if err := process.RemoveRecord(record, o.PID); err != nil {
			return err
		}
	}
	return nil
}
