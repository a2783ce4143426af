package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"wirefleet.dev/wire/internal/census"
)

// bench is a backoff on a machine that does what it is told, in a time that the test sets.
type bench struct {
	*backoff
	now  time.Time
	pid  int
	live map[string]*census.Daemon
}

func newBench() *bench {
	return &bench{backoff: &backoff{}, now: noon, pid: 100, live: map[string]*census.Daemon{}}
}

func (b *bench) names() []string { return []string{"api", "web"} }

// run starts a daemon that nobody of ours has started.
func (b *bench) run(name string) {
	b.pid++
	b.live[name] = &census.Daemon{PID: b.pid, StartTicks: uint64(b.pid), Started: b.now, SameExe: true}
}

func (b *bench) kill(name string) { delete(b.live, name) }

// look observes and plans: which starts are made now, and when the next one is due.
func (b *bench) look() (starts []string, held []string, next time.Time, p Plan) {
	o := Observed{Now: b.now, Sessions: map[string]SessionState{}}
	var plan Plan
	for _, n := range b.names() {
		o.Sessions[n] = SessionState{Name: n, Home: HomeWhole, Daemon: census.Serving{Ours: b.live[n]}}
		if b.live[n] == nil {
			plan.Changes = append(plan.Changes, Change{Kind: StartDaemon, Subjects: []string{n}})
		}
	}
	b.see(o, b.names(), b.now)
	p, next = b.hold(plan, b.now)
	for _, c := range p.Changes {
		starts = append(starts, c.Subjects[0])
	}
	for _, c := range p.Held {
		held = append(held, c.Subjects[0])
	}
	return starts, held, next, p
}

// obey starts what a look found due, and says whether that became ready.
func (b *bench) obey(name string, ready bool) {
	if !ready {
		b.fell(name, b.now, errors.New("not ready"))
		return
	}
	b.run(name)
	b.began(name, b.now)
}

// A daemon that dies whenever it was started: at once, then 0.2 s, doubling to 30 s.
func TestBackoffWaits(t *testing.T) {
	for _, way := range []string{"dies after its start", "never becomes ready", "dies before anybody looks"} {
		t.Run(way, func(t *testing.T) {
			b := newBench()
			b.run("api")
			b.run("web")
			b.now = b.now.Add(time.Hour)
			b.look()
			b.kill("api")
			var waits []time.Duration
			for range 12 {
				died := b.now
				starts, held, next, _ := b.look()
				if len(held) > 0 {
					if len(starts) > 0 || !next.After(b.now) {
						t.Fatalf("started %v, held %v until %v", starts, held, next)
					}
					b.now = next.Add(-time.Millisecond)
					if starts, _, _, _ := b.look(); len(starts) > 0 {
						t.Fatal("started before its time")
					}
					b.now = next
					starts, _, _, _ = b.look()
				}
				if !slices.Equal(starts, []string{"api"}) {
					t.Fatalf("%v: started %v", waits, starts)
				}
				waits = append(waits, b.now.Sub(died))
				b.obey("api", way != "never becomes ready")
				if way == "dies after its start" {
					b.look()
				}
				b.kill("api")
			}
			want := []time.Duration{0, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000}
			for i := range want {
				want[i] *= time.Millisecond
			}
			if !slices.Equal(waits, want) {
				t.Errorf("waits\n%v\nwant\n%v", waits, want)
			}
		})
	}
}

