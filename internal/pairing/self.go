package pairing

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
)

// Self is a session as it speaks to others.
type Self struct {
	Session   home.Session
	Info      identity.CardInfo
	Endpoints []home.Endpoint
	card      canon.Doc
	key       identity.Key
}

// Open reads who a session is. Key and card must belong together; it may lack a slot.
func Open(s home.Session) (Self, error) {
	key, card, err := s.Identity()
	if err != nil {
		return Self{}, err
	}
	info, err := identity.CheckKey(card, key)
	if err != nil {
		return Self{}, &home.FileError{Path: s.CardFile(), Err: err}
	}
	file, err := s.ReadRelay()
	if err != nil {
		return Self{}, err
	}
	return Self{Session: s, Info: info, Endpoints: file.Self(), card: card, key: key}, nil
}

// is says whether a card is our own, by DID or by key.
func (p Self) is(info identity.CardInfo) bool {
	return info.DID == p.Info.DID || info.Public.Equal(p.Info.Public)
}

// handshake is a signed drop or ack (pairing.md 1.4) and its id. Whoever takes it may write to our slots.
func (p Self) handshake(kind uint32, typ string, to identity.DID, now time.Time) (event []byte, id string, err error) {
	at, _ := home.Flat(p.Endpoints)
	if at.RelayURL == "" || at.SlotID == "" || at.SlotToken.Zero() {
		return nil, "", fmt.Errorf("this session has no slot to offer: %w", ErrNoSlot)
	}
	body := canon.Doc{"relay_url": at.RelayURL, "slot_id": at.SlotID, "slot_token": at.SlotToken.Reveal()}
	list := make([]any, len(p.Endpoints))
	for i, e := range p.Endpoints {
		list[i] = canon.Doc{
			"relay_url": e.RelayURL, "slot_id": e.SlotID, "slot_token": e.SlotToken.Reveal(), "scope": string(e.Scope),
		}
	}
	body["endpoints"] = list
	if kind == identity.KindPairDrop {
		body["card"] = p.card
	}
	signed := identity.SignEvent(canon.Doc{
		"schema_version": "v3.1",
		"timestamp":      identity.FormatTime(now),
		"from":           string(p.Info.DID),
		"to":             string(to),
		"type":           typ,
		"kind":           uint64(kind),
		"body":           body,
	}, p.key, p.Info.DID)
	id, _ = signed["event_id"].(string)
	return canon.Compact(signed), id, nil
}

func slotOf(e home.Endpoint) client.Slot {
	return client.Slot{URL: e.RelayURL, ID: e.SlotID, Token: e.SlotToken}
}

// beside says whether a card is that of a session of the same root, so that its pin may be replaced without
// asking: the identity was made anew by the same user.
func beside(s home.Session, info identity.CardInfo) bool {
	if s.Name == "" {
		return false
	}
	sister := home.Machine{Root: filepath.Dir(s.Dir)}.Session(info.Handle)
	if _, err := sister.CheckOwned(); err != nil {
		return false
	}
	card, err := sister.ReadCard()
	if err != nil {
		return false
	}
	own, err := checkOwner(card)
	return err == nil && own.DID == info.DID && own.Public.Equal(info.Public)
}

// writable is the error of a change to a file of a session that is not there: nothing brings half of one
// into being.
func writable(s home.Session, path string) error {
	if info, err := os.Stat(s.ConfigDir()); err == nil && info.IsDir() {
		return nil
	}
	return fmt.Errorf("writing %s: %w", identity.Quote(path), fs.ErrNotExist)
}
