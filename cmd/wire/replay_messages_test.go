//go:build linux

package main_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"

	"wirefleet.dev/wire/internal/canon"
)

var messagesScript = script{
	start: all(up(localRelay), file("b.json", `{"z": 1, "a": [1, 2.5, null]}`), file("b.txt", "text\n"),
		file("b.bin", "\xff\xfe"), file("w/rel.txt", "rel")),
	steps: map[string]step{
		"pair": {
			row: "mesh-by-files", ours: unchanged("/inbox/", "/pending-inbound-pairs/"),
			after: func(w *world) error { return w.dropped(w.session("atlas"), w.session("boreas")) },
		},
		"send-json-outbox-line": {home: "$ROOT/h/sessions/atlas", check: outboxLine},
		"send-kind-42":          {row: "send-warns-of-kind", ours: says("warning: kind 42 is none that receivers know")},
		"send-kind-0":           {row: "send-warns-of-kind", ours: says("warning: kind 0 is none that receivers know")},
		"send-kind-4294967295":  {row: "send-warns-of-kind", ours: says("warning: kind 4294967295 is none that receivers know")},
		"send-peer-did":         {row: "send-handles-only", ours: refused("error: handle must be ASCII alphanumeric")},
		"send-peer-with-slash":  {row: "send-handles-only", ours: refused("error: handle must be ASCII alphanumeric")},
		"send-peer-dotdot":      {row: "send-handles-only", ours: refused("error: handle must be ASCII alphanumeric")},
		"send-peer-empty":       {row: "send-handles-only", ours: refused("error: handle must not be empty")},
		"pull":                  {row: "requests-do-not-reappear", ours: unchanged("/pending-inbound-pairs/")},
		"send-stdin-not-utf8":   {edit: stdin("\xff\xfe")},
		"send-big-body":         {edit: stdin(strings.Repeat("x", 70000))},
		"send-very-big-body": {
			edit: stdin(strings.Repeat("x", 300000)), row: "send-fits-a-relay", ours: refused("error: the signed event has 300"),
		},
		"send-relay-dead":      {before: down(localRelay)},
		"send-relay-restarted": {before: up(localRelay)},
		"send-1":               {before: removed("h/sessions/atlas/state/wire/outbox/boreas.jsonl")},

		"tail-with-garbage-and-tampered": {before: tampered},

		"monitor-replay-json":                {run: interrupted},
		"monitor-replay-handshake-json":      {run: interrupted, row: "replay-verifies", ours: forgedLast},
		"monitor-replay-all-handshake-types": {run: typesOnly, row: "replay-verifies", ours: forgedLast},
		"monitor-replay-text":                {run: interrupted},
		"monitor-replay-peer-unknown":        {run: provoked("h/sessions/boreas", "ghost")},
		"monitor-uninitialized":              {run: provoked("none", "zed")},
		"live-send":                          {before: monitorStarts},
		"monitor-live": {
			home: "$ROOT/h/sessions/boreas", run: monitorEnds,
			row: "stops-cleanly", ours: exits(0),
		},

		"verify-json":        {before: verifyFiles},
		"verify-stdin":       {run: indentedOnStdin},
		"verify-not-json":    {row: "json-error-words", ours: says("error: $ROOT/b.txt: not valid JSON")},
		"verify-empty-stdin": {row: "json-error-words", ours: says("error: stdin: not valid JSON")},
	},
}

// forgedLast: the last line is an event whose body somebody changed.
func forgedLast(_ *world, r *record) {
	last := len(r.JSONLines) - 1
	r.JSONLines = slices.Clone(r.JSONLines)
	r.JSONLines[last] = bytes.Replace(r.JSONLines[last], []byte(`"verified": true`), []byte(`"verified": false`), 1)
}

// outboxLine holds the line that send queued to the record.
func outboxLine(w *world, r *record) error {
	event, err := lastEvent(w.path("h/sessions/atlas/state/wire/outbox/boreas.jsonl"))
	if err != nil {
		return err
	}
	want, err := parseOrdered(r.All["event"])
	if err != nil {
		return err
	}
	var d differences
	w.diffNode(&d, "event", want, node(event))
	for _, l := range d {
		err = errors.Join(err, errors.New(l))
	}
	if got := strings.Join(event.keys, " "); got != strings.Join(want.(*object).keys, " ") {
		err = errors.Join(err, errors.New("order of keys: "+got))
	}
	return err
}