// A daemon that has just been started for the first time is back at once like any other.
func TestFirstDeathDoesNotWait(t *testing.T) {
	b := newBench()
	b.run("web")
	b.obey("api", true)
	b.look()
	var waits []time.Duration
	for range 3 {
		b.kill("api")
		if starts, _, next, _ := b.look(); !slices.Equal(starts, []string{"api"}) {
			waits = append(waits, next.Sub(b.now))
			b.now = next
			b.look()
		} else {
			waits = append(waits, 0)
		}
		b.obey("api", true)
		b.look()
	}
	if want := []time.Duration{0, firstWait, 2 * firstWait}; !slices.Equal(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
}

// Ten seconds of readiness start afresh, less do not.
func TestBackoffForgets(t *testing.T) {
	for _, c := range []struct {
		lived time.Duration
		wait  time.Duration
	}{{steady - time.Millisecond, 800 * time.Millisecond}, {steady, 0}} {
		b := newBench()
		b.run("api")
		b.run("web")
		b.look()
		for range 3 {
			b.kill("api")
			_, _, next, _ := b.look()
			if !next.IsZero() {
				b.now = next
				b.look()
			}
			b.obey("api", true)
		}
		b.now = b.now.Add(c.lived)
		b.kill("api")
		_, _, next, _ := b.look()
		if got := max(0, next.Sub(b.now)); got != c.wait && !(next.IsZero() && c.wait == 0) {
			t.Errorf("lived %v: waits %v, want %v", c.lived, got, c.wait)
		}
	}
}

// Readiness counts, not the start of the process.
func TestBackoffGoesByReadiness(t *testing.T) {
	b := newBench()
	b.run("api")
	b.run("web")
	b.look()
	b.kill("api")
	b.look()
	b.run("api")
	b.now = b.now.Add(2 * time.Second) // until it was ready
	b.began("api", b.now)
	b.look()
	b.now = b.now.Add(steady - time.Second)
	b.kill("api")
	if starts, _, _, _ := b.look(); len(starts) > 0 {
		t.Error("nine seconds of readiness count as ten")
	}
}

// The fifth death in a row is a crash loop; it ends after a steady life.
func TestCrashLoop(t *testing.T) {
	b := newBench()
	b.run("web")
	b.run("api")
	b.look()
	for death := 1; death <= 7; death++ {
		b.kill("api")
		_, _, next, _ := b.look()
		want := 0
		if death >= crashLoop {
			want = death
		}
		if n := b.crashing()["api"].Deaths; n != want {
			t.Fatalf("death %d: crashing says %d", death, n)
		}
		if !next.IsZero() {
			b.now = next
		}
		b.look()
		b.obey("api", true)
		b.look()
		if n := b.crashing()["api"].Deaths; n != want { // its next life may be as short
			t.Errorf("death %d, alive again: %d", death, n)
		}
	}
	if _, _, next, _ := b.look(); next != b.now.Add(steady) {
		t.Errorf("nobody looks when it is over: %v", next)
	}
	b.now = b.now.Add(steady)
	if b.look(); len(b.crashing()) > 0 {
		t.Errorf("still crash-looping: %v", b.crashing())
	}
}

// Whatever happens to the one, the other is started as soon as it is dead, if it was steady.
func TestNobodyElseWaits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench()
		b.run("api")
		b.run("web")
		b.now = b.now.Add(time.Minute)
		b.look()
		for range rapid.IntRange(0, 20).Draw(t, "deaths") {
			b.kill("api")
			_, _, next, _ := b.look()
			if next.After(b.now) {
				b.now = next
				b.look()
			}
			b.obey("api", rapid.Bool().Draw(t, "ready"))
			b.now = b.now.Add(time.Duration(rapid.IntRange(0, 11000).Draw(t, "ms")) * time.Millisecond)
		}
		b.kill("web")
		if starts, _, _, _ := b.look(); !slices.Contains(starts, "web") {
			t.Errorf("web waits: %v", starts)
		}
	})
}

