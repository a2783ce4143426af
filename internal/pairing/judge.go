package pairing

import (
	"bytes"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// trustView is what a trust record says of a sister.
type trustView struct {
	there bool
	good  bool         // her DID, her signing key active, a tier to believe
	hers  bool         // her DID or her signing key, whatever else is wrong
	off   bool         // her DID, but somebody switched her signing key off in this file
	did   identity.DID // the pinned one, "" if the record has none
	rec   canon.Doc    // nil when good was seen without parsing, or for what is no object
	why   string       // when not good
}

// viewTrust judges raw, the text under her handle in agents. Times, layout, unknown keys, further keys and an
// older edition of her card do not matter.
func (s *sister) viewTrust(raw []byte, there bool) trustView {
	switch {
	case !there || string(raw) == "null":
		return trustView{}
	case s.trust.matches(raw):
		return trustView{there: true, good: true, hers: true, did: s.info.DID}
	}
	v := trustView{there: true, why: "its trust record is no object"}
	var err error
	if v.rec, err = canon.ParseObject(raw); err != nil {
		return v
	}
	did, _ := v.rec["did"].(string)
	v.did = identity.DID(did)
	fault := s.keyFault(v.rec)
	v.hers = v.did == s.info.DID || fault == "" || fault == keyOff
	tier := identity.Tier(v.rec)
	switch {
	case v.did == "":
		v.why = "its trust record has no did"
	case v.did != s.info.DID:
		v.why = fmt.Sprintf("pinned is %s, the sister is %s", v.did, s.info.DID)
	case fault != "":
		v.off, v.why = fault == keyOff, fault
	case !trusted(tier):
		v.why = fmt.Sprintf("pinned at tier %q", tier)
	default:
		v.good, v.why = true, ""
	}
	return v
}

// keyOff is keyFault's word for her own key, switched off.
const keyOff = "the sister's key is switched off in trust.json"

// keyFault says why events that she signs would not verify against the record (identity.md 3.4, 7 to 11).
func (s *sister) keyFault(rec canon.Doc) string {
	keys, _ := rec["public_keys"].([]any)
	for _, k := range keys {
		entry, _ := k.(canon.Doc)
		if id, _ := entry["key_id"].(string); id != s.info.KeyID {
			continue
		}
		if key, _ := entry["key"].(string); key != s.key {
			return fmt.Sprintf("another key is pinned as %s", s.info.KeyID)
		}
		if active, is := entry["active"].(bool); is && !active {
			return keyOff
		}
		return ""
	}
	return fmt.Sprintf("the key %s is not pinned", s.info.KeyID)
}

// trusted says whether a tier is at least VERIFIED.
func trusted(tier string) bool {
	return tier == identity.TierVerified || tier == identity.TierAttested || tier == "TRUSTED"
}

// routeView is what a peer record says of a sister.
type routeView struct {
	there   bool
	good    bool // exactly her endpoints, tokens and trio included
	pending bool // hers but for the missing token
	hers    bool // at least one endpoint and none that is not hers; tokens may differ
	near    bool // no URL that is not on loopback
	far     string
	rec     canon.Doc
	why     string
}

// viewRoute judges raw, the text under her handle in peers.
func (s *sister) viewRoute(raw []byte, there bool) routeView {
	switch {
	case !there || string(raw) == "null":
		return routeView{near: true}
	case s.route != nil && bytes.Equal(raw, s.route):
		return s.ownRoute()
	}
	v := routeView{there: true, near: true, why: "its route is no object"}
	var err error
	if v.rec, err = canon.ParseObject(raw); err != nil {
		return v
	}
	flat, list := readPeer(v.rec)
	all := list
	if flat != (home.Endpoint{}) {
		all = append([]home.Endpoint{flat}, list...)
	}
	v.far = farthest(all)
	v.near = v.far == ""
	v.hers = len(all) > 0
	var missing, wrong bool // tokens
	for _, e := range all {
		if foreign(e) {
			continue
		}
		own, known := s.slot(e)
		v.hers = v.hers && known
		missing = missing || e.SlotToken.Zero()
		wrong = wrong || !e.SlotToken.Zero() && e.SlotToken != own.SlotToken
	}
	v.pending = v.hers && missing && !wrong && s.route != nil
	want, wantList := readPeer(home.PeerRecord(s.endpoints))
	list = valid(list)
	switch {
	case s.route == nil:
		v.why = "a route to a sister without a slot"
	case v.pending:
		v.why = "its route has no token"
	case !v.hers:
		v.why = fmt.Sprintf("its route is %s, her own is %s", slots(flat, list), slots(want, wantList))
	case wrong:
		v.why = "its route has another token than her slot"
	case !sameSet(list, wantList):
		v.why = fmt.Sprintf("its route lists %s, her own are %s", slots(home.Endpoint{}, list), slots(home.Endpoint{}, wantList))
	case flat != want:
		v.why = "its route lacks the address that daemons of the reference use"
	default:
		v.good, v.why = true, ""
	}
	return v
}

// ownRoute is what viewRoute says of her route as it should be.
func (s *sister) ownRoute() routeView {
	return routeView{there: true, good: true, hers: true, near: s.far == "", far: s.far}
}

// readPeer takes a peer record apart: the flat trio and the elements of endpoints that name an address, in
// file order. It differs from home.RelayFile.Peer on purpose: what readers skip still says whose record it is.
func readPeer(rec canon.Doc) (flat home.Endpoint, list []home.Endpoint) {
	flat = readEndpoint(rec)
	flat.Scope = ""
	elements, _ := rec["endpoints"].([]any)
	for _, el := range elements {
		doc, _ := el.(canon.Doc)
		e := readEndpoint(doc)
		if e.RelayURL != "" || e.SlotID != "" {
			list = append(list, e)
		}
	}
	return flat, list
}

// foreign says whether an endpoint is of a kind that only other programs know.
func foreign(e home.Endpoint) bool {
	return e.Scope != "" && e.Scope != home.Federation && e.Scope != home.Local
}

// valid are the elements that readers take (home-and-daemon.md 4.1).
func valid(list []home.Endpoint) []home.Endpoint {
	var ok []home.Endpoint
	for _, e := range list {
		if e.RelayURL != "" && e.SlotID != "" && !e.SlotToken.Zero() && e.Scope != "" && !foreign(e) {
			ok = append(ok, e)
		}
	}
	return ok
}

func readEndpoint(doc canon.Doc) home.Endpoint {
	text := func(key string) string {
		s, _ := doc[key].(string)
		return s
	}
	return home.Endpoint{
		RelayURL:  text("relay_url"),
		SlotID:    text("slot_id"),
		SlotToken: identity.NewToken(text("slot_token")),
		Scope:     home.Scope(text("scope")),
	}
}

// slot is her own endpoint at the relay and slot of e.
func (s *sister) slot(e home.Endpoint) (own home.Endpoint, known bool) {
	for _, own := range s.endpoints {
		if strings.TrimRight(own.RelayURL, "/") == strings.TrimRight(e.RelayURL, "/") && own.SlotID == e.SlotID {
			return own, true
		}
	}
	return home.Endpoint{}, false
}

// sameSet says whether two lists hold the same endpoints; their order is a preference, no fact.
func sameSet(a, b []home.Endpoint) bool {
	if len(a) != len(b) {
		return false
	}
	seen := make(map[home.Endpoint]int, len(a))
	for i := range a {
		seen[a[i]]++
		seen[b[i]]--
	}
	for _, n := range seen {
		if n != 0 {
			return false
		}
	}
	return true
}

// slots names endpoints for people: relay and the begin of the slot id.
func slots(flat home.Endpoint, list []home.Endpoint) string {
	if flat != (home.Endpoint{}) && len(list) == 0 {
		list = []home.Endpoint{flat}
	}
	if len(list) == 0 {
		return "none"
	}
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = Shown(e.RelayURL) + " slot " + e.SlotID[:min(8, len(e.SlotID))]
	}
	return strings.Join(names, ", ")
}

