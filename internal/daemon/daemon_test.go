package daemon

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay/relaytest"
)

func TestMessageIsDeliveredAtOnce(t *testing.T) {
	for _, how := range []string{"as the system has it", "by fsnotify"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t, "ada", "bob", "cyd")
			w.weave("ada", "bob")
			for _, name := range []string{"ada", "bob"} {
				spec := w.spec(name, never)
				spec.Env[watching] = how
				w.spawn(spec)
			}
			w.send("ada", "bob", "one")
			w.arrives("bob", "ada", "one")
			w.send("bob", "ada", "two")
			w.send("bob", "ada", "three")
			w.arrives("ada", "bob", "two", "three")
			w.daemon("cyd", never)
			w.weave("ada", "cyd") // a new pin
			w.send("ada", "cyd", "four")
			w.arrives("cyd", "ada", "four")
		})
	}
}

func TestMailFromBeforeTheStartIsDelivered(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	w.weave("ada", "bob")
	w.send("ada", "bob", "early")
	w.daemon("ada", never)
	w.daemon("bob", never)
	w.arrives("bob", "ada", "early")
}

// New pins need no restart: neither the sender's, who gets a route, nor the receiver's, who gets to trust a
// sender whose message it has already.
func TestPinsAreNoticed(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	w.daemon("ada", never)
	w.daemon("bob", never)
	w.route("ada", "bob")
	w.send("ada", "bob", "too soon")
	eventually(t, func() bool {
		data, _ := os.ReadFile(w.session("bob").Quarantine())
		return bytes.Contains(data, []byte("too soon"))
	}, func() string { return "bob never held it back\n" + w.logs() })
	w.weave("ada", "bob")
	w.arrives("bob", "ada", "too soon")
	w.send("bob", "ada", "now")
	w.arrives("ada", "bob", "now")
}

func TestRotatedSlotIsServed(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	w.weave("ada", "bob")
	w.daemon("ada", never)
	w.daemon("bob", never)
	w.send("ada", "bob", "one")
	w.arrives("bob", "ada", "one")
	other := relaytest.Start(t, relaytest.Config{})
	w.bind("bob", w.slot("bob", other, home.Federation))
	w.weave("ada", "bob")
	w.send("ada", "bob", "two")
	w.arrives("bob", "ada", "one", "two")
	eventually(t, func() bool {
		r, _ := w.record("bob")
		return r.RelayURL != nil && *r.RelayURL == other.URL()
	}, func() string { return "the pid record names the old relay" })
}

// A session with two slots hears of mail in either: the reference's daemon serves the flat one only.
func TestBothSlotsAreServed(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	federation := relaytest.Start(t, relaytest.Config{})
	far := w.slot("bob", federation, home.Federation)
	near := w.slot("bob", w.relay, home.Local)
	w.bind("bob", far, near)
	w.weave("ada", "bob")
	w.daemon("ada", never)
	w.daemon("bob", never)
	w.send("ada", "bob", "near")
	w.arrives("bob", "ada", "near")
	w.must(w.session("ada").UpdateRelay(t.Context(), func(r *home.RelayFile) error {
		r.SetPeer("bob", []home.Endpoint{far})
		return nil
	}))
	w.send("ada", "bob", "far")
	w.arrives("bob", "ada", "near", "far")
}

func TestRelayIsAwayForAWhile(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	w.weave("ada", "bob")
	w.daemon("ada", "1s")
	w.daemon("bob", "1s")
	w.send("ada", "bob", "before")
	w.arrives("bob", "ada", "before")
	w.relay.Stop()
	w.send("ada", "bob", "meanwhile")
	for _, name := range []string{"ada", "bob"} {
		eventually(t, func() bool { return strings.Contains(w.log(name), "daemon: pull error:") }, w.logs)
	}
	eventually(t, func() bool { return strings.Contains(w.log("ada"), "daemon: mail is waiting: bob: ") }, w.logs)
	w.relay.Start()
	w.arrives("bob", "ada", "before", "meanwhile")
	w.send("bob", "ada", "after")
	w.arrives("ada", "bob", "after")
	eventually(t, func() bool { return strings.Contains(w.log("bob"), "daemon: pull is well again") }, w.logs)
	for _, name := range []string{"ada", "bob"} {
		if n := strings.Count(w.log(name), "daemon: pull error:"); n != 1 {
			t.Errorf("%s complains %d times of one relay:\n%s", name, n, w.log(name))
		}
	}
}

