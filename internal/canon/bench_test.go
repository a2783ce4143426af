package canon

import (
	"encoding/json"
	"fmt"
	"testing"
)

// fleet is a trust.json with n pins, of the size and shape that a mesh of n sessions has.
func fleet(n int) Doc {
	agents := Doc{}
	for i := range n {
		handle := fmt.Sprintf("session-%03d", i)
		agents[handle] = pin(handle, i)
	}
	return Doc{"agents": agents, "version": uint64(1)}
}

func pin(handle string, i int) Doc {
	const key = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
	id := fmt.Sprintf("%s:%08x", handle, i)
	did := fmt.Sprintf("did:wire:%s-%08x", handle, i)
	return Doc{
		"card": Doc{
			"capabilities": []any{"wire/v3.1"}, "did": did, "handle": handle, "name": "S" + handle[1:],
			"policies": Doc{"max_message_body_kb": uint64(64)}, "schema_version": "v3.1",
			"signature":   "BCDfu9cg0ijzXpqedEL/+0F1qwHTcj4RbGxcogkopxbY/xCJhqnwBwXuVcXa2i+Kx6TIWoM/lCv30p2gHrQBCw==",
			"verify_keys": Doc{"ed25519:" + id: Doc{"active": true, "alg": "ed25519", "key": key}},
		},
		"did": did, "pinned_at": "2026-01-02T03:04:05.123456789Z",
		"public_keys": []any{Doc{"active": true, "added_at": "2026-01-02T03:04:05.123456789Z", "key": key, "key_id": id}},
		"tier":        "VERIFIED",
	}
}

const event = `{"body":"hello","event_id":"e40c5e33d1822eb6da49de2aa7663ce3aa430fed67fa6595a5ff187e1ff5b056","from":"did:wire:alice-56475aa7","kind":1,"public_key_id":"alice:56475aa7","schema_version":"v3.1","signature":"/muc+VbeTb2yxe49dcoHZiJj7tmybzF3NWFlG1Xa7M1+QlZ3L/S2Fqs07Nwjk8NCmfPsgUsRhVw4n4gpuYfOBA==","timestamp":"2026-01-02T03:04:05Z","to":"did:wire:bob","type":"decision"}`

func BenchmarkTrust410(b *testing.B) {
	tree := fleet(410)
	text := Pretty(tree)
	bench := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
	bench("Valid", func() { check(b, Valid(text)) })
	bench("ReadSpans", func() {
		_, err := ReadSpans(text, "agents")
		check(b, err)
	})
	bench("Members", func() {
		s, err := ReadSpans(text, "agents")
		check(b, err)
		for range s.Members("agents") {
		}
	})
	bench("Parse", func() {
		_, err := Parse(text)
		check(b, err)
	})
	bench("Pretty", func() { Pretty(tree) })
	bench("Compact", func() { Compact(tree) })
	bench("encoding-json", func() {
		var v any
		check(b, json.Unmarshal(text, &v))
	})
	raw := AppendPretty(nil, pin("session-000", 7), 2)
	bench("Set400", func() {
		s, err := ReadSpans(text, "agents")
		check(b, err)
		for i := range 400 {
			s.Set(raw, "agents", fmt.Sprintf("session-%03d", i))
		}
		s.Bytes()
	})
	bench("Insert400", func() {
		s, err := ReadSpans(text, "agents")
		check(b, err)
		for i := range 400 {
			s.Set(raw, "agents", fmt.Sprintf("session-%03dx", i))
		}
		s.Bytes()
	})
}

func BenchmarkEvent(b *testing.B) {
	tree, err := Parse([]byte(event))
	check(b, err)
	b.Run("Parse", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(event)))
		for b.Loop() {
			_, err := Parse([]byte(event))
			check(b, err)
		}
	})
	b.Run("Canonical", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(event)))
		var buf []byte
		for b.Loop() {
			buf = AppendCanonical(buf[:0], tree, StripEvent)
		}
	})
}

func check(b *testing.B, err error) {
	if err != nil {
		b.Fatal(err)
	}
}
