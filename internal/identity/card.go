package identity

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"maps"
	"strings"
	"unicode"
	"unicode/utf8"

	"wirefleet.dev/wire/internal/canon"
)

// NewCard is the unsigned card that init makes (identity.md 4.1); name "" means the handle with its first
// character in upper case.
func NewCard(handle, name string, pub ed25519.PublicKey) canon.Doc {
	if name == "" && handle != "" {
		first, n := utf8.DecodeRuneInString(handle)
		name = string(unicode.ToUpper(first)) + handle[n:]
	}
	return canon.Doc{
		"schema_version": schemaVersion,
		"did":            string(NewDID(handle, pub)),
		"handle":         handle,
		"name":           name,
		"capabilities":   []any{"wire/v3.1"},
		"verify_keys": canon.Doc{
			keyPrefix + KeyID(handle, pub): canon.Doc{
				"key": base64.StdEncoding.EncodeToString(pub), "alg": "ed25519", "active": true,
			},
		},
		"policies": canon.Doc{"max_message_body_kb": uint64(64)},
	}
}

// SignCard returns a copy of card with its signature (identity.md 4.2).
func SignCard(card canon.Doc, k Key) canon.Doc {
	signed := maps.Clone(card)
	signed["signature"] = base64.StdEncoding.EncodeToString(k.Sign(canon.Canonical(card, canon.StripCard)))
	return signed
}

// CardError is why a card is not accepted; Reason is the reference's text.
type CardError struct{ Reason string }

func (e *CardError) Error() string { return e.Reason }

// VerifyCard checks a card's own signature in the order of identity.md 4.3. Errors are *CardError.
func VerifyCard(card any) error {
	doc, _ := card.(canon.Doc)
	signature, ok := doc["signature"].(string)
	if !ok {
		return &CardError{"missing field: signature"}
	}
	keys, ok := doc["verify_keys"].(canon.Doc)
	if !ok {
		return &CardError{"missing field: verify_keys"}
	}
	if len(keys) == 0 {
		return &CardError{"verify_keys is empty or malformed"}
	}
	entry, _ := keys[smallest(keys)].(canon.Doc)
	key, ok := entry["key"].(string)
	if !ok {
		return &CardError{"missing field: verify_keys[*].key"}
	}
	if reason := checkSignature(key, signature, func() []byte { return canon.Canonical(doc, canon.StripCard) }); reason != "" {
		return &CardError{reason}
	}
	return nil
}

func smallest(doc canon.Doc) string {
	var least string
	first := true
	for k := range doc {
		if first || k < least {
			least, first = k, false
		}
	}
	return least
}

// CardInfo is what the rest of the program reads from a card.
type CardInfo struct {
	DID          DID
	Handle       string            // card.handle, else DID.Handle()
	Public       ed25519.PublicKey // the key with the smallest name in verify_keys; nil if unusable
	KeyID        string            // that key's name without "ed25519:"
	Capabilities []string
}

// ReadCard reads a card without checking its signature; an error means that did or key are missing.
func ReadCard(card canon.Doc) (CardInfo, error) {
	did, ok := card["did"].(string)
	if !ok {
		return CardInfo{}, &CardError{"missing field: did"}
	}
	info := CardInfo{DID: DID(did)}
	if info.Handle, ok = card["handle"].(string); !ok {
		info.Handle = info.DID.Handle()
	}
	list, _ := card["capabilities"].([]any)
	for _, c := range list {
		if s, ok := c.(string); ok {
			info.Capabilities = append(info.Capabilities, s)
		}
	}
	keys, _ := card["verify_keys"].(canon.Doc)
	name := smallest(keys)
	entry, _ := keys[name].(canon.Doc)
	key, ok := entry["key"].(string)
	if !ok {
		return CardInfo{}, &CardError{"missing field: verify_keys[*].key"}
	}
	info.KeyID = strings.TrimPrefix(name, keyPrefix)
	pub := make(ed25519.PublicKey, ed25519.PublicKeySize)
	if decodeStrict(pub, key) {
		info.Public = pub
	}
	return info, nil
}

// CheckOwner is nil if the signature is valid, handle and DID agree, and where the DID has a suffix it is
// the key's fingerprint (identity.md 6, quirks 3 and 4). It is what pinning a sister demands. Errors are
// *CardError.
func CheckOwner(card canon.Doc) (CardInfo, error) {
	if err := VerifyCard(card); err != nil {
		return CardInfo{}, err
	}
	info, err := ReadCard(card)
	if err != nil {
		return CardInfo{}, err
	}
	if err := CheckHandle(info.Handle); err != nil {
		return CardInfo{}, &CardError{err.Error()}
	}
	if h := info.DID.Handle(); h != info.Handle {
		return CardInfo{}, &CardError{fmt.Sprintf("handle %q and DID %q disagree", info.Handle, info.DID)}
	}
	if fp := info.DID.Fingerprint(); fp != "" && fp != Fingerprint(info.Public) {
		return CardInfo{}, &CardError{fmt.Sprintf("DID %q belongs to another key: this one's fingerprint is %s", info.DID, Fingerprint(info.Public))}
	}
	return info, nil
}

// CheckKey is CheckOwner for one's own card: k must be the key that signed it.
func CheckKey(card canon.Doc, k Key) (CardInfo, error) {
	info, err := CheckOwner(card)
	if err == nil && !info.Public.Equal(k.Public()) {
		err = &CardError{fmt.Sprintf("private.key is another identity's: its fingerprint is %s, the card's %s",
			Fingerprint(k.Public()), Fingerprint(info.Public))}
	}
	return info, err
}
