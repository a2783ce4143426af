package identity

import (
	"strings"
	"testing"

	"wirefleet.dev/wire/internal/canon"
)

func TestBuiltCards(t *testing.T) {
	var file struct {
		Built []struct {
			Name, Handle, Seed, Unsigned, Canonical, Signature, Signed string
			CanonicalSHA256                                            string `json:"canonical_sha256"`
		}
	}
	readVectors(t, "cards.json", &file)
	for _, c := range file.Built {
		k := keyOf(t, c.Seed)
		card := parseDoc(t, c.Unsigned)
		if strings.HasPrefix(c.Name, "defaults") {
			same(t, c.Name+": built", string(canon.Compact(NewCard(c.Handle, "", k.Public()))), c.Unsigned)
		} else if c.Name == "given name" {
			same(t, c.Name+": built", string(canon.Compact(NewCard(c.Handle, card["name"].(string), k.Public()))), c.Unsigned)
		}
		before := string(canon.Compact(card))
		bytes := canon.Canonical(card, canon.StripCard)
		same(t, c.Name+": canonical", string(bytes), c.Canonical)
		same(t, c.Name+": hash", sha(bytes), c.CanonicalSHA256)
		signed := SignCard(card, k)
		same(t, c.Name+": signature", signed["signature"].(string), c.Signature)
		same(t, c.Name+": signed", string(canon.Compact(signed)), c.Signed)
		same(t, c.Name+": verify", verdict(VerifyCard(signed)), "ok")
		same(t, c.Name+": argument", string(canon.Compact(card)), before)
	}
}

func TestVerifyCard(t *testing.T) {
	var file struct {
		Verify []struct{ Name, Card, Verdict string }
	}
	readVectors(t, "cards.json", &file)
	for _, c := range file.Verify {
		same(t, c.Name, verdict(VerifyCard(parse(t, c.Card))), c.Verdict)
	}
}
