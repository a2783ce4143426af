package actuators

import (
	"context"
	"fmt"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/reconcile"
)

// stopLeftover ends the daemons that serve a home which is about to be made anew. One of the reference reads
// key and slot in each cycle and would be a second owner of the new identity (field-failures.md B16).
type stopLeftover struct{ Site }

func (a stopLeftover) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	n, err := a.stopOthers(ctx, a.Machine.Session(c.Subjects[0]), 0)
	return outcome(n > 0, err)
}

// mendRecord writes the flat trio of self in relay.json again, from the list beside it.
type mendRecord struct{ Site }

func (a mendRecord) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	s := a.Machine.Session(c.Subjects[0])
	file, err := s.ReadRelay()
	if err != nil {
		return reconcile.Failed, err
	}
	if file.SelfFault() == "" {
		return reconcile.Already, nil
	}
	err = s.UpdateRelay(ctx, func(r *home.RelayFile) error {
		r.SetSelf(r.Self())
		return nil
	})
	if err == nil {
		file, err = s.ReadRelay()
	}
	if err == nil && file.SelfFault() != "" {
		err = fmt.Errorf("%s: still so after it was written: %s", s.RelayFile(), file.SelfFault())
	}
	if err != nil {
		return reconcile.Failed, err
	}
	return reconcile.Done, nil
}

// dropRequests removes pair requests that are answered, each only if it is still the same one.
type dropRequests struct{ Site }

func (a dropRequests) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	s := a.Machine.Session(c.Subjects[0])
	done := false
	for _, r := range reconcile.AnsweredRequests(s) {
		if err := s.RemoveInbound(ctx, r.Handle, r.EventID); err != nil {
			return reconcile.Failed, err
		}
		done = true
	}
	switch {
	case len(reconcile.AnsweredRequests(s)) > 0:
		return reconcile.Failed, fmt.Errorf("a request is back: %s", reconcile.AnsweredRequests(s)[0].Handle)
	case !done:
		return reconcile.Already, nil
	}
	return reconcile.Done, nil
}
