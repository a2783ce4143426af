package verbs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"wirefleet.dev/wire/actuators"
	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// Reach is what an upgrade would act on: a home and the sessions of its root, no other home.
type Reach struct {
	Daemons   []int    // proven, ascending
	Notifiers []int    // likewise
	Sessions  []string // those of the root that a daemon serves
}

// All are the processes that an upgrade would end, ascending.
func (r Reach) All() []int {
	all := slices.Concat(r.Daemons, r.Notifiers)
	slices.Sort(all)
	return all
}

// Reach finds that out and changes nothing.
func (s Site) Reach(this home.Session) (Reach, error) {
	homes, _, err := s.homes(this)
	if err != nil {
		return Reach{}, err
	}
	return reachOf(s.observer().Processes(homes), homes), nil
}

func reachOf(o reconcile.Observed, homes map[string]home.Session) Reach {
	var r Reach
	for _, name := range o.Names() {
		st := o.Sessions[name]
		for _, d := range st.Daemon.All() {
			r.Daemons = append(r.Daemons, d.PID)
		}
		for _, d := range st.Notify.All() {
			r.Notifiers = append(r.Notifiers, d.PID)
		}
		if len(st.Daemon.All()) > 0 && homes[name].Name == name {
			r.Sessions = append(r.Sessions, name)
		}
	}
	slices.Sort(r.Daemons)
	slices.Sort(r.Notifiers)
	return r
}

// homes are the sessions of the root and this home, by the names that changes use; own is this one's.
func (s Site) homes(this home.Session) (homes map[string]home.Session, own string, err error) {
	all, err := s.Machine.Sessions()
	if err != nil {
		return nil, "", err
	}
	homes = map[string]home.Session{}
	for _, h := range all {
		if h.Alias() {
			continue // another name of a session
		}
		homes[h.Name] = h
		if h.Same(this) {
			own = h.Name
		}
	}
	if own == "" {
		if own = this.Dir; own == "" {
			own = "the default home"
		}
		homes[own] = this
	}
	return homes, own, nil
}

func (s Site) observer() reconcile.Observer {
	return reconcile.Observer{Machine: s.Machine, Client: s.Client, Desired: &spec.Desired{}}
}

// Upgraded is what an upgrade came to.
type Upgraded struct {
	Stopped  []int       // daemons and notifiers, ascending
	Sessions []Respawned // those of the root that a daemon served, by name
	PID      int         // the daemon of this home; 0 for none
	Fresh    bool        // it was started now
	Remarks  []string    // for people: what was left alone, and why
}

// Respawned is a session of the root.
type Respawned struct {
	Session home.Session
	PID     int   // of its daemon now
	Err     error // why it is not a new one
}

// Upgrade replaces the daemons and notifiers of this home and of its root's sessions by those of this program,
// one after the other, and starts one for this home, unless it is empty or startThis is false. A daemon that a
// service manager keeps is replaced by that one. Other homes are neither touched nor counted.
//
// An error comes with what was done, unless nothing was.
func (s Site) Upgrade(ctx context.Context, this home.Session, units actuators.Units, startThis bool) (*Upgraded, error) {
	homes, own, err := s.homes(this)
	if err != nil {
		return nil, err
	}
	up := &Upgraded{}
	if homes[own].Name != own && !startThis {
		if d := census.DaemonsOf(s.Machine, this); d.Running() {
			up.remark("pid %d goes on serving this home: implicit starts are switched off, so none could take its place", d.PID())
		}
		delete(homes, own)
	}
	first := s.observer().Processes(homes)
	if len(reachOf(first, homes).Sessions) > 0 {
		unlock, err := s.lock(ctx, "upgrade")
		if err != nil {
			return nil, err
		}
		defer unlock()
		first = s.observer().Processes(homes) // whoever had the lock may have replaced some
	}
	before := reachOf(first, homes)
	start := ""
	if startThis && this.Initialized() {
		if start = own; len(first.Sessions[own].Daemon.All()) == 0 {
			if err := this.Ensure(); err != nil {
				return nil, err
			}
		}
	}
	failed, err := s.replace(ctx, up, homes, first, units, start)
	if err != nil {
		return up, err
	}
	now := s.observer().Processes(homes)
	for _, name := range before.Sessions {
		r := Respawned{Session: homes[name], Err: failed[name]}
		if all := now.Sessions[name].Daemon.All(); len(all) > 0 {
			r.PID = all[0].PID
		} else if r.Err == nil {
			r.Err = errors.New("it ended at once: " + now.Sessions[name].Daemon.Why)
		}
		up.Sessions = append(up.Sessions, r)
	}
	if all := now.Sessions[own].Daemon.All(); len(all) > 0 && startThis {
		up.PID, up.Fresh = all[0].PID, !slices.Contains(before.Daemons, all[0].PID)
	}
	s.watcher(ctx, up, units)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		errs = append(errs, fmt.Errorf("%s: %w", name, failed[name]))
	}
	if len(errs) == 0 {
		return up, nil
	}
	return up, fmt.Errorf("%w\n  next: repair that; `wire upgrade` in a home starts its daemon, `wire apply` those of its file", errors.Join(errs...))
}

