package pairing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
)

// NoRequestError is a peer of whom no request waits.
type NoRequestError struct{ Peer string }

func (e *NoRequestError) Error() string {
	return fmt.Sprintf("no pending pair request from %s. Run `wire pair-list-inbound` to see who is waiting, "+
		"or `wire add <peer>@<relay>` to ask somebody yourself", e.Peer)
}

// Request is the request of a peer that waits for the user; none is *NoRequestError.
func Request(s home.Session, peer string) (home.Inbound, error) {
	r, err := s.InboundRequest(identity.BareHandle(peer))
	if errors.Is(err, fs.ErrNotExist) {
		err = &NoRequestError{identity.BareHandle(peer)}
	}
	return r, err
}

// Accept pins who asked, answers with our slots and forgets the request (pairing.md 4.4). What the record
// says is checked here, for a reference stores it as it came. If the answer cannot be delivered the pins
// stand and the request waits on: it may be accepted again.
func Accept(ctx context.Context, c *client.Client, p Self, r home.Inbound, now time.Time) (Added, error) {
	card, _ := r.Card.(canon.Doc)
	info, err := identity.CheckOwner(card)
	switch {
	case err != nil:
		return Added{}, fmt.Errorf("the request of %s: its card: %w", identity.Quote(r.Handle), err)
	case info.Handle != r.Handle || info.DID != r.DID:
		return Added{}, fmt.Errorf("the request says that it is of %s, its card that it is of %s", identity.Quote(string(r.DID)), info.DID)
	}
	if err := notOwn(p.Session, info); err != nil {
		return Added{}, err
	}
	endpoints := r.Endpoints
	if !usable(endpoints) {
		endpoints = []home.Endpoint{r.Trio}
	}
	if !usable(endpoints) {
		return Added{}, fmt.Errorf("the request of %s names no slot to answer to", r.Handle)
	}
	answer, id, err := p.handshake(identity.KindPairDropAck, "pair_drop_ack", identity.LegacyDID(r.Handle), now)
	if err != nil {
		return Added{}, err
	}
	her, err := newSister(card, info)
	if err != nil {
		return Added{}, err
	}
	known, err := her.pin(ctx, p.Session, now)
	if err != nil {
		return Added{}, err
	}
	err = p.Session.UpdateRelay(ctx, func(file *home.RelayFile) error {
		var was canon.Doc
		if known {
			was = peerDoc(file, r.Handle)
		}
		file.SetPeerRaw(r.Handle, renderRoute(endpoints, was))
		return nil
	})
	if err != nil {
		return Added{}, err
	}
	// A reference reads the flat slot only; the others are for who cannot be reached there.
	to := endpoints
	if usable([]home.Endpoint{r.Trio}) {
		to = append([]home.Endpoint{r.Trio}, endpoints...)
	}
	if _, err := deliver(ctx, c, to, answer); err != nil {
		return Added{}, fmt.Errorf("pair_drop_ack send to %s @ %s slot %s: %w", r.Handle, to[0].RelayURL, to[0].SlotID, err)
	}
	if err := p.Session.RemoveInbound(ctx, r.Handle, r.EventID); err != nil {
		return Added{}, err
	}
	return Added{Handle: r.Handle, DID: info.DID, EventID: id, Relay: r.Trio.RelayURL, Accepted: true}, nil
}
