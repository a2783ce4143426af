package reconcile

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// site is a machine on which every change takes, but those that fail; it stands in for the actuators, which
// have tests of their own on real parts.
type site struct {
	mu     sync.Mutex
	left   []Change
	fails  map[ID]error
	did    []ID
	paired [][2]string
	before func(Change)
}

func (s *site) Do(_ context.Context, c Change) (Outcome, error) {
	if s.before != nil {
		s.before(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fails[c.ID()]; err != nil {
		return Failed, err
	}
	s.did = append(s.did, c.ID())
	for _, p := range c.Pairs {
		s.paired = append(s.paired, [2]string{p.A, p.B})
	}
	s.left = slices.DeleteFunc(s.left, func(o Change) bool { return o.ID() == c.ID() })
	return Done, nil
}

func (s *site) runner() Runner {
	r := Runner{
		Observe: func(ctx context.Context) (Observed, error) { return Observed{}, ctx.Err() },
		Diff: func(Observed) Plan {
			s.mu.Lock()
			defer s.mu.Unlock()
			return Plan{Changes: slices.Clone(s.left)}
		},
		Actuators: map[Kind]Actuator{},
	}
	for k := range rank {
		r.Actuators[k] = s
	}
	return r
}

func create(name string) Change { return Change{Kind: CreateSession, Subjects: []string{name}} }

func slotFor(name string) Change {
	return Change{Kind: AllocateSlot, Subjects: []string{name}, Relay: relayURL, Needs: []ID{create(name).ID()}}
}

func daemonFor(name string) Change {
	return Change{Kind: StartDaemon, Subjects: []string{name}, Needs: []ID{slotFor(name).ID()}}
}

func weave(pairs ...Pair) Change { return Change{Kind: PairMesh, Pairs: pairs} }

func TestFailureFailsOnlyWhatNeedsIt(t *testing.T) {
	full := errors.New("disk full")
	s := &site{
		left: []Change{
			create("a"), create("b"), create("c"), slotFor("a"), slotFor("b"), slotFor("c"),
			weave(Pair{A: "a", B: "b"}, Pair{A: "a", B: "c"}, Pair{A: "b", B: "c"}), daemonFor("a"), daemonFor("b"), daemonFor("c"),
		},
		fails: map[ID]error{slotFor("b").ID(): full},
	}
	sum, err := s.runner().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[ID]Outcome{}
	for _, r := range sum.Results[:10] {
		outcomes[r.Change.ID()] = r.Outcome
	}
	want := map[ID]Outcome{
		create("a").ID(): Done, create("b").ID(): Done, create("c").ID(): Done,
		slotFor("a").ID(): Done, slotFor("b").ID(): Failed, slotFor("c").ID(): Done,
		weave().ID():        Failed, // two of its three edges need b
		daemonFor("a").ID(): Done, daemonFor("b").ID(): Skipped, daemonFor("c").ID(): Done,
	}
	if diff := cmp.Diff(want, outcomes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([][2]string{{"a", "c"}}, s.paired[:1]); diff != "" {
		t.Error("the edge that could be made:", diff)
	}
	for _, r := range sum.Results {
		var p *Partial
		if errors.As(r.Err, &p) && (p.Total != 3 || len(p.Failed) != 2) {
			t.Errorf("partial %+v", p)
		}
	}
	if sum.Remaining.Empty() {
		t.Error("a run with a failure says that nothing is left")
	}
}

func TestRunStopsWhereOnlyFailuresAreLeft(t *testing.T) {
	s := &site{left: []Change{create("a"), create("b")}, fails: map[ID]error{create("b").ID(): errors.New("no")}}
	sum, err := s.runner().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if sum.Rounds != 1 || len(sum.Remaining.Changes) != 1 || !sum.Changed() {
		t.Errorf("rounds %d, remaining %v, changed %v", sum.Rounds, sum.Remaining.Changes, sum.Changed())
	}
}

// What has failed is not tried again while the same run goes on with something else, nor is what needs it; an edge
// that failed does not keep others apart.
func TestFailuresAreTriedOnceInARun(t *testing.T) {
	ab, bc, ac := Pair{A: "a", B: "b"}, Pair{A: "b", B: "c"}, Pair{A: "a", B: "c"}
	edge := &Partial{Total: 2, Failed: []PairError{{ab, errors.New("locked")}}}
	rounds := [][]Change{
		{create("a"), slotFor("a"), weave(ab, bc)},
		{create("a"), slotFor("a"), weave(ab, ac), create("c")}, // the run has brought something to light
		{create("a"), slotFor("a"), weave(ab), daemonFor("c")},
		{create("a"), slotFor("a"), weave(ab)},
	}
	s := &site{fails: map[ID]error{create("a").ID(): errors.New("disk full"), weave().ID(): edge}}
	var tried []ID
	s.before = func(c Change) {
		s.mu.Lock()
		defer s.mu.Unlock()
		tried = append(tried, c.ID())
		if len(tried) > 2 {
			delete(s.fails, weave().ID())
		}
	}
	r, round := s.runner(), 0
	r.Diff = func(Observed) Plan { round++; return Plan{Changes: rounds[round-1]} }
	sum, err := r.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// b-c is all that is left of the first mesh, for a could not be made; then nothing of it is.
	want := []ID{create("a").ID(), weave().ID(), create("c").ID(), daemonFor("c").ID()}
	if diff := cmp.Diff(want, tried); diff != "" {
		t.Error(diff)
	}
	if sum.Rounds != 3 || len(sum.Remaining.Changes) != 3 {
		t.Errorf("%d rounds, left %v", sum.Rounds, sum.Remaining.Changes)
	}

	// The same without the session that fails.
	s = &site{fails: map[ID]error{weave().ID(): edge}}
	s.before = func(c Change) {
		if c.Kind == CreateSession {
			s.mu.Lock()
			delete(s.fails, weave().ID())
			s.mu.Unlock()
		}
	}
	rounds = [][]Change{{weave(ab, bc)}, {create("d"), weave(ab, ac)}, {weave(ab)}}
	r, round = s.runner(), 0
	r.Diff = func(Observed) Plan { round++; return Plan{Changes: rounds[round-1]} }
	if _, err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][2]string{{"a", "c"}}, s.paired); diff != "" {
		t.Error("edges of the second round:", diff)
	}
}

// What was skipped because of a failure is not made in a later round, though the plan no longer names what it needed.
func TestSkippedStaysSkippedInARun(t *testing.T) {
	need := create("a")
	after := Change{Kind: RegisterDir, Subjects: []string{"a"}, Needs: []ID{need.ID()}}
	rounds := [][]Change{{need, after}, {{Kind: RegisterDir, Subjects: []string{"a"}}, daemonFor("b")}, {{Kind: RegisterDir, Subjects: []string{"a"}}}}
	s := &site{fails: map[ID]error{need.ID(): errors.New("nick taken")}}
	var tried []ID
	s.before = func(c Change) {
		s.mu.Lock()
		defer s.mu.Unlock()
		tried = append(tried, c.ID())
	}
	r, round := s.runner(), 0
	r.Diff = func(Observed) Plan { round++; return Plan{Changes: rounds[round-1]} }
	if _, err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ID{need.ID(), daemonFor("b").ID()}, tried); diff != "" {
		t.Error(diff)
	}
}

