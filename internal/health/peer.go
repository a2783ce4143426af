package health

import (
	"context"
	"errors"
	"time"

	"wirefleet.dev/wire/internal/enroll"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
)

// Attention is whether a peer reads its mail.
type Attention string

// The states of a peer's attention.
const (
	AttentionOK      Attention = "ok"
	AttentionStale   Attention = "stale" // it has not pulled for more than five minutes
	AttentionNever   Attention = "never_pulled"
	AttentionUnknown Attention = "unknown" // its relay does not answer
)

const attentive = 5 * time.Minute

// PeerStatus is what a peer's slot says of it.
type PeerStatus struct {
	Peer       string
	RelayURL   string
	Unanswered error // why its relay could not be asked; nothing else is known then
	Latency    time.Duration
	Attention  Attention
	EventCount int
	LastPull   *time.Time
	Age        time.Duration // since then
	Health     []byte        // of its auto-responder as JSON text; nil where it was never told
}

// PeerOf asks the relay of a peer's flat slot, where its own daemon pulls. A peer without a whole one is
// *enroll.UnknownPeerError; a relay that refuses us is an error, one that does not answer a state.
func PeerOf(ctx context.Context, c *client.Client, s home.Session, peer string, now func() time.Time) (PeerStatus, error) {
	st := PeerStatus{Peer: peer, Attention: AttentionUnknown}
	file, err := s.ReadRelay()
	if err != nil {
		return st, err
	}
	slot := file.PeerFlat(peer)
	if slot.RelayURL == "" || slot.SlotID == "" || slot.SlotToken.Zero() {
		return st, &enroll.UnknownPeerError{Handle: peer}
	}
	st.RelayURL = slot.RelayURL
	began := now()
	state, err := c.State(ctx, client.Slot{URL: slot.RelayURL, ID: slot.SlotID, Token: slot.SlotToken})
	st.Latency = now().Sub(began)
	var refused *client.StatusError
	switch {
	case errors.As(err, &refused):
		named := *refused
		named.Call = "responder_health_get"
		return st, &named
	case err != nil:
		st.Unanswered = err
		return st, nil
	}
	st.EventCount, st.LastPull, st.Health = state.EventCount, state.LastPull, state.Health
	switch {
	case state.LastPull == nil:
		st.Attention = AttentionNever
	default:
		st.Age = max(0, time.Unix(now().Unix(), 0).Sub(*state.LastPull))
		st.Attention = AttentionOK
		if st.Age > attentive {
			st.Attention = AttentionStale
		}
	}
	return st, nil
}
