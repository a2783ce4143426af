//go:build linux

package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	"wirefleet.dev/wire/internal/home"
)

// all runs steps until one fails.
func all(steps ...func(*world) error) func(*world) error {
	return func(w *world) error {
		for _, s := range steps {
			if err := s(w); err != nil {
				return err
			}
		}
		return nil
	}
}

// file is a preparation that writes a file.
func file(path, text string) func(*world) error {
	return func(w *world) error { return w.write(path, text) }
}

// removed is a preparation that removes files or trees.
func removed(paths ...string) func(*world) error {
	return func(w *world) error {
		for _, p := range paths {
			if err := os.RemoveAll(w.path(p)); err != nil {
				return err
			}
		}
		return nil
	}
}

// appended is a preparation that adds to a file.
func appended(path, text string) func(*world) error {
	return func(w *world) error {
		data, err := os.ReadFile(w.path(path))
		if err != nil {
			return err
		}
		return os.WriteFile(w.path(path), append(data, text...), 0o600)
	}
}

// up and down are relays started and stopped.
func up(ports ...string) func(*world) error {
	return func(w *world) error {
		for _, p := range ports {
			if err := w.relay(p); err != nil {
				return err
			}
		}
		return nil
	}
}

func down(port string) func(*world) error { return func(w *world) error { return w.relayDown(port) } }

// keepLines keeps the lines of a file that have a text.
func keepLines(path, text string) func(*world) error {
	return func(w *world) error {
		data, err := os.ReadFile(w.path(path))
		if err != nil {
			return err
		}
		var kept bytes.Buffer
		for _, l := range bytes.SplitAfter(data, []byte("\n")) {
			if bytes.Contains(l, []byte(text)) {
				kept.Write(l)
			}
		}
		return os.WriteFile(w.path(path), kept.Bytes(), 0o600)
	}
}

// editJSON changes a JSON file of objects.
func editJSON(path string, change func(doc map[string]any)) func(*world) error {
	return func(w *world) error {
		data, err := os.ReadFile(w.path(path))
		if err != nil {
			return err
		}
		var doc map[string]any
		if err := json.Unmarshal(data, &doc); err != nil {
			return err
		}
		change(doc)
		if data, err = json.MarshalIndent(doc, "", "  "); err != nil {
			return err
		}
		return os.WriteFile(w.path(path), data, 0o600)
	}
}

// stdin puts in an input that the record only describes.
func stdin(text string) func(*world, *record) { return func(_ *world, r *record) { r.Stdin = &text } }

// unchanged takes out of files_changed what we do not write: lines with one of the texts.
func unchanged(texts ...string) func(*world, *record) {
	return func(_ *world, r *record) {
		kept := []string{}
		for _, line := range r.Changed {
			has := false
			for _, t := range texts {
				has = has || strings.Contains(line, t)
			}
			if !has {
				kept = append(kept, line)
			}
		}
		r.Changed = kept
	}
}

// says is what we print on stderr instead.
func says(texts ...string) func(*world, *record) {
	return func(_ *world, r *record) { r.Stderr = texts }
}

// together does several edits.
func together(edits ...func(*world, *record)) func(*world, *record) {
	return func(w *world, r *record) {
		for _, e := range edits {
			e(w, r)
		}
	}
}

// copied is a preparation that copies a file.
func copied(from, to string) func(*world) error {
	return func(w *world) error {
		data, err := os.ReadFile(w.path(from))
		if err != nil {
			return err
		}
		return os.WriteFile(w.path(to), data, 0o644)
	}
}

// hasFiles holds a tree to the record's list of files.
func (w *world) hasFiles(r *record) error {
	var want []string
	if err := json.Unmarshal(r.All["files"], &want); err != nil {
		return err
	}
	var d differences
	for _, path := range want {
		if _, err := os.Stat(w.path(path)); err != nil && !ourOwn(path) {
			d.add("%v", err)
		}
	}
	return d.err()
}

// refused is what we say where the reference does something: an error, and nothing changed.
func refused(texts ...string) func(*world, *record) {
	return func(_ *world, r *record) {
		failed := 1
		r.Exit, r.JSON, r.JSONLines, r.Lines, r.Format = &failed, nil, nil, []string{}, nil
		r.Stderr, r.Changed = texts, []string{}
	}
}

