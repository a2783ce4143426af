package actuators

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/internal/relay/relaytest"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// newSite is a machine below a temporary WIRE_HOME, with a real relay on a port of its own.
func newSite(t *testing.T) Site {
	t.Helper()
	base := t.TempDir()
	m, err := home.Env{WireHome: base, WireHomeSet: true, Home: base}.Machine()
	if err != nil {
		t.Fatal(err)
	}
	url := relaytest.Start(t, relaytest.Config{}).URL()
	c := client.New(5 * time.Second)
	t.Cleanup(c.Close)
	return Site{
		Machine: m, Client: c, Workers: 2, Grace: time.Second,
		Desired: &spec.Desired{Owner: "test", LocalRelay: spec.Relay{URL: url}, Federation: spec.Relay{URL: "http://127.0.0.1:1"}},
	}
}

// do runs the actuator of a change as a run would.
func (s Site) do(t *testing.T, c reconcile.Change) (reconcile.Outcome, error) {
	t.Helper()
	return All(s)[c.Kind].Do(t.Context(), c)
}

func (s Site) must(t *testing.T, c reconcile.Change, want reconcile.Outcome) {
	t.Helper()
	got, err := s.do(t, c)
	if err != nil {
		t.Fatalf("%s: %v", c.ID(), err)
	}
	if got != want {
		t.Errorf("%s was %s, want %s", c.ID(), got, want)
	}
}

func create(name string) reconcile.Change {
	return reconcile.Change{Kind: reconcile.CreateSession, Subjects: []string{name}}
}

func (s Site) allocate(name string) reconcile.Change {
	return reconcile.Change{Kind: reconcile.AllocateSlot, Subjects: []string{name}, Relay: s.Desired.LocalRelay.URL}
}

func weave(pairs ...reconcile.Pair) reconcile.Change {
	return reconcile.Change{Kind: reconcile.PairMesh, Pairs: pairs}
}

