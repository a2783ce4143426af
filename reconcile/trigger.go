package reconcile

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Trigger is what made a watcher look. It only says "look": a pass reads everything, whatever woke it.
type Trigger string

// The closed set of triggers.
const (
	TriggerStart   Trigger = "start"
	TriggerFile    Trigger = "file"    // wire.yaml
	TriggerDeath   Trigger = "death"   // of a daemon or the relay
	TriggerState   Trigger = "state"   // a file below config/wire, a pid record, the registry
	TriggerPlace   Trigger = "place"   // a directory that leads to a session's files came, went or was replaced
	TriggerRelay   Trigger = "relay"   // a relay that is not ours was lost, or is back
	TriggerHangup  Trigger = "hangup"  // SIGHUP
	TriggerResync  Trigger = "resync"  // nothing happened for that long
	TriggerBackoff Trigger = "backoff" // the time has come for a start that was held back, or for another try
)

// Triggers are all of them, for counters that start at zero.
var Triggers = []Trigger{
	TriggerStart, TriggerFile, TriggerDeath, TriggerState, TriggerPlace, TriggerRelay, TriggerHangup, TriggerResync, TriggerBackoff,
}

// How fast triggers become passes.
const (
	// settle is how long wire.yaml, which editors write in pieces, is left alone, and a directory that is renamed away,
	// which may be back at once: what is missing is made anew.
	settle    = 200 * time.Millisecond
	fileQuiet = time.Second // files wake at most once in this time
)

// queue holds what asks for a look until a pass takes it. However often a trigger asks, and also while a pass
// is under way, it is one more pass.
type queue struct {
	bell chan struct{}

	mu    sync.Mutex
	asked map[Trigger]time.Time // when last
}

func newQueue() *queue {
	return &queue{bell: make(chan struct{}, 1), asked: map[Trigger]time.Time{}}
}

// ask may be called from anywhere and never blocks.
func (q *queue) ask(t Trigger) {
	q.mu.Lock()
	q.asked[t] = time.Now()
	q.mu.Unlock()
	select {
	case q.bell <- struct{}{}:
	default:
	}
}

// calm is what next goes by beside what was asked.
type calm struct {
	last   time.Time // when the last pass ended
	resync time.Time // when to look although nothing has happened
	alarm  time.Time // when something is due; zero for never
}

// resyncAfter is when to look again if nothing happens: d after last, ±20 %.
func resyncAfter(last time.Time, d time.Duration) time.Time {
	return last.Add(time.Duration(float64(d) * (0.8 + 0.4*rand.Float64())))
}

// next waits until a pass is due and takes what asked for it; false when ctx has ended.
func (q *queue) next(ctx context.Context, c calm) ([]Trigger, bool) {
	resync := time.NewTimer(time.Until(c.resync))
	defer resync.Stop()
	var alarm <-chan time.Time
	if !c.alarm.IsZero() {
		t := time.NewTimer(time.Until(c.alarm))
		defer t.Stop()
		alarm = t.C
	}
	patience := time.NewTimer(0)
	defer patience.Stop()
	for {
		if ctx.Err() != nil {
			return nil, false
		}
		wait, any := q.due(c.last)
		if any && wait <= 0 {
			return q.take(), true
		}
		patience.Reset(wait)
		select {
		case <-ctx.Done():
		case <-q.bell:
		case <-patience.C:
		case <-resync.C:
			q.ask(TriggerResync)
		case <-alarm:
			q.ask(TriggerBackoff)
		}
	}
}

// due is how long the most urgent trigger has to wait.
func (q *queue) due(last time.Time) (wait time.Duration, any bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wait = time.Hour // nobody asks
	for t, asked := range q.asked {
		any = true
		switch t {
		case TriggerFile, TriggerPlace:
			wait = min(wait, max(time.Until(asked.Add(settle)), time.Until(last.Add(fileQuiet))))
		case TriggerState:
			wait = min(wait, time.Until(last.Add(fileQuiet)))
		default:
			wait = 0
		}
	}
	return wait, any
}

// take empties the queue, but for what has not settled.
func (q *queue) take() []Trigger {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []Trigger
	for _, t := range Triggers {
		asked, ok := q.asked[t]
		if !ok || (t == TriggerFile || t == TriggerPlace) && time.Since(asked) < settle {
			continue
		}
		out = append(out, t)
		delete(q.asked, t)
	}
	return out
}

// unsettled says whether wire.yaml is to be left alone for now.
func (q *queue) unsettled() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, ok := q.asked[TriggerFile]
	return ok
}
