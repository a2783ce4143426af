package verbs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// TestReach: a session that exists is touched only on relays that the command line names.
func TestReach(t *testing.T) {
	for _, tc := range []struct {
		w              Wish
		fresh, existed spec.Reach
	}{
		{Wish{}, spec.ReachFederation, spec.ReachNone},
		{Wish{RelayNamed: true}, spec.ReachFederation, spec.ReachFederation},
		{Wish{WithLocal: true}, spec.ReachBoth, spec.ReachLocal},
		{Wish{WithLocal: true, RelayNamed: true}, spec.ReachBoth, spec.ReachBoth},
		{Wish{LocalOnly: true}, spec.ReachLocal, spec.ReachLocal},
		{Wish{LocalOnly: true, RelayNamed: true}, spec.ReachLocal, spec.ReachLocal},
	} {
		if got := tc.w.reach(false); got != tc.fresh {
			t.Errorf("%+v: a new session reaches %s, want %s", tc.w, got, tc.fresh)
		}
		if got := tc.w.reach(true); got != tc.existed {
			t.Errorf("%+v: one that exists reaches %s, want %s", tc.w, got, tc.existed)
		}
	}
	for r, want := range map[spec.Reach][2]spec.Reach{ // without local, without federation
		spec.ReachBoth:       {spec.ReachFederation, spec.ReachLocal},
		spec.ReachLocal:      {spec.ReachNone, spec.ReachLocal},
		spec.ReachFederation: {spec.ReachFederation, spec.ReachNone},
		spec.ReachNone:       {spec.ReachNone, spec.ReachNone},
	} {
		if got := [2]spec.Reach{without(r, home.Local), without(r, home.Federation)}; got != want {
			t.Errorf("%s without one: %v, want %v", r, got, want)
		}
	}
}

// TestName: what the working directory is called, and whether that session exists. A longer name that the
// reference has registered is followed to a session, and not made anew.
func TestName(t *testing.T) {
	const long = "abcdefghijklmnopqrstuvwxyz01-7613" // its directory lacks the last digit
	s := Site{Machine: home.Machine{Root: filepath.Join(t.TempDir(), "sessions")}}
	reg := home.Registry{ByCwd: map[string]string{"/srv/a": long, "/srv/web": "front"}}
	expect := func(w Wish, name string, exists bool) {
		t.Helper()
		if got, there := s.name(w, reg); got != name || there != exists {
			t.Errorf("%+v is called %q (exists: %v), want %q (%v)", w, got, there, name, exists)
		}
	}
	given := "My Project!"
	expect(Wish{Cwd: "/srv/web", Name: &given}, "my-project", false)
	expect(Wish{Cwd: "/srv/web"}, "front", false)
	expect(Wish{Cwd: "/srv/front"}, "front-"+hash(t, "/srv/front"), false)
	expect(Wish{Cwd: "/srv/a"}, "a", false)
	truncated := s.Machine.Session(long)
	if err := errors.Join(truncated.Ensure(), os.WriteFile(truncated.CardFile(), []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	expect(Wish{Cwd: "/srv/a"}, long, true)
}

func hash(t *testing.T, cwd string) string {
	t.Helper()
	name := home.DeriveName(cwd, map[string]bool{"front": true})
	return name[len(name)-4:]
}

// TestPairResults: each edge has one outcome, whatever happened to it.
func TestPairResults(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	d := &spec.Desired{}
	for i, x := range names {
		for _, y := range names[i+1:] {
			d.Edges = append(d.Edges, [2]string{x, y})
		}
	}
	before := reconcile.Observed{Mesh: reconcile.NewMesh(names), Sessions: map[string]reconcile.SessionState{}}
	for _, n := range names {
		before.Sessions[n] = reconcile.SessionState{Name: n, Home: reconcile.HomeWhole, Slots: []reconcile.SlotState{{}}}
	}
	before.Sessions["d"] = reconcile.SessionState{Name: "d", Home: reconcile.HomeBroken, Why: "no card"}
	good := reconcile.PinState{State: pairing.PinGood}
	before.Mesh.Set("a", "b", good)
	before.Mesh.Set("b", "a", good)
	before.Mesh.Set("b", "c", reconcile.PinState{State: pairing.PinConflict, Why: "somebody else"})

	full := errors.New("disk full")
	pair := func(x, y string) reconcile.Pair {
		return reconcile.Pair{A: x, B: y, Reason: reconcile.Reason{Text: "not pinned"}}
	}
	mesh := func(pairs ...reconcile.Pair) reconcile.Change {
		return reconcile.Change{Kind: reconcile.PairMesh, Pairs: pairs}
	}
	blocked := []reconcile.Report{{Subject: "b-c", Reason: reconcile.Reason{Text: "somebody else"}, Advice: "rename it"}}
	for _, tc := range []struct {
		what string
		sum  reconcile.Summary
		ac   string // what becomes of a-c
	}{
		{"written", reconcile.Summary{Results: []reconcile.Result{{Change: mesh(pair("a", "c"))}}}, Paired},
		{"one edge failed", reconcile.Summary{Results: []reconcile.Result{{
			Change: mesh(pair("a", "c")), Outcome: reconcile.Failed,
			Err: &reconcile.Partial{Total: 1, Failed: []reconcile.PairError{{Pair: pair("a", "c"), Err: full}}},
		}}}, "disk full"},
		{"all failed", reconcile.Summary{Results: []reconcile.Result{{Change: mesh(pair("a", "c")), Outcome: reconcile.Failed, Err: full}}}, "disk full"},
		{"written, and undone by somebody", reconcile.Summary{
			Results:   []reconcile.Result{{Change: mesh(pair("a", "c"))}},
			Remaining: reconcile.Plan{Changes: []reconcile.Change{mesh(pair("a", "c"))}},
		}, "not pinned"},
	} {
		tc.sum.Remaining.Blocked = blocked
		want := map[string]string{
			"a-b": AlreadyPaired, "a-c": tc.ac, "a-d": "d: no card", "b-c": "somebody else; rename it", "b-d": "d: no card", "c-d": "d: no card",
		}
		results := pairResults(d, before, tc.sum)
		if len(results) != len(d.Edges) {
			t.Fatalf("%s: %d results", tc.what, len(results))
		}
		for i, r := range results {
			got := r.Status
			if (r.Status == PairFailed) != (r.Err != nil) {
				t.Errorf("%s: %s-%s is %s with error %v", tc.what, r.From, r.To, r.Status, r.Err)
			}
			if r.Err != nil {
				got = r.Err.Error()
			}
			if r.From != d.Edges[i][0] || r.To != d.Edges[i][1] || got != want[r.From+"-"+r.To] {
				t.Errorf("%s: %s-%s %s, want %s", tc.what, r.From, r.To, got, want[r.From+"-"+r.To])
			}
		}
	}
}
