package actuators

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/reconcile"
)

// pairMesh weaves all missing and stale edges as one change (design.md section 6).
type pairMesh struct{ Site }

func (a pairMesh) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	sessions, index := a.members(c.Pairs)
	edges := make([]pairing.Edge, len(c.Pairs))
	for i, p := range c.Pairs {
		edges[i] = pairing.Edge{A: index[p.A], B: index[p.B]}
	}
	results, err := pairing.Weave(ctx, sessions, edges, time.Now().UTC(), a.Workers)
	if err != nil {
		return reconcile.Failed, err
	}
	partial := reconcile.Partial{Total: len(edges)}
	outcome := reconcile.Already
	for i, r := range results {
		if r.Changed {
			outcome = reconcile.Done
		}
		if r.Err != nil {
			partial.Failed = append(partial.Failed, reconcile.PairError{Pair: c.Pairs[i], Err: r.Err})
		}
	}
	if len(partial.Failed) > 0 {
		return reconcile.Failed, &partial
	}
	return outcome, nil
}

// members are the sessions of some edges, each once, and where in the result each one stands.
func (s Site) members(pairs []reconcile.Pair) ([]home.Session, map[string]int) {
	var sessions []home.Session
	index := map[string]int{}
	for _, p := range pairs {
		for _, name := range []string{p.A, p.B} {
			if _, ok := index[name]; !ok {
				index[name] = len(sessions)
				sessions = append(sessions, s.Machine.Session(name))
			}
		}
	}
	return sessions, index
}

// removePins takes edges apart: of each session the route first, then the pin.
type removePins struct{ Site }

func (a removePins) Do(ctx context.Context, c reconcile.Change) (reconcile.Outcome, error) {
	sessions, index := a.members(c.Pairs)
	infos := make([]identity.CardInfo, len(sessions))
	for i, s := range sessions {
		card, err := s.ReadCard()
		if err != nil {
			return reconcile.Failed, err
		}
		if infos[i], err = identity.ReadCard(card); err != nil {
			return reconcile.Failed, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	var removals []pairing.Removal
	for _, p := range c.Pairs {
		for _, d := range [][2]int{{index[p.A], index[p.B]}, {index[p.B], index[p.A]}} {
			removals = append(removals, pairing.Removal{From: sessions[d[0]], Handle: infos[d[1]].Handle, DID: infos[d[1]].DID})
		}
	}
	done, err := pairing.UnpinMany(ctx, removals, a.Workers)
	if err != nil {
		return reconcile.Failed, err
	}
	outcome := reconcile.Already
	var failed []error
	for _, r := range done {
		if r.Changed {
			outcome = reconcile.Done
		}
		failed = append(failed, r.Err)
	}
	if err := errors.Join(failed...); err != nil {
		return reconcile.Failed, err
	}
	return outcome, nil
}

// trim is a relay URL as it is compared: without trailing slashes (home-and-daemon.md 4.1).
func trim(u string) string { return strings.TrimRight(u, "/") }
