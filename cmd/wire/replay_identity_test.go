//go:build linux

package main_test

import (
	"os"
)

var identityScript = script{
	start: up(federationRelay),
	steps: map[string]step{
		"init-handle-bad-5": {row: "init-keeps-keys", ours: refused("error: handle must not be empty")},
		"init-card-only-present": {
			before: file("f4/config/wire/agent-card.json", "{}"), row: "init-keeps-keys",
			ours: refused("error: $ROOT/f4/config/wire has a card without its private.key"),
		},
		"init-home-not-writable": {before: file("f5", "")},
		"pin-json":               {before: cardFiles},
		"pin-again":              {row: "pins-not-rewritten", ours: unchanged("trust.json")},
		"pin-not-json":           {row: "json-error-words", ours: says("error: parsing $ROOT/notjson: ")},
		"pin-own-card":           {row: "pairs-with-others", ours: refused("error: refusing to add self (`alice` is this very session)")},
		"claim-relay-ignored-when-bound": {
			row:  "says-which-relay",
			ours: says("wire claim: this session is bound to http://127.0.0.1:8770, so the nick is claimed there, not on http://127.0.0.1:9"),
		},
		"whois-unknown": {
			row:  "relay-words",
			ours: says("error: well_known_agent_card_a2a failed: 404 Not Found: {\"error\":\"nick not claimed on this relay\"}"),
		},
		"peers-json-odd-entries": {before: editJSON("a/config/wire/trust.json", func(doc map[string]any) {
			agents := doc["agents"].(map[string]any)
			carol := agents["carol"].(map[string]any)
			delete(carol, "tier")
			delete(carol, "card")
			agents["zoe"] = map[string]any{"tier": "TRUSTED", "did": "did:wire:zoe"}
			agents["empty"] = map[string]any{}
		})},
		"peers-trust-corrupt": {
			before: file("a/config/wire/trust.json", "{"), row: "json-error-words",
			ours: says("error: $ROOT/a/config/wire/trust.json: does not parse: "),
		},
	},
}

// cardFiles are the cards that the pin records read: two good ones, one with another name under the same
// signature, and two files that are none.
func cardFiles(w *world) error {
	for to, from := range map[string]string{"bob.json": "b", "carol.json": "c", "mal.json": "b"} {
		data, err := os.ReadFile(w.path(from, "config/wire/agent-card.json"))
		if err == nil {
			err = os.WriteFile(w.path(to), data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return all(
		editJSON("mal.json", func(doc map[string]any) { doc["name"] = "Mallory" }),
		file("notjson", "not json"), file("noobj.json", "{}"),
	)(w)
}
