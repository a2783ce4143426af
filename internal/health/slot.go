package health

import (
	"context"
	"errors"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/mailbox"
	"wirefleet.dev/wire/internal/relay/client"
)

// SlotFact is what a relay says of an own slot.
type SlotFact string

// The states of a slot.
const (
	SlotGood    SlotFact = "good"
	SlotLost    SlotFact = "lost"    // 404, 403 or 413
	SlotUnknown SlotFact = "unknown" // its relay could not be asked
)

// SlotState is one own endpoint of a session.
type SlotState struct {
	URL      string
	Scope    home.Scope
	Fact     SlotFact
	Why      string
	LastPull *time.Time // nil: none since the relay started, or unknown
	Since    time.Time  // not older than this: when relay.json last changed
}

// Slot asks a relay for the state of an own slot, which counts as no pull.
func Slot(ctx context.Context, c *client.Client, e home.Endpoint) SlotState {
	s := SlotState{URL: strings.TrimRight(e.RelayURL, "/"), Scope: e.Scope}
	st, err := c.State(ctx, client.Slot{URL: e.RelayURL, ID: e.SlotID, Token: e.SlotToken})
	switch {
	case err == nil && st.Full:
		s.Fact, s.Why, s.LastPull = SlotLost, "its slot is full: the relay refuses what comes (413)", st.LastPull
	case err == nil:
		s.Fact, s.LastPull = SlotGood, st.LastPull
	case errors.Is(err, client.ErrNotFound):
		s.Fact, s.Why = SlotLost, "the relay does not know its slot (404)"
	case errors.Is(err, client.ErrForbidden):
		s.Fact, s.Why = SlotLost, "the relay refuses its slot token (403)"
	default:
		s.Fact, s.Why = SlotUnknown, client.Describe(err)
	}
	return s
}

// Grace is how long a daemon has, once silence speaks against it, to be heard again: a machine that wakes up has silent
// daemons only, and each is as far from its next pull as it was when the machine went to sleep.
func Grace(interval time.Duration) time.Duration {
	return max(interval, mailbox.RestPull) + 10*time.Second
}

// Silence is how long a slot may go without a pull before its daemon counts as hung (design.md section 4).
func Silence(interval time.Duration) time.Duration { return max(60*time.Second, 6*interval) }
