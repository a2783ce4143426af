// Package enroll makes a session somebody who can be reached: an identity, a slot at a relay, a handle in its
// directory (reference/cli.md 2.1, 2.14, 2.18, 2.20, 2.27; pairing.md 2, 5, 9).
//
// Law of the room: everything looks first and does what is missing, so all of it may be called again after a
// crash at any line. A key is never replaced. A slot takes the place of another only after it has answered,
// and only of the one that it is for: other endpoints, cursors and unknown keys stay. No HTTP under a lock.
package enroll

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
)

// DefaultRelay is where identities go that name no relay (cli.md 2.26).
const DefaultRelay = "https://wireup.net"

// ErrUnbound is a session without a slot where one is needed.
var ErrUnbound = errors.New("self slot not bound")

// InitializedError is an init of a session that has an identity.
type InitializedError struct {
	Handle string // "" if its card does not say
	Dir    string // its configuration
}

func (e *InitializedError) Error() string {
	if e.Handle == "" {
		return fmt.Sprintf("already initialized — %s holds an identity", e.Dir)
	}
	return fmt.Sprintf("already initialized as %s — %s holds its key", identity.Quote(e.Handle), e.Dir)
}

// SilentError is a relay that did not say that it is well when it was asked before use (relay.md 8.4).
type SilentError struct{ Err error }

func (e *SilentError) Error() string {
	var refused *client.StatusError
	var call *client.CallError
	var what, asked string
	switch {
	case errors.As(e.Err, &refused):
		asked = refused.URL
		what = asked + " returned non-200: " + refused.Error()
	case errors.As(e.Err, &call):
		asked = call.URL
		what = "couldn't reach " + asked + ": " + call.Err.Error()
	default:
		return "phyllis: silent line — " + e.Err.Error()
	}
	return "phyllis: silent line — " + what + "\ntest reachability from this machine:\n  curl -v " + asked
}

func (e *SilentError) Unwrap() error { return e.Err }

// CheckRelay refuses a URL that no relay can have, or that holds a password: what it says would be handed to
// every peer. It never repeats a password.
func CheckRelay(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil && strings.Contains(text, "@"):
		return errors.New("the relay URL is not one, and not shown since it may hold a password")
	case err != nil:
		return fmt.Errorf("relay URL %s: not a URL", identity.Quote(text))
	case u.User != nil:
		return errors.New("the relay URL must not hold a user or password: every peer would learn it")
	}
	return nil
}

func trim(u string) string { return strings.TrimRight(u, "/") }

func slotOf(e home.Endpoint) client.Slot {
	return client.Slot{URL: e.RelayURL, ID: e.SlotID, Token: e.SlotToken}
}
