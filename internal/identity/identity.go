// Package identity makes and checks who somebody is: Ed25519 keys, DIDs, agent cards, signed events and
// trust documents, exactly as reference/identity.md sections 2 to 5 say.
//
// Law of the room: pure. It reads no file and no clock (times are arguments); only NewKey reads the
// system's random source. Secrets are types that print as "<redacted>".
package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

const (
	schemaVersion = "v3.1"
	didPrefix     = "did:wire:"
	keyPrefix     = "ed25519:" // of a member of verify_keys; key ids elsewhere lack it
)

// DID is "did:wire:<handle>-<fingerprint>", or the legacy form without the suffix, or any string that a
// peer sent in its place.
type DID string

// NewDID is the current form for a handle and its key (identity.md 2.2). A handle that is a DID already
// stays as it is.
func NewDID(handle string, pub ed25519.PublicKey) DID {
	if strings.HasPrefix(handle, "did:") {
		return DID(handle)
	}
	return DID(didPrefix + handle + "-" + Fingerprint(pub))
}

// LegacyDID is "did:wire:<handle>", what ordinary messages carry as their "to" (identity.md 3.1). A handle
// that is a DID already stays as it is.
func LegacyDID(handle string) DID {
	if strings.HasPrefix(handle, "did:") {
		return DID(handle)
	}
	return DID(didPrefix + handle)
}

// Handle is the display handle (identity.md 2.3).
func (d DID) Handle() string {
	handle, _ := d.split()
	return handle
}

// Fingerprint is the 8-hex suffix, or "" for a legacy or foreign DID. A legacy DID whose handle itself ends
// in a dash and 8 hex digits cannot be told from the current form.
func (d DID) Fingerprint() string {
	if !strings.HasPrefix(string(d), didPrefix) {
		return ""
	}
	_, fingerprint := d.split()
	return fingerprint
}

func (d DID) split() (handle, suffix string) {
	s := strings.TrimPrefix(string(d), didPrefix)
	i := strings.LastIndexByte(s, '-')
	if i < 0 || len(s)-i-1 != 8 {
		return s, ""
	}
	for _, c := range []byte(s[i+1:]) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return s, ""
		}
	}
	return s[:i], s[i+1:]
}

// Fingerprint is the first 4 bytes of SHA-256 of the public key in hex: 8 characters.
func Fingerprint(pub ed25519.PublicKey) string {
	sum := sha256.Sum256(pub)
	return hex.EncodeToString(sum[:4])
}

// KeyID is "<handle>:<fingerprint>".
func KeyID(handle string, pub ed25519.PublicKey) string {
	return handle + ":" + Fingerprint(pub)
}

// decodeStrict fills dst from its base64 text and reports whether it is exactly that text. What
// encoding/base64 forgives (line breaks, set trailing bits) does not survive encoding it again.
func decodeStrict(dst []byte, text string) bool {
	const longest = 88 // of a signature
	var packed, again [longest]byte
	n := base64.StdEncoding.EncodedLen(len(dst))
	if len(text) != n || n > longest {
		return false
	}
	var raw [longest]byte
	copy(packed[:], text)
	if m, err := base64.StdEncoding.Decode(raw[:], packed[:n]); err != nil || m != len(dst) {
		return false
	}
	copy(dst, raw[:])
	base64.StdEncoding.Encode(again[:], dst)
	return again == packed
}
