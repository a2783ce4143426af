//go:build linux

package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/home"
)

const (
	atlasHome  = "h/sessions/atlas/"
	boreasHome = "h/sessions/boreas/"
)

var pairingScript = script{
	start: up(localRelay, federationRelay),
	steps: map[string]step{
		"status-with-inbound": {
			row: "cursor-never-blocked no-pending-pair-directory",
			ours: together(unchanged("/pending-pair/"), documentOf(func(doc map[string]any) {
				doc["self_relay"].(map[string]any)["last_pulled_event_id"] = "…"
			})),
		},
		"add-again":                   {row: "pins-not-rewritten", ours: unchanged("trust.json")},
		"add-known-domain-no-warning": {row: "pins-not-rewritten", ours: unchanged("trust.json")},
		"add-self": {
			row:  "pairs-with-others",
			ours: refused("wire add: WARN unfamiliar relay domain `example.test`.", "error: refusing to add self (`alice` is this very session)"),
		},

		"pull-b": {row: "cursor-never-blocked", ours: steppedOver(requestStored, false, true, "M b/config/wire/relay.json")},
		"accept-relay-json": {
			row:  "cursor-never-blocked",
			ours: withCursor("f511620052dab45a7cc62766e816b00b9c7f253a438d66184b349f56223dd9c9", "last_pulled_event_id"),
		},
		"pull-a-ack": {row: "pairs-with-others", ours: together(unchanged("alice"), documentOf(func(doc map[string]any) {
			doc["total_seen"], doc["written"] = 1, doc["written"].([]any)[1:]
		}))},
		"pull-b-again-reappears": {
			row:  "requests-do-not-reappear",
			ours: nothingNew("f511620052dab45a7cc62766e816b00b9c7f253a438d66184b349f56223dd9c9"),
		},
		"list-inbound-reappeared": {row: "requests-do-not-reappear", ours: noRequests},

		"pull-c":               {row: "cursor-never-blocked", ours: steppedOver(requestStored, false, true, "M c/config/wire/relay.json")},
		"pull-c-undoes-reject": {row: "rejections-stay", ours: nothingNew("c5ca76f5c268ee8a7e47a5a4fb23fe43bfe51d84c8868349d2ff80a905a044a7")},
		"list-inbound-after-reject-and-pull": {row: "rejections-stay", ours: func(_ *world, r *record) {
			r.Lines, r.Format.Lines = []string{"/^PEER /", "/^" + hostHandle + " /", "wire pair-accept"}, 3
		}},
		"accept-with-domain-text": {before: askedAnew},
		"add-completes-pending": {row: "add-proves-who", ours: refused(
			"wire add: WARN unfamiliar relay domain `other.example`.", "error: well_known_agent_card_a2a failed: 404 Not Found: ",
			"wire pair-accept "+hostHandle,
		)},

		"pull-d":            {row: "cursor-never-blocked", ours: steppedOver(requestStored, false, true, "M d/config/wire/relay.json")},
		"accept-relay-dead": {before: down(federationRelay)},
		"accept-retry":      {before: up(federationRelay), row: "pins-not-rewritten", ours: unchanged("trust.json")},

		"forget-purge-missing-deletes-files": {row: "forget-peer-careful", ours: purgedOnly},
		"forget-text":                        {row: "forget-peer-careful", ours: says("`wire rotate-slot` takes it from them")},
		"forget-self":                        {row: "forget-peer-careful", ours: refused("error: refusing to forget self (`alice` is this very session)")},

		"sister-pull": {row: "cursor-never-blocked", ours: steppedOver(requestStored, false, false, "M "+boreasHome+"config/wire/relay.json")},
		"sister-accept-relay-json": {
			row:  "cursor-never-blocked",
			ours: withCursor("77fd5681d99ff4568033ded7e8209b88546aede2b7a4aa69b3569ea03aaa9338", "last_pulled_event_id", "last_pulled_event_id_local"),
		},
		"sister-ack-event": {home: "$ROOT/h/sessions/atlas", check: eventsIn(atlasHome + "state/wire/inbox/boreas.jsonl")},
		"sister-dual-text": {row: "pins-not-rewritten", ours: unchanged("trust.json")},
		"sister-without-card": {
			before: directory("h/sessions/bare"), row: "os-error-words",
			ours: says("error: reading sister card \"$ROOT/h/sessions/bare/config/wire/agent-card.json\": no such file or directory"),
		},
		"sister-without-endpoints": {before: withoutEndpoints},
		"self-without-endpoints":   {before: renamed(atlasHome+"config/wire/relay.json", atlasHome+"config/wire/away")},
		"sister-relay-flag-ignored": {
			before: renamed(atlasHome+"config/wire/away", atlasHome+"config/wire/relay.json"),
			row:    "pins-not-rewritten", ours: unchanged("trust.json"),
		},
		"sister-relay-dead-pin-stays": {before: down(localRelay)},
	},
}