// farthest is a relay among the endpoints that is not on this machine, "" if there is none.
func farthest(endpoints []home.Endpoint) string {
	for _, e := range endpoints {
		if e.RelayURL != "" && !OnLoopback(e.RelayURL) {
			return Shown(e.RelayURL)
		}
	}
	return ""
}

// Shown is a relay URL for people: what files hold may have a password in it (field-failures.md C15).
func Shown(relayURL string) string {
	u, err := url.Parse(relayURL)
	if err != nil || u.User == nil {
		return relayURL
	}
	u.User = nil
	return u.String() + " (with a user name in it)"
}

// OnLoopback says whether a relay URL can only mean this machine.
func OnLoopback(relayURL string) bool {
	u, err := url.Parse(relayURL)
	if err != nil {
		return false
	}
	name := u.Hostname()
	if strings.EqualFold(name, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Unmap().IsLoopback()
}

// verdict is the state of one directed pin and which of the two files has to change for it.
type verdict struct {
	state        Pin
	why          string
	trust, route bool // this record has to be written
}

// What the usual faults are called.
const (
	whyAbsent  = "not pinned"
	whyNoTrust = "a route, but no trust"
	whyNoRoute = "trusted, but no route"
)

// judge puts the two views together (design.md section 4, Edge). A key that was switched off by hand is a
// conflict too, for pinning again would undo it (field-failures.md G28).
func judge(t trustView, r routeView) verdict {
	v := verdict{trust: !t.good, route: !r.good}
	switch {
	case t.good && r.good:
		v.state = PinGood
	case !t.there && !r.there:
		v.state, v.why = PinAbsent, whyAbsent
	case t.off:
		v.state, v.why = PinConflict, t.why
	case t.there && !t.hers && !r.near && t.did != "":
		v.state = PinConflict
		v.why = fmt.Sprintf("the handle is pinned to %s, reached at %s", t.did, r.far)
	case !t.hers && !r.near && !r.hers:
		v.state = PinConflict
		v.why = fmt.Sprintf("the handle has a route to %s that is not the sister's", r.far)
	case !t.there:
		v.state, v.why = PinHalf, whyNoTrust
	case !t.good:
		v.state, v.why = PinStale, t.why
	case !r.there:
		v.state, v.why = PinHalf, whyNoRoute
	case r.pending:
		v.state, v.why = PinPending, r.why
	default:
		v.state, v.why = PinStale, r.why
	}
	return v
}
