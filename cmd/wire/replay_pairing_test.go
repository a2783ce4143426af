//go:build linux

package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	atlasHome  = "h/sessions/atlas/"
	boreasHome = "h/sessions/boreas/"
)

var pairingScript = script{
	start: up(localRelay, federationRelay),
	steps: map[string]step{
		"accept-relay-dead": {before: down(federationRelay)},
		"accept-retry":      {before: up(federationRelay)},

		"sister-ack-event":            {home: "$ROOT/h/sessions/atlas", check: eventsIn(atlasHome + "state/wire/inbox/boreas.jsonl")},
		"sister-without-card":         {before: directory("h/sessions/bare")},
		"sister-without-endpoints":    {before: withoutEndpoints},
		"self-without-endpoints":      {before: renamed(atlasHome+"config/wire/relay.json", atlasHome+"config/wire/away")},
		"sister-relay-flag-ignored":   {before: renamed(atlasHome+"config/wire/away", atlasHome+"config/wire/relay.json")},
		"sister-relay-dead-pin-stays": {before: down(localRelay)},
	},
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
