//go:build linux

package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
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
		"status-says-down-while-daemon-lives": {
			before: removed("h/sessions/atlas/state/wire/outbox/ghost.jsonl"),
			row:    "once-leaves-record status-without-tokens",
			ours: together(documentOf(func(doc map[string]any) {
				d := doc["daemon"].(map[string]any)
				d["running"], d["orphans"] = true, []any{}
			}), withoutTokens),
		},
		"pull-for-notify":                   {row: "two-cursor-keys daemon-all-slots", ours: nothingNew("a0b69f9de20b04e62077e8785077da45dc016ec5548ebdd6d8ded65bc97832aa")},
		"second-daemon-once-overwrites-pid": {before: daemonOf("atlas"), row: "once-leaves-record two-cursor-keys", ours: together(unchanged("/daemon.pid"), documentOf(func(doc map[string]any) { doc["pull"] = asJSON(nothingPulled) }))},
		"daemon-once-text":                  {row: "once-leaves-record", ours: unchanged("/daemon.pid")},
		"pid-file-after-once":               {row: "once-leaves-record", check: noRecordOfAtlas},
		"daemon-once-relay-dead-text": {
			row: "call-error-words once-leaves-record",
			ours: together(unchanged("/daemon.pid"), says("wire daemon: single sync cycle, then exit",
				"daemon: mail is waiting: boreas: connect error: POST ", "daemon: pull error: connect error: GET http://127.0.0.1:8771/v1/events/")),
		},
		"daemon-once-relay-dead": {
			row: "posted-once call-error-words once-leaves-record",
			ours: together(unchanged("/daemon.pid", "/pending-pair/"), onceWithoutRelay,
				says("daemon: mail is waiting: boreas: connect error: POST ", "daemon: pull error: connect error: GET http://127.0.0.1:8771/v1/events/")),
		},
		"push-relay-dead-text":     {row: "everything-failed", ours: together(printsOnly("pushed 0 event(s); skipped 4 (nothing was delivered, see --json for detail)"), says("wire push: nothing was delivered: connect error: POST http://127.0.0.1:8771/v1/events/"))},
		"push-relay-dead":          {row: "posted-once everything-failed", ours: together(oneFailed, says("wire push: nothing was delivered: connect error: POST http://127.0.0.1:8771/v1/events/"))},
		"pull-unknown-sender-text": {row: "cursor-never-blocked", ours: printsOnly("pulled 0 event(s); wrote 0; rejected 0")},
		"pull-unknown-sender":      {row: "cursor-never-blocked", ours: steppedOver("", true, true, "M h/sessions/delphi/config/wire/relay.json")},
		"daemon-once-blocked-text": {row: "cursor-never-blocked once-leaves-record requests-do-not-reappear", ours: together(unchanged("h/"), says("wire daemon: single sync cycle, then exit"))},
		"pull-blocked-text":        {row: "cursor-never-blocked", ours: printsOnly("pulled 0 event(s); wrote 0; rejected 0")},
		"pull-blocked-again":       {row: "cursor-never-blocked", ours: pullOf(0, false)},
		"pull-blocked": {
			row: "cursor-never-blocked push-events-only",
			ours: together(documentOf(func(doc map[string]any) {
				doc["cursor_blocked"], doc["total_seen"] = false, 2
				doc["rejected"] = doc["rejected"].([]any)[1:]
				doc["rejected"].([]any)[0].(map[string]any)["blocks_cursor"] = false
			}), alsoChanged("M h/sessions/boreas/config/wire/relay.json")),
		},
		"pull-gets-it": {row: "daemon-all-slots", ours: together(pullOf(0, false), unchanged("h/"), documentOf(func(doc map[string]any) { doc["written"] = []any{} }))},
		"daemon-once-misses-local-slot": {
			row: "daemon-all-slots once-leaves-record",
			ours: together(unchanged("/daemon.pid", "/pending-pair/"), documentOf(func(doc map[string]any) {
				pull := doc["pull"].(map[string]any)
				pull["total_seen"], pull["written"] = 2, asJSON(`[
					{"event_id":"7ba7610b1d9d6a26144060e18be01781f6f83175c829a09c2ac9d4e8d5d0ec82","from":"corvus"},
					{"event_id":"e2a432f91b52a9a0187dbe54b0d64697b888b97dd1f4933db6f3e17de37a4ca2","from":"corvus"}]`)
			}), alsoChanged("M h/sessions/delphi/config/wire/relay.json", "A h/sessions/delphi/state/wire/inbox/corvus.jsonl")),
		},
		"pull-text":             {row: "cursor-never-blocked", ours: printsOnly("pulled 0 event(s); wrote 0; rejected 0")},
		"pull-again":            {row: "cursor-never-blocked", ours: pullOf(0, false)},
		"relay-json-after-pull": {row: "two-cursor-keys", ours: twoCursors},
		"pull-json":             {row: "push-events-only", ours: pullOf(1, false)},
		"push-too-big": {
			before: appended(atlasOutbox+"boreas.jsonl",
				`{"event_id":"e54da44ee9883277344f05aa1471afa0f64b1648062037eba938f178395b9f3c","body":"`+strings.Repeat("x", 270000)+"\"}\n"),
			row: "everything-failed call-error-words",
			ours: together(says("wire push: nothing was delivered: post_event failed: 413 Payload Too Large: "), documentOf(func(doc map[string]any) {
				doc["skipped"].([]any)[1].(map[string]any)["reason"] = "post_event failed: 413 Payload Too Large: the event has …"
			})),
		},
		"daemon-once-unbound-text": {row: "once-leaves-record", ours: unchanged("/daemon.pid")},
		"daemon-once-unbound":      {row: "once-leaves-record no-pending-pair-directory", ours: unchanged("/daemon.pid", "/pending-pair/")},
		"pull-bound-but-no-endpoint": {before: file("u/config/wire/relay.json",
			`{"peers": {}, "self": {"relay_url": "http://127.0.0.1:8771"}}`)},
		"pair": {row: "mesh-by-files", ours: unchanged("/inbox/", "/pending-inbound-pairs/"), after: handshakesOfFour},

		"push-fqdn-outbox-warning": {
			before: file(atlasOutbox+"boreas@wireup.net.jsonl", "{}\n"), after: removed(atlasOutbox + "boreas@wireup.net.jsonl"),
		},
		"push-garbage-lines": {
			before: appended(atlasOutbox+"boreas.jsonl", "garbage\n{\"x\":1}\n"),
			row:    "push-events-only everything-failed",
			ours: together(says("wire push: nothing was delivered: no signed event: it has no event_id"), documentOf(func(doc map[string]any) {
				doc["pushed"] = []any{}
				doc["skipped"] = append(doc["skipped"].([]any), asJSON(`{"event_id":"","peer":"boreas","reason":"no signed event: it has no event_id"}`))
			})),
		},
		"send-big": {
			before: keepLines(atlasOutbox+"boreas.jsonl", `"one"`), edit: stdin(strings.Repeat("x", 270000)),
			row: "send-fits-a-relay", ours: refused("error: the signed event has 270"),
		},
		"send-unknown-kind":         {before: keepLines(atlasOutbox+"boreas.jsonl", `"one"`), row: "send-warns-of-kind", ours: says("warning: kind 4242 is none that receivers know")},
		"pull-one-endpoint-dead":    {before: down(localRelay)},
		"daemon-once-json":          {before: up(localRelay), row: "two-cursor-keys once-leaves-record", ours: together(unchanged("h/"), documentOf(func(doc map[string]any) { doc["pull"] = asJSON(nothingPulled) }))},
		"daemon-json-lines":         {home: "$ROOT/h/sessions/atlas", run: firstLines(3), row: "stops-cleanly two-cursor-keys", ours: together(done, cursorsAside)},
		"daemon-interval-zero":      {home: "$ROOT/h/sessions/atlas", before: stopped("atlas"), row: "daemon-true-interval", check: intervalZero},
		"notify-once-json":          {edit: byPeer},
		"notify-cursor":             {edit: cursorOfCorvus},
		"notify-once-again":         {edit: unchanged("/notify.cursor")}, // written with its keys in another order
		"notify-once-peer":          {before: removed(syncCorvus + "notify.cursor")},
		"notify-cursor-with-peer":   {edit: cursorOfCorvus},
		"notify-corrupt-cursor":     {before: file(syncCorvus+"notify.cursor", "{"), edit: byPeer},
		"notify-cursor-past-end":    {before: file(syncCorvus+"notify.cursor", `{"atlas":999999,"delphi":0,"boreas":0}`)},
		"notify-interval-zero":      {run: provoked("h/sessions/corvus", "zed"), edit: unchanged("/notify.cursor")},
		"daemon-corrupt-relay-json": {before: file("u/config/wire/relay.json", "{"), row: "json-error-words once-leaves-record", ours: together(unchanged("/daemon.pid"), corruptWords)},
	},
}

