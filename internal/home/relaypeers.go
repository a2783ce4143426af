package home

import (
	"fmt"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// Peers are the handles in peers, sorted.
func (r *RelayFile) Peers() []string { return r.spans.Keys("peers") }

// PeerRaw is the text of a peer's record.
func (r *RelayFile) PeerRaw(handle string) ([]byte, bool) { return r.spans.Raw("peers", handle) }

// Peer are all endpoints of a peer, whatever can be reached (4.2 step 2). Only this peer's record is parsed.
func (r *RelayFile) Peer(handle string) []Endpoint { return r.endpointsAt("peers", handle) }

// PeerFlat is the flat trio of a peer's record, all that a reference daemon knows of it; what is missing there
// is empty.
func (r *RelayFile) PeerFlat(handle string) Endpoint {
	raw, ok := r.spans.Raw("peers", handle)
	if !ok || raw[0] != '{' {
		return Endpoint{}
	}
	rec, err := canon.ParseObject(raw)
	if err != nil {
		return Endpoint{}
	}
	return flatOf(rec)
}

// Routes are a peer's endpoints in routing order (4.2 steps 1 to 4): those on our own local relay, then
// federation. None means that the peer is unreachable.
func (r *RelayFile) Routes(handle string) []Endpoint { return RoutesFrom(r.Self(), r.Peer(handle)) }

// RoutesFrom is Routes for a session with the endpoints self and a peer with the endpoints peer.
func RoutesFrom(self, peer []Endpoint) []Endpoint {
	here, ok := firstLocal(self) // of the list: what the flat fields stand for is never local
	var local, federation []Endpoint
	for _, e := range peer {
		switch {
		case e.Scope == Federation:
			federation = append(federation, e)
		case ok && e.RelayURL == here.RelayURL:
			local = append(local, e)
		}
	}
	return append(local, federation...)
}

// SetPeer replaces a peer's record by the full form; SetPeerRaw by text rendered at depth 2 with
// canon.AppendPretty. A handle that CheckHandle refuses, and peers that is no object, make UpdateRelay fail.
func (r *RelayFile) SetPeer(handle string, endpoints []Endpoint) {
	r.SetPeerRaw(handle, canon.AppendPretty(nil, PeerRecord(endpoints), 2))
}

// SetPeerRaw is described at SetPeer. raw is kept, not copied.
func (r *RelayFile) SetPeerRaw(handle string, raw []byte) {
	if err := identity.CheckHandle(handle); err != nil {
		if r.err == nil {
			r.err = fmt.Errorf("peer %q: %w", handle, err)
		}
		return
	}
	if r.editable("peers") {
		r.spans.Set(raw, "peers", handle)
	}
}

// RemovePeer removes a peer's record if it is there.
func (r *RelayFile) RemovePeer(handle string) { r.spans.Delete("peers", handle) }

// PeerRecord is the full form of a peer's record (pairing.md 1.3): the whole list and the flat trio of its
// first federation endpoint, else of its first local one.
func PeerRecord(endpoints []Endpoint) canon.Doc {
	list := make([]any, 0, len(endpoints))
	for _, e := range endpoints {
		list = append(list, e.doc())
	}
	rec := canon.Doc{"endpoints": list}
	if flat, ok := Flat(endpoints); ok {
		rec["relay_url"] = flat.RelayURL
		rec["slot_id"] = flat.SlotID
		rec["slot_token"] = flat.SlotToken.Reveal()
	}
	return rec
}
