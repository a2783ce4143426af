package mailbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

// maxRequests is how many requests of strangers wait at a time. Anybody can make one, and each is a file.
const maxRequests = 256

// request is the pair request of a stranger, ST/pending-inbound-pairs/<handle>.json (home-and-daemon.md 7.3).
type request struct {
	handle    string
	did       string
	card      canon.Doc
	endpoints []home.Endpoint
	trio      home.Endpoint
	eventID   string
	timestamp string
}

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
	v.request = &request{
		handle: info.Handle, did: string(info.DID), card: card, endpoints: endpoints, trio: trio,
		eventID: v.id, timestamp: timestamp,
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

// store writes the record, if there is room: a request that replaces one of its handle always has.
func (r *request) store(s home.Session, now time.Time) error {
	dir := s.Inbound()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, r.handle+".json")
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		waiting := 0
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".json") {
				waiting++
			}
		}
		if waiting >= maxRequests {
			return nil
		}
	}
	return home.WriteFile(path, r.record(now), 0o600)
}

// record is the pretty text in the reference's order of keys, which is not the sorted one.
func (r *request) record(now time.Time) []byte {
	out := []byte("{")
	member := func(depth int, key string, value any) {
		if out[len(out)-1] != '{' {
			out = append(out, ',')
		}
		out = append(out, '\n')
		out = append(out, strings.Repeat("  ", depth)...)
		out = canon.Append(out, key)
		out = append(out, ": "...)
		out = canon.AppendPretty(out, value, depth)
	}
	member(1, "peer_handle", r.handle)
	member(1, "peer_did", r.did)
	member(1, "peer_card", r.card)
	member(1, "peer_relay_url", r.trio.RelayURL)
	member(1, "peer_slot_id", r.trio.SlotID)
	member(1, "peer_slot_token", r.trio.SlotToken.Reveal())
	out = append(out, ",\n  \"peer_endpoints\": ["...)
	for i, e := range r.endpoints {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, "\n    {"...)
		member(3, "relay_url", e.RelayURL)
		member(3, "slot_id", e.SlotID)
		member(3, "slot_token", e.SlotToken.Reveal())
		member(3, "scope", string(e.Scope))
		out = append(out, "\n    }"...)
	}
	out = append(out, "\n  ]"...)
	member(1, "event_id", r.eventID)
	member(1, "event_timestamp", r.timestamp)
	member(1, "received_at", identity.FormatTime(now))
	return append(out, "\n}"...)
}

func (r *rejection) line(now time.Time) []byte {
	peer := r.peer
	if peer == "" {
		peer = "<unknown>"
	}
	return canon.Compact(canon.Doc{"code": r.code, "detail": r.detail, "peer": peer, "ts": uint64(max(now.Unix(), 0))})
}
