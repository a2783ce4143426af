package pairing

import (
	"slices"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// Members of the two records that pinning settles. Whatever else stands there is kept while the record is
// still about the same DID: keys of later versions and of other programs, and verified_at.
var (
	trustKeys    = []string{"card", "did", "pinned_at", "public_keys", "tier"}
	routeKeys    = []string{"endpoints", "relay_url", "slot_id", "slot_token"}
	endpointKeys = []string{"relay_url", "scope", "slot_id", "slot_token"}
)

// repin renders the trust record that replaces old. Keys that she no longer has, and those of the identity
// that she had before, stay as inactive (pairing.md Q12); a key that is off stays off.
func (s *sister) repin(old []byte, now time.Time) ([]byte, error) {
	was := s.viewTrust(old, true)
	oldKeys, _ := was.rec["public_keys"].([]any)
	_, rec, err := identity.PinRecord(s.card, identity.TierVerified, now, oldKeys)
	if err != nil {
		return nil, err
	}
	keepAdded(rec, oldKeys)
	if was.did == s.info.DID {
		carry(rec, was.rec, trustKeys)
		keepOff(rec, oldKeys)
		if tier := identity.Tier(was.rec); trusted(tier) {
			rec["tier"] = tier
		}
	}
	return canon.AppendPretty(nil, rec, recordDepth), nil
}

// keepOff switches off what is off among the old keys.
func keepOff(rec canon.Doc, oldKeys []any) {
	keys, _ := rec["public_keys"].([]any)
	for _, k := range keys {
		entry, _ := k.(canon.Doc)
		for _, o := range oldKeys {
			old, _ := o.(canon.Doc)
			if old["active"] == false && same(old, entry, "key_id") && same(old, entry, "key") {
				entry["active"] = false
			}
		}
	}
}

// keepAdded leaves a key that counted before the time at which it was pinned first: what was written to its owner
// since then is hers, also where a push no longer knows what it posted.
func keepAdded(rec canon.Doc, oldKeys []any) {
	keys, _ := rec["public_keys"].([]any)
	for _, k := range keys {
		entry, _ := k.(canon.Doc)
		for _, o := range oldKeys {
			old, _ := o.(canon.Doc)
			added, _ := old["added_at"].(string)
			if old["active"] != false && added != "" && same(old, entry, "key_id") && same(old, entry, "key") {
				entry["added_at"] = added
				break
			}
		}
	}
}

// reroute renders the peer record that replaces old, which was about the same DID.
func (s *sister) reroute(old []byte) []byte {
	was, err := canon.ParseObject(old)
	if err != nil {
		return s.route // no object, nothing to keep
	}
	return renderRoute(s.endpoints, was)
}

// renderRoute renders a peer's record in its full form, with what others wrote into the one that it replaces.
// Endpoints of a kind that is not ours stay.
func renderRoute(endpoints []home.Endpoint, was canon.Doc) []byte {
	rec := home.PeerRecord(endpoints)
	carry(rec, was, routeKeys)
	oldList, _ := was["endpoints"].([]any)
	list, _ := rec["endpoints"].([]any)
	for _, oldEl := range oldList {
		oldDoc, _ := oldEl.(canon.Doc)
		if foreign(readEndpoint(oldDoc)) {
			list = append(list, oldEl)
			continue
		}
		for _, el := range list {
			doc, _ := el.(canon.Doc)
			if same(doc, oldDoc, "relay_url") && same(doc, oldDoc, "slot_id") {
				carry(doc, oldDoc, endpointKeys)
			}
		}
	}
	rec["endpoints"] = list
	return canon.AppendPretty(nil, rec, recordDepth)
}

// same says whether both have the same text under a key.
func same(a, b canon.Doc, key string) bool {
	x, isText := a[key].(string)
	y, alsoText := b[key].(string)
	return isText && alsoText && x == y
}

// carry copies what is not settled from an old record to the new one.
func carry(rec, old canon.Doc, settled []string) {
	for key, value := range old {
		if _, there := rec[key]; !there && !slices.Contains(settled, key) {
			rec[key] = value
		}
	}
}
