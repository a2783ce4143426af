//go:build linux

package main_test

import (
	"os"
)

var identityScript = script{
	start: up(federationRelay),
	steps: map[string]step{
		"init-card-only-present": {before: file("f4/config/wire/agent-card.json", "{}")},
		"init-home-not-writable": {before: file("f5", "")},
		"pin-json":               {before: cardFiles},
		"peers-json-odd-entries": {before: editJSON("a/config/wire/trust.json", func(doc map[string]any) {
			agents := doc["agents"].(map[string]any)
			carol := agents["carol"].(map[string]any)
			delete(carol, "tier")
			delete(carol, "card")
			agents["zoe"] = map[string]any{"tier": "TRUSTED", "did": "did:wire:zoe"}
			agents["empty"] = map[string]any{}
		})},
		"peers-trust-corrupt": {before: file("a/config/wire/trust.json", "{")},
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
