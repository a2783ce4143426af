// Package pairing makes two identities know each other. This file's seams are the sister mesh: sessions of
// one machine and one user, paired by writing files (reference/pairing.md section 10, design.md section 6).
//
// Law of the room: same-uid trust applies only to homes whose card verifies, that this user owns and that
// nobody else can write. Pins of others are never touched.
package pairing

import (
	"context"
	"time"

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
	PinUnknown  Pin = "unknown" // one of the homes could not be read
)

// Member is one session as a sister: read once.
type Member struct {
	Session   home.Session
	Info      identity.CardInfo
	Endpoints []home.Endpoint
	Err       error // why it cannot take part: not initialized, card invalid, foreign owner, file broken
}

// Directed is the state of one pin, From's of To, with the reason in words where it is not good.
type Directed struct {
	From, To int // indices into Survey.Members
	State    Pin
	Why      string
}

// Survey is what the files of N sessions say of each other.
type Survey struct {
	Members []Member
	pins    []Directed
}

// Look reads each session's card, trust.json and relay.json once, concurrently, and judges every directed
// pin among them. It writes nothing and asks no relay. The result does not hold the files.
func Look(ctx context.Context, sessions []home.Session, workers int) (*Survey, error) {
	panic("seam")
}

// Pin is the state of from's pin of to.
func (s *Survey) Pin(from, to int) Directed { panic("seam") }

// Edge is an unordered pair of sessions, by index into the sessions given.
type Edge struct{ A, B int }

// Result is what became of one edge.
type Result struct {
	Edge    Edge
	Changed bool  // false: both pins were good already
	Err     error // which member and why; other edges go on
}

// Weave pairs the edges as one change: each card verified once, each sister's two records rendered once
// with one now, every trust.json written once and then every relay.json, each under its lock, read back.
// What is good already is not rewritten. A conflict is an error of its edge.
func Weave(ctx context.Context, sessions []home.Session, edges []Edge, now time.Time, workers int) ([]Result, error) {
	panic("seam")
}

// Unpin removes the two records of a DID from a session, if the pinned DID is that one.
func Unpin(ctx context.Context, s home.Session, handle string, did identity.DID) (changed bool, err error) {
	panic("seam")
}