func TestNothingToDoIsNoRound(t *testing.T) {
	s := &site{}
	sum, err := s.runner().Run(t.Context())
	if err != nil || sum.Rounds != 0 || sum.Changed() || !sum.Remaining.Empty() {
		t.Errorf("%+v, %v", sum, err)
	}
}

// An interrupt lets the change under way end and starts no other.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &site{left: []Change{create("a"), slotFor("a"), daemonFor("a")}}
	s.before = func(c Change) {
		if c.Kind == AllocateSlot {
			cancel()
		}
	}
	sum, err := s.runner().Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !sum.Interrupted {
		t.Error("not reported as interrupted")
	}
	if diff := cmp.Diff([]ID{create("a").ID(), slotFor("a").ID()}, s.did); diff != "" {
		t.Error(diff)
	}
}

// In a rolling restart the first failure is the last: no other working daemon is stopped, in no later round.
// What does not work anyway is restarted all the same.
func TestRollStopsAtAFailure(t *testing.T) {
	roll := func(name string) Change {
		return Change{Kind: RestartDaemon, Subjects: []string{name}, Roll: true}
	}
	hung := Change{Kind: RestartDaemon, Subjects: []string{"d"}}
	s := &site{left: []Change{roll("a"), roll("b"), roll("c"), hung}, fails: map[ID]error{roll("b").ID(): errors.New("not ready")}}
	sum, err := s.runner().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ID{roll("a").ID(), hung.ID()}, s.did); diff != "" {
		t.Error(diff)
	}
	for _, r := range sum.Results {
		if r.Change.Subjects[0] == "c" && (r.Outcome != Skipped || !errors.Is(r.Err, ErrNeed)) {
			t.Errorf("c was %s: %v", r.Outcome, r.Err)
		}
	}
	if len(sum.Remaining.Changes) != 2 {
		t.Errorf("left %v", sum.Remaining.Changes)
	}
}

// A rolling restart takes one daemon at a time; other kinds run side by side.
func TestWidth(t *testing.T) {
	var mu sync.Mutex
	now, most := map[Kind]int{}, map[Kind]int{}
	both := make(chan struct{})
	var meet sync.WaitGroup
	meet.Add(2)
	go func() { meet.Wait(); close(both) }()
	s := &site{left: []Change{create("a"), create("b")}}
	for _, n := range []string{"a", "b"} {
		s.left = append(s.left, Change{Kind: RestartDaemon, Subjects: []string{n}})
	}
	s.before = func(c Change) {
		mu.Lock()
		now[c.Kind]++
		most[c.Kind] = max(most[c.Kind], now[c.Kind])
		mu.Unlock()
		if c.Kind == CreateSession {
			meet.Done()
			<-both // only a second one running beside it opens this
		}
		mu.Lock()
		now[c.Kind]--
		mu.Unlock()
	}
	if _, err := s.runner().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[Kind]int{CreateSession: 2, RestartDaemon: 1}, most); diff != "" {
		t.Error(diff)
	}
}

func TestEventsComeInOrder(t *testing.T) {
	s := &site{left: []Change{create("a"), slotFor("a")}}
	var got []Event
	r := s.runner()
	r.Report = func(e Event) { got = append(got, e) }
	if _, err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []Event{
		Planned{Round: 1, Plan: Plan{Changes: []Change{create("a"), slotFor("a")}}},
		Started{create("a")},
		Ended{Result{Change: create("a"), Outcome: Done}},
		Started{slotFor("a")},
		Ended{Result{Change: slotFor("a"), Outcome: Done}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Result{}, "Took")); diff != "" {
		t.Error(diff)
	}
}