// requestStored is what our pull adds to the reason of a stranger's drop.
const requestStored = ": pair request stored"

// withCursor: the pull has moved on, so relay.json has its position.
func withCursor(id string, keys ...string) func(*world, *record) {
	return func(_ *world, r *record) {
		var doc map[string]any
		if err := json.Unmarshal(r.Content, &doc); err != nil {
			panic(err) // a record of testdata
		}
		for _, k := range keys {
			doc["self"].(map[string]any)[k] = id
		}
		r.Content, _ = json.Marshal(doc)
		r.FileKeyOrder["self"] = append(slices.Clone(r.FileKeyOrder["self"]), keys...)
		slices.Sort(r.FileKeyOrder["self"])
		r.FileFormat.Lines += len(keys)
	}
}

func noRequests(_ *world, r *record) { r.JSON, r.KeyOrder = json.RawMessage("[]"), nil }

// askedAnew: the peer who was refused adds once more, which counts as another request.
func askedAnew(w *world) error {
	alice, carol := home.At(w.path("a")), home.At(w.path("c"))
	err := w.wire(alice, "add", "carol@127.0.0.1", "--relay", "http://127.0.0.1:"+federationRelay)
	if err == nil {
		err = w.wire(carol, "pull")
	}
	return err
}

// purgedOnly: files went, so that is said, although nothing else was there.
func purgedOnly(_ *world, r *record) {
	r.JSON = json.RawMessage(`{"handle":"bob","purged_files":["$ROOT/a/state/wire/inbox/bob.jsonl","$ROOT/a/state/wire/outbox/bob.jsonl"],` +
		`"removed_from_relay_state":false,"removed_from_trust":false}`)
	r.KeyOrder = nil
}

// withoutEndpoints makes a sister with a card and no relay.json.
func withoutEndpoints(w *world) error {
	card, err := os.ReadFile(w.path("h/sessions/delphi/config/wire/agent-card.json"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(w.path("h/sessions/noend/config/wire"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(w.path("h/sessions/noend/config/wire/agent-card.json"), card, 0o644)
}

// eventsIn holds the lines of a file to the record's events.
func eventsIn(path string) func(*world, *record) error {
	return func(w *world, r *record) error {
		var want []json.RawMessage
		if one, ok := r.All["event"]; ok {
			want = []json.RawMessage{one}
		} else if err := json.Unmarshal(r.All["events"], &want); err != nil {
			return err
		}
		return w.compareLines(path, want)
	}
}

// compareLines holds the last lines of a file to JSON values.
func (w *world) compareLines(path string, want []json.RawMessage) error {
	data, err := os.ReadFile(w.path(path))
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(w.plain(string(data))), "\n")
	if len(lines) < len(want) {
		return fmt.Errorf("%s has %d lines, want %d", path, len(lines), len(want))
	}
	var d differences
	for i, line := range lines[len(lines)-len(want):] {
		got, err := parseOrdered([]byte(line))
		if err != nil {
			return err
		}
		expected, err := parseOrdered(want[i])
		if err != nil {
			return err
		}
		w.diffNode(&d, fmt.Sprintf("%s[%d]", filepath.Base(path), i), expected, got)
	}
	return d.err()
}

// err is all differences as one error.
func (d differences) err() error {
	var all []error
	for _, line := range d {
		all = append(all, errors.New(line))
	}
	return errors.Join(all...)
}