// However a daemon lives and dies: no start comes sooner after a death than the starts in a row allow, each
// wait is one of the series, and none is longer than 30 s.
func TestBackoffNeverHurries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench()
		b.run("api")
		b.run("web")
		b.now = b.now.Add(time.Minute)
		b.look()
		row := 0 // starts without a steady life between
		for range rapid.IntRange(1, 30).Draw(t, "lives") {
			b.kill("api")
			died := b.now
			starts, _, next, _ := b.look()
			wait := next.Sub(died)
			if slices.Contains(starts, "api") {
				wait = 0
			}
			want := time.Duration(0)
			if row > 0 {
				want = min(longestWait, firstWait<<min(row-1, 10))
			}
			if wait != want {
				t.Fatalf("after %d starts in a row it waits %v, want %v", row, wait, want)
			}
			if wait > 0 {
				b.now = next
				b.look()
			}
			ready := rapid.Bool().Draw(t, "ready")
			b.obey("api", ready)
			row++
			if !ready {
				continue
			}
			if rapid.Bool().Draw(t, "seen") {
				b.look()
			}
			lived := time.Duration(rapid.IntRange(0, 20000).Draw(t, "ms")) * time.Millisecond
			b.now = b.now.Add(lived)
			if lived >= steady {
				row = 0
			}
		}
	})
}

// A restart that was wished is no death.
func TestReplacedIsNoDeath(t *testing.T) {
	b := newBench()
	b.run("api")
	b.run("web")
	b.look()
	for range 8 {
		b.run("api")
		b.replaced("api", nil, b.now)
		b.look()
	}
	if l := b.life("api"); l.deaths != 0 || len(b.crashing()) > 0 {
		t.Errorf("%d deaths", l.deaths)
	}
	b.kill("api")
	if starts, _, _, _ := b.look(); !slices.Equal(starts, []string{"api"}) {
		t.Errorf("started %v", starts)
	}
}

// Silence counts after some more of it, seen twice; a daemon that pulls in between is not suspected any more.
func TestSilenceIsPatient(t *testing.T) {
	b := newBench()
	const silentGrace = 25 * time.Second
	suspect := Plan{Changes: []Change{{Kind: RestartDaemon, Subjects: []string{"api"}, Suspect: silentGrace}}}
	if p, next := b.hold(suspect, b.now); len(p.Changes) > 0 || next != b.now.Add(silentGrace) {
		t.Errorf("restarts %v, next %v", p.Changes, next)
	}
	b.hold(Plan{}, b.now.Add(5*time.Second))
	b.now = b.now.Add(silentGrace)
	if p, _ := b.hold(suspect, b.now); len(p.Changes) > 0 {
		t.Error("an old suspicion counts")
	}
	if p, _ := b.hold(suspect, b.now.Add(silentGrace)); len(p.Changes) != 1 {
		t.Error("it is never restarted")
	}
}

// How long that is depends on how often the daemon pulls: by the file, or if it runs with another interval, by that.
func TestSilenceIsAsPatientAsTheDaemon(t *testing.T) {
	for _, c := range []struct {
		wanted  time.Duration
		running int
		least   time.Duration
	}{
		{time.Second, 1, 15 * time.Second},
		{5 * time.Second, 5, 15 * time.Second},
		{time.Minute, 60, time.Minute},
		{5 * time.Second, 0, 15 * time.Second}, // the reference's, which does not say
		{time.Minute, 0, time.Minute},
	} {
		d, o := three(), converged()
		long := o.Now.Add(-24 * time.Hour)
		d.Sessions[0].Interval, o.Relay.Since = c.wanted, &long
		o.edit(d.Sessions[0].Name, func(s *SessionState) {
			dm := *s.Daemon.Ours
			dm.Interval, dm.Started = c.running, long
			s.Daemon = census.Serving{Ours: &dm}
			s.Slots = slices.Clone(s.Slots)
			for i := range s.Slots {
				s.Slots[i].LastPull = &long
			}
		})
		p := Diff(d, o, Options{})
		if len(p.Changes) != 1 || p.Changes[0].Reason.Code != "daemon-silent" {
			t.Fatalf("%+v: %v", c, p.Changes)
		}
		var b backoff
		if _, next := b.hold(p, o.Now); next.Sub(o.Now) <= c.least {
			t.Errorf("%+v: has %v to be heard again", c, next.Sub(o.Now))
		}
	}
}

