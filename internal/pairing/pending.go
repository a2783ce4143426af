package pairing

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// PendingPair is one record of a pairing by code phrase that is under way: ST/pending-pair/<code>.json
// (pairing.md 7.4), in the reference's order of keys. Slot token and seed are secrets and never read.
type PendingPair struct {
	Code      string  `json:"code"`
	CodeHash  string  `json:"code_hash"`
	Role      string  `json:"role"`
	RelayURL  string  `json:"relay_url"`
	Status    string  `json:"status"`
	SAS       *string `json:"sas"`
	PeerDID   *string `json:"peer_did"`
	CreatedAt string  `json:"created_at"`
	LastError *string `json:"last_error"`
	PairID    *string `json:"pair_id"`
	SlotID    *string `json:"our_slot_id"`
	SlotToken *string `json:"our_slot_token"`
	Seed      *string `json:"spake2_seed_b64"`
}

// Digits are the six digits to compare as people read them, "—" while there are none.
func (p PendingPair) Digits() string {
	switch {
	case p.SAS == nil || *p.SAS == "":
		return "—"
	case len(*p.SAS) == 6:
		return (*p.SAS)[:3] + "-" + (*p.SAS)[3:]
	}
	return *p.SAS
}

// Note is what went wrong.
func (p PendingPair) Note() string {
	if p.LastError == nil {
		return ""
	}
	return *p.LastError
}

// Equal compares what listings show.
func (p PendingPair) Equal(o PendingPair) bool {
	same := func(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }
	return p.Code == o.Code && p.Status == o.Status && p.RelayURL == o.RelayURL && p.CreatedAt == o.CreatedAt &&
		same(p.SAS, o.SAS) && same(p.PeerDID, o.PeerDID) && same(p.LastError, o.LastError) &&
		same(p.PairID, o.PairID) && same(p.SlotID, o.SlotID)
}

// Pending are the records of a session that parse, oldest first.
func Pending(s home.Session) ([]PendingPair, error) {
	docs, err := s.PendingPairs()
	var out []PendingPair
	for _, doc := range docs {
		if p, err := readPending(doc); err == nil {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b PendingPair) int { return cmp.Compare(a.CreatedAt, b.CreatedAt) })
	return out, err
}

// pendingFor is how old a record of a pairing gets: the reference drops one that came to nothing after that, and nobody
// waits for longer with a code phrase in hand.
const pendingFor = time.Hour

// InFlight is the oldest pairing by code phrase that a session's daemon has in hand at now; nil if it has none. Its key
// is in the memory of that daemon alone: with it ends the pairing.
func InFlight(s home.Session, now time.Time) (*PendingPair, error) {
	list, err := Pending(s)
	for _, p := range list {
		at, bad := identity.ParseTime(p.CreatedAt)
		if bad != nil || now.Sub(at).Abs() > pendingFor || p.Status == "aborted" || p.Status == "aborted_restart" {
			continue
		}
		return &p, nil
	}
	return nil, err
}

func readPending(doc canon.Doc) (PendingPair, error) {
	var p PendingPair
	for key, into := range map[string]*string{
		"code": &p.Code, "code_hash": &p.CodeHash, "role": &p.Role, "relay_url": &p.RelayURL, "status": &p.Status,
		"created_at": &p.CreatedAt,
	} {
		text, ok := doc[key].(string)
		if !ok {
			return p, errors.New(key + " is no string")
		}
		*into = text
	}
	for key, into := range map[string]**string{
		"sas": &p.SAS, "peer_did": &p.PeerDID, "last_error": &p.LastError, "pair_id": &p.PairID, "our_slot_id": &p.SlotID,
	} {
		switch v := doc[key].(type) {
		case nil:
		case string:
			*into = &v
		default:
			return p, errors.New(key + " is no string")
		}
	}
	return p, nil
}
