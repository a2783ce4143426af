package identity

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
)

func TestReadCard(t *testing.T) {
	card, k := freshAlice(t)
	info, err := ReadCard(card)
	if err != nil {
		t.Fatal(err)
	}
	want := CardInfo{"did:wire:alice-56475aa7", "alice", k.Public(), "alice:56475aa7", []string{"wire/v3.1"}}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Error(diff)
	}
	edited := func(field string, v any) canon.Doc {
		c := maps.Clone(card)
		c[field] = v
		return c
	}
	for _, c := range []struct {
		field   string
		value   any
		problem string
	}{
		{"did", nil, "missing field: did"},
		{"verify_keys", nil, "missing field: verify_keys[*].key"},
		{"verify_keys", canon.Doc{"a": "junk"}, "missing field: verify_keys[*].key"},
		{"handle", uint64(1), ""},
		{"capabilities", []any{uint64(1)}, ""},
	} {
		info, err := ReadCard(edited(c.field, c.value))
		if c.problem != "" {
			same(t, c.field, verdict(err), c.problem)
			continue
		}
		if err != nil || info.Handle != "alice" {
			t.Errorf("%s=%v: %+v %v", c.field, c.value, info, err)
		}
	}
	info, err = ReadCard(edited("verify_keys", canon.Doc{"bare": canon.Doc{"key": "AAAA"}}))
	if err != nil || info.Public != nil || info.KeyID != "bare" {
		t.Errorf("short key: %+v %v", info, err)
	}
}

func TestCheckOwner(t *testing.T) {
	_, k := freshAlice(t)
	edit := func(field string, v any) canon.Doc {
		card := NewCard("alice", "", k.Public())
		if v == nil {
			delete(card, field)
		} else {
			card[field] = v
		}
		return SignCard(card, k)
	}
	for _, c := range []struct {
		name, want string
		card       canon.Doc
	}{
		{"fresh", "ok", edit("name", "Alice")},
		{"legacy DID", "ok", edit("did", "did:wire:alice")},
		{"no handle", "ok", edit("handle", nil)},
		{"handle disagrees", `handle "mallory" and DID "did:wire:alice-56475aa7" disagree`, edit("handle", "mallory")},
		{"foreign suffix", `DID "did:wire:alice-24f6ed6a" belongs to another key: this one's fingerprint is 56475aa7`, edit("did", "did:wire:alice-24f6ed6a")},
		{"no DID", "missing field: did", edit("did", nil)},
		{"path as handle", `handle must be ASCII alphanumeric / '-' / '_' (got "../x")`, edit("handle", "../x")},
		{"unsigned", "missing field: signature", NewCard("alice", "", k.Public())},
	} {
		info, err := CheckOwner(c.card)
		same(t, c.name, verdict(err), c.want)
		if err == nil && (info.Handle != "alice" || !k.Public().Equal(info.Public)) {
			t.Errorf("%s: %+v", c.name, info)
		}
	}
}