// A daemon whose successor did not become ready holds the roll, not what has to be restarted anyway.
func TestStuckRoll(t *testing.T) {
	b := newBench()
	b.replaced("api", errors.New("not ready"), b.now)
	plan := Plan{Changes: []Change{
		{Kind: StartDaemon, Subjects: []string{"api"}},
		{Kind: RestartDaemon, Subjects: []string{"web"}, Roll: true},
		{Kind: RestartDaemon, Subjects: []string{"docs"}},
	}}
	p, _ := b.hold(plan, b.now.Add(time.Minute))
	var kept []ID
	for _, c := range p.Changes {
		kept = append(kept, c.ID())
	}
	want := []ID{"start daemon api", "restart daemon docs"}
	if !slices.Equal(kept, want) || len(p.Held) != 1 {
		t.Errorf("kept %v, held %v", kept, p.Held)
	}
	b.run("api")
	b.look()
	plan.Changes = plan.Changes[1:]
	if p, _ = b.hold(plan, b.now); len(p.Changes) != 2 {
		t.Errorf("still held: %v", p.Held)
	}
}

// Everybody waits for the relay: it is tried again sooner than a daemon, and what needs it waits with it.
func TestRelayWaits(t *testing.T) {
	b := backoff{of: relays}
	o := Observed{Relay: RelayState{Fact: RelayUp, PID: 7, StartTicks: 7, Since: &noon}}
	url, now := []string{relayURL}, noon.Add(time.Hour)
	b.see(o, url, now)
	start := Change{Kind: StartRelay, Subjects: url}
	slot := Change{Kind: AllocateSlot, Subjects: []string{"web"}, Relay: relayURL, Needs: []ID{start.ID()}}
	plan := Plan{Changes: []Change{
		start, slot,
		{Kind: PairMesh, Subjects: []string{"api", "docs", "web"}, Pairs: []Pair{{A: "api", B: "docs"}, {A: "api", B: "web"}}},
		{Kind: StartDaemon, Subjects: []string{"web"}, Needs: []ID{slot.ID()}},
		{Kind: StartDaemon, Subjects: []string{"docs"}},
	}}
	var waits []time.Duration
	for pid := 8; pid < 16; pid++ {
		b.see(Observed{Relay: RelayState{Fact: RelayDown}}, url, now)
		p, next := b.hold(plan, now)
		if len(p.Held) == 0 {
			waits = append(waits, 0)
		} else {
			var kept []string
			for _, c := range p.Changes {
				kept = append(kept, fmt.Sprint(c.ID(), len(c.Pairs)))
			}
			if want := []string{"pair mesh1", "start daemon docs0"}; !slices.Equal(kept, want) || len(p.Held) != 3 {
				t.Errorf("kept %v, held %v", kept, p.Held)
			}
			waits = append(waits, next.Sub(now))
			now = next
		}
		if b.began(relayURL, now); pid%2 == 0 { // or it dies before anybody has looked
			b.see(Observed{Relay: RelayState{Fact: RelayUp, PID: pid, StartTicks: 7, Since: &now}}, url, now)
		}
	}
	want := []time.Duration{0, 200, 400, 800, 1600, 2000, 2000, 2000}
	for i := range want {
		want[i] *= time.Millisecond
	}
	if !slices.Equal(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	if n := b.crashing()[relayURL].Deaths; n != len(want) {
		t.Errorf("%d deaths", n)
	}
}

func TestUnlistedAreForgotten(t *testing.T) {
	b := newBench()
	b.run("api")
	b.look()
	o := Observed{Sessions: map[string]SessionState{}}
	b.see(o, []string{"web"}, b.now)
	if fmt.Sprint(len(b.by)) != "1" || b.by["api"] != nil {
		t.Errorf("%v", b.by)
	}
}
