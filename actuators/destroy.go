package actuators

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/reconcile"
)

// destroySession stops what serves a session, removes its sisters' routes to it and pins of its DID, and
// then its home and its registry entries. A broken sister does not stop it.
type destroySession struct{ Site }

func (a destroySession) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	s := a.Machine.Session(c.Subjects[0])
	if !s.Exists() {
		return reconcile.Already, a.forget(ctx, s.Name)
	}
	if _, err := a.quiet(ctx, s); err != nil {
		return reconcile.Failed, err
	}
	if info, ok := who(s); ok {
		if err := a.unpinEverywhere(ctx, s, info); err != nil {
			return reconcile.Failed, err
		}
	}
	if _, err := a.Machine.Remove(s, time.Now(), a.Keep); err != nil {
		return reconcile.Failed, err
	}
	if s.Exists() {
		return reconcile.Failed, fmt.Errorf("%s is still there", s.Dir)
	}
	return reconcile.Done, a.forget(ctx, s.Name)
}

// who is the identity of a session; one without a readable card has no pins to look for.
func who(s home.Session) (identity.CardInfo, bool) {
	card, err := s.ReadCard()
	if err != nil {
		return identity.CardInfo{}, false
	}
	info, err := identity.ReadCard(card)
	return info, err == nil
}

func (s Site) unpinEverywhere(ctx context.Context, gone home.Session, info identity.CardInfo) error {
	sisters, err := s.Machine.Sessions()
	if err != nil {
		return err
	}
	for _, sister := range sisters {
		if sister.Name == gone.Name || s.Going[sister.Name] {
			continue
		}
		var broken *home.FileError
		_, err := pairing.Unpin(ctx, sister, info.Handle, info.DID)
		if err != nil && !errors.As(err, &broken) && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", sister.Name, err)
		}
	}
	return nil
}

// forget drops a session's registry entries.
func (s Site) forget(ctx context.Context, name string) error {
	reg, err := s.Machine.Registry()
	if err != nil || len(reg.ByCwd) == 0 {
		return err
	}
	return s.Machine.UpdateRegistry(ctx, func(r *home.Registry) error {
		for dir, holder := range r.ByCwd {
			if home.Sanitize(holder) == name {
				delete(r.ByCwd, dir)
			}
		}
		return nil
	})
}
