package pairing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
)

// inPlace writes a file as the reference does: truncated, then filled, no lock.
func inPlace(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err != nil {
		return err
	}
	return f.Close()
}

func relayPath(s home.Session) string { return filepath.Join(s.ConfigDir(), "relay.json") }

func lock(t testing.TB, s home.Session) (unlock func()) {
	t.Helper()
	unlock, err := home.Lock(context.Background(), filepath.Join(s.ConfigDir(), "relay.lock"))
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}

// withCursor is a relay.json with another cursor, from a text that may be old by now.
func withCursor(data []byte, n int) ([]byte, error) {
	doc, err := canon.ParseObject(data)
	if err != nil {
		return nil, err
	}
	doc["self"].(canon.Doc)["last_pulled_event_id_local"] = cursor(n)
	return canon.Pretty(doc), nil
}

func cursor(n int) string {
	sum := sha256.Sum256(fmt.Append(nil, "event ", n))
	return hex.EncodeToString(sum[:])
}

// until waits for a condition on the disk.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("%s: not within 20 s", what)
			return
		}
	}
}

func routed(s home.Session, handle string) bool {
	relay, err := s.ReadRelay()
	if err != nil {
		return false
	}
	_, there := relay.PeerRaw(handle)
	return there
}

// TestOldReadingWrittenBack: an unlocked writer read alpha's relay.json before the weave and writes it back with its
// cursor after alpha was done. The weave reads back, pins again, and the cursor stays.
func TestOldReadingWrittenBack(t *testing.T) {
	root := t.TempDir()
	sessions := []home.Session{
		newSession(t, root, "alpha", "alpha"), newSession(t, root, "beth", "beth"), newSession(t, root, "cora", "cora"),
	}
	// Cora trusts already and lacks only the routes. While her lock is held, the weave stands where alpha's
	// route is written and nothing is read back yet.
	mustWeave(t, sessions, all(3))
	for i, s := range sessions {
		bind(t, s, endpoint(relayURL, home.Local, s.Name))
		if i < 2 {
			identify(t, s, s.Name, s.Name)
		}
	}
	old, err := os.ReadFile(relayPath(sessions[0]))
	if err != nil {
		t.Fatal(err)
	}
	unlock := lock(t, sessions[2])
	var wait sync.WaitGroup
	wait.Go(func() {
		defer unlock()
		until(t, "alpha's route to beth", func() bool { return routed(sessions[0], "beth") })
		late, err := withCursor(old, 7)
		if err == nil {
			err = inPlace(relayPath(sessions[0]), late)
		}
		if err != nil {
			t.Error(err)
		}
		if routed(sessions[0], "beth") {
			t.Error("the late write did not undo the pin: this test shows nothing")
		}
	})
	results := mustWeave(t, sessions, all(3))
	wait.Wait()
	for _, r := range results {
		if r.Err != nil || !r.Changed {
			t.Errorf("%+v", r)
		}
	}
	survey := mustLook(t, sessions)
	for _, e := range all(3) {
		if a, b := survey.Pin(e.A, e.B), survey.Pin(e.B, e.A); a.State != PinGood || b.State != PinGood {
			t.Errorf("%+v, %+v", a, b)
		}
	}
	relay, err := sessions[0].ReadRelay()
	if err != nil {
		t.Fatal(err)
	}
	if got := relay.Cursor(relay.Self()[0]); got != cursor(7) {
		t.Errorf("alpha's cursor is %q, the late writer's was %q", got, cursor(7))
	}
}

// TestRemovedPinWrittenBack is the same for Unpin.
func TestRemovedPinWrittenBack(t *testing.T) {
	root := t.TempDir()
	sessions := []home.Session{
		newSession(t, root, "alpha", "alpha"), newSession(t, root, "beth", "beth"), newSession(t, root, "cora", "cora"),
	}
	mustWeave(t, sessions, all(3))
	did := didOf(t, sessions[1])
	old, err := os.ReadFile(relayPath(sessions[0]))
	if err != nil {
		t.Fatal(err)
	}
	unlock := lock(t, sessions[2])
	var wait sync.WaitGroup
	wait.Go(func() {
		defer unlock()
		until(t, "alpha's route removed", func() bool { return !routed(sessions[0], "beth") })
		if err := inPlace(relayPath(sessions[0]), old); err != nil {
			t.Error(err)
		}
	})
	results, err := UnpinMany(context.Background(), []Removal{
		{From: sessions[0], Handle: "beth", DID: did}, {From: sessions[2], Handle: "beth", DID: did},
	}, 2)
	wait.Wait()
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil || !r.Changed {
			t.Errorf("removal %d: %+v", i, r)
		}
	}
	for _, s := range []home.Session{sessions[0], sessions[2]} {
		if f := recordsOf(t, s, "beth"); f.trust != nil || f.route != nil {
			t.Errorf("%s still has %+v", s.Name, f)
		}
	}
}

