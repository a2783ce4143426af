package reconcile

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay"
	"wirefleet.dev/wire/spec"
)

// ward is a watcher of three sessions that a test has observe what it likes; no home of them is there, so that nobody
// looks at real processes. Starts begin and end when the test says so.
type ward struct {
	*Watcher
	begun chan string
	end   chan Outcome
	mu    sync.Mutex
	locks int
	again []string
}

func newWard(t *testing.T) *ward {
	t.Helper()
	v := &ward{begun: make(chan string), end: make(chan Outcome)}
	base := t.TempDir()
	m := home.Machine{Root: filepath.Join(base, "sessions"), Base: base}
	must(t, m.Ensure())
	v.Watcher = NewWatcher(Watch{
		Machine: m, Limit: time.Minute,
		Observer: func(d *spec.Desired) Observer { return Observer{Machine: m, Desired: d} },
		Actuators: func(*spec.Desired) map[Kind]Actuator {
			return map[Kind]Actuator{StartDaemon: v, RestartDaemon: v, StartRelay: v}
		},
		Lock: func(context.Context) (func(), error) {
			v.lock(1)
			return func() { v.lock(-1) }, nil
		},
		Report: func(e Event) {
			if a, ok := e.(Again); ok {
				v.again = append(v.again, a.Session)
			}
		},
	}, Reading{Desired: three()})
	t.Cleanup(v.follow.close)
	return v
}

func (v *ward) lock(n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.locks += n
}

func (v *ward) locked() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.locks
}

func (v *ward) Do(_ context.Context, c Change) (Outcome, error) {
	v.begun <- c.Subjects[0]
	return <-v.end, nil
}

// dying is a converged machine on which the daemons of some are dead.
func dying(names ...string) *Observed {
	o := converged()
	for _, n := range names {
		o.edit(n, func(s *SessionState) { s.Daemon = census.Serving{} })
	}
	return &o
}

func TestRevivesBesideAPass(t *testing.T) {
	v := newWard(t)
	var starts sync.WaitGroup
	pass, err := v.reviver.turn.take(t.Context()) // a pass is under way
	must(t, err)

	// Nobody has looked yet: it is not known what it takes to start one.
	if started, _ := v.revive(t.Context(), &starts); started {
		t.Error("started something on a machine that nobody has looked at")
	}
	v.seen = dying()
	v.back.see(*v.seen, names(three()), time.Now())
	v.seen = dying("docs", "web")

	// The pass is replacing web's daemon: that it is gone is as it should be.
	replaced := make(chan struct{})
	go func() {
		defer close(replaced)
		_, _ = v.reviver.hands.handing(map[Kind]Actuator{RestartDaemon: v})[RestartDaemon].Do(t.Context(), Change{
			Kind: RestartDaemon, Subjects: []string{"web"},
		})
	}()
	if got := <-v.begun; got != "web" {
		t.Fatal(got)
	}
	if started, _ := v.revive(t.Context(), &starts); !started {
		t.Fatal("the dead one was not started")
	}
	if got := <-v.begun; got != "docs" {
		t.Fatalf("started %s", got)
	}
	if v.locked() != 1 {
		t.Errorf("%d locks", v.locked())
	}

	// Meanwhile another look finds it dead still. It is neither started again, nor has it died again.
	if started, _ := v.revive(t.Context(), &starts); started {
		t.Error("what is being started was started again")
	}
	r, _ := v.runner()
	p := r.Diff(*v.seen)
	if held := slices.ContainsFunc(p.Held, func(c Change) bool { return c.Subjects[0] == "docs" }); !held {
		t.Errorf("the pass would start it, too: %v", p.Changes)
	}
	if n := v.back.life("docs").deaths; n != 1 {
		t.Errorf("%d deaths", n)
	}
	v.end <- Done
	v.end <- Done
	<-replaced
	starts.Wait()
	<-v.reviver.landed
	pass()
	if v.locked() != 0 {
		t.Error("the lock was not let go of")
	}
	var s Summary
	v.revivals(&s)
	if len(s.Results) != 1 || s.Results[0].Outcome != Done || s.Rounds != 1 || !slices.Equal(v.again, []string{"docs"}) {
		t.Errorf("%+v, again %v", s, v.again)
	}

	// An observation that was begun before knows nothing of it: what is not in there has not died.
	docs := v.Machine.Session("docs")
	put(t, docs.KeyFile(), "")
	put(t, docs.CardFile(), "")
	must(t, docs.Ensure())
	self, err := process.Self()
	must(t, err)
	release, err := process.TakeLife(docs.DaemonLife(), self)
	must(t, err)
	stale := *dying("docs")
	stale.Now = v.landed.Add(-time.Second)
	if o := v.enterSeen(v.Observer(three()), stale); DaemonOf(o.Session("docs")) != DaemonRunning || v.seen.Now == stale.Now {
		t.Errorf("docs is %s", DaemonOf(o.Session("docs")))
	}
	if l := v.back.life("docs"); l.starting || !l.alive || l.deaths != 1 {
		t.Errorf("%+v", l)
	}
	release()

	// The second death in a row waits, and it is known until when.
	v.seen = dying("docs")
	started, next := v.revive(t.Context(), &starts)
	if l := v.back.life("docs"); started || !next.Equal(l.died.Add(firstWait)) {
		t.Errorf("started %v, next %v, died %v", started, next, l.died)
	}
}

