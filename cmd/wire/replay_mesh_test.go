//go:build linux

package main_test

import (
	"encoding/json"
	"errors"
	"strings"

	"wirefleet.dev/wire/internal/home"
)

// The events that the reference's pair-all-local leaves in each pair's slots.
func handshakes(pairs ...string) func(*world) error {
	return func(w *world) error { return w.handshakes(w.session, pairs...) }
}

func (w *world) handshakes(session func(string) home.Session, pairs ...string) error {
	for _, p := range pairs {
		a, b, _ := strings.Cut(p, "-")
		if err := w.dropped(session(a), session(b)); err != nil {
			return err
		}
		if err := w.acked(session(b), session(a)); err != nil {
			return err
		}
	}
	return nil
}

func pulled(names ...string) func(*world) error {
	return func(w *world) error {
		for _, n := range names {
			if err := w.wire(w.session(n), "pull"); err != nil {
				return err
			}
		}
		return nil
	}
}

// noHandshake: pair-all-local writes no inbox line and no pending request.
var noHandshake = unchanged("/inbox/", "/pending-inbound-pairs/")

var meshScript = script{
	start: up(localRelay, federationRelay),
	steps: map[string]step{
		"pair": {
			row: "mesh-by-files", ours: noHandshake,
			after: all(handshakes("atlas-boreas", "atlas-corvus", "boreas-corvus"), pulled("atlas", "boreas", "corvus")),
		},
		"broadcast-event-received":  {home: "$ROOT/h/sessions/boreas", check: eventsIn(boreasHome + "state/wire/inbox/atlas.jsonl")},
		"routed-event-received":     {home: "$ROOT/h/sessions/boreas", check: eventsIn(boreasHome + "state/wire/inbox/atlas.jsonl")},
		"role-set-empty":            {row: "role-clear-advice", ours: says("error: role must not be empty (use `wire mesh role clear` to unset)")},
		"broadcast-relay-dead":      {before: down(localRelay), row: "nothing-delivered", ours: exits(1)},
		"broadcast-relay-dead-text": {row: "nothing-delivered", ours: exits(1)},
		"route-relay-dead":          {row: "nothing-delivered", ours: exits(1)},
	},
}

// exits is our exit status where it differs.
func exits(code int) func(*world, *record) {
	return func(_ *world, r *record) { r.Exit = &code }
}

var meshStatusScript = script{
	start: up(localRelay, federationRelay, secondRelay),
	steps: map[string]step{
		"pair":                      {row: "mesh-by-files", ours: noHandshake, after: handshakes("atlas-boreas")},
		"stale-threshold-zero-json": {before: silent},
		"pair-2":                    {row: "mesh-by-files", ours: noHandshake, after: handshakes("atlas-corvus", "boreas-corvus")},
		"pair-3": {row: "mesh-by-files", ours: noHandshake, after: handshakes("atlas-boreas", "atlas-eos", "atlas-fauna",
			"boreas-eos", "boreas-fauna", "corvus-eos", "corvus-fauna", "eos-fauna")},
		"one-relay-dead-json":         {before: down(secondRelay)},
		"both-local-relays-dead-json": {before: down(localRelay)},
		"wrong-token-json":            {before: all(up(localRelay), wrongToken)},
		"peer-entry-null-json": {before: editJSON(atlasHome+"config/wire/relay.json", func(doc map[string]any) {
			doc["peers"] = map[string]any{"boreas": nil}
		})},
		"corrupt-card-json": {before: file(boreasHome+"config/wire/agent-card.json", "{")},
		"root-unreadable":   {before: file("bad/sessions", ""), row: "os-error-words", ours: says("error: ", "not a directory")},
	},
}

// silent waits until the last pull is a second ago.
func silent(w *world) error {
	dir := w.path("h")
	return until(func() error {
		got, err := w.run(&record{
			Argv: []string{"wire", "session", "mesh-status", "--json"}, Env: map[string]*string{"WIRE_HOME": &dir},
		})
		if err == nil && strings.Contains(got.out, `"silent_secs":0`) {
			err = errors.New("pulled less than a second ago")
		}
		return err
	})
}

// wrongToken: atlas holds a token of boreas that the relay does not know.
func wrongToken(w *world) error {
	return editJSON(atlasHome+"config/wire/relay.json", func(doc map[string]any) {
		boreas := doc["peers"].(map[string]any)["boreas"].(map[string]any)
		boreas["slot_token"] = "wrong"
		for _, e := range boreas["endpoints"].([]any) {
			e.(map[string]any)["slot_token"] = "wrong"
		}
	})(w)
}

