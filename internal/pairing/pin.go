package pairing

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// KeyChangeError is a card under a handle that is pinned to another identity. Only the user can say that both
// are one person (pairing.md Q7).
type KeyChangeError struct {
	Handle   string
	Old, New identity.DID
	OldKey   string // fingerprints
	NewKey   string
}

func (e *KeyChangeError) Error() string {
	return fmt.Sprintf("%s is pinned as %s (key %s), and this is %s (key %s): nothing was changed. "+
		"If you know that it is the same person, `wire forget-peer %s` first",
		identity.Quote(e.Handle), e.Old, e.OldKey, e.New, e.NewKey, e.Handle)
}

// SelfError is a pairing with oneself.
type SelfError struct{ Name string }

func (e *SelfError) Error() string {
	return fmt.Sprintf("refusing to add self (`%s` is this very session)", e.Name)
}

// PinCard pins a card at tier VERIFIED in trust.json, nothing else (pairing.md 8). A card whose signature,
// handle, DID and key do not agree is refused, and so is one's own. A good pin stays as it is.
func PinCard(ctx context.Context, s home.Session, card any, now time.Time) (identity.CardInfo, error) {
	if err := identity.VerifyCard(card); err != nil {
		return identity.CardInfo{}, fmt.Errorf("peer card signature invalid: %w", err)
	}
	doc, _ := card.(canon.Doc)
	info, err := identity.CheckOwner(doc)
	if err != nil {
		return info, fmt.Errorf("peer card refused: %w", err)
	}
	if err := notOwn(s, info); err != nil {
		return info, err
	}
	if err := writable(s, s.TrustFile()); err != nil {
		return info, err
	}
	her, err := newSister(doc, info)
	if err != nil {
		return info, err
	}
	_, err = her.pin(ctx, s, now)
	return info, err
}

// notOwn refuses a card that is the session's own, and a stranger's under its handle: pins are kept by handle,
// and there its own record stands. A session without a card may pin what it likes.
func notOwn(s home.Session, info identity.CardInfo) error {
	card, err := s.ReadCard()
	if err != nil {
		return nil
	}
	own, err := identity.ReadCard(card)
	switch {
	case err != nil:
		return nil
	case (Self{Info: own}).is(info):
		return &SelfError{info.Handle}
	case own.Handle == info.Handle:
		return fmt.Errorf("%s is this session's own handle, and %s somebody else", identity.Quote(info.Handle), info.DID)
	}
	return nil
}

// pin makes s trust her. known is whether it did already, by the same key: then the route that is there is
// hers.
func (h *sister) pin(ctx context.Context, s home.Session, now time.Time) (known bool, err error) {
	mine := beside(s, h.info)
	err = s.UpdateTrust(ctx, func(t *canon.Spans) error {
		raw, there := t.Raw("agents", h.info.Handle)
		v := h.viewTrust(raw, there)
		fault := h.keyFault(v.rec)
		known = v.good || there && fault == ""
		switch {
		case v.good:
			return nil
		case !there:
			raw = h.trust.render(nil, now)
		case fault == keyOff && v.did == h.info.DID:
			return fmt.Errorf("%s: %s", identity.Quote(h.info.Handle), keyOff)
		case fault == "", mine, v.did == "" && keyless(v.rec):
			var err error
			if raw, err = h.repin(raw, now); err != nil {
				return err
			}
		default:
			return &KeyChangeError{
				Handle: h.info.Handle, Old: v.did, New: h.info.DID,
				OldKey: activeKey(v.rec), NewKey: identity.Fingerprint(h.info.Public),
			}
		}
		t.Set(raw, "agents", h.info.Handle)
		return nil
	})
	return known, err
}

// keyless says whether a trust record names no key, so that nobody could speak for it.
func keyless(rec canon.Doc) bool {
	keys, _ := rec["public_keys"].([]any)
	return len(keys) == 0
}

// activeKey is the fingerprint of the first key of a record that counts, as its id says it.
func activeKey(rec canon.Doc) string {
	keys, _ := rec["public_keys"].([]any)
	for _, k := range keys {
		entry, _ := k.(canon.Doc)
		if active, is := entry["active"].(bool); is && !active {
			continue
		}
		text, _ := entry["key"].(string)
		if key, err := base64.StdEncoding.DecodeString(text); err == nil && len(key) == ed25519.PublicKeySize {
			return identity.Fingerprint(key)
		}
	}
	return "unknown"
}

// peerDoc is a peer's record, nil if there is none.
func peerDoc(r *home.RelayFile, handle string) canon.Doc {
	raw, ok := r.PeerRaw(handle)
	if !ok {
		return nil
	}
	doc, err := canon.ParseObject(raw)
	if err != nil {
		return nil
	}
	return doc
}

// AddSlot puts an address under a peer's handle in relay.json (cli.md 2.15): in place of the one on the same
// relay, else of the federation ones; others stay. No network.
func AddSlot(ctx context.Context, s home.Session, handle string, e home.Endpoint) error {
	if err := identity.CheckHandle(handle); err != nil {
		return err
	}
	if e.RelayURL == "" || e.SlotID == "" || e.SlotToken.Zero() {
		return errors.New("relay URL, slot id and slot token must not be empty")
	}
	if err := writable(s, s.RelayFile()); err != nil {
		return err
	}
	if card, err := s.ReadCard(); err == nil {
		if own, err := identity.ReadCard(card); err == nil && own.Handle == handle {
			return &SelfError{handle}
		}
	}
	return s.UpdateRelay(ctx, func(r *home.RelayFile) error {
		r.SetPeerRaw(handle, readdress(peerDoc(r, handle), e))
		return nil
	})
}

// readdress renders a peer's record with an address in place of the one on its relay, which keeps its scope
// and its spelling of the relay, or else of the federation ones. A record without a list gets none.
func readdress(was canon.Doc, fresh home.Endpoint) []byte {
	fresh.Scope = home.Federation
	_, all := readPeer(was)
	if _, listed := was["endpoints"]; !listed {
		rec := home.PeerRecord([]home.Endpoint{fresh})
		delete(rec, "endpoints")
		carry(rec, was, routeKeys)
		return canon.AppendPretty(nil, rec, recordDepth)
	}
	var list []home.Endpoint
	placed := false
	for _, e := range all {
		switch {
		case e.Scope != home.Local && e.Scope != home.Federation:
		case !placed && sameRelay(e.RelayURL, fresh.RelayURL):
			if e.Scope == home.Local {
				fresh.Scope, fresh.RelayURL = home.Local, e.RelayURL // routing compares the text
			}
			list, placed = append(list, fresh), true
		default:
			list = append(list, e)
		}
	}
	if !placed {
		list = slices.DeleteFunc(list, func(e home.Endpoint) bool { return e.Scope == home.Federation })
		list = slices.Insert(list, 0, fresh)
	}
	return renderRoute(list, was)
}

func sameRelay(a, b string) bool { return strings.TrimRight(a, "/") == strings.TrimRight(b, "/") }
