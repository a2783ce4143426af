package actuators

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/reconcile"
)

// createSession makes whatever a session's identity lacks: directories, marker, key, card, trust document.
// An existing key or card stays; a card without its key is never completed (reference/identity.md 2.5).
type createSession struct{ Site }

func (a createSession) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	s := a.Machine.Session(c.Subjects[0])
	// Not whether the directory is there: a create that died before its marker left one.
	_, keyErr := s.ReadKey()
	_, cardErr := s.ReadCard()
	fresh := errors.Is(keyErr, fs.ErrNotExist) && errors.Is(cardErr, fs.ErrNotExist)
	if err := s.Ensure(); err != nil {
		return reconcile.Failed, err
	}
	if m, err := s.ReadManaged(); err != nil {
		return reconcile.Failed, err
	} else if m == nil && fresh && a.By == "" {
		// Before the key: if we die in between, the next apply still knows that this home is its own.
		if err := s.WriteManaged(home.Managed{Owner: a.Desired.Owner, CreatedAt: time.Now().UTC()}); err != nil {
			return reconcile.Failed, err
		}
	}
	changed, err := completeIdentity(ctx, s, s.Name)
	switch {
	case err != nil:
		return reconcile.Failed, err
	case !changed:
		return reconcile.Already, nil
	}
	return reconcile.Done, nil
}

func completeIdentity(ctx context.Context, s home.Session, handle string) (changed bool, err error) {
	if err := identity.CheckHandle(handle); err != nil {
		return false, err
	}
	key, err := s.ReadKey()
	if errors.Is(err, fs.ErrNotExist) {
		if _, cardErr := s.ReadCard(); !errors.Is(cardErr, fs.ErrNotExist) {
			return false, fmt.Errorf("%s has a card without its private.key", s.ConfigDir())
		}
		if key, err = identity.NewKey(); err != nil {
			return false, err
		}
		changed, err = true, s.CreateKey(key)
	}
	if err != nil {
		return false, err
	}
	card, err := s.ReadCard()
	if errors.Is(err, fs.ErrNotExist) {
		card = identity.SignCard(identity.NewCard(handle, "", key.Public()), key)
		changed, err = true, s.WriteCard(card)
	}
	if err != nil {
		return false, err
	}
	info, err := identity.CheckOwner(card)
	if err != nil {
		return false, err
	}
	trust, err := s.ReadTrust()
	if err != nil {
		return false, err
	}
	if _, ok := trust.Raw("agents", info.Handle); ok {
		return changed, nil
	}
	self := canon.AppendPretty(nil, identity.SelfRecord(info, time.Now().UTC()), 2)
	return true, s.UpdateTrust(ctx, func(t *canon.Spans) error {
		t.Set(self, "agents", info.Handle)
		if _, ok := t.Raw("version"); !ok {
			t.Set([]byte("1"), "version")
		}
		return nil
	})
}

// allocateSlot gives a session a mailbox on the change's relay in place of the one it has of that scope.
type allocateSlot struct{ Site }

func (a allocateSlot) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	s := a.Machine.Session(c.Subjects[0])
	scope := home.Local
	if c.Relay == a.Desired.Federation.URL {
		scope = home.Federation
	}
	rf, err := s.ReadRelay()
	if err != nil {
		return reconcile.Failed, err
	}
	for _, e := range rf.Self() {
		if e.Scope != scope || trim(e.RelayURL) != c.Relay {
			continue
		}
		if _, err := a.Client.State(ctx, slotOf(e)); err == nil {
			return reconcile.Already, nil
		} else if !lost(err) {
			return reconcile.Failed, err
		}
	}
	slot, err := a.Client.Allocate(ctx, c.Relay, s.Name)
	if err != nil {
		return reconcile.Failed, err
	}
	fresh := home.Endpoint{RelayURL: c.Relay, SlotID: slot.ID, SlotToken: slot.Token, Scope: scope}
	err = s.UpdateRelay(ctx, func(r *home.RelayFile) error {
		r.SetSelf(withEndpoint(r.Self(), fresh))
		return nil
	})
	if err != nil {
		return reconcile.Failed, err
	}
	if _, err := a.Client.State(ctx, slot); err != nil {
		return reconcile.Failed, fmt.Errorf("the new slot does not answer: %w", err)
	}
	return reconcile.Done, nil
}

// withEndpoint puts fresh in place of the endpoints of its scope, federation before local.
func withEndpoint(have []home.Endpoint, fresh home.Endpoint) []home.Endpoint {
	out := []home.Endpoint{fresh}
	for _, e := range have {
		switch {
		case e.Scope == fresh.Scope:
		case fresh.Scope == home.Local:
			out = slices.Insert(out, len(out)-1, e)
		default:
			out = append(out, e)
		}
	}
	return out
}

func slotOf(e home.Endpoint) client.Slot {
	return client.Slot{URL: e.RelayURL, ID: e.SlotID, Token: e.SlotToken}
}

// lost says whether an answer means that the slot is gone, rather than its relay.
func lost(err error) bool {
	return errors.Is(err, client.ErrNotFound) || errors.Is(err, client.ErrForbidden) || errors.Is(err, client.ErrTooLarge)
}
