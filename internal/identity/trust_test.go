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

func TestPinKeepsRetiredKeys(t *testing.T) {
	card, _ := freshAlice(t)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	old := []any{
		canon.Doc{"key_id": "alice:00000000", "key": "old", "active": true, "added_at": "then"},
		canon.Doc{"key_id": "alice:56475aa7", "key": "the id is taken"},
		canon.Doc{"key_id": "alice:00000000", "key": "never read"},
		"junk",
		canon.Doc{"key": "no id"},
	}
	_, rec, err := PinRecord(card, TierVerified, now, old)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "keys", string(canon.Compact(rec["public_keys"])),
		`[{"active":true,"added_at":"2026-01-02T03:04:05Z","key":"A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=","key_id":"alice:56475aa7"},`+
			`{"active":false,"added_at":"then","key":"old","key_id":"alice:00000000"}]`)
	if old[0].(canon.Doc)["active"] != true {
		t.Error("PinRecord changed the old record")
	}
}

// TestShownTier replays what the peers command made of a pin and a relay.json together.
func TestShownTier(t *testing.T) {
	var trust struct {
		Documents []struct{ Name, Document string }
	}
	readVectors(t, "trust.json", &trust)
	documents := map[string]string{}
	for _, d := range trust.Documents {
		documents[d.Name] = d.Document
	}
	var tiers struct {
		Peers []struct {
			Case      string
			Trust     string  `json:"trust_document"`
			RelayJSON *string `json:"relay_json"`
			Peers     []struct{ Handle, Tier string }
		} `json:"peers_command"`
	}
	readVectors(t, "tiers.json", &tiers)
	for _, c := range tiers.Peers {
		agents, _ := parseDoc(t, documents[c.Trust])["agents"].(canon.Doc)
		var peers canon.Doc
		if c.RelayJSON != nil {
			relay, _ := canon.ParseObject([]byte(*c.RelayJSON)) // one is broken and counts as empty
			peers, _ = relay["peers"].(canon.Doc)
		}
		for _, shown := range c.Peers {
			peer, _ := peers[shown.Handle].(canon.Doc)
			token, _ := peer["slot_token"].(string)
			same(t, c.Case, ShownTier(agents[shown.Handle], NewToken(token)), shown.Tier)
		}
	}
}
