package reconcile

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// passes runs a queue for a while as a watcher does, each pass taking that long, and says when which ones came.
type passes struct {
	*queue
	began time.Time
	got   []pass
}

type pass struct {
	at       time.Duration
	triggers []Trigger
}

func watching(t *testing.T, resync, each time.Duration, during func(*passes)) []pass {
	t.Helper()
	p := &passes{queue: newQueue(), began: time.Now()}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		var last time.Time
		for {
			triggers, ok := p.next(ctx, calm{last: last, resync: resyncAfter(time.Now(), resync)})
			if !ok {
				return
			}
			p.got = append(p.got, pass{time.Since(p.began), triggers})
			time.Sleep(each)
			last = time.Now()
		}
	}()
	during(p)
	synctest.Wait()
	cancel()
	<-done
	return p.got
}

func same(a, b []pass) bool {
	return slices.EqualFunc(a, b, func(x, y pass) bool { return x.at == y.at && slices.Equal(x.triggers, y.triggers) })
}

func TestTriggers(t *testing.T) {
	const ms, each = time.Millisecond, 10 * time.Millisecond
	after := func(d time.Duration, do func()) { time.AfterFunc(d, do) }
	cases := []struct {
		name   string
		during func(*passes)
		want   []pass
	}{
		{"a death acts at once, also right after a pass", func(p *passes) {
			p.ask(TriggerStart)
			after(20*ms, func() { p.ask(TriggerDeath) })
			time.Sleep(time.Second)
		}, []pass{{0, []Trigger{TriggerStart}}, {20 * ms, []Trigger{TriggerDeath}}}},
		{"what comes during a pass is one more, however much it is", func(p *passes) {
			p.ask(TriggerStart)
			for n := range 9 {
				after(time.Duration(n+1)*ms, func() { p.ask(TriggerDeath); p.ask(TriggerHangup) })
			}
			time.Sleep(time.Second)
		}, []pass{{0, []Trigger{TriggerStart}}, {10 * ms, []Trigger{TriggerDeath, TriggerHangup}}}},
		{"files wake at most once a second", func(p *passes) {
			p.ask(TriggerStart)
			for n := range 25 {
				after(time.Duration(n)*100*ms+20*ms, func() { p.ask(TriggerState) })
			}
			time.Sleep(5 * time.Second)
		}, []pass{
			{0, []Trigger{TriggerStart}},
			{1010 * ms, []Trigger{TriggerState}},
			{2020 * ms, []Trigger{TriggerState}},
			{3030 * ms, []Trigger{TriggerState}},
		}},
		{"a death takes along what waits", func(p *passes) {
			p.ask(TriggerStart)
			after(100*ms, func() { p.ask(TriggerState) })
			after(150*ms, func() { p.ask(TriggerDeath) })
			time.Sleep(3 * time.Second)
		}, []pass{{0, []Trigger{TriggerStart}}, {150 * ms, []Trigger{TriggerDeath, TriggerState}}}},
		{"wire.yaml settles first", func(p *passes) {
			time.Sleep(5 * time.Second)
			for n := range 5 { // written in pieces
				after(time.Duration(n)*150*ms, func() { p.ask(TriggerFile) })
			}
			time.Sleep(5 * time.Second)
		}, []pass{{5*time.Second + 800*ms, []Trigger{TriggerFile}}}},
		{"a death does not take along a wire.yaml that is being written", func(p *passes) {
			p.ask(TriggerFile)
			after(100*ms, func() { p.ask(TriggerDeath) })
			time.Sleep(3 * time.Second)
		}, []pass{{100 * ms, []Trigger{TriggerDeath}}, {1110 * ms, []Trigger{TriggerFile}}}},
		{"a signal and a relay act at once", func(p *passes) {
			p.ask(TriggerRelay)
			after(30*ms, func() { p.ask(TriggerHangup) })
			time.Sleep(time.Second)
		}, []pass{{0, []Trigger{TriggerRelay}}, {30 * ms, []Trigger{TriggerHangup}}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := watching(t, time.Hour, each, c.during)
				for i := range c.want {
					slices.SortFunc(c.want[i].triggers, inOrder)
				}
				if !same(got, c.want) {
					t.Errorf("got  %v\nwant %v", got, c.want)
				}
			})
		})
	}
}

func inOrder(a, b Trigger) int { return slices.Index(Triggers, a) - slices.Index(Triggers, b) }

// Without anything else there is a resync, 20 % sooner or later, and nothing more often.
func TestResync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := watching(t, time.Minute, 0, func(*passes) { time.Sleep(time.Hour) })
		last, seen := time.Duration(0), map[time.Duration]bool{}
		for _, p := range got {
			wait := p.at - last
			if wait < 48*time.Second || wait > 72*time.Second || !slices.Equal(p.triggers, []Trigger{TriggerResync}) {
				t.Errorf("after %v: %v", wait, p.triggers)
			}
			last, seen[wait] = p.at, true
		}
		if len(got) < 50 || len(seen) < 10 {
			t.Errorf("%d passes in an hour, %d different waits", len(got), len(seen))
		}
	})
}

func TestAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		began := time.Now()
		got, ok := q.next(t.Context(), calm{resync: began.Add(time.Hour), alarm: began.Add(3 * time.Second)})
		if !ok || !slices.Equal(got, []Trigger{TriggerBackoff}) || time.Since(began) != 3*time.Second {
			t.Errorf("%v, %v after %v", got, ok, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		q.ask(TriggerState)
		if _, ok := q.next(ctx, calm{last: time.Now().Add(time.Hour), resync: began.Add(time.Hour)}); ok {
			t.Error("a pass after the end")
		}
	})
}
