package pairing

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// sister is a member as the others have to pin her.
type sister struct {
	info      identity.CardInfo
	key       string // base64 of info.Public, as trust records have it
	card      canon.Doc
	endpoints []home.Endpoint
	trust     template // her record in trust.json
	route     []byte   // her record in relay.json; nil while she has no usable slot
	far       string   // an own relay that is not on loopback, if there is one
}

// recordDepth is how deep a member of agents or peers stands in its file.
const recordDepth = 2

// newSister renders what a good pin of her looks like. An error means that her card cannot be pinned.
func newSister(card canon.Doc, info identity.CardInfo) (*sister, error) {
	if err := identity.CheckHandle(info.Handle); err != nil {
		return nil, err
	}
	s := &sister{info: info, key: base64.StdEncoding.EncodeToString(info.Public), card: card}
	var err error
	if s.trust, err = newTemplate(card); err != nil {
		return nil, err
	}
	// A card whose signing key is not what its pin would let sign could be pinned again for ever.
	if v := s.viewTrust(s.trust.render(nil, time.Unix(0, 0)), true); !v.good {
		return nil, fmt.Errorf("a pin of this card would not be good: %s", v.why)
	}
	return s, nil
}

// setEndpoints renders the route. Slots that nobody could post to make none.
func (s *sister) setEndpoints(endpoints []home.Endpoint) {
	s.endpoints = endpoints
	s.far = farthest(endpoints)
	if usable(endpoints) {
		s.route = canon.AppendPretty(nil, home.PeerRecord(endpoints), recordDepth)
	}
}

// usable says whether these own endpoints can be handed to a sister.
func usable(endpoints []home.Endpoint) bool {
	for _, e := range endpoints {
		if e.RelayURL == "" || e.SlotID == "" || e.SlotToken.Zero() {
			return false
		}
	}
	return len(endpoints) > 0
}

// template is a trust record cut at its times, which are all that may differ between two good records of one
// card: part, time, part, time, ..., part.
type template [][]byte

// newTemplate renders the pin record of a card.
func newTemplate(card canon.Doc) (template, error) {
	// The cut is found by the text of the time, so it must not occur in the card: try another one then.
	for second := range int64(60) {
		now := time.Unix(second, 0)
		_, rec, err := identity.PinRecord(card, identity.TierVerified, now, nil)
		if err != nil {
			return nil, err
		}
		keys, _ := rec["public_keys"].([]any)
		parts := bytes.Split(canon.AppendPretty(nil, rec, recordDepth), []byte(identity.FormatTime(now)))
		if len(parts) == len(keys)+2 {
			return parts, nil
		}
	}
	return nil, errors.New("its card is made of timestamps")
}

// render appends the record as pinned at now.
func (t template) render(dst []byte, now time.Time) []byte {
	text := identity.FormatTime(now)
	for i, part := range t {
		if i > 0 {
			dst = append(dst, text...)
		}
		dst = append(dst, part...)
	}
	return dst
}

// matches says whether raw is the record at some times. False says nothing: raw may be laid out differently.
func (t template) matches(raw []byte) bool {
	for i, part := range t {
		if i > 0 {
			n := timeLen(raw)
			if n == 0 {
				return false
			}
			raw = raw[n:]
		}
		if !bytes.HasPrefix(raw, part) {
			return false
		}
		raw = raw[len(part):]
	}
	return len(raw) == 0
}

// timeLen is the length of the timestamp that raw begins with and a quote ends, 0 if there is none.
func timeLen(raw []byte) int {
	for i, c := range raw[:min(len(raw), len("2006-01-02T15:04:05.000000000Z")+1)] {
		switch {
		case c == '"':
			return i
		case c < '-' || c > ':' && c != 'T' && c != 'Z':
			return 0
		}
	}
	return 0
}

// owners remembers whose card verified, so that the looks of one process check each signature once.
var owners struct {
	sync.Mutex
	byHash map[[sha256.Size]byte]identity.CardInfo
}

// maxOwners bounds owners; a machine has far fewer sessions.
const maxOwners = 4096

// checkOwner is identity.CheckOwner, remembered by the card's bytes.
func checkOwner(card canon.Doc) (identity.CardInfo, error) {
	sum := sha256.Sum256(canon.Compact(card))
	owners.Lock()
	info, known := owners.byHash[sum]
	owners.Unlock()
	if known {
		return info, nil
	}
	info, err := identity.CheckOwner(card)
	if err != nil {
		return info, err
	}
	owners.Lock()
	defer owners.Unlock()
	if owners.byHash == nil || len(owners.byHash) >= maxOwners {
		owners.byHash = make(map[[sha256.Size]byte]identity.CardInfo)
	}
	owners.byHash[sum] = info
	return info, nil
}
