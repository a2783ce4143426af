package reconcile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/spec"
)

// reloading is a watcher whose file the test writes.
func reloading(t *testing.T, read *Reading) (*Watcher, *[]string) {
	t.Helper()
	dir := t.TempDir()
	m := home.Machine{Root: filepath.Join(dir, "sessions")}
	must(t, m.Ensure())
	var said []string
	w := NewWatcher(Watch{
		Machine: m, File: filepath.Join(dir, "wire.yaml"), Resync: time.Minute,
		Load: func() Reading { return *read },
		Report: func(e Event) {
			if r, ok := e.(Reloaded); ok && r.Err == nil {
				said = append(said, "in force")
			} else if ok {
				said = append(said, r.Err.Error())
			}
		},
	}, *read)
	t.Cleanup(w.follow.close)
	return w, &said
}

// settled writes the file so long ago that it can be read.
func (w *Watcher) settled(t *testing.T) {
	t.Helper()
	put(t, w.File, "")
	must(t, os.Chtimes(w.File, time.Time{}, time.Now().Add(-time.Minute)))
}

func TestReload(t *testing.T) {
	one, two := three(), three()
	two.Sessions = two.Sessions[:2]
	read := Reading{Desired: one, Text: "one", Path: "/p"}
	w, said := reloading(t, &read)
	steps := []struct {
		what    string
		read    Reading
		says    []string
		wanted  *spec.Desired
		refused string
	}{
		{"unchanged", Reading{Desired: one, Text: "one", Path: "/p"}, nil, one, ""},
		{"wrong", Reading{Refused: errors.New("bad")}, []string{"bad"}, one, "bad"},
		{"still wrong", Reading{Refused: errors.New("bad")}, nil, one, "bad"},
		{"wrong otherwise", Reading{Refused: errors.New("worse")}, []string{"worse"}, one, "worse"},
		{"as before", Reading{Desired: one, Text: "one", Path: "/p"}, []string{"in force"}, one, ""},
		{"missing", Reading{Refused: errors.New("no such file")}, []string{"no such file"}, one, "no such file"},
		{"another one", Reading{Desired: two, Text: "two", Path: "/p"}, []string{"in force"}, two, ""},
		{"the same elsewhere", Reading{Desired: two, Text: "two", Path: "/q"}, []string{"in force"}, two, ""},
		{"means something else now", Reading{Desired: one, Text: "two", Path: "/q"}, nil, one, ""},
	}
	for _, s := range steps {
		w.settled(t)
		*said, read = nil, s.read
		w.reload()
		if diff := cmp.Diff(s.says, *said); diff != "" {
			t.Errorf("%s: %s", s.what, diff)
		}
		if w.Wanted() != s.wanted {
			t.Errorf("%s: another file is in force", s.what)
		}
		must(t, w.save())
		if n := w.Machine.ReadWatchNote(); n.Refused != s.refused {
			t.Errorf("%s: the note says %q, want %q", s.what, n.Refused, s.refused)
		}
	}
	if n := w.Machine.ReadWatchNote(); n.Text != "two" || n.Path != "/q" {
		t.Errorf("the note has %q, %q", n.Text, n.Path)
	}
}

// A file that is being written is left alone, whatever woke the watcher.
func TestReloadWaitsForTheFile(t *testing.T) {
	one, two := three(), three()
	read := Reading{Desired: one, Text: "one"}
	w, said := reloading(t, &read)
	put(t, w.File, "half of it")
	read = Reading{Desired: two, Text: "half"}
	w.reload()
	if w.Wanted() != one || len(*said) > 0 || !w.queue.unsettled() {
		t.Errorf("said %q, asked again: %v", *said, w.queue.unsettled())
	}
	w.settled(t)
	w.reload() // it is still in the queue
	if w.Wanted() != one {
		t.Error("read although a trigger waits")
	}
	w.queue = newQueue()
	w.reload()
	if w.Wanted() != two {
		t.Error("not read although it has settled")
	}
	// A clock that was wrong does not keep a file out for ever.
	must(t, os.Chtimes(w.File, time.Time{}, time.Now().Add(time.Hour)))
	read = Reading{Desired: one, Text: "later"}
	w.reload()
	if w.Wanted() != one {
		t.Error("a file of the future is never read")
	}
}

