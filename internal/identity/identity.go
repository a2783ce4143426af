// Package identity makes and checks who somebody is: Ed25519 keys, DIDs, agent cards, signed events and
// trust documents, exactly as reference/identity.md sections 2 to 5 say.
//
// Law of the room: pure. It reads no file and no clock (times are arguments); only NewKey reads the
// system's random source. Secrets are types that print as "<redacted>".
package identity

import (
	"crypto/ed25519"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// Key is an Ed25519 private key. It formats as "<redacted>" under every verb and in JSON, slog and go-cmp.
type Key struct{ priv ed25519.PrivateKey }

// NewKey makes a key from the operating system's random source.
func NewKey() (Key, error) { panic("seam") }

// KeyFromSeed is the key of a 32-byte seed, the content of private.key; any other length is an error.
func KeyFromSeed(seed []byte) (Key, error) { panic("seam") }

// Seed is the 32 bytes that private.key holds.
func (k Key) Seed() []byte { panic("seam") }

// Public is the 32-byte public key.
func (k Key) Public() ed25519.PublicKey { panic("seam") }

// Token is a slot token: whoever has it reads and writes the slot. It formats as "<redacted>"; Reveal is
// for the Authorization header and for relay.json only.
type Token string

// Reveal is the token itself.
func (t Token) Reveal() string { return string(t) }

// DID is "did:wire:<handle>-<fingerprint>", or the legacy form without the suffix, or any string that a
// peer sent in its place.
type DID string

// NewDID is the current form for a handle and its key (identity.md 2.2).
func NewDID(handle string, pub ed25519.PublicKey) DID { panic("seam") }

// Handle is the display handle (identity.md 2.3).
func (d DID) Handle() string { panic("seam") }

// Fingerprint is the 8-hex suffix, or "" for a legacy or foreign DID.
func (d DID) Fingerprint() string { panic("seam") }

// Fingerprint is the first 4 bytes of SHA-256 of the public key in hex: 8 characters.
func Fingerprint(pub ed25519.PublicKey) string { panic("seam") }

// KeyID is "<handle>:<fingerprint>".
func KeyID(handle string, pub ed25519.PublicKey) string { panic("seam") }

// BareHandle is arg cut at its first "@".
func BareHandle(arg string) string { panic("seam") }

// CheckHandle refuses what must never become a file name or a pin: anything but 1 to 200 of [A-Za-z0-9_-].
func CheckHandle(h string) error { panic("seam") }

// CheckNick refuses what no directory may list: anything but 2 to 32 of [a-z0-9_-] (identity.md 2.4).
func CheckNick(nick string) error { panic("seam") }

// ReservedNick says whether a nick may not be claimed.
func ReservedNick(nick string) bool { panic("seam") }

// FormatTime is RFC 3339 in UTC with 0 to 9 fraction digits (identity.md 3.5).
func FormatTime(t time.Time) string { panic("seam") }

// NewCard is the unsigned card that init makes (identity.md 4.1); name "" means the handle with its first
// character in upper case.
func NewCard(handle, name string, pub ed25519.PublicKey) canon.Doc { panic("seam") }

// SignCard returns a copy of card with its signature (identity.md 4.2).
func SignCard(card canon.Doc, k Key) canon.Doc { panic("seam") }

// CardError is why a card is not accepted; Reason is the reference's text.
type CardError struct{ Reason string }

func (e *CardError) Error() string { return e.Reason }

// VerifyCard checks a card's own signature in the order of identity.md 4.3. Errors are *CardError.
func VerifyCard(card any) error { panic("seam") }

// CardInfo is what the rest of the program reads from a card.
type CardInfo struct {
	DID          DID
	Handle       string            // card.handle, else DID.Handle()
	Public       ed25519.PublicKey // the key with the smallest name in verify_keys; nil if unusable
	KeyID        string            // that key's name without "ed25519:"
	Capabilities []string
}

// ReadCard reads a card without checking its signature; an error means that did or key are missing.
func ReadCard(card canon.Doc) (CardInfo, error) { panic("seam") }

// CheckOwner is nil if the signature is valid, handle and DID agree, and where the DID has a suffix it is
// the key's fingerprint (identity.md 6, quirks 3 and 4). It is what pinning a sister demands.
func CheckOwner(card canon.Doc) (CardInfo, error) { panic("seam") }

// Kinds of events (identity.md 3.2).
const (
	KindDecision    = 1
	KindHeartbeat   = 100
	KindClaim       = 1001
	KindAck         = 1002
	KindPairDrop    = 1100
	KindPairDropAck = 1101
	KindWireClose   = 1201
)

// KindNumber maps a command-line kind to its number: decimal u32, known name, else 1.
func KindNumber(arg string) uint32 { panic("seam") }

// KnownKind says whether receivers accept the kind; any other one blocks a reference receiver's cursor.
func KnownKind(kind uint32) bool { panic("seam") }

// EventKind reads event.kind as receivers do: unsigned integer modulo 2^32, else 0.
func EventKind(event canon.Doc) uint32 { panic("seam") }

// SignEvent returns a copy of event with event_id, public_key_id and signature (identity.md 3.3); did is
// the signer's, from its card.
func SignEvent(event canon.Doc, k Key, did DID) canon.Doc { panic("seam") }

// EventID is hex SHA-256 of the strict canonical bytes.
func EventID(event canon.Doc) string { panic("seam") }

// VerifyError is why an event is refused; Reason is the reference's text (identity.md 3.4).
type VerifyError struct {
	Reason    string
	Transient bool // signer or key unknown: a later pin may make the event acceptable
}

func (e *VerifyError) Error() string { return e.Reason }

// VerifyEvent checks an event against a trust document in the order of identity.md 3.4. Errors are *VerifyError.
func VerifyEvent(event any, trust canon.Doc) error { panic("seam") }

// CheckSchema and CheckKind are the two checks before verification (identity.md 3.6); both are transient.
func CheckSchema(event any) *VerifyError { panic("seam") }

// CheckKind refuses kinds outside the known ten; version is the program version in the reason text.
func CheckKind(event any, version string) *VerifyError { panic("seam") }

// Tiers of trust (identity.md 5.2).
const (
	TierUntrusted = "UNTRUSTED"
	TierVerified  = "VERIFIED"
	TierAttested  = "ATTESTED"
)

// EmptyTrust is what a missing trust.json reads as.
func EmptyTrust() canon.Doc { panic("seam") }

// NewTrust is the document that init writes: the self record only (identity.md 5.1).
func NewTrust(self CardInfo, now time.Time) canon.Doc { panic("seam") }

// SelfRecord is the agents member for oneself.
func SelfRecord(self CardInfo, now time.Time) canon.Doc { panic("seam") }

// PinRecord is the agents member that pins card at tier, and the name it goes under. A card without a
// usable handle is an error. keep holds the public_keys entries of an older record whose keys shall stay
// with active:false (pairing.md Q12); nil for none.
func PinRecord(card canon.Doc, tier string, now time.Time, keep []any) (handle string, rec canon.Doc, err error) {
	panic("seam")
}

// ShownTier is the tier that listings show: VERIFIED without a slot token reads PENDING_ACK (identity.md 5.2).
func ShownTier(rec any, slotToken string) string { panic("seam") }
