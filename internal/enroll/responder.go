package enroll

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
)

// responderStates are what an auto-responder may say of itself (cli.md 2.27).
var responderStates = []string{"online", "offline", "oauth_locked", "rate_limited", "degraded"}

// SetResponder tells the relay how a session's auto-responder is, for peers that ask. The result is the
// relay's echo as JSON text.
func SetResponder(ctx context.Context, c *client.Client, s home.Session, status, reason string, now time.Time) ([]byte, error) {
	if !slices.Contains(responderStates, status) {
		return nil, errors.New("status must be one of: " + strings.Join(responderStates, ", "))
	}
	file, err := s.ReadRelay()
	if err != nil {
		return nil, err
	}
	slot := file.SelfFlat()
	if slot.SlotID == "" {
		return nil, ErrUnbound
	}
	at := identity.FormatTime(now)
	record := canon.Doc{"status": status, "set_at": at}
	if reason != "" {
		record["reason"] = reason
	}
	if status == "online" {
		record["last_success_at"] = at
	}
	return c.SetResponderHealth(ctx, slotOf(slot), record)
}

// UnknownPeerError is a peer of whom relay.json has no whole slot.
type UnknownPeerError struct{ Handle string }

func (e *UnknownPeerError) Error() string {
	return fmt.Sprintf("unknown peer %s in relay state", identity.Quote(e.Handle))
}

// Responder is what the relay has of a peer's auto-responder, of our own for "": JSON text, nil where it was
// never told.
func Responder(ctx context.Context, c *client.Client, s home.Session, peer string) ([]byte, error) {
	file, err := s.ReadRelay()
	if err != nil {
		return nil, err
	}
	slot := file.SelfFlat()
	switch {
	case peer != "":
		// The flat slot is where its own daemon says how it is.
		if slot = file.PeerFlat(peer); slot.RelayURL == "" || slot.SlotID == "" || slot.SlotToken.Zero() {
			return nil, &UnknownPeerError{peer}
		}
	case slot.SlotID == "":
		return nil, ErrUnbound
	}
	st, err := c.State(ctx, slotOf(slot))
	var refused *client.StatusError
	if errors.As(err, &refused) {
		named := *refused
		named.Call = "responder_health_get"
		err = &named
	}
	return st.Health, err
}
