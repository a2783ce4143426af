package identity

import (
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// everything an exchange between alice and her sister bob needs.
func exchange(tb testing.TB) (event, card, trust canon.Doc, k Key) {
	tb.Helper()
	k, err := KeyFromSeed(make([]byte, 32))
	if err != nil {
		tb.Fatal(err)
	}
	card = SignCard(NewCard("alice", "", k.Public()), k)
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	handle, pin, err := PinRecord(card, TierVerified, now, nil)
	if err != nil {
		tb.Fatal(err)
	}
	event = SignEvent(canon.Doc{
		"schema_version": "v3.1", "timestamp": FormatTime(now), "from": card["did"], "to": string(LegacyDID("bob")),
		"type": "claim", "kind": uint64(KindClaim), "body": "hello",
	}, k, DID(card["did"].(string)))
	return event, card, canon.Doc{"agents": canon.Doc{handle: pin}}, k
}

func BenchmarkVerifyEvent(b *testing.B) {
	event, _, trust, _ := exchange(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := VerifyEvent(event, trust); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRefuseEvent is the dearest refusal: the point is decoded to find the reason.
func BenchmarkRefuseEvent(b *testing.B) {
	event, card, trust, _ := exchange(b)
	event["signature"] = card["signature"]
	b.ReportAllocs()
	for b.Loop() {
		if VerifyEvent(event, trust) == nil {
			b.Fatal("accepted")
		}
	}
}

func BenchmarkSignEvent(b *testing.B) {
	event, card, _, k := exchange(b)
	b.ReportAllocs()
	for b.Loop() {
		SignEvent(event, k, DID(card["did"].(string)))
	}
}

func BenchmarkCheckOwner(b *testing.B) {
	_, card, _, _ := exchange(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := CheckOwner(card); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPinRecord(b *testing.B) {
	_, card, _, _ := exchange(b)
	now := time.Now()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		_, rec, err := PinRecord(card, TierVerified, now, nil)
		if err != nil {
			b.Fatal(err)
		}
		buf = canon.AppendPretty(buf[:0], rec, 2)
	}
}
