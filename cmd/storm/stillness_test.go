package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/home"
)

// Whatever a watcher could do at rest fails the proof, and so does one that does not look.
func TestUnmoved(t *testing.T) {
	at := func() rest {
		return rest{map[string]string{"a": "1"}, []proc{{7, 1, "wire daemon"}}, "x\n", 4, 10}
	}
	for name, c := range map[string]struct {
		change func(*rest)
		fails  bool
	}{
		"two passes":        {func(r *rest) { r.passes += 2 }, false},
		"one pass":          {func(r *rest) { r.passes++ }, true},
		"a log line":        {func(r *rest) { r.passes += 2; r.logged += "y\n" }, true},
		"a change":          {func(r *rest) { r.passes += 2; r.changes++ }, true},
		"a file":            {func(r *rest) { r.passes += 2; r.files["b"] = "" }, true},
		"a file gone":       {func(r *rest) { r.passes += 2; delete(r.files, "a") }, true},
		"another process":   {func(r *rest) { r.passes += 2; r.procs[0].PID = 8 }, true},
		"the same pid anew": {func(r *rest) { r.passes += 2; r.procs[0].Start = 2 }, true},
		"a further process": {func(r *rest) { r.passes += 2; r.procs = append(r.procs, proc{9, 1, "wire"}) }, true},
	} {
		after := at()
		c.change(&after)
		if err := at().unmoved(after); (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every write shows in the tree, one that leaves the content as it was, too.
func TestTree(t *testing.T) {
	dir := t.TempDir()
	w := &world{dir: dir, file: filepath.Join(dir, "wire.yaml"), machine: home.Machine{Base: filepath.Join(dir, "wh"), Root: filepath.Join(dir, "wh", "sessions")}}
	put := func(path, text string) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	early := time.Unix(1, 0)
	touch := func(path string) {
		t.Helper()
		if err := os.Chtimes(filepath.Join(dir, path), early, early); err != nil {
			t.Fatal(err)
		}
	}
	put("wire.yaml", "")
	for _, p := range []string{
		"home/x", "work/x", "wh/sessions/watch.lock", "wh/sessions/s00/config/wire/relay.json", "wh/sessions/s00/state/wire/daemon.log",
		"wh/sessions/s00/state/wire/inbox/s01.jsonl", "wh/state/wire-relay/local/pulls.json", "wh/state/wire-relay/local/tokens.json",
	} {
		put(p, "x")
	}
	replace := func(path, text string) func() {
		return func() { put(path+"~", text); _ = os.Rename(filepath.Join(dir, path+"~"), filepath.Join(dir, path)) }
	}
	for _, c := range []struct {
		name  string
		do    func()
		seems bool
	}{
		{"nothing", func() {}, false},
		{"another text", func() { put("wh/sessions/s00/config/wire/relay.json", "y") }, true},
		{"another time", func() { touch("wh/sessions/s00/config/wire/relay.json") }, true},
		{"the same text in place of it", replace("wh/state/wire-relay/local/tokens.json", "x"), true},
		{"an inbox", func() { put("wh/sessions/s00/state/wire/inbox/s01.jsonl", "xx") }, true},
		{"a directory", func() { _ = os.Mkdir(filepath.Join(dir, "wh/sessions/s01"), 0o700) }, true},
		{"the file", func() { put("wire.yaml", "x") }, true},
		{"a working directory", func() { put("work/y", "") }, true},
		{"the moment of a pass", func() { touch("wh/sessions/watch.lock") }, false},
		{"the text of the watch lock", func() { put("wh/sessions/watch.lock", "z") }, true},
		{"a daemon's log", func() { put("wh/sessions/s00/state/wire/daemon.log", "xx") }, false},
		{"the relay's count of pulls", replace("wh/state/wire-relay/local/pulls.json", "z"), false},
	} {
		before, err := w.tree()
		if err != nil {
			t.Fatal(err)
		}
		c.do()
		after, err := w.tree()
		if err != nil {
			t.Fatal(err)
		}
		if files := differing(before, after); (len(files) > 0) != c.seems {
			t.Errorf("%s: %v", c.name, files)
		}
	}
}

func TestTotal(t *testing.T) {
	text := "# HELP wire_changes_total x\nwire_changes_total{kind=\"a b\",result=\"done\"} 3\nwire_changes_total{kind=\"c\",result=\"done\"} 4\nwire_changes_total_x{} 9\n"
	if n, err := total(text, "wire_changes_total"); n != 7 || err != nil {
		t.Error(n, err)
	}
	if _, err := total(text, "wire_passes_total"); err == nil {
		t.Error("no counter, no error")
	}
}