// A relay is one of them, once it was there: the first one is started by the pass that finds none.
func TestRevivesTheRelay(t *testing.T) {
	v := newWard(t)
	var starts sync.WaitGroup
	gone := exec.Command("true")
	must(t, gone.Run())
	v.seen = dying()
	v.seen.Relay.PID = gone.Process.Pid
	for _, n := range names(three()) { // nobody looks at who is in no home
		v.back.life(n).known = true
	}
	if started, _ := v.revive(t.Context(), &starts); started {
		t.Fatal("the first relay was started beside the pass")
	}
	v.mill.see(*v.seen, []string{relayURL}, time.Now())
	if started, _ := v.revive(t.Context(), &starts); !started {
		t.Fatal("the dead relay was not started")
	}
	if got := <-v.begun; got != relayURL {
		t.Fatalf("started %s", got)
	}
	// The pass comes to it, too, and waits for it.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	again := v.reviver.hands.handing(map[Kind]Actuator{StartRelay: v})[StartRelay]
	if _, err := again.Do(ctx, Change{Kind: StartRelay, Subjects: []string{relayURL}}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r, _ := v.runner()
	down := *v.seen
	down.Relay = RelayState{Fact: RelayDown}
	if p := r.Diff(down); len(p.Held) != 1 || len(p.Changes) > 0 {
		t.Errorf("the pass would start it, too: %v", p.Changes)
	}

	dir, err := v.Machine.RelayState()
	must(t, err)
	must(t, os.MkdirAll(dir, 0o700))
	self, err := process.Self()
	must(t, err)
	self.Bind = "127.0.0.1:8771"
	release, err := process.TakeLife(relay.LifeLock(dir), self)
	must(t, err)
	v.end <- Done
	starts.Wait()
	if len(v.again) > 0 {
		t.Errorf("daemons again: %v", v.again)
	}
	// What was observed before it was there does not count, nor does the older relay that was seen.
	down.Now = v.landed.Add(-time.Second)
	if o := v.enterSeen(v.Observer(three()), down); o.Relay.Fact != RelayUp || o.Relay.PID != self.PID {
		t.Errorf("%+v", o.Relay)
	}
	if l := v.mill.life(relayURL); l.starting || !l.alive || l.deaths != 1 || l.pid != self.PID {
		t.Errorf("%+v", l)
	}
	if started, _ := v.revive(t.Context(), &starts); started {
		t.Error("started beside the one that lives")
	}
	release()
}

// A death asks for a pass when what can be done at once is done.
func TestDeathIsActedOnFirst(t *testing.T) {
	v := newWard(t)
	v.seen = dying("api")
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { v.reviving(ctx); close(over) }()
	v.Wake(TriggerDeath)
	<-v.begun
	if got := v.queue.take(); len(got) > 0 {
		t.Errorf("asked for a pass by %v", got)
	}
	v.end <- Begun
	<-v.queue.bell
	if got := v.queue.take(); !slices.Equal(got, []Trigger{TriggerDeath}) {
		t.Errorf("asked for a pass by %v", got)
	}
	// One that was called off is over only when what it has begun is.
	v.back.stopped("api")
	v.Wake(TriggerDeath)
	<-v.begun
	cancel()
	select {
	case <-over:
		t.Error("over while a start is under way")
	default:
	}
	v.end <- Done
	<-over
}

// The end of the pass, when everybody is watched whom it has seen, may be far.
func TestWatchesWhatHasJustStarted(t *testing.T) {
	v := newWard(t)
	docs := v.Machine.Session("docs")
	must(t, docs.Ensure())
	cmd := exec.Command("sleep", "600")
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	life, err := process.Self()
	must(t, err)
	it, ok := process.Lookup(cmd.Process.Pid)
	if !ok {
		t.Fatal("it is not there")
	}
	life.PID, life.StartTicks = it.PID, it.StartTicks
	release, err := process.TakeLife(docs.DaemonLife(), life)
	must(t, err)
	started := Result{Change: Change{Kind: StartDaemon, Subjects: []string{"docs"}}, Outcome: Done}
	v.ended(started)
	select {
	case <-v.reviver.died:
		t.Error("one that lives has died")
	default:
	}
	must(t, cmd.Process.Kill())
	<-v.reviver.died

	// One that has died since it was ready.
	release()
	v.ended(started)
	<-v.reviver.died
}