// provoked is for commands that have nothing to say and do not end: it starts one, lets events arrive from a
// peer of that home, sees that the command tells of them and of nothing else, and ends it.
func provoked(dir, peer string) func(*world, *record) (result, error) {
	return func(w *world, r *record) (result, error) {
		s := home.At(w.path(dir))
		created := !s.Exists()
		p, err := w.start(r)
		if err != nil {
			return result{}, err
		}
		probes, err := p.provoke(s, peer)
		if err != nil {
			return result{}, err
		}
		got, err := p.end(syscall.SIGTERM)
		if err != nil {
			return got, err
		}
		if n := strings.Count(got.out, "\n"); n != probes {
			return got, fmt.Errorf("%d lines, want %d:\n%s", n, probes, got.out)
		}
		got.out, got.changed = "", slices.DeleteFunc(got.changed, func(c string) bool {
			return strings.HasSuffix(c, "/state/wire/inbox/") || strings.HasSuffix(c, "/notify.cursor")
		})
		if created {
			err = os.RemoveAll(s.Dir)
		}
		return got, err
	}
}

// provoke lets one event after the other arrive from a peer until the command tells of one, for the first may
// come before it looks; then it waits for the last of them, takes all away, and says how many were told.
func (p *running) provoke(s home.Session, peer string) (told int, err error) {
	inbox, err := s.Inbox(peer)
	if err == nil {
		err = os.MkdirAll(s.InboxDir(), 0o755)
	}
	if err != nil {
		return 0, err
	}
	id := func(n int) string { return fmt.Sprintf("%064x", 0xba000000+n) }
	sent := 0
	err = until(func() error {
		data, err := os.ReadFile(p.out)
		if err != nil {
			return err
		}
		if sent > 0 && bytes.Contains(data, []byte(id(sent))) && data[len(data)-1] == '\n' {
			told = bytes.Count(data, []byte("\n"))
			return nil
		}
		if len(data) == 0 {
			sent++
			line := fmt.Sprintf(`{"body":"probe","event_id":%q,"from":"did:wire:%s-00000000","kind":1001,"timestamp":"2026-01-01T00:00:00Z","type":"claim"}`, id(sent), peer)
			err = home.AppendLines(inbox, [][]byte{[]byte(line)}, false)
		}
		return errors.Join(err, fmt.Errorf("%d events arrived, and it printed %q", sent, data))
	})
	if err != nil {
		_, _ = p.end(syscall.SIGKILL)
		return 0, err
	}
	return told, os.Remove(inbox)
}

// documentOf changes the record's JSON line. What is in it has the keys of ours then, in our order.
func documentOf(change func(doc map[string]any)) func(*world, *record) {
	return func(_ *world, r *record) {
		var doc map[string]any
		if err := json.Unmarshal(r.JSON, &doc); err != nil {
			panic(err) // a record of testdata
		}
		change(doc)
		r.JSON, _ = json.Marshal(doc)
		maps.DeleteFunc(r.KeyOrder, func(path string, _ json.RawMessage) bool { return path != "" })
	}
}

// asJSON is a JSON text of the tests as documentOf wants it.
func asJSON(text string) (v any) {
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		panic(err)
	}
	return v
}

// steppedOver: a pull records what it cannot accept, with a note, and goes on behind it. The cursor is that of
// the federation slot.
func steppedOver(note string, transient, federated bool, changed ...string) func(*world, *record) {
	return together(documentOf(func(doc map[string]any) {
		doc["cursor_blocked"] = false
		for _, r := range doc["rejected"].([]any) {
			rejected := r.(map[string]any)
			rejected["blocks_cursor"], rejected["transient"] = false, transient
			rejected["reason"] = rejected["reason"].(string) + note
			if federated {
				doc["cursor_advanced_to"] = rejected["event_id"]
			}
		}
	}), func(_ *world, r *record) { r.Changed = append(r.Changed, changed...) })
}

// nothingNew: a pull of a slot that was read before.
func nothingNew(cursor string) func(*world, *record) {
	return together(documentOf(func(doc map[string]any) {
		doc["cursor_advanced_to"], doc["cursor_blocked"] = cursor, false
		doc["rejected"], doc["written"], doc["total_seen"] = []any{}, []any{}, 0
	}), func(_ *world, r *record) { r.Changed = []string{} })
}

// tokenOf makes a token that only a record's argv has stand for that of a home's slot.
func tokenOf(home, theirs string) func(*world) error {
	return func(w *world) error {
		data, err := os.ReadFile(w.path(home, "config/wire/relay.json"))
		if err != nil {
			return err
		}
		var doc struct {
			Self struct {
				Token string `json:"slot_token"`
			} `json:"self"`
		}
		if err := json.Unmarshal(data, &doc); err != nil {
			return err
		}
		w.bind(theirs, doc.Self.Token)
		return nil
	}
}

// fails is exit status 1 with the same output.
func fails(_ *world, r *record) {
	failed := 1
	r.Exit = &failed
}

// done is exit status 0.
func done(_ *world, r *record) {
	ok := 0
	r.Exit = &ok
}

// alsoChanged adds lines to files_changed.
func alsoChanged(lines ...string) func(*world, *record) {
	return func(_ *world, r *record) { r.Changed = append(r.Changed, lines...) }
}
