package verbs

import (
	"context"
	"errors"

	"wirefleet.dev/wire/actuators"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// Destroy takes a session out of the world: its processes, its sisters' pins of it, its home and its registry
// entries. keep leaves key, card and relay.json in the trash. found is false if there is no such session. tell
// hears what was left alone.
func (s Site) Destroy(ctx context.Context, name string, keep bool, tell func(actuators.Told)) (found bool, err error) {
	gone := s.Machine.Session(name)
	if !gone.Exists() {
		return false, nil
	}
	unlock, err := s.lock(ctx, "session destroy")
	if err != nil {
		return true, err
	}
	defer unlock()
	if !gone.Exists() { // somebody was faster
		return false, nil
	}
	d := &spec.Desired{Sessions: []spec.Session{{Name: gone.Name}}}
	ob := reconcile.Observer{Machine: s.Machine, Client: s.Client, Desired: d}
	sum, err := s.run(ctx, reconcile.Runner{
		Observe: func(ctx context.Context) (reconcile.Observed, error) { return ob.Lone(gone.Name), ctx.Err() },
		Diff: func(o reconcile.Observed) reconcile.Plan {
			return reconcile.Destroy(d, o, []string{gone.Name})
		},
	}, actuators.Site{Desired: d, Keep: keep, Tell: tell, By: "session destroy"})
	if err != nil {
		return true, err
	}
	for _, r := range sum.Results {
		if r.Err != nil {
			return true, r.Err
		}
	}
	for _, b := range sum.Remaining.Blocked {
		return true, errors.New(b.Reason.Text + ": nothing was deleted")
	}
	return true, nil
}

// Restore brings what was destroyed last under a name back from the trash and says where it lay. What was not
// kept of it, `session new` or an apply makes anew.
func (s Site) Restore(ctx context.Context, name string) (back home.Session, from string, err error) {
	unlock, err := s.lock(ctx, "session restore")
	if err != nil {
		return back, "", err
	}
	defer unlock()
	return s.Machine.Restore(name)
}