// TestStrangerPinnedWhileUnpinning: alpha's route to beth is gone already when a stranger is pinned under her handle.
func TestStrangerPinnedWhileUnpinning(t *testing.T) {
	root := t.TempDir()
	sessions := []home.Session{
		newSession(t, root, "alpha", "alpha"), newSession(t, root, "beth", "beth"), newSession(t, root, "cora", "cora"),
	}
	mustWeave(t, sessions, all(3))
	did := didOf(t, sessions[1])
	stranger := &pinFiles{trust: pinOf(t, "beth", "a stranger"), route: home.PeerRecord([]home.Endpoint{far})}
	unlock := lock(t, sessions[2])
	var wait sync.WaitGroup
	wait.Go(func() {
		defer unlock()
		until(t, "alpha's route removed", func() bool { return !routed(sessions[0], "beth") })
		spoilt(t, sessions[0], stranger)
	})
	_, err := UnpinMany(context.Background(), []Removal{
		{From: sessions[0], Handle: "beth", DID: did}, {From: sessions[2], Handle: "beth", DID: did},
	}, 2)
	wait.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(stranger, recordsOf(t, sessions[0], "beth"), cmp.AllowUnexported(pinFiles{})); d != "" {
		t.Errorf("the stranger's records changed:\n%s", d)
	}
}

// TestCursorsBesideTheMesh weaves while every session's cursor is moved as a daemon of the reference moves it: under
// the lock, but in place. No pin and no cursor is lost.
func TestCursorsBesideTheMesh(t *testing.T) {
	root := t.TempDir()
	var sessions []home.Session
	for i := range 6 {
		name := fmt.Sprintf("agent-%d", i)
		sessions = append(sessions, newSession(t, root, name, name))
	}
	woven := make(chan struct{})
	last := make([]int, len(sessions))
	var writers, started sync.WaitGroup
	for i, s := range sessions {
		started.Add(1)
		writers.Go(func() {
			pace := time.NewTicker(15 * time.Millisecond) // truncating is slow: faster, and the file is always torn
			defer pace.Stop()
			for n := 1; ; n++ {
				if err := moveCursor(s, n-1, n); err != nil {
					t.Errorf("%s: %v", s.Name, err)
				}
				last[i] = n
				if n == 1 {
					started.Done()
				}
				select {
				case <-woven:
					return
				case <-pace.C:
				}
			}
		})
	}
	started.Wait()
	results := mustWeave(t, sessions, all(len(sessions)))
	close(woven)
	writers.Wait()
	for _, r := range results {
		if r.Err != nil || !r.Changed {
			t.Errorf("%+v", r)
		}
	}
	survey := mustLook(t, sessions)
	for i, s := range sessions {
		for j := range sessions {
			if p := survey.Pin(i, j); i != j && p.State != PinGood {
				t.Errorf("%+v", p)
			}
		}
		relay, err := s.ReadRelay()
		if err != nil {
			t.Fatal(err)
		}
		if got := relay.Cursor(relay.Self()[0]); got != cursor(last[i]) {
			t.Errorf("%s: cursor is not the last of %d", s.Name, last[i])
		}
	}
}

// moveCursor is one locked cursor update of the reference (home-and-daemon.md 4.3).
func moveCursor(s home.Session, from, to int) error {
	unlock, err := home.Lock(context.Background(), filepath.Join(s.ConfigDir(), "relay.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	data, err := os.ReadFile(relayPath(s))
	if err != nil {
		return err
	}
	doc, err := canon.ParseObject(data)
	if err != nil {
		return err
	}
	if was := doc["self"].(canon.Doc)["last_pulled_event_id_local"]; from > 0 && was != cursor(from) {
		return fmt.Errorf("cursor %d was lost", from)
	}
	if data, err = withCursor(data, to); err != nil {
		return err
	}
	return inPlace(relayPath(s), data)
}

// TestStrangerPinnedMeanwhile: between look and lock, somebody pins a stranger under beth's handle in alpha's files:
// before alpha's trust is written, or after it and before the route. Neither record of the stranger is touched.
func TestStrangerPinnedMeanwhile(t *testing.T) {
	for _, held := range []int{0, 1} { // whose lock holds the weave up
		t.Run([]string{"before trust", "before the route"}[held], func(t *testing.T) {
			root := t.TempDir()
			sessions := []home.Session{newSession(t, root, "alpha", "alpha"), newSession(t, root, "beth", "beth")}
			stranger := &pinFiles{trust: pinOf(t, "beth", "a stranger"), route: home.PeerRecord([]home.Endpoint{far})}
			unlock := lock(t, sessions[held])
			var wait sync.WaitGroup
			wait.Go(func() {
				defer unlock()
				other := sessions[1-held]
				until(t, other.Name+"'s trust", func() bool {
					trust, err := other.ReadTrust()
					if err != nil {
						return false
					}
					_, there := trust.Raw("agents", sessions[held].Name)
					return there
				})
				spoilt(t, sessions[0], stranger)
			})
			r := mustWeave(t, sessions, all(2))[0]
			wait.Wait()
			var conflict *ConflictError
			if !errors.As(r.Err, &conflict) || conflict.Handle != "beth" || string(conflict.DID) != stranger.doc()["did"] {
				t.Errorf("%+v", r)
			}
			left := recordsOf(t, sessions[0], "beth")
			if d := cmp.Diff(stranger, left, cmp.AllowUnexported(pinFiles{})); d != "" {
				t.Errorf("the stranger's records changed:\n%s", d)
			}
		})
	}
}
