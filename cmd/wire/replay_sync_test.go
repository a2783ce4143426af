//go:build linux

package main_test

import (
	"fmt"
	"strings"
	"syscall"
)

const (
	atlasOutbox = "h/sessions/atlas/state/wire/outbox/"
	syncCorvus  = "h/sessions/corvus/state/wire/"
)

var syncScript = script{
	start: up(localRelay, federationRelay),
	steps: map[string]step{
		"pull-bound-but-no-endpoint": {before: file("u/config/wire/relay.json",
			`{"peers": {}, "self": {"relay_url": "http://127.0.0.1:8771"}}`)},
		"pair": {row: "mesh-by-files", ours: unchanged("/inbox/", "/pending-inbound-pairs/"), after: handshakesOfFour},

		"push-fqdn-outbox-warning": {
			before: file(atlasOutbox+"boreas@wireup.net.jsonl", "{}\n"), after: removed(atlasOutbox + "boreas@wireup.net.jsonl"),
		},
		"push-garbage-lines":        {before: appended(atlasOutbox+"boreas.jsonl", "garbage\n{\"x\":1}\n")},
		"send-big":                  {before: keepLines(atlasOutbox+"boreas.jsonl", `"one"`), edit: stdin(strings.Repeat("x", 270000))},
		"send-unknown-kind":         {before: keepLines(atlasOutbox+"boreas.jsonl", `"one"`)},
		"pull-one-endpoint-dead":    {before: down(localRelay)},
		"daemon-once-json":          {before: up(localRelay)},
		"daemon-json-lines":         {home: "$ROOT/h/sessions/atlas", run: interrupted},
		"daemon-interval-zero":      {home: "$ROOT/h/sessions/atlas", check: intervalZero},
		"notify-once-peer":          {before: removed(syncCorvus + "notify.cursor")},
		"notify-corrupt-cursor":     {before: file(syncCorvus+"notify.cursor", "{")},
		"notify-cursor-past-end":    {before: file(syncCorvus+"notify.cursor", `{"atlas":999999,"delphi":0,"boreas":0}`)},
		"notify-interval-zero":      {run: provoked("h/sessions/corvus", "zed")},
		"daemon-corrupt-relay-json": {before: file("u/config/wire/relay.json", "{")},
	},
}

// handshakesOfFour are the events that the reference's pair-all-local would have sent between the four, and
// the pulls with which it would have fetched them; the last drop was still in delphi's slot.
func handshakesOfFour(w *world) error {
	names := []string{"atlas", "boreas", "corvus", "delphi"}
	for i, a := range names {
		for _, b := range names[i+1:] {
			if a == "corvus" && b == "delphi" {
				continue
			}
			if err := w.dropped(w.session(a), w.session(b)); err != nil {
				return err
			}
			if err := w.acked(w.session(b), w.session(a)); err != nil {
				return err
			}
		}
	}
	if err := w.acked(w.session("delphi"), w.session("corvus")); err != nil {
		return err
	}
	for _, n := range names {
		if err := w.wire(w.session(n), "pull"); err != nil {
			return err
		}
	}
	return w.dropped(w.session("corvus"), w.session("delphi"))
}

// intervalZero: it prints 0 and does not spin.
func intervalZero(w *world, r *record) error {
	p, err := w.start(r)
	if err != nil {
		return err
	}
	if err := p.says(1); err != nil {
		return err
	}
	got, err := p.end(syscall.SIGINT)
	if err != nil {
		return err
	}
	if want := "wire daemon: syncing every 0s. SIGINT to stop.\n"; got.err != want {
		return fmt.Errorf("stderr %q, want %q", got.err, want)
	}
	return nil
}