// A relay that is down does not keep a daemon from being ready, nor one that says nothing for longer than
// the first cycle may take.
func TestReadyWithoutARelay(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	w.weave("ada", "bob")
	w.relay.Stop()
	w.daemon("ada", never)
	if !strings.Contains(w.log("ada"), "daemon: pull error:") {
		t.Errorf("ready before the first cycle:\n%s", w.log("ada"))
	}
	silent := silentListener(t)
	w.bind("bob", nowhere(silent))
	w.daemon("bob", never)
}

func TestWithoutAWatchAPokeWakes(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	w.weave("ada", "bob")
	blind := w.spec("ada", never)
	blind.Env[watching] = "not at all"
	ada := w.spawn(blind)
	w.daemon("bob", never)
	w.send("ada", "bob", "one")
	Poke(w.session("ada"))
	w.arrives("bob", "ada", "one")
	w.create("cyd")
	w.bind("cyd", w.slot("cyd", w.relay, home.Local))
	w.daemon("cyd", never)
	w.weave("ada", "cyd")
	w.send("ada", "cyd", "two")
	Poke(w.session("ada"))
	w.arrives("cyd", "ada", "two")
	w.stop(ada, time.Minute)
	if _, err := os.Lstat(w.session("ada").DaemonPoke()); !os.IsNotExist(err) {
		t.Errorf("its pipe stays: %v", err)
	}
}

func TestPokeDisturbsNobody(t *testing.T) {
	s := home.At(t.TempDir())
	w := &world{t: t}
	Poke(s) // no state directory at all
	w.must(s.Ensure())
	Poke(s)
	w.must(syscall.Mkfifo(s.DaemonPoke(), 0o600))
	Poke(s) // a pipe that a killed daemon left
	w.must(os.Remove(s.DaemonPoke()))
	w.must(os.WriteFile(s.DaemonPoke(), []byte("somebody's"), 0o600))
	Poke(s)
	bell, done := listenForPokes(s.DaemonPoke())
	done()
	select {
	case <-bell:
		t.Error("rung by a file")
	default:
	}
	if data, err := os.ReadFile(s.DaemonPoke()); err != nil || string(data) != "somebody's" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestOneDaemonPerHome(t *testing.T) {
	w := newWorld(t, "ada")
	first := w.daemon("ada", never)
	r, err := process.Spawn(t.Context(), w.spec("ada", never))
	if err != nil || r.Ready || r.Held == nil || r.Held.PID != first.PID {
		t.Fatalf("%+v, %v", r, err)
	}
	if l := *r.Held; l.Build != "v9.9.9-test" || l.Owner != "the tests" || l.StartedBy != "test" || l.Interval != 3600 {
		t.Errorf("%+v", l)
	}
	want := "wire daemon: " + w.session("ada").Dir + " is served already (pid " + strconv.Itoa(first.PID) + ", started by test)\n"
	if log := w.log("ada"); !strings.HasSuffix(log, want) {
		t.Errorf("%s", log)
	}
	if got, _ := w.record("ada"); got.PID != first.PID {
		t.Errorf("the record names %d", got.PID)
	}
}

func TestPidRecord(t *testing.T) {
	w := newWorld(t, "ada")
	i := w.daemon("ada", "1s")
	r, form := w.record("ada")
	card, err := w.session("ada").ReadCard()
	w.must(err)
	if form != process.FormJSON || r.Schema != process.Schema || r.PID != i.PID || r.Version != "0.6.10" || r.Build != "v9.9.9-test" || r.BinPath != i.Exe {
		t.Errorf("%s %+v", form, r)
	}
	if r.DID == nil || *r.DID != card["did"] || r.RelayURL == nil || *r.RelayURL != w.relay.URL() {
		t.Errorf("%+v", r)
	}
	if at, err := time.Parse(time.RFC3339Nano, r.StartedAt); err != nil || at.Before(i.StartedAt.Add(-time.Second)) {
		t.Errorf("started at %q, the process at %v: %v", r.StartedAt, i.StartedAt, err)
	}

	// What the reference may leave there: nothing, rubbish, somebody who is dead, somebody who is no daemon.
	for name, content := range map[string]string{
		"removed": "", "torn": `{"schema": "wire-daem`, "dead": "4194305",
		"stranger": strconv.Itoa(os.Getpid()),
	} {
		if content == "" {
			w.must(os.Remove(w.session("ada").DaemonPID()))
		} else {
			w.must(os.WriteFile(w.session("ada").DaemonPID(), []byte(content), 0o644))
		}
		eventually(t, func() bool {
			again, _ := w.record("ada")
			return again.PID == i.PID && string(again.Text()) == string(r.Text())
		}, func() string { return name + ": not written again\n" + w.logs() })
	}

	w.stop(i, time.Minute)
	if _, form := w.record("ada"); form != process.FormMissing {
		t.Errorf("left behind: %s", form)
	}
	if _, held, _, err := process.ReadLife(w.session("ada").DaemonLife()); held || err != nil {
		t.Errorf("held %v, %v", held, err)
	}
}

// A daemon of the reference may start beside ours and write the record: ours leaves it alone while that one
// lives. A process that looks like a daemon of the home and does not hold its life lock plays it.
func TestRecordOfAnotherDaemonIsLeftAlone(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	d := &daemon{Config: Config{Session: w.session("ada"), Interval: time.Second}, say: newJournal(nil)}
	k, err := d.enter()
	w.must(err)
	other := w.spec("ada", never)
	other.Env[another] = w.session("bob").Dir
	i := w.spawn(other)
	if i.WireHome != w.session("ada").Dir {
		t.Fatalf("WIRE_HOME %q", i.WireHome)
	}
	w.must(process.WriteRecord(w.session("ada").DaemonPID(), process.Record{Schema: process.Schema, PID: i.PID}))
	k.record()
	if r, _ := w.record("ada"); r.PID != i.PID {
		t.Errorf("overwritten with %d while %d lives", r.PID, i.PID)
	}
	k.leave()
	if r, _ := w.record("ada"); r.PID != i.PID {
		t.Errorf("removed although it names %d: %d", i.PID, r.PID)
	}
}

func TestKilledDaemonIsReplaced(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	w.weave("ada", "bob")
	killed := w.daemon("ada", never)
	w.daemon("bob", never)
	w.send("ada", "bob", "one")
	w.arrives("bob", "ada", "one")
	w.stop(killed, 0)
	w.send("ada", "bob", "two")
	next := w.daemon("ada", never)
	w.arrives("bob", "ada", "one", "two")
	if r, _ := w.record("ada"); r.PID != next.PID {
		t.Errorf("the record names %d, not %d", r.PID, next.PID)
	}
}

// A home that is removed under its daemon stays removed (quirk 17, field failure B16).
func TestRemovedHomeEndsTheDaemon(t *testing.T) {
	for how, interval := range map[string]string{"as the system has it": never, "by fsnotify": never, "not at all": "1s"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t, "ada")
			spec := w.spec("ada", interval)
			spec.Env[watching] = how
			i := w.spawn(spec)
			p, err := process.Open(i.PID, i.StartTicks)
			w.must(err)
			defer p.Close()
			gone := filepath.Join(w.root, "gone")
			w.must(os.Rename(w.session("ada").Dir, gone)) // as a whole, so that it cannot write while we delete
			w.must(os.RemoveAll(gone))
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if err := p.Wait(ctx); err != nil {
				t.Fatalf("it lives on: %v", err)
			}
			if _, err := os.Stat(w.session("ada").Dir); !os.IsNotExist(err) {
				t.Errorf("it made the home again: %v", err)
			}
		})
	}
}

