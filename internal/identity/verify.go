package identity

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/canon"
)

// VerifyError is why an event is refused; Reason is the reference's text (identity.md 3.4).
type VerifyError struct {
	Reason    string
	Transient bool // signer or key unknown: a later pin may make the event acceptable
}

func (e *VerifyError) Error() string { return e.Reason }

// VerifyEvent checks an event against a trust document in the order of identity.md 3.4. Errors are *VerifyError.
func VerifyEvent(event any, trust canon.Doc) error {
	agents, _ := trust["agents"].(canon.Doc)
	return VerifyEventBy(event, func(handle string) (any, bool) {
		record, known := agents[handle]
		return record, known
	})
}

// VerifyEventBy is VerifyEvent for a caller that finds a handle's member of agents by itself, so that it
// need not parse all of trust.json.
func VerifyEventBy(event any, agent func(handle string) (record any, known bool)) error {
	doc, _ := event.(canon.Doc)
	var from, keyID, signature, id string
	for _, field := range [...]struct {
		name  string
		value *string
	}{{"from", &from}, {"public_key_id", &keyID}, {"signature", &signature}, {"event_id", &id}} {
		var ok bool
		if *field.value, ok = doc[field.name].(string); !ok {
			return &VerifyError{Reason: "missing field: " + field.name}
		}
	}
	digest := eventDigest(doc)
	var want [2 * len(digest)]byte
	hex.Encode(want[:], digest[:])
	if id != string(want[:]) {
		return &VerifyError{Reason: "event_id mismatch — body was tampered after signing"}
	}
	handle := DID(from).Handle()
	record, known := agent(handle)
	if !known {
		return &VerifyError{Reason: "signer " + Quote(handle) + " not in trust", Transient: true}
	}
	entry := findKey(record, keyID)
	if entry == nil {
		return &VerifyError{Reason: "key " + Quote(keyID) + " not found for agent " + Quote(handle), Transient: true}
	}
	if entry["active"] == false {
		return &VerifyError{Reason: "key " + Quote(keyID) + " for agent " + Quote(handle) + " is deactivated"}
	}
	key, ok := entry["key"].(string)
	if !ok {
		return &VerifyError{Reason: "missing field: key"}
	}
	if reason := checkSignature(key, signature, func() []byte { return digest[:] }); reason != "" {
		return &VerifyError{Reason: reason}
	}
	return nil
}

// findKey is the first entry of a trust record with that key id, or nil.
func findKey(record any, keyID string) canon.Doc {
	agent, _ := record.(canon.Doc)
	keys, _ := agent["public_keys"].([]any)
	for _, k := range keys {
		if entry, ok := k.(canon.Doc); ok && entry["key_id"] == keyID {
			return entry
		}
	}
	return nil
}

// checkSignature is the reason why a signature over message does not count, or "". Both texts are base64.
func checkSignature(key, signature string, message func() []byte) string {
	const undecodable = "signature decode failed"
	var pub [ed25519.PublicKeySize]byte
	var sig [ed25519.SignatureSize]byte
	if !decodeStrict(pub[:], key) || !decodeStrict(sig[:], signature) {
		return undecodable
	}
	if ed25519.Verify(pub[:], message(), sig[:]) {
		return ""
	}
	// Verify refuses a key that is no point of the curve as well, and does not say which it was.
	if !isPoint(pub[:]) {
		return undecodable
	}
	return "signature did not verify"
}

// isPoint says whether 32 bytes decode to a point of edwards25519 as RFC 8032 5.1.3 does it, but like the
// reference also from y >= p and from x = 0 with the sign bit set: if x² = (y²-1) / (dy²+1) has a root.
// It only runs where a signature has failed, so it may be slow and bring no package of its own.
func isPoint(encoded []byte) bool {
	le := slices.Clone(encoded)
	le[31] &= 0x7f
	slices.Reverse(le)
	one := big.NewInt(1)
	p := new(big.Int).Lsh(one, 255)
	p.Sub(p, big.NewInt(19))
	// d = -121665/121666
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	d.Mul(d, big.NewInt(-121665))
	y := new(big.Int).SetBytes(le)
	yy := new(big.Int).Mul(y, y)
	u := new(big.Int).Sub(yy, one)
	v := d.Mul(d, yy)
	v.Add(v, one)
	// u/v and uv are squares together.
	return big.Jacobi(u.Mod(u.Mul(u, v), p), p) >= 0
}

// CheckSchema and CheckKind are the two checks before verification (identity.md 3.6); both are transient.
func CheckSchema(event any) *VerifyError {
	doc, _ := event.(canon.Doc)
	version, ok := doc["schema_version"].(string)
	if !ok {
		return nil
	}
	if major, _, _ := strings.Cut(version, "."); major == "v3" {
		return nil
	}
	return &VerifyError{Reason: "schema_mismatch=" + version + " binary_supports=" + schemaVersion, Transient: true}
}

// CheckKind refuses kinds outside the known ten; version is the program version in the reason text.
func CheckKind(event any, version string) *VerifyError {
	doc, _ := event.(canon.Doc)
	kind := EventKind(doc)
	if KnownKind(kind) {
		return nil
	}
	return &VerifyError{Reason: fmt.Sprintf("unknown_kind=%d binary_version=%s", kind, version), Transient: true}
}