// tampered adds a line that is not JSON, an empty one, and the last event with another body.
func tampered(w *world) error {
	const inbox = "h/sessions/boreas/state/wire/inbox/atlas.jsonl"
	event, err := lastEvent(w.path(inbox))
	if err != nil {
		return err
	}
	event.values["body"] = "tampered"
	return appended(inbox, "not json\n\n"+show(node(event))+"\n")(w)
}

// typesOnly keeps of each line the type and whether it is verified, as the recorder did.
func typesOnly(w *world, r *record) (result, error) {
	got, err := interrupted(w, r)
	if err != nil {
		return got, err
	}
	var b strings.Builder
	for line := range strings.Lines(got.out) {
		n, err := parseOrdered([]byte(line))
		o, ok := n.(*object)
		if err != nil || !ok {
			return got, errors.New("not JSON: " + line)
		}
		raw, ok := o.values["raw"].(*object)
		if !ok {
			return got, errors.New("no raw event: " + line)
		}
		kept := &object{keys: []string{"type", "verified"}, values: map[string]node{
			"type": raw.values["type"], "verified": o.values["verified"],
		}}
		b.WriteString(show(node(kept)) + "\n")
	}
	got.out = b.String()
	r.KeyOrder = nil
	return got, nil
}

// monitorStarts starts the monitor of monitor-live, which watches what live-send and the next ones do. That it
// replays an event first shows that it is there.
func monitorStarts(w *world) error {
	dir := w.session("boreas").Dir
	p, err := w.start(&record{
		Argv: []string{"wire", "monitor", "--json", "--interval-ms", "50", "--replay", "1"}, Env: map[string]*string{"WIRE_HOME": &dir},
	})
	if err != nil {
		return err
	}
	w.kept["monitor"] = p
	return p.prints(1)
}

func monitorEnds(w *world, _ *record) (result, error) {
	p := w.kept["monitor"].(*running)
	if err := p.prints(2); err != nil {
		return result{}, err
	}
	got, err := p.end(syscall.SIGTERM)
	_, got.out, _ = strings.Cut(got.out, "\n")
	return got, err
}

// verifyFiles makes the files that the verify records read, all from one event of atlas.
func verifyFiles(w *world) error {
	data, err := os.ReadFile(w.path("h/sessions/atlas/state/wire/outbox/boreas.jsonl"))
	if err != nil {
		return err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	w.kept["good"] = line
	edits := map[string]func(canon.Doc){
		"good":              func(canon.Doc) {},
		"body-changed":      func(e canon.Doc) { e["body"] = "changed" },
		"signature-missing": func(e canon.Doc) { delete(e, "signature") },
		"signature-garbage": func(e canon.Doc) { e["signature"] = "garbage" },
		"event-id-changed":  func(e canon.Doc) { e["event_id"] = strings.Repeat("0", 64) },
		"from-unknown":      func(e canon.Doc) { e["from"] = "did:wire:nobody-00000000" },
		"kid-unknown":       func(e canon.Doc) { e["public_key_id"] = "atlas:00000000" },
		"extra-key":         func(e canon.Doc) { e["extra"] = true },
		"from-missing":      func(e canon.Doc) { delete(e, "from") },
		"both-changed":      func(e canon.Doc) { e["body"] = "changed"; e["event_id"] = strings.Repeat("0", 64) },
	}
	for name, edit := range edits {
		v, err := canon.Parse([]byte(line))
		event, ok := v.(canon.Doc)
		if err != nil || !ok {
			return errors.New("no event: " + line)
		}
		edit(event)
		if err := os.WriteFile(w.path(name+".json"), canon.Compact(event), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func indentedOnStdin(w *world, r *record) (result, error) {
	n, err := parseOrdered([]byte(w.kept["good"].(string)))
	if err != nil {
		return result{}, err
	}
	var b strings.Builder
	printNode(&b, n, 2, 0)
	text := b.String()
	r.Stdin = &text
	return w.run(r)
}
