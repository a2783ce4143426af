package mailbox

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fsnotify/fsnotify"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
)

// store appends to an inbox file as a pull does, or any text as it stands.
func (w *world) store(name, from string, text string) {
	w.t.Helper()
	path := must(w.session(name).Inbox(from))
	f := must(os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600))
	must(f.WriteString(text))
	check(f.Close())
}

func (w *world) message(from, body string) string {
	return string(canon.Compact(w.event(from, body))) + "\n"
}

// sweep is what a reader finds: "peer: preview", with "!" in front of what does not verify.
func sweep(t *testing.T, r *Reader) (got []string) {
	t.Helper()
	check(r.Sweep(func(a Arrival) error {
		mark := "!"
		if a.Verified {
			mark = ""
		}
		got = append(got, mark+a.Peer+": "+a.Preview)
		return nil
	}))
	return got
}

func wantSweep(t *testing.T, r *Reader, want ...string) {
	t.Helper()
	if got := sweep(t, r); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestReader is a reader that meets whatever an inbox can hold.
func TestReader(t *testing.T) {
	w := newWorld(t, "web", "api", "doc")
	w.trust("web", "api", must(os.Stat(w.root)).ModTime())
	r := w.box("web").Reader(nil)
	wantSweep(t, r)

	w.store("web", "api", w.message("api", "one")+"no event\n\n")
	w.store("web", "doc", w.message("doc", "who am I"))
	wantSweep(t, r, "api: one", "!doc: who am I")
	wantSweep(t, r)

	// Trust is what it is now, not when the reader began.
	w.trust("web", "doc", must(os.Stat(w.root)).ModTime())
	w.store("web", "doc", w.message("doc", "somebody"))
	wantSweep(t, r, "doc: somebody")

	// A line counts when it is whole.
	two := w.message("api", "two")
	w.store("web", "api", two[:40])
	wantSweep(t, r)
	w.store("web", "api", two[40:])
	wantSweep(t, r, "api: two")

	// One that was refused comes again; what stands before it does not.
	w.store("web", "api", w.message("api", "three")+w.message("api", "four"))
	full := errors.New("full")
	err := r.Sweep(func(a Arrival) error {
		if a.Preview == "four" {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	wantSweep(t, r, "api: four")

	// Another reader goes on where this one stands, or begins behind everything.
	w.store("web", "api", w.message("api", "five"))
	ends := must(w.box("web").Ends())
	wantSweep(t, w.box("web").Reader(r.Offsets()), "api: five")
	wantSweep(t, w.box("web").Reader(ends))
	wantSweep(t, r, "api: five")
}

// TestReaderOfLostFiles: a file that was cut says nothing until there is news; one that went and came is new.
func TestReaderOfLostFiles(t *testing.T) {
	w := newWorld(t, "web", "api")
	w.trust("web", "api", must(os.Stat(w.root)).ModTime())
	path := must(w.session("web").Inbox("api"))
	w.store("web", "api", w.message("api", "one")+w.message("api", "two"))
	r := w.box("web").Reader(home.Offsets{"api": 1 << 40, "ghost": 7})
	wantSweep(t, r)
	w.store("web", "api", w.message("api", "three"))
	wantSweep(t, r, "api: three")
	if _, kept := r.Offsets()["ghost"]; !kept {
		t.Error("the offset of a file that is not there yet is gone")
	}

	half := w.message("api", "half")
	check(os.Truncate(path, 0))
	w.store("web", "api", half[:30])
	wantSweep(t, r)
	if ends := must(w.box("web").Ends()); ends["api"] != 0 {
		t.Errorf("the end is within a line: %v", ends)
	}
	w.store("web", "api", half[30:])
	wantSweep(t, r, "api: half")

	check(os.Remove(path))
	wantSweep(t, r)
	w.store("web", "api", w.message("api", "anew"))
	wantSweep(t, r, "api: anew")

	check(os.WriteFile(path+".new", []byte(w.message("api", "other")+w.message("api", "file")), 0o600))
	check(os.Rename(path+".new", path))
	wantSweep(t, r, "api: other", "api: file")
}

// TestReaderNeedsTrust: with a trust.json that cannot be read nothing is judged, and nothing is lost.
func TestReaderNeedsTrust(t *testing.T) {
	w := newWorld(t, "web", "api")
	w.trust("web", "api", must(os.Stat(w.root)).ModTime())
	whole := must(os.ReadFile(w.session("web").TrustFile()))
	r := w.box("web").Reader(nil)
	w.store("web", "api", w.message("api", "one"))
	check(os.WriteFile(w.session("web").TrustFile(), whole[:50], 0o600))
	var broken *home.FileError
	if err := r.Sweep(func(Arrival) error { t.Error("judged"); return nil }); !errors.As(err, &broken) {
		t.Errorf("%v", err)
	}
	check(os.WriteFile(w.session("web").TrustFile(), whole, 0o600))
	wantSweep(t, r, "api: one")
}

// TestArrival: what a record says of events that lack this or that, and of ones that are long.
func TestArrival(t *testing.T) {
	long := strings.Repeat("ä", 121)
	for _, c := range []struct {
		event canon.Doc
		want  string
	}{
		{canon.Doc{}, `{"peer":"api","event_id":"","kind":"0","body_preview":"","verified":true,"timestamp":"","raw":{}}`},
		{
			canon.Doc{"kind": uint64(1001), "body": nil, "event_id": uint64(1)},
			`{"peer":"api","event_id":"","kind":"1001","body_preview":"null","verified":true,"timestamp":"","raw":{"body":null,"event_id":1,"kind":1001}}`,
		},
		{
			canon.Doc{"type": "note", "body": canon.Doc{"a": uint64(1)}, "timestamp": "t"},
			`{"peer":"api","event_id":"","kind":"note","body_preview":"{\"a\":1}","verified":true,"timestamp":"t","raw":{"body":{"a":1},"timestamp":"t","type":"note"}}`,
		},
		{
			canon.Doc{"body": long},
			`{"peer":"api","event_id":"","kind":"0","body_preview":"` + long[:240] + `","verified":true,"timestamp":"","raw":{"body":"` + long + `"}}`,
		},
	} {
		if got := string(arrivalOf("api", c.event, true).JSON()); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	for _, typ := range []string{"pair_drop", "pair_drop_ack", "heartbeat"} {
		if !arrivalOf("api", canon.Doc{"type": typ}, true).Handshake() {
			t.Errorf("%s is a message", typ)
		}
	}
	evil := arrivalOf("api", canon.Doc{
		"type": "\x1b[2Jclaim", "timestamp": "2026-11-22T20:06:30.1Z", "event_id": strings.Repeat("a", 64),
		"body": "a\nb\r\nc\td\x1b]0;x\x07\u202e\u0085",
	}, false)
	if got, want := evil.Line(), "[2026-11-22T20:06:30] api/\ufffd[2Jclaim (aaaaaaaaaaaa) a b c d\ufffd]0;x\ufffd\ufffd\ufffd"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestFollow: a sweep sees what arrives, with a file watch and without one, from before there is an inbox.
func TestFollow(t *testing.T) {
	for _, c := range []struct {
		name  string
		watch func() (*fsnotify.Watcher, error)
	}{
		{"watched", fsnotify.NewWatcher},
		{"polled", func() (*fsnotify.Watcher, error) { return nil, errors.New("no instance is left") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			newWatcher = c.watch
			defer func() { newWatcher = fsnotify.NewWatcher }()
			w := newWorld(t, "web", "api")
			w.trust("web", "api", must(os.Stat(w.root)).ModTime())
			inbox := w.session("web").InboxDir()
			check(os.Remove(inbox))

			ctx, cancel := context.WithCancel(t.Context())
			got, swept, ended := make(chan string, 10), make(chan struct{}, 100), make(chan error)
			r := w.box("web").Reader(nil)
			go func() {
				ended <- Follow(ctx, w.session("web"), 1e6, func() error {
					select {
					case swept <- struct{}{}:
					default:
					}
					return r.Sweep(func(a Arrival) error { got <- a.Preview; return nil })
				})
			}()
			<-swept
			check(os.Mkdir(inbox, 0o700))
			for _, body := range []string{"one", "two"} {
				w.store("web", "api", w.message("api", body))
				if g := <-got; g != body {
					t.Errorf("got %q, want %q", g, body)
				}
			}
			// The directory goes and comes, as with `forget-peer --purge` by hand.
			check(os.Rename(inbox, inbox+".old"))
			check(os.Mkdir(inbox, 0o700))
			w.store("web", "api", w.message("api", "anew"))
			if g := <-got; g != "anew" {
				t.Errorf("got %q", g)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestFollowEnds when the sweep says so.
func TestFollowEnds(t *testing.T) {
	w := newWorld(t, "web", "api")
	gone := errors.New("the home is gone")
	var once sync.Once
	first := make(chan struct{})
	ended := make(chan error)
	go func() {
		ended <- Follow(t.Context(), w.session("web"), 1e6, func() (err error) {
			err = gone
			once.Do(func() { close(first); err = nil })
			return err
		})
	}()
	<-first
	w.store("web", "api", w.message("api", "one"))
	if err := <-ended; !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}
