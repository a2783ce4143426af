package mailbox

import (
	"path/filepath"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// verdict is what becomes of one event.
type verdict struct {
	id      string // event_id, "" if it has none
	handle  string // of the sender, where the event is written
	line    []byte // its inbox line; nil if it is not written
	k       key
	refused *identity.VerifyError // nil if written or handled
	schema  string                // schema_version, of a mismatch
	genuine bool                  // the id is the hash of the content, so it may become a cursor

	hold   bool // into the quarantine
	proven bool

	refresh []home.Endpoint // a handshake of a pinned peer: where it is now
	since   string          // that handshake's timestamp
	request *home.Inbound   // a handshake of a stranger
	log     *rejection      // a handshake that is wrong
}

// duplicate is the refusal of an event that the inbox has.
const duplicate = "duplicate event_id already in inbox"

// judge decides on one event in the order of home-and-daemon.md 7.2, with the deviations of its quirks 1 to
// 6: nothing is believed before its signature is checked, and nothing blocks. It changes nothing but the
// inbox index. An error is of ours (an unreadable file), not of the event.
func (b *Box) judge(event any, now time.Time) (verdict, error) {
	doc, _ := event.(canon.Doc)
	var v verdict
	v.id, _ = doc["event_id"].(string)

	unknown := identity.CheckSchema(event)
	if unknown != nil {
		v.schema, _ = doc["schema_version"].(string)
	} else {
		unknown = identity.CheckKind(event, level)
	}
	refused, err := b.keys.verify(event)
	if err != nil {
		return v, err
	}
	// Verification compares the id before it looks for the signer.
	v.genuine = refused == nil || refused.Transient || isEventID(v.id) && identity.EventID(doc) == v.id

	switch {
	case unknown != nil: // a later program may know it; a forged or broken one is nothing to keep
		v.refused = unknown
		v.hold = refused == nil || refused.Transient
		v.proven = refused == nil || b.sister(doc, now)
		return v, nil
	case refused == nil:
		return b.accept(v, doc)
	case refused.Transient && isHandshake(doc, identity.KindPairDrop, dropType):
		return b.strangersDrop(v, doc, refused, now)
	}
	v.refused = refused
	v.hold = refused.Transient && identity.CheckHandle(senderOf(doc)) == nil
	v.proven = v.hold && b.sister(doc, now)
	return v, nil
}

// accept is for an event whose signature counts.
func (b *Box) accept(v verdict, doc canon.Doc) (verdict, error) {
	v.handle = senderOf(doc)
	if err := identity.CheckHandle(v.handle); err != nil {
		v.refused = &identity.VerifyError{Reason: err.Error()} // pinned by a program that does not look
		return v, nil
	}
	v.k, _ = keyOf(v.id)
	f, err := b.in.file(v.handle)
	if err != nil {
		return v, err
	}
	line := canon.Compact(doc)
	has, err := f.has(v.k, line)
	if err != nil {
		return v, err
	}
	if has {
		v.refused = &identity.VerifyError{Reason: duplicate}
		return v, nil
	}
	v.line = line
	// Only now: a handshake that the inbox has was applied when it came, and must not undo a later one.
	b.handshakeOfPeer(&v, doc)
	return v, nil
}

func senderOf(doc canon.Doc) string {
	from, _ := doc["from"].(string)
	return identity.DID(from).Handle()
}

// sister says whether an event is proven to come from a session beside ours: signed with the key of the
// card that lies there, under the DID of that card. Only its own signature makes an event a sister's.
func (b *Box) sister(doc canon.Doc, now time.Time) bool {
	if b.home.Name == "" {
		return false
	}
	from, _ := doc["from"].(string)
	beside := home.Machine{Root: filepath.Dir(b.home.Dir)}.Session(senderOf(doc))
	card, err := beside.ReadCard()
	if err != nil {
		return false
	}
	info, err := identity.CheckOwner(card)
	return err == nil && string(info.DID) == from && verifyWith(doc, card, now) == nil
}
