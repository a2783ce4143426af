package pairing

import (
	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// Peer is somebody in trust.json.
type Peer struct {
	Handle       string
	DID          string // "" where the record has none
	Tier         string // as listings show it: PENDING_ACK while we have no token
	Capabilities []any  // as its card says; never nil
}

// PeerList are a session's peers, sorted by handle.
type PeerList struct {
	List   []Peer
	Unread error // why relay.json cannot be read: all tokens count as missing
}

// Peers are all records of trust.json but our own (cli.md 2.3). It needs no identity.
func Peers(s home.Session) (PeerList, error) {
	trust, err := s.ReadTrust()
	if err != nil {
		return PeerList{}, err
	}
	file, unread := s.ReadRelay()
	mine := ""
	if card, err := s.ReadCard(); err == nil {
		mine, _ = card["did"].(string)
	}
	out := PeerList{Unread: unread}
	for handle, raw := range trust.Members("agents") {
		v, err := canon.Parse(raw)
		if err != nil {
			return PeerList{}, &home.FileError{Path: s.TrustFile(), Err: err}
		}
		rec, _ := v.(canon.Doc)
		p := Peer{Handle: handle, Capabilities: []any{}}
		if p.DID, _ = rec["did"].(string); p.DID == mine && mine != "" {
			continue
		}
		card, _ := rec["card"].(canon.Doc)
		if list, ok := card["capabilities"].([]any); ok {
			p.Capabilities = list
		}
		var token identity.Token
		if unread == nil {
			token = file.PeerFlat(handle).SlotToken
		}
		p.Tier = identity.ShownTier(rec, token)
		out.List = append(out.List, p)
	}
	return out, nil
}
