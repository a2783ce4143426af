package identity

import (
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

func TestTrustDocuments(t *testing.T) {
	var file struct {
		Documents []struct {
			Name, Document string
			PrettySHA256   string `json:"pretty_sha256"`
		}
		Crashes []struct{ Case, Card string } `json:"pin_crashes"`
		Tiers   []struct {
			Trust string
			Tier  string `json:"tier_of_p"`
		} `json:"tier_lookup"`
		Pretty struct{ Pretty string } `json:"pretty_example"`
	}
	readVectors(t, "trust.json", &file)
	// CheckHandle refuses what must never become a file name (identity.md 2.4, pairing.md Q6).
	refused := "handle with strange characters"
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range file.Documents {
		same(t, c.Name+": pretty", sha(canon.Pretty(parse(t, c.Document))), c.PrettySHA256)
		agents, _ := parseDoc(t, c.Document)["agents"].(canon.Doc)
		for name, rec := range agents {
			card, ok := rec.(canon.Doc)["card"].(canon.Doc)
			if !ok {
				continue
			}
			handle, pin, err := PinRecord(card, Tier(rec), now, nil)
			if c.Name == refused {
				if err == nil {
					t.Errorf("%s: pinned as %q", c.Name, handle)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", c.Name, err)
				continue
			}
			same(t, c.Name+": name", handle, name)
			if c.Name == "promoted" { // by a function that no command calls
				pin["verified_at"] = "2026-01-02T03:04:05Z"
			}
			same(t, c.Name+": record", string(canon.Compact(pin)), string(canon.Compact(rec)))
		}
	}
	for _, c := range file.Crashes {
		card, _ := parse(t, c.Card).(canon.Doc)
		if handle, _, err := PinRecord(card, TierVerified, now, nil); err == nil {
			t.Errorf("%s: pinned as %q", c.Case, handle)
		}
	}
	for _, c := range file.Tiers {
		trust, _ := parse(t, c.Trust).(canon.Doc)
		agents, _ := trust["agents"].(canon.Doc)
		same(t, c.Trust, Tier(agents["p"]), c.Tier)
	}

	var cards struct {
		Built []struct{ Signed string }
	}
	readVectors(t, "cards.json", &cards)
	alice, err := ReadCard(parseDoc(t, cards.Built[0].Signed))
	if err != nil {
		t.Fatal(err)
	}
	trust := NewTrust(alice, now.Add(123456789))
	handle, pin, err := PinRecord(parseDoc(t, cards.Built[1].Signed), TierVerified, now.Add(time.Minute+1500*time.Millisecond), nil)
	if err != nil {
		t.Fatal(err)
	}
	trust["agents"].(canon.Doc)[handle] = pin
	same(t, "pretty example", string(canon.Pretty(trust)), file.Pretty.Pretty)
	same(t, "empty", string(canon.Compact(EmptyTrust())), file.Documents[0].Document)
	same(t, "init", string(canon.Compact(NewTrust(alice, now))), file.Documents[1].Document)
}
