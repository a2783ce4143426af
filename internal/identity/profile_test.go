package identity

import (
	"encoding/json"
	"strings"
	"testing"

	"wirefleet.dev/wire/internal/canon"
)

// freshAlice is the card of identity A as init makes it, and her key.
func freshAlice(t *testing.T) (canon.Doc, Key) {
	t.Helper()
	k := keyOf(t, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	return SignCard(NewCard("alice", "", k.Public()), k), k
}

func TestProfileFields(t *testing.T) {
	var file struct {
		Fields []string
		Each   []struct {
			Field, Value string
			Verdict      json.RawMessage
		} `json:"each_field_on_a_fresh_card"`
		Odd []struct{ Case, Set, To, Result string } `json:"odd_existing_profile"`
	}
	readVectors(t, "profile.json", &file)
	same(t, "fields", strings.Join(ProfileFields(), " "), strings.Join(file.Fields, " "))
	card, k := freshAlice(t)
	// What the vectors say was meant, and the reference's words for it elsewhere (vectors/cli, vectors/mcp).
	words := map[string]string{
		"vibe must be an array":         "vibe must be a JSON array of strings",
		"now must be an object or null": "now must be a JSON object with text/since/ttl_secs or null",
		"no @":                          "handle missing '@' separator",
		"nick":                          "won't fit in the books",
		"must be a string":              "handle must be a string",
		"unknown field":                 "unknown profile field ",
	}
	for _, c := range file.Each {
		got, err := SetProfile(card, c.Field, parse(t, c.Value), k)
		var profile string
		if json.Unmarshal(c.Verdict, &profile) == nil {
			if err != nil {
				t.Errorf("%s=%s: %v", c.Field, c.Value, err)
				continue
			}
			same(t, c.Field, string(canon.Compact(got["profile"])), profile)
			same(t, c.Field, verdict(VerifyCard(got)), "ok")
			continue
		}
		var refusal struct{ Error string }
		if err := json.Unmarshal(c.Verdict, &refusal); err != nil {
			t.Fatal(err)
		}
		if err == nil || !strings.Contains(err.Error(), words[refusal.Error]) {
			t.Errorf("%s=%s: %v, want %s", c.Field, c.Value, err, refusal.Error)
		}
	}
	odd := map[string]any{
		"profile is a string": "x", "profile is null": nil, "profile is an array": []any{},
		"profile has other fields and another schema_version": canon.Doc{"mine": []any{1, 2}, "schema_version": "v9"},
	}
	for _, c := range file.Odd {
		start, known := odd[c.Case]
		if !known {
			t.Fatalf("new case %q", c.Case)
		}
		card := canon.Doc{"profile": start}
		got, err := SetProfile(card, c.Set, parse(t, c.To), k)
		if err != nil {
			same(t, c.Case, "error: "+err.Error(), c.Result)
			continue
		}
		same(t, c.Case, string(canon.Compact(got["profile"])), c.Result)
	}
}

func TestProfileSequence(t *testing.T) {
	var file struct {
		Sequence []struct {
			Set, To, Profile string
			Signature        string `json:"card_signature"`
		}
		File string `json:"card_file_after_the_sequence"`
	}
	readVectors(t, "profile.json", &file)
	card, k := freshAlice(t)
	for _, c := range file.Sequence {
		before := string(canon.Compact(card))
		next, err := SetProfile(card, c.Set, ProfileValue(c.To), k)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "argument", string(canon.Compact(card)), before)
		same(t, c.Set+": profile", string(canon.Compact(next["profile"])), c.Profile)
		same(t, c.Set+": signature", next["signature"].(string), c.Signature)
		card = next
	}
	same(t, "file", string(canon.Pretty(card)), file.File)
	if _, err := ClearProfile(card, "vibe", k); err == nil {
		t.Error("vibe was cleared")
	}
}

func TestProfileValue(t *testing.T) {
	for text, want := range map[string]string{
		"42": "42", " 7 ": "7", "hello world": `"hello world"`, `"quoted"`: `"quoted"`, "null": "null",
		`{"a":1.50}`: `{"a":1.5}`, "1E400": `"1E400"`, "": `""`, `"\ud800"`: `"\"\\ud800\""`,
	} {
		same(t, text, string(canon.Compact(ProfileValue(text))), want)
	}
}
