package actuators

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// claimHandle gives a session its nick in the federation relay's directory. With MoreNicks it goes on to
// nick-1, nick-2, ... where others have it (home-and-daemon.md 5.4).
type claimHandle struct{ Site }

func (a claimHandle) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	w := a.wanted(c.Subjects[0])
	s := a.Machine.Session(w.Name)
	card, err := s.ReadCard()
	if err != nil {
		return reconcile.Failed, err
	}
	slot, err := federationSlot(s, a.Desired.Federation.URL)
	if err != nil {
		return reconcile.Failed, err
	}
	var refused []error
	for try := range 1 + a.MoreNicks {
		nick := reconcile.Nick(w.Handle, try)
		taken, err := a.claim(ctx, w, slot, nick, card)
		if err == nil {
			a.tell(Claimed{w.Name, nick})
			return reconcile.Done, nil
		}
		a.tell(Refused{w.Name, nick, err})
		refused = append(refused, fmt.Errorf("%s: %w", nick, err))
		if !taken {
			break
		}
	}
	if len(refused) > 1 {
		return reconcile.Failed, fmt.Errorf("%d failed attempts to claim a handle on %s: %w", len(refused), slot.URL, errors.Join(refused...))
	}
	return reconcile.Failed, refused[0]
}

// claim claims one nick; taken says that another one may do.
func (a claimHandle) claim(ctx context.Context, w spec.Session, slot client.Slot, nick string, card canon.Doc) (taken bool, err error) {
	if err := identity.CheckClaim(nick); err != nil {
		return true, err
	}
	_, err = a.Client.Claim(ctx, slot, client.Claim{Nick: nick, Card: card, Hidden: w.Hidden})
	var no *client.StatusError
	return errors.As(err, &no) && (no.Code == http.StatusConflict || no.Code == http.StatusBadRequest), err
}

func federationSlot(s home.Session, url string) (client.Slot, error) {
	rf, err := s.ReadRelay()
	if err != nil {
		return client.Slot{}, err
	}
	for _, e := range rf.Self() {
		if e.Scope == home.Federation && trim(e.RelayURL) == url {
			return slotOf(e), nil
		}
	}
	return client.Slot{}, fmt.Errorf("no slot on %s to claim a handle for", url)
}