func TestNotInitialized(t *testing.T) {
	w := newWorld(t)
	s := w.session("nobody")
	w.must(os.MkdirAll(s.Dir, 0o755))
	spec := w.spec("nobody", never)
	spec.Log = filepath.Join(t.TempDir(), "log")
	_, err := process.Spawn(t.Context(), spec)
	var failed *process.StartError
	if !errors.As(err, &failed) || !strings.Contains(failed.Why, "not initialized") {
		t.Errorf("%v", err)
	}
	if entries, err := os.ReadDir(s.Dir); err != nil || len(entries) != 0 {
		t.Errorf("it made %v, %v", entries, err)
	}
}

func TestEndIsCleanAndLeavesNothing(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	w.weave("ada", "bob")
	before := goleak.IgnoreCurrent()
	for _, json := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		var out lockedBuffer
		go func() {
			done <- Run(ctx, Config{Session: w.session("ada"), Interval: time.Hour, JSON: json, Stdout: &out})
		}()
		w.send("ada", "bob", "x")
		eventually(t, func() bool {
			data, _ := os.ReadFile(w.session("ada").SentFile())
			return bytes.Contains(data, []byte(`"bob"`)) && (!json || out.String() != "")
		}, func() string { return "it never pushed: " + out.String() })
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, before, // and what the relay, which goes on in this process, keeps for a connection
			goleak.IgnoreAnyFunction("net/http.(*conn).serve"), goleak.IgnoreAnyFunction("net/http.(*connReader).backgroundRead"))
		w.must(os.Remove(w.session("ada").SentFile()))
	}
}

// A reader of --json who is gone ends the daemon.
func TestJSONReaderIsGone(t *testing.T) {
	w := newWorld(t, "ada")
	err := Run(t.Context(), Config{Session: w.session("ada"), Interval: time.Hour, JSON: true, Stdout: brokenPipe{}})
	if !errors.Is(err, syscall.EPIPE) {
		t.Errorf("%v", err)
	}
}
