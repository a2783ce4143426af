package actuators

import (
	"context"
	"fmt"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/mailbox"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/reconcile"
)

// destroySession stops what serves a session, lets its last messages through, removes its sisters' routes to it
// and pins of its DID, and then its home and its registry entries. Neither a broken home nor a broken sister
// stops it; a process that may be its daemon does.
type destroySession struct{ Site }

func (a destroySession) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	s := a.Machine.Session(c.Subjects[0])
	if !s.Exists() {
		a.forget(ctx, s.Name)
		return reconcile.Already, nil
	}
	if reg, err := a.Machine.Registry(); err == nil && reg.Shared(s.Name) != nil {
		return reconcile.Failed, fmt.Errorf("session %s is that of %s: nothing was deleted. `wire session new NAME` in one of them gives it a session of its own",
			s.Name, home.SharedBy(reg.Shared(s.Name)))
	}
	if !s.Alias() { // of a link only the link goes: the home is another session's
		if err := a.silence(ctx, s); err != nil {
			return reconcile.Failed, err
		}
		if info, ok := who(s); ok {
			sisters := a.sisters(s)
			a.drain(ctx, s, info, sisters)
			if err := a.unpinEverywhere(ctx, s, info, sisters); err != nil {
				return reconcile.Failed, err
			}
		}
	}
	if _, err := a.Machine.Remove(s, time.Now(), a.Keep); err != nil {
		return reconcile.Failed, err
	}
	if s.Exists() {
		return reconcile.Failed, fmt.Errorf("%s is still there", s.Dir)
	}
	a.forget(ctx, s.Name)
	return reconcile.Done, nil
}

// silence stops daemon and notifier of s, unless its record names somebody who may or may not be one.
func (s Site) silence(ctx context.Context, h home.Session) error {
	table, tableErr := census.Table(s.Machine)
	rec := census.RecordedBy(s.Machine, h, census.ServingOf(h, table, tableErr))
	if rec.PID != 0 && !rec.Stranger {
		return fmt.Errorf("pid %d in its record %s: nothing was deleted", rec.PID, rec.Why)
	}
	if _, err := s.quiet(ctx, h); err != nil {
		return err
	}
	if rec.Stranger {
		s.tell(LeftAlone{h.Name, rec.PID, rec.Why})
	}
	return nil
}

// who is the identity of a session, by its card or else by its key; one without either is pinned nowhere.
func who(s home.Session) (identity.CardInfo, bool) {
	if card, err := s.ReadCard(); err == nil {
		if info, err := identity.ReadCard(card); err == nil {
			return info, true
		}
	}
	key, err := s.ReadKey()
	if err != nil {
		return identity.CardInfo{}, false
	}
	return identity.CardInfo{DID: identity.NewDID(s.Name, key.Public()), Handle: s.Name, Public: key.Public()}, true
}

// sisters are the sessions that stay.
func (s Site) sisters(gone home.Session) []home.Session {
	all, err := s.Machine.Sessions()
	if err != nil {
		s.tell(Kept{gone.Name, err})
	}
	var list []home.Session
	for _, sister := range all {
		if sister.Name != gone.Name && !s.Going[sister.Name] && !sister.Alias() {
			list = append(list, sister)
		}
	}
	return list
}

// drainTime is how long the last messages of a session that goes may take in all.
const drainTime = 2 * time.Second

// drain pushes what s has queued, then lets the sisters that pin it fetch what it has sent: once they do not
// know its key any more they would refuse it (field-failures.md E2). What cannot be had in time is lost.
func (s Site) drain(ctx context.Context, gone home.Session, info identity.CardInfo, sisters []home.Session) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	_, _ = mailbox.Open(gone, s.Client).Push(ctx, mailbox.PushOptions{})
	var all sync.WaitGroup
	slots := make(chan struct{}, s.Workers)
	for _, sister := range sisters {
		if !pins(sister, info) {
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			_, _ = mailbox.Open(sister, s.Client).Pull(ctx)
		})
	}
	all.Wait()
}

// pins says whether a session knows a handle at all.
func pins(s home.Session, info identity.CardInfo) bool {
	trust, err := s.ReadTrust()
	if err != nil {
		return false
	}
	_, ok := trust.Raw("agents", info.Handle)
	return ok
}

func (s Site) unpinEverywhere(ctx context.Context, gone home.Session, info identity.CardInfo, sisters []home.Session) error {
	removals := make([]pairing.Removal, len(sisters))
	for i, sister := range sisters {
		removals[i] = pairing.Removal{From: sister, Handle: info.Handle, DID: info.DID}
	}
	removed, err := pairing.UnpinMany(ctx, removals, s.Workers)
	if err != nil {
		return err
	}
	for i, r := range removed {
		if r.Err != nil && sisters[i].Initialized() {
			s.tell(Kept{gone.Name, r.Err})
		}
	}
	return nil
}

// forget drops a session's registry entries. A registry that does not parse is left as it is.
func (s Site) forget(ctx context.Context, name string) {
	reg, err := s.Machine.Registry()
	if err == nil && len(reg.ByCwd) > 0 {
		err = s.Machine.UpdateRegistry(ctx, func(r *home.Registry) error {
			r.Forget(name)
			return nil
		})
	}
	if err != nil {
		s.tell(Kept{name, err})
	}
}