func (up *Upgraded) remark(format string, args ...any) {
	up.Remarks = append(up.Remarks, fmt.Sprintf(format, args...))
}

// replace runs the plan and notes who was stopped. failed has the homes that are not as they should be, by name.
func (s Site) replace(ctx context.Context, up *Upgraded, homes map[string]home.Session, first reconcile.Observed, units actuators.Units, start string) (failed map[string]error, err error) {
	d := &spec.Desired{}
	for _, name := range first.Names() {
		w := spec.Session{Name: name, Interval: spec.DefaultInterval}
		if all := first.Sessions[name].Daemon.All(); len(all) > 0 && all[0].Interval > 0 {
			w.Interval = time.Duration(all[0].Interval) * time.Second
		}
		d.Sessions = append(d.Sessions, w)
	}
	var mu sync.Mutex
	sum, err := s.run(ctx, reconcile.Runner{
		Observe: func(ctx context.Context) (reconcile.Observed, error) {
			return s.observer().Processes(homes), ctx.Err()
		},
		Diff: func(o reconcile.Observed) reconcile.Plan { return reconcile.Upgrade(first, o, start) },
	}, actuators.Site{
		Desired: d, By: "upgrade", Homes: homes, Units: units,
		Tell: func(t actuators.Told) {
			if stopped, ok := t.(actuators.Stopped); ok {
				mu.Lock()
				defer mu.Unlock()
				up.Stopped = append(up.Stopped, stopped.PID)
			}
		},
	})
	slices.Sort(up.Stopped)
	if err != nil {
		return nil, err
	}
	last := map[string]error{} // by home and post: a second try may have made good what the first did not
	for _, r := range sum.Results {
		post := "daemon"
		if r.Change.Kind == reconcile.RestartNotify {
			post = "notifier"
		}
		last[post+" "+r.Change.Subjects[0]] = r.Err
	}
	failed = map[string]error{}
	for what, err := range last {
		if _, name, _ := strings.Cut(what, " "); err != nil {
			failed[name] = errors.Join(failed[name], err)
		}
	}
	for _, b := range sum.Remaining.Blocked {
		failed[b.Subject] = errors.Join(failed[b.Subject], errors.New(b.Reason.Text))
	}
	return failed, nil
}

// watcher looks whether continuous mode runs the program that is now there: it starts daemons, too. Only a
// service manager can replace it; who runs it in a terminal has to.
func (s Site) watcher(ctx context.Context, up *Upgraded, units actuators.Units) {
	l, held, proven, err := process.ReadLife(s.Machine.WatchLife())
	if err != nil || !held || !proven || process.Would(l.ExeDev, l.ExeIno) {
		return
	}
	why := "end it and start it again"
	if units != nil {
		if unit, ok := units.Owner(ctx, l.PID); ok {
			err := units.Restart(ctx, unit)
			if err == nil {
				return
			}
			why = fmt.Sprintf("%s could not be restarted: %v", unit, err)
		}
	}
	up.remark("`wire apply --watch` (pid %d) still runs the program that was there before: %s", l.PID, why)
}
