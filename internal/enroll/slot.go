package enroll

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
)

// Place is where a session shall have a mailbox.
type Place struct {
	Relay  string // its URL
	Scope  home.Scope
	Handle string // a hint for the relay
	// Retire is called with a slot that answers and is given up all the same, for it is full.
	Retire func(context.Context, home.Endpoint) error
}

// Slot gives a session a mailbox at a place, in that of the one it has of that scope, unless it has one there
// that answers.
func Slot(ctx context.Context, c *client.Client, s home.Session, p Place) (changed bool, err error) {
	file, err := s.ReadRelay()
	if err != nil {
		return false, err
	}
	for _, e := range file.Self() {
		if e.Scope != p.Scope || trim(e.RelayURL) != trim(p.Relay) {
			continue
		}
		switch st, err := c.State(ctx, slotOf(e)); {
		case err == nil && !st.Full:
			return false, nil
		case err == nil && p.Retire != nil:
			if err := p.Retire(ctx, e); err != nil {
				return false, err
			}
		case err != nil && !lost(err):
			return false, err
		}
	}
	fresh, err := allocate(ctx, c, p)
	if err != nil {
		return false, err
	}
	return true, s.UpdateRelay(ctx, func(r *home.RelayFile) error {
		r.SetSelf(withEndpoint(r.Self(), fresh))
		return nil
	})
}

// lost says whether an answer means that the slot is gone, rather than its relay.
func lost(err error) bool {
	return errors.Is(err, client.ErrNotFound) || errors.Is(err, client.ErrForbidden) || errors.Is(err, client.ErrTooLarge)
}

// allocate is a new slot that has answered to its token.
func allocate(ctx context.Context, c *client.Client, p Place) (home.Endpoint, error) {
	slot, err := c.Allocate(ctx, p.Relay, p.Handle)
	if err != nil {
		return home.Endpoint{}, err
	}
	if _, err := c.State(ctx, slot); err != nil {
		return home.Endpoint{}, fmt.Errorf("the new slot does not answer: %w", err)
	}
	return home.Endpoint{RelayURL: p.Relay, SlotID: slot.ID, SlotToken: slot.Token, Scope: p.Scope}, nil
}

// reach asks a relay how it is before it is used.
func reach(ctx context.Context, c *client.Client, relay string) error {
	if err := c.Healthy(ctx, relay); err != nil {
		return &SilentError{err}
	}
	return nil
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

// PinnedError is a bind that would leave peers writing to a slot that nobody reads.
type PinnedError struct{ Handles []string }

func (e *PinnedError) Error() string {
	return fmt.Sprintf("bind-relay would silently black-hole %d pinned peer(s): %s — they hold the slot that it replaces. "+
		"`wire rotate-slot` stays on the relay and tells them; --migrate-pinned moves all the same",
		len(e.Handles), names(e.Handles))
}

// BindOptions are those of `wire bind-relay`.
type BindOptions struct {
	Migrate bool                  // replace a slot that pinned peers use
	Before  func(context.Context) // called when the new slot is there, before it takes the old one's place
}

// Bound is what Bind did.
type Bound struct {
	Endpoint home.Endpoint
	Peers    []string // who holds the slot that was replaced
	Stale    error    // why the relay's directory still names that one
}

// Bind moves a session to a relay: its slot there is replaced, or else its federation slot; other endpoints
// stay. The reference forgets them (pairing.md Q14).
func Bind(ctx context.Context, c *client.Client, s home.Session, relay string, o BindOptions) (Bound, error) {
	if err := CheckRelay(relay); err != nil {
		return Bound{}, err
	}
	_, _, info, err := Owner(s)
	if err != nil {
		return Bound{}, err
	}
	file, err := s.ReadRelay()
	if err != nil {
		return Bound{}, err
	}
	fresh := home.Endpoint{RelayURL: relay, Scope: home.Federation}
	var b Bound
	if _, replaces := place(file.Self(), fresh); replaces {
		b.Peers = file.Peers()
	}
	if len(b.Peers) > 0 && !o.Migrate {
		return Bound{}, &PinnedError{b.Peers}
	}
	if err := reach(ctx, c, relay); err != nil {
		return Bound{}, err
	}
	if fresh, err = allocate(ctx, c, Place{Relay: relay, Scope: home.Federation, Handle: info.Handle}); err != nil {
		return Bound{}, err
	}
	if o.Before != nil {
		o.Before(ctx)
	}
	b.Endpoint = fresh
	var before []home.Endpoint
	err = s.UpdateRelay(ctx, func(r *home.RelayFile) error {
		before = r.Self()
		list, _ := place(before, fresh)
		r.SetSelf(list)
		return nil
	})
	if err != nil {
		return b, err
	}
	for _, old := range before {
		b.Stale = errors.Join(b.Stale, follow(ctx, c, s, old, fresh))
	}
	return b, nil
}

// place puts a slot in that of the one on its relay, which keeps its scope and the spelling by which sisters
// know it, or else of the federation ones.
func place(have []home.Endpoint, fresh home.Endpoint) (list []home.Endpoint, replaces bool) {
	for i, e := range have {
		if trim(e.RelayURL) != trim(fresh.RelayURL) {
			continue
		}
		if fresh.Scope = e.Scope; e.Scope == home.Local {
			fresh.RelayURL = e.RelayURL
		}
		list = slices.Clone(have)
		list[i] = fresh
		return list, true
	}
	replaces = slices.ContainsFunc(have, func(e home.Endpoint) bool { return e.Scope == fresh.Scope })
	return withEndpoint(have, fresh), replaces
}
