package identity

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// Tiers of trust (identity.md 5.2).
const (
	TierUntrusted = "UNTRUSTED"
	TierVerified  = "VERIFIED"
	TierAttested  = "ATTESTED"
)

// EmptyTrust is what a missing trust.json reads as.
func EmptyTrust() canon.Doc {
	return canon.Doc{"version": uint64(1), "agents": canon.Doc{}}
}

// NewTrust is the document that init writes: the self record only (identity.md 5.1).
func NewTrust(self CardInfo, now time.Time) canon.Doc {
	return canon.Doc{"version": uint64(1), "agents": canon.Doc{self.Handle: SelfRecord(self, now)}}
}

// SelfRecord is the agents member for oneself.
func SelfRecord(self CardInfo, now time.Time) canon.Doc {
	return canon.Doc{
		"tier":        TierAttested,
		"did":         string(self.DID),
		"public_keys": []any{keyEntry(self.KeyID, base64.StdEncoding.EncodeToString(self.Public), FormatTime(now))},
	}
}

func keyEntry(id string, key any, added string) canon.Doc {
	return canon.Doc{"key_id": id, "key": key, "added_at": added, "active": true}
}

// PinRecord is the agents member that pins card at tier, and the name it goes under. A card without a
// usable handle is an error. keep holds the public_keys entries of an older record whose keys shall stay
// with active:false (pairing.md Q12); nil for none. The record shares card.
//
// It checks no signature, and all of the card's keys become signers as in the reference, inactive ones
// too: what may be pinned is for the caller to decide with VerifyCard or CheckOwner.
func PinRecord(card canon.Doc, tier string, now time.Time, keep []any) (handle string, rec canon.Doc, err error) {
	did, _ := card["did"].(string)
	handle, ok := card["handle"].(string)
	if !ok {
		handle = DID(did).Handle()
	}
	if err := CheckHandle(handle); err != nil {
		return "", nil, fmt.Errorf("card cannot be pinned: %w", err)
	}
	added := FormatTime(now)
	verify, _ := card["verify_keys"].(canon.Doc)
	keys := make([]any, 0, len(verify)+len(keep))
	for _, name := range slices.Sorted(maps.Keys(verify)) {
		entry, _ := verify[name].(canon.Doc)
		keys = append(keys, keyEntry(strings.TrimPrefix(name, keyPrefix), entry["key"], added))
	}
	rec = canon.Doc{"tier": tier, "did": did, "card": card, "pinned_at": added}
	rec["public_keys"] = appendRetired(keys, keep)
	return handle, rec, nil
}

// appendRetired appends the entries of old whose key id is not among keys, deactivated. (Of two entries
// with one id only the first would ever be read.)
func appendRetired(keys, old []any) []any {
	known := map[any]bool{}
	for _, k := range keys {
		known[k.(canon.Doc)["key_id"]] = true
	}
	for _, k := range old {
		entry, ok := k.(canon.Doc)
		if !ok {
			continue
		}
		id, ok := entry["key_id"].(string)
		if !ok || known[id] {
			continue
		}
		known[id] = true
		retired := maps.Clone(entry)
		retired["active"] = false
		keys = append(keys, retired)
	}
	return keys
}

// Tier is the tier of an agents member: UNTRUSTED where there is none (identity.md 5.2).
func Tier(rec any) string {
	doc, _ := rec.(canon.Doc)
	if tier, ok := doc["tier"].(string); ok {
		return tier
	}
	return TierUntrusted
}

// ShownTier is the tier that listings show: VERIFIED without a slot token reads PENDING_ACK (identity.md 5.2).
func ShownTier(rec any, slot Token) string {
	tier := Tier(rec)
	if tier == TierVerified && slot.Zero() {
		return "PENDING_ACK"
	}
	return tier
}