// A create that stopped after any of its files is completed, and never makes another key.
func TestCreateResumesFromEveryPrefix(t *testing.T) {
	s := newSite(t)
	s.must(t, create("whole"), reconcile.Done)
	files := []string{"state/wire/managed.json", "config/wire/private.key", "config/wire/agent-card.json", "config/wire/trust.json"}
	from := s.Machine.Session("whole").Dir
	for n := range len(files) + 1 {
		name := "cut" + string(rune('0'+n))
		to := s.Machine.Session(name)
		if err := to.Ensure(); err != nil {
			t.Fatal(err)
		}
		for _, f := range files[:n] {
			data, err := os.ReadFile(filepath.Join(from, f))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(to.Dir, f), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want := reconcile.Done
		if n == len(files) {
			want = reconcile.Already
		}
		s.must(t, create(name), want)
		s.must(t, create(name), reconcile.Already)
		if n > 1 {
			if diff := cmp.Diff(seed(t, s.Machine.Session("whole")), seed(t, to)); diff != "" {
				t.Errorf("after %d files the key is another one", n)
			}
		}
	}
}

func seed(t *testing.T, s home.Session) []byte {
	t.Helper()
	k, err := s.ReadKey()
	if err != nil {
		t.Fatal(err)
	}
	return k.Seed()
}

// A card whose key is gone cannot be completed: a new key would be a new identity under an old name.
func TestCardWithoutKeyIsRefused(t *testing.T) {
	s := newSite(t)
	s.must(t, create("api"), reconcile.Done)
	h := s.Machine.Session("api")
	if err := os.Remove(h.KeyFile()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.do(t, create("api")); err == nil {
		t.Fatal("a new key was made beside an old card")
	}
	if _, err := h.ReadKey(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("private.key: %v", err)
	}
}

func TestSlotIsAllocatedOnceAndReplacedWhenLost(t *testing.T) {
	s := newSite(t)
	s.must(t, create("api"), reconcile.Done)
	s.must(t, s.allocate("api"), reconcile.Done)
	first := slots(t, s.Machine.Session("api"))
	s.must(t, s.allocate("api"), reconcile.Already)
	if diff := cmp.Diff(first, slots(t, s.Machine.Session("api"))); diff != "" {
		t.Fatal(diff)
	}
	other := relaytest.Start(t, relaytest.Config{}).URL()
	s.Desired.LocalRelay.URL = other
	s.must(t, s.allocate("api"), reconcile.Done)
	now := slots(t, s.Machine.Session("api"))
	if len(now) != 1 || now[0].RelayURL != other || now[0].SlotID == first[0].SlotID {
		t.Errorf("the slot on the old relay was not replaced: %+v", now)
	}
}

func slots(t *testing.T, h home.Session) []home.Endpoint {
	t.Helper()
	rf, err := h.ReadRelay()
	if err != nil {
		t.Fatal(err)
	}
	return rf.Self()
}

// One broken home fails its own edges; the others are made.
func TestMeshFailsOnlyTheEdgesOfABrokenHome(t *testing.T) {
	s := newSite(t)
	for _, n := range []string{"a", "b", "c"} {
		s.must(t, create(n), reconcile.Done)
		s.must(t, s.allocate(n), reconcile.Done)
	}
	garbage := []byte("{")
	if err := os.WriteFile(s.Machine.Session("c").TrustFile(), garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	mesh := weave(reconcile.Pair{A: "a", B: "b"}, reconcile.Pair{A: "a", B: "c"}, reconcile.Pair{A: "b", B: "c"})
	_, err := s.do(t, mesh)
	var partial *reconcile.Partial
	if !errors.As(err, &partial) || len(partial.Failed) != 2 || partial.Total != 3 {
		t.Fatalf("%v", err)
	}
	s.must(t, weave(reconcile.Pair{A: "a", B: "b"}), reconcile.Already)
	if got, _ := os.ReadFile(s.Machine.Session("c").TrustFile()); !bytes.Equal(got, garbage) {
		t.Error("the broken file was touched")
	}
}

// A destroyed session leaves its key in the trash and no pin of it with its sisters; those that go in the
// same run are not rewritten.
func TestDestroy(t *testing.T) {
	s := newSite(t)
	s.Keep = true
	for _, n := range []string{"a", "b", "c"} {
		s.must(t, create(n), reconcile.Done)
		s.must(t, s.allocate(n), reconcile.Done)
	}
	s.must(t, weave(reconcile.Pair{A: "a", B: "b"}, reconcile.Pair{A: "a", B: "c"}, reconcile.Pair{A: "b", B: "c"}), reconcile.Done)
	key := seed(t, s.Machine.Session("a"))
	if err := s.Machine.UpdateRegistry(t.Context(), func(r *home.Registry) error { r.ByCwd["/src/a"] = "a"; return nil }); err != nil {
		t.Fatal(err)
	}
	gone := reconcile.Change{Kind: reconcile.DestroySession, Subjects: []string{"a"}, Destroys: true}
	s.must(t, gone, reconcile.Done)
	s.must(t, gone, reconcile.Already)
	for _, n := range []string{"b", "c"} {
		rf, err := s.Machine.Session(n).ReadRelay()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := rf.PeerRaw("a"); ok {
			t.Errorf("%s keeps a route to a", n)
		}
		trust, err := s.Machine.Session(n).ReadTrust()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := trust.Raw("agents", "a"); ok {
			t.Errorf("%s keeps its pin of a", n)
		}
	}
	reg, err := s.Machine.Registry()
	if err != nil || len(reg.ByCwd) != 0 {
		t.Errorf("registry %v, %v", reg.ByCwd, err)
	}
	found, err := filepath.Glob(filepath.Join(s.Machine.TrashDir(), "a-*", "config", "wire", "private.key"))
	if err != nil || len(found) != 1 {
		t.Fatalf("trash: %v, %v", found, err)
	}
	kept, err := os.ReadFile(found[0])
	if err != nil || !bytes.Equal(kept, key) {
		t.Errorf("the key in the trash is another one (%v)", err)
	}
}

// A directory that came to be behind a link: its old spelling goes, the physical one comes.
func TestRegisterDir(t *testing.T) {
	s := newSite(t)
	s.must(t, create("api"), reconcile.Done)
	at := t.TempDir()
	real, link := filepath.Join(at, "real"), filepath.Join(at, "link")
	if err := os.Mkdir(real, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	s.Desired.Sessions = []spec.Session{{Name: "api", Dir: real, DirExists: true}}
	if err := s.Machine.UpdateRegistry(t.Context(), func(r *home.Registry) error { r.ByCwd[link] = "api"; return nil }); err != nil {
		t.Fatal(err)
	}
	change := reconcile.Change{Kind: reconcile.RegisterDir, Subjects: []string{"api"}}
	s.must(t, change, reconcile.Done)
	s.must(t, change, reconcile.Already)
	reg, err := s.Machine.Registry()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{real: "api"}, reg.ByCwd); diff != "" {
		t.Error(diff)
	}
}
