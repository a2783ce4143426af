// Package pairing makes two identities know each other. So far that is the sister mesh: sessions of one
// machine and one user, paired by writing files (reference/pairing.md section 10, design.md section 6).
//
// Words: a sister is another session of this user on this machine; a pin is what one session's two files say
// of a sister, the trust record in trust.json and the route in relay.json; a directed pin is From's of To; an
// edge is the two pins between two sessions.
//
// Law of the room: same-uid trust applies only to homes whose card verifies, that this user owns and that
// nobody else can write. Pins of others are never touched. Look judges and writes nothing; Weave and Unpin
// return no nil error before they have read back what they wrote.
package pairing

import (
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// Pin is what one session's two files say of a sister.
type Pin string

// The states of a directed pin.
const (
	PinAbsent   Pin = "absent"   // neither trust nor route
	PinHalf     Pin = "half"     // one of the two files has it
	PinPending  Pin = "pending"  // route without a token
	PinStale    Pin = "stale"    // another key, DID or slot than the sister has, all on loopback
	PinConflict Pin = "conflict" // the handle belongs to somebody else (not all endpoints on loopback)
	PinGood     Pin = "good"
	PinUnknown  Pin = "unknown" // one of the homes could not be read, or was not asked about
)

// Member is one session as a sister: read once.
type Member struct {
	Session   home.Session
	Info      identity.CardInfo
	Endpoints []home.Endpoint // its own; empty: it has no slot yet, which is no Err
	SelfFault string          // of home.RelayFile.SelfFault
	Unpinned  bool            // its outbox has files that belong to no handle in its relay.json
	// Err is why it cannot take part: not initialized (home.ErrNotInitialized), card invalid
	// (*identity.CardError), foreign or world-writable home, file broken (*home.FileError), or the
	// handle of another member (*TwinError).
	Err error
}

// Directed is the state of one pin, From's of To, with the reason in words where it is not good.
type Directed struct {
	From, To int // indices into Survey.Members
	State    Pin
	Why      string // never holds a token
}

// label is how errors call a session: its name, or its directory where it has none.
func label(s home.Session) string {
	if s.Name != "" {
		return s.Name
	}
	if s.Dir != "" {
		return s.Dir
	}
	return "the default home"
}