// What no event will announce is tried again ever later, but no more often than the resync.
func TestRetry(t *testing.T) {
	read := Reading{Desired: three()}
	w, _ := reloading(t, &read)
	left := Passed{Summary: Summary{Remaining: Plan{Changes: []Change{create("a")}}}}
	last := time.Duration(0)
	for n := range 12 {
		w.alarm = time.Time{}
		w.retry(left)
		wait := time.Until(w.alarm).Round(50 * time.Millisecond)
		if want := min(time.Minute, firstWait<<n); wait > want || wait < want-time.Second {
			t.Errorf("try %d after %v, want %v", n, wait, want)
		}
		if wait < last {
			t.Errorf("try %d after %v, the one before after %v", n, wait, last)
		}
		last = wait
	}
	w.alarm = time.Time{}
	w.retry(Passed{Summary: Summary{Remaining: Plan{Blocked: []Report{{Subject: "a"}}}}})
	if !w.alarm.IsZero() {
		t.Error("what cannot be repaired is tried again")
	}
	w.retry(Passed{Err: errors.New("no lock")})
	if wait := time.Until(w.alarm); wait > firstWait {
		t.Errorf("the first failure waits %v", wait)
	}
}

// The note is written when it changes, and goes when the watcher ends as it was told.
func TestNote(t *testing.T) {
	read := Reading{Desired: three(), Text: "one"}
	w, _ := reloading(t, &read)
	w.Listen = "127.0.0.1:9"
	put(t, w.Machine.WatchLife(), "")
	must(t, w.introduce())
	if !w.Machine.LastPass().IsZero() {
		t.Error("a pass before the first")
	}
	n := w.Machine.ReadWatchNote()
	if n.PID != os.Getpid() || n.Listen != w.Listen || n.Text != "one" || n.Owner != "laptop" || len(n.Sessions) != 3 {
		t.Errorf("%+v", n)
	}
	at := time.Now().Add(-time.Minute)
	must(t, w.Machine.WriteWatchNote(home.WatchNote{Text: "by hand"}))
	must(t, w.remember(Passed{At: at}))
	if n := w.Machine.ReadWatchNote(); n.Text != "one" {
		t.Error("it is not made again")
	}
	before, err := os.Stat(w.Machine.WatchNoteFile())
	must(t, err)
	must(t, w.remember(Passed{At: at}))
	if after, err := os.Stat(w.Machine.WatchNoteFile()); err != nil || !os.SameFile(before, after) {
		t.Error("it is written although nothing has changed")
	}
	if last := w.Machine.LastPass(); !last.Equal(at) {
		t.Errorf("last pass %v, want %v", last, at)
	}
	must(t, w.remember(Passed{At: time.Now(), Err: errors.New("no")}))
	if last := w.Machine.LastPass(); !last.Equal(at) {
		t.Error("a failed pass counts as one")
	}
	for range crashLoop {
		w.back.fell("api", time.Now(), &process.StartError{PID: 7, Why: "no room", Tail: "a\nb"})
		w.desk.fell("web", time.Now(), errors.New("no\ndesktop"))
	}
	must(t, w.remember(Passed{}))
	if n := w.Machine.ReadWatchNote(); n.Crashes["api"] != (home.Crash{Deaths: crashLoop, Failed: "no room"}) ||
		n.NotifierCrashes["web"] != (home.Crash{Deaths: crashLoop, Failed: "no"}) {
		t.Errorf("%+v", n)
	}
	must(t, os.Remove(w.Machine.WatchNoteFile()))
	w.renote()
	if n := w.Machine.ReadWatchNote(); n.Crashes["api"].Deaths != crashLoop {
		t.Errorf("made again: %+v", n)
	}
	must(t, w.leave())
	must(t, w.leave())
	w.renote()
	if n := w.Machine.ReadWatchNote(); n.PID != 0 {
		t.Errorf("%+v", n)
	}
}