var pairAllScript = script{
	start: up(localRelay, secondRelay),
	steps: map[string]step{
		"status-after-pairing-shows-inbound": {
			row: "mesh-by-files two-cursor-keys status-without-tokens no-pending-pair-directory",
			ours: together(unchanged("/pending-pair/"), documentOf(func(doc map[string]any) {
				doc["self_relay"].(map[string]any)["last_pulled_event_id"] = "…"
				pending := doc["pending_pairs"].(map[string]any)
				pending["inbound_count"], pending["inbound_handles"] = 0, []any{}
			}), withoutTokens),
		},
		"daemon-once-across-relays-delivers": {
			row: "delivers-across-relays two-cursor-keys once-leaves-record",
			ours: together(unchanged("/daemon.pid", "/pending-pair/", "/relay.json"), documentOf(func(doc map[string]any) {
				doc["push"] = asJSON(`{"pushed":[],"skipped":[{"event_id":"639452186082aa69c71d3bdde9d222b452ec10b247cc704c2d69a056dabbcdc3","peer":"delphi","reason":"duplicate"}]}`)
				doc["pull"] = asJSON(nothingPulled)
			})),
		},
		"push-across-relays-skips": {
			row: "delivers-across-relays",
			ours: documentOf(func(doc map[string]any) {
				doc["pushed"] = asJSON(`[{"endpoint":"http://127.0.0.1:8772","event_id":"639452186082aa69c71d3bdde9d222b452ec10b247cc704c2d69a056dabbcdc3","peer":"delphi","scope":"local"}]`)
				doc["skipped"] = asJSON(`[]`)
			}),
		},
		"three-sessions-json": {
			row: "mesh-by-files", ours: noHandshake,
			after: all(handshakes("atlas-boreas", "atlas-corvus", "boreas-corvus"), pulled("atlas", "boreas", "corvus")),
		},
		"relay-json-of-initiator":           {row: "two-cursor-keys", ours: twoCursors},
		"relay-json-of-acceptor":            {row: "two-cursor-keys", ours: twoCursors},
		"inbox-of-initiator":                {home: "$ROOT/h", check: inboxOfAtlas},
		"state-tree-of-acceptor-boreas":     {home: "$ROOT/h", check: treeOfBoreas, row: "requests-do-not-reappear", ours: noRequest},
		"half-pair-driven-again":            {row: "mesh-by-files", ours: unchanged("/inbox/", "/pending-inbound-pairs/", "boreas/config/")},
		"different-local-relays-are-paired": {row: "mesh-by-files", ours: noHandshake},
		"dead-relay-of-one-session-json":    {before: down(secondRelay), row: "pairs-without-relay mesh-by-files", ours: together(noHandshake, allPaired)},
		"both-relays-dead-json":             {before: down(localRelay), row: "pairs-without-relay mesh-by-files", ours: together(noHandshake, allPaired, alsoChanged("M h/sessions/fauna/config/wire/relay.json", "M h/sessions/fauna/config/wire/trust.json"))},
		"corrupt-card-of-one-session":       {before: all(up(localRelay), file("h/sessions/fauna/config/wire/agent-card.json", "{")), row: "pairing-error-words", ours: ourWords},
		"directory-name-differs-from-handle": {
			before: renamed("h/sessions/eos", "h/sessions/renamed"),
			row:    "sisters-by-handle pairing-error-words",
			ours: together(unchanged("h/sessions/"), ourWords, documentOf(func(doc map[string]any) {
				for _, n := range doc["results"].([]any) {
					if r := n.(map[string]any); r["from"] != "fauna" && r["to"] != "fauna" {
						r["status"] = "already_paired"
						delete(r, "error")
					}
				}
				doc["pairs_failed"], doc["pairs_succeeded"], doc["pairs_skipped_already_paired"] = 5, 0, 10
			})),
		},
	},
}

// nothingPulled is what a daemon says that has all its mail. Which event was the last has no part in the record.
const nothingPulled = `{"cursor_advanced_to":"…","cursor_blocked":false,"rejected":[],"total_seen":0,"written":[]}`

// allPaired: what failed with the reference is paired.
var allPaired = documentOf(func(doc map[string]any) {
	for _, n := range doc["results"].([]any) {
		if r := n.(map[string]any); r["status"] == "failed" {
			r["status"] = "paired"
			delete(r, "error")
			doc["pairs_failed"] = doc["pairs_failed"].(float64) - 1
			doc["pairs_succeeded"] = doc["pairs_succeeded"].(float64) + 1
		}
	}
})

// ourWords: an error names the file and what is wrong with it.
var ourWords = documentOf(func(doc map[string]any) {
	for _, n := range doc["results"].([]any) {
		if r := n.(map[string]any); r["error"] != nil {
			r["error"] = "fauna: $ROOT/h/sessions/fauna/config/wire/agent-card.json: does not parse…"
		}
	}
})

// inboxOfAtlas holds the last line from boreas to the record's.
func inboxOfAtlas(w *world, r *record) error {
	return eventsIn(atlasHome+"state/wire/inbox/boreas.jsonl")(w, r)
}

// noRequest: no request of somebody who is pinned.
func noRequest(_ *world, r *record) {
	r.All["files"] = json.RawMessage(strings.Replace(string(r.All["files"]), "/pending-inbound-pairs/", "/trash/", 1))
}

// treeOfBoreas: the acceptor has the record's files.
func treeOfBoreas(w *world, r *record) error { return w.hasFiles(r) }
