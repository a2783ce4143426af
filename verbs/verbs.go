// Package verbs are the imperative commands of `wire session` that change something, each as a small plan run
// by the actuators of apply (design.md section 1): `new` is a Desired with one session, `pair-all-local` the
// mesh part of a diff over the sessions that exist, `destroy` a plan of one change.
//
// Law of the room: what a command line means is decided here, and nothing is done but by an actuator; only
// cmd prints. Each verb holds apply.lock while it looks and acts.
package verbs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"wirefleet.dev/wire/actuators"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// Site is where the verbs act.
type Site struct {
	Machine home.Machine
	Client  *client.Client
	Waiting func(home.Holder) // told once of who holds the lock that a verb waits for
}

// lockWait is how long a verb waits for another one.
const lockWait = 2 * time.Minute

// lock takes the machine's apply.lock for a verb.
func (s Site) lock(ctx context.Context, verb string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	unlock, err = s.Machine.LockApply(ctx, verb, s.Waiting)
	var held *home.LockedError
	if errors.As(err, &held) {
		err = fmt.Errorf("%w\n  next: wait for it, then run this again", err)
	}
	return unlock, err
}

// run makes a plan true.
func (s Site) run(ctx context.Context, r reconcile.Runner, site actuators.Site) (reconcile.Summary, error) {
	site.Machine, site.Client = s.Machine, s.Client
	if site.Desired == nil {
		site.Desired = &spec.Desired{}
	}
	r.Actuators = actuators.All(site)
	sum, err := r.Run(ctx)
	if err == nil && sum.Interrupted {
		err = errors.New("interrupted: running it again goes on from here")
	}
	return sum, err
}
