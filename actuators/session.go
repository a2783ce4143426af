package actuators

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"wirefleet.dev/wire/internal/enroll"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/mailbox"
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
	lacks, err := s.Lacks()
	if err == nil {
		err = s.Ensure()
	}
	if err != nil {
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
	changed, err := enroll.Complete(ctx, s, enroll.Person{Handle: s.Name})
	return outcome(changed || lacks != "", err)
}

// allocateSlot gives a session a mailbox on the change's relay in place of the one it has of that scope.
type allocateSlot struct{ Site }

func (a allocateSlot) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	s := a.Machine.Session(c.Subjects[0])
	scope := home.Local
	if c.Relay == a.Desired.Federation.URL {
		scope = home.Federation
	}
	changed, err := enroll.Slot(ctx, a.Client, s, enroll.Place{
		Relay: c.Relay, Scope: scope, Handle: s.Name,
		Retire: func(ctx context.Context, e home.Endpoint) error {
			card, err := s.ReadCard()
			if err != nil {
				return err
			}
			info, err := identity.ReadCard(card)
			if err != nil {
				return err
			}
			return mailbox.Retire(ctx, s, info.Handle, e, a.Client, a.sisters(s))
		},
	})
	return outcome(changed, err)
}

func slotOf(e home.Endpoint) client.Slot {
	return client.Slot{URL: e.RelayURL, ID: e.SlotID, Token: e.SlotToken}
}
