package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"strconv"
	"strings"
	"sync"

	"wirefleet.dev/wire/internal/canon"
)

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

// KindName is a known kind's name, "" for any other. decision has two numbers.
func KindName(kind uint32) string {
	switch kind {
	case KindDecision, 1000:
		return "decision"
	case KindHeartbeat:
		return "heartbeat"
	case KindClaim:
		return "claim"
	case KindAck:
		return "ack"
	case KindPairDrop:
		return "agent_card"
	case KindPairDropAck:
		return "trust_add_key"
	case 1102:
		return "trust_revoke_key"
	case 1200:
		return "wire_open"
	case KindWireClose:
		return "wire_close"
	}
	return ""
}

// KindNumber maps a command-line kind to its number: decimal u32, known name, else 1.
func KindNumber(arg string) uint32 {
	if n, err := strconv.ParseUint(strings.TrimPrefix(arg, "+"), 10, 32); err == nil {
		return uint32(n)
	}
	for _, k := range [...]uint32{KindHeartbeat, KindClaim, KindAck, KindPairDrop, KindPairDropAck, 1102, 1200, KindWireClose} {
		if KindName(k) == arg {
			return k
		}
	}
	return KindDecision
}

// KnownKind says whether receivers accept the kind; any other one blocks a reference receiver's cursor.
func KnownKind(kind uint32) bool { return KindName(kind) != "" }

// EventKind reads event.kind as receivers do: unsigned integer modulo 2^32, else 0.
func EventKind(event canon.Doc) uint32 {
	kind, _ := event["kind"].(uint64)
	return uint32(kind)
}

// SignEvent returns a copy of event with event_id, public_key_id and signature (identity.md 3.3); did is
// the signer's, from its card.
func SignEvent(event canon.Doc, k Key, did DID) canon.Doc {
	digest := eventDigest(event)
	signed := maps.Clone(event)
	signed["event_id"] = hex.EncodeToString(digest[:])
	signed["public_key_id"] = KeyID(did.Handle(), k.Public())
	signed["signature"] = base64.StdEncoding.EncodeToString(k.Sign(digest[:]))
	return signed
}

// EventID is hex SHA-256 of the strict canonical bytes.
func EventID(event canon.Doc) string {
	digest := eventDigest(event)
	return hex.EncodeToString(digest[:])
}

var eventBuffers sync.Pool // of *[]byte

func eventDigest(event canon.Doc) [sha256.Size]byte {
	buf, _ := eventBuffers.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	*buf = canon.AppendCanonical((*buf)[:0], event, canon.StripEvent)
	digest := sha256.Sum256(*buf)
	if cap(*buf) <= 64<<10 { // a rare giant shall not stay in an idle daemon
		eventBuffers.Put(buf)
	}
	return digest
}