// byPeer sorts the lines by their inbox file: the reference reads a directory as it comes.
func byPeer(_ *world, r *record) {
	peer := func(line json.RawMessage) string {
		var event struct{ Peer string }
		if err := json.Unmarshal(line, &event); err != nil {
			panic(err) // a record of testdata
		}
		return event.Peer
	}
	slices.SortStableFunc(r.JSONLines, func(a, b json.RawMessage) int { return strings.Compare(peer(a), peer(b)) })
}

// cursorOfCorvus: the cursor stands at the end of each of our files, whose events are as long as their times
// have digits; its keys are in no order.
func cursorOfCorvus(w *world, r *record) {
	at := map[string]int64{}
	for _, peer := range []string{"atlas", "boreas", "delphi"} {
		if info, err := os.Stat(w.path(syncCorvus, "inbox", peer+".jsonl")); err == nil {
			at[peer] = info.Size()
		}
	}
	content, err := json.Marshal(at)
	if err != nil {
		panic(err) // a map of numbers
	}
	r.Content, r.FileKeyOrder = content, nil
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

// pullOf: so many events were seen, and none of them is refused.
func pullOf(seen int, blocked bool) func(*world, *record) {
	return documentOf(func(doc map[string]any) {
		doc["cursor_blocked"], doc["rejected"], doc["total_seen"] = blocked, []any{}, seen
	})
}

// printsOnly is the one line that we print.
func printsOnly(line string) func(*world, *record) {
	return func(_ *world, r *record) { r.Lines, r.Format = []string{line}, &format{Lines: 1, FinalNewline: true} }
}

// oneFailed: what boreas's slot has is a duplicate of it, whether its relay runs or not. Only the last line is
// still to be posted.
var oneFailed = documentOf(func(doc map[string]any) {
	skipped := doc["skipped"].([]any)
	for _, s := range skipped[:len(skipped)-1] {
		item := s.(map[string]any)
		item["reason"], item["endpoint"], item["scope"] = "duplicate", "http://127.0.0.1:8771", "local"
	}
})

// onceWithoutRelay: the same for the daemon, which names no endpoints; the line for corvus is in its local slot
// and is not posted to the other one.
var onceWithoutRelay = documentOf(func(doc map[string]any) {
	push := doc["push"].(map[string]any)
	skipped := push["skipped"].([]any)
	for _, s := range skipped[:len(skipped)-1] {
		s.(map[string]any)["reason"] = "duplicate"
	}
	corvus := push["pushed"].([]any)[0].(map[string]any)
	corvus["reason"] = "duplicate"
	push["pushed"], push["skipped"] = []any{}, append(skipped, corvus)
	doc["pull"].(map[string]any)["error"] = "connect error: GET http://127.0.0.1:8771/v1/events/2e84eae2669839ac0d034c41177a4520?since=…"
})

// corruptWords: the error names the file.
func corruptWords(w *world, r *record) {
	const words = "$ROOT/u/config/wire/relay.json: does not parse"
	documentOf(func(doc map[string]any) {
		doc["pull"].(map[string]any)["error"] = words + "…"
		doc["push"].(map[string]any)["skipped"].([]any)[0].(map[string]any)["error"] = words + "…"
	})(w, r)
	r.Stderr = []string{"daemon: push error: " + words, "daemon: pull error: " + words}
}

// cursorsAside: which event was the last has no part in these lines.
func cursorsAside(_ *world, r *record) {
	for i, line := range r.JSONLines {
		r.JSONLines[i] = cursorText.ReplaceAll(line, []byte(`"cursor_advanced_to": "…"`))
	}
}

var cursorText = regexp.MustCompile(`"cursor_advanced_to":\s*"[0-9a-f]{64}"`)

func noRecordOfAtlas(w *world, _ *record) error {
	if _, err := os.Stat(w.session("atlas").DaemonPID()); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("daemon.pid is there (%v)", err)
	}
	return nil
}

// firstLines lets the command print so many lines, ends it, and keeps these.
func firstLines(n int) func(*world, *record) (result, error) {
	return func(w *world, r *record) (result, error) {
		got, err := interrupted(w, r)
		lines := strings.SplitAfter(got.out, "\n")
		got.out = strings.Join(lines[:min(n, len(lines))], "")
		return got, err
	}
}

// intervalZero: it does not spin.
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
	if want := "wire daemon: syncing every 1s. SIGINT to stop.\n"; got.err != want {
		return fmt.Errorf("stderr %q, want %q", got.err, want)
	}
	return nil
}
