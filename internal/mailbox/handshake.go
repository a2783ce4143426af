package mailbox

import (
	"os"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// The types that make events of two shared kinds a handshake (pairing.md 1.4).
const (
	dropType = "pair_drop"
	ackType  = "pair_drop_ack"
)

// rejection is a line of ST/pair-rejected.jsonl (7.5).
type rejection struct {
	code, detail, peer string
}

const (
	dropFailed = "pair_drop_consume_failed"
	ackFailed  = "pair_drop_ack_consume_failed"
)

func isHandshake(doc canon.Doc, kind uint32, typ string) bool {
	_, body := doc["body"]
	return body && doc["type"] == typ && identity.EventKind(doc) == kind
}

// handshakeOfPeer reads from a verified drop or ack of a pinned peer where that peer is now. A drop of a peer
// who is pinned with this key asks for nothing else (pairing.md Q3).
func (b *Box) handshakeOfPeer(v *verdict, doc canon.Doc) {
	code, typ := ackFailed, ackType
	switch {
	case isHandshake(doc, identity.KindPairDropAck, ackType):
	case isHandshake(doc, identity.KindPairDrop, dropType):
		code, typ = dropFailed, dropType
	default:
		return
	}
	if a, err := b.keys.find(v.handle); err != nil || a.own {
		return // our own event came back: we are no peer of ours
	}
	endpoints, _, ok := endpointsOf(doc)
	if !ok {
		v.log = &rejection{code, typ + " body missing relay_url/slot_id/slot_token", v.handle}
		return
	}
	v.refresh = endpoints
	v.since, _ = doc["timestamp"].(string)
}

// endpointsOf is where a handshake says that its sender is: the usable elements of body.endpoints, else the
// flat trio, which must be whole either way. An empty list counts as none (home-and-daemon.md 4.2).
func endpointsOf(doc canon.Doc) (list []home.Endpoint, trio home.Endpoint, ok bool) {
	body, _ := doc["body"].(canon.Doc)
	trio = endpointOf(body)
	trio.Scope = home.Federation
	if trio.RelayURL == "" || trio.SlotID == "" || trio.SlotToken.Zero() {
		return nil, trio, false
	}
	elems, _ := body["endpoints"].([]any)
	for _, elem := range elems {
		m, _ := elem.(canon.Doc)
		e := endpointOf(m)
		scope, _ := m["scope"].(string)
		e.Scope = home.Scope(scope)
		if (e.Scope == home.Federation || e.Scope == home.Local) && e.RelayURL != "" && e.SlotID != "" && !e.SlotToken.Zero() {
			list = append(list, e)
		}
	}
	if list == nil {
		list = []home.Endpoint{trio}
	}
	return list, trio, true
}

func endpointOf(m canon.Doc) home.Endpoint {
	url, _ := m["relay_url"].(string)
	slot, _ := m["slot_id"].(string)
	token, _ := m["slot_token"].(string)
	return home.Endpoint{RelayURL: url, SlotID: slot, SlotToken: identity.NewToken(token)}
}

// refreshPeer writes where a pinned peer is now, unless what we know is newer: a record that was pinned after
// the handshake was written wins over it (design.md section 8).
func refreshPeer(r *home.RelayFile, handle string, endpoints []home.Endpoint, written, pinned string) {
	current := r.Peer(handle)
	usable := false
	for _, e := range current {
		usable = usable || !e.SlotToken.Zero()
	}
	if usable && !notOlder(written, pinned) {
		return
	}
	if len(current) == len(endpoints) {
		same := true
		for i := range current {
			same = same && current[i] == endpoints[i]
		}
		if same {
			return
		}
	}
	r.SetPeer(handle, endpoints)
}

// notOlder compares two RFC 3339 times; one that does not parse is old.
func notOlder(t, than string) bool {
	at, err := time.Parse(time.RFC3339Nano, t)
	if err != nil {
		return false
	}
	limit, err := time.Parse(time.RFC3339Nano, than)
	return err != nil || !at.Before(limit)
}

// strangersDrop is for a pair_drop whose signer is not pinned with this key. A good one is stored for the
// user to accept and counts as handled; nothing is pinned and nothing sent, whatever nonce it names. A bad
// one is logged once. Neither blocks (quirks 1 to 4).
func (b *Box) strangersDrop(v verdict, doc canon.Doc, refused *identity.VerifyError, now time.Time) (verdict, error) {
	v.refused = &identity.VerifyError{Reason: refused.Reason}
	if !b.acceptsStrangers() {
		return v, nil
	}
	handle := senderOf(doc)
	reject := func(detail string) (verdict, error) {
		v.log = &rejection{dropFailed, detail, handle}
		return v, nil
	}
	body, _ := doc["body"].(canon.Doc)
	cardValue, ok := body["card"]
	if !ok {
		return reject("pair_drop body missing card")
	}
	if err := identity.VerifyCard(cardValue); err != nil {
		return reject("pair_drop peer card sig invalid: " + err.Error())
	}
	card, _ := cardValue.(canon.Doc)
	info, err := identity.CheckOwner(card)
	if err != nil {
		return reject("pair_drop card refused: " + err.Error())
	}
	if err := identity.CheckHandle(info.Handle); err != nil {
		return reject("pair_drop card refused: " + err.Error())
	}
	if bad := verifyWith(doc, card, now); bad != nil {
		return reject("pair_drop event sig verify failed: " + bad.Reason)
	}
	endpoints, trio, ok := endpointsOf(doc)
	if !ok {
		return reject("pair_drop body missing relay_url/slot_id/slot_token")
	}
	known, err := b.keys.find(info.Handle)
	if err != nil {
		return v, err
	}
	if known.own {
		return reject("pair_drop under our own handle with another key")
	}
	timestamp, _ := doc["timestamp"].(string)
	// What cannot be read was refused by nobody: the user is asked once more.
	if refusals, err := b.home.Refusals(); err == nil && refusals.Cover(info.DID, v.id, timestamp) {
		v.refused.Reason += ": pair request refused before"
		return v, nil
	}
	v.request = &home.Inbound{
		Handle: info.Handle, DID: info.DID, Card: card, Trio: trio, Endpoints: endpoints,
		EventID: v.id, Timestamp: timestamp, ReceivedAt: identity.FormatTime(now),
	}
	v.refused.Reason += ": pair request stored"
	return v, nil
}

// acceptsStrangers reads CFG/policy.json (7.3): anything but an explicit false is yes.
func (b *Box) acceptsStrangers() bool {
	data, err := os.ReadFile(b.home.PolicyFile())
	if err != nil {
		return true
	}
	policy, err := canon.ParseObject(data)
	return err != nil || policy["accept_unknown_pair_drops"] != false
}

func (r *rejection) line(now time.Time) []byte {
	peer := r.peer
	if peer == "" {
		peer = "<unknown>"
	}
	return canon.Compact(canon.Doc{"code": r.code, "detail": r.detail, "peer": peer, "ts": uint64(max(now.Unix(), 0))})
}
