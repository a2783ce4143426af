package reconcile

import (
	"context"
	"slices"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay"
)

// reviver starts daemons and a relay that have died, at once and beside whatever a pass is at. For what else it takes to
// start one, the last observation speaks; the pass that follows looks at everything.
//
// It has the apply lock together with the pass, and one session's daemon or the relay (hands) never at the same time as
// a change of the pass: a daemon that is being replaced or stopped looks like one that has died.
type reviver struct {
	died   chan struct{} // rung when somebody may have
	landed chan struct{} // rung when starts are over
	later  chan struct{} // rung when a start was held back
	slots  chan struct{} // as many starts at a time as changes of one kind
	turn   turn
	hands  hands
}

func newReviver(w Watch) reviver {
	return reviver{
		died: make(chan struct{}, 1), landed: make(chan struct{}, 1), later: make(chan struct{}, 1), slots: make(chan struct{}, cmpOr(w.Parallel, 8)),
		turn: turn{gate: make(chan struct{}, 1), lock: w.Lock},
	}
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// reviving revives until ctx ends, and then waits for the starts that are under way. A death asks for a pass only
// when what could be done at once is done.
func (w *Watcher) reviving(ctx context.Context) {
	var starts sync.WaitGroup
	defer starts.Wait()
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	due.Stop()
	for {
		died, landed := false, false
		select {
		case <-ctx.Done():
			return
		case <-w.reviver.died:
			died = true
		case <-w.reviver.landed:
			landed = true
		case <-w.reviver.later:
		case <-due.C:
		}
		started, next := w.revive(ctx, &starts)
		if landed || died && !started {
			w.queue.ask(TriggerDeath)
		}
		if due.Stop(); !next.IsZero() {
			due.Reset(time.Until(next))
		}
	}
}

// revive starts who is dead and due, and does not wait for them. next is when another one is due that has to wait; zero
// if none has.
func (w *Watcher) revive(ctx context.Context, starts *sync.WaitGroup) (started bool, next time.Time) {
	limited, cancel := context.WithTimeout(ctx, w.Limit)
	defer cancel()
	release, err := w.reviver.turn.take(limited)
	if err != nil {
		return false, next // the pass that is asked for will meet the same, and say so
	}
	r, dead, next := w.dead()
	if len(dead) == 0 {
		release()
		return false, next
	}
	var batch sync.WaitGroup
	for _, c := range dead {
		batch.Go(func() {
			w.reviver.slots <- struct{}{}
			defer func() { <-w.reviver.slots }()
			if ctx.Err() != nil {
				w.land(Result{Change: c, Outcome: Skipped, Err: errInterrupted})
				return
			}
			w.report(Started{c})
			began := time.Now()
			out, err := r.do(ctx, c)
			w.land(Result{Change: c, Outcome: out, Err: err, Took: time.Since(began)}.judged())
		})
	}
	starts.Go(func() {
		batch.Wait()
		release()
		ring(w.reviver.landed)
	})
	return true, next
}

// dead are the starts of those who are dead and due, each of them in hand. From the file in force to the hands it is one
// step to a pass, which observes in between: none can have stopped a daemon that the file does not want any more and that
// is started here.
func (w *Watcher) dead() (r Runner, list []Change, next time.Time) {
	w.books.Lock()
	defer w.books.Unlock()
	if w.seen == nil {
		return r, nil, next
	}
	d := w.Wanted()
	r = Runner{Actuators: w.Actuators(d)}
	o := w.Observer(d).Serving(*w.seen)
	w.back.see(o, names(d), o.Now)
	w.mill.see(o, []string{d.LocalRelay.URL}, o.Now)
	for _, c := range Diff(d, o, Options{}).Changes {
		if !c.revives() {
			continue
		}
		b, name := w.backoffOf(c), c.Subjects[0]
		if b.of == relays && !b.life(name).known {
			continue // the first relay is the pass's, which begins with it
		}
		if due := b.next(name); o.Now.Before(due) {
			if next.IsZero() || due.Before(next) {
				next = due
			}
		} else if w.reviver.hands.try(name) {
			b.life(name).starting = true
			list = append(list, c)
		}
	}
	return r, list, next
}

// revives says whether a change can be made beside everything else.
func (c Change) revives() bool {
	return (c.Kind == StartDaemon || c.Kind == StartRelay) && len(c.Needs) == 0
}

// backoffOf is that of whom a change starts.
func (w *Watcher) backoffOf(c Change) *backoff {
	if c.Kind == StartRelay {
		return &w.mill
	}
	return &w.back
}

// keepsWaiting says whether a run of the plan would come to somebody who is dead only after other changes, any of
// which may take long.
func (p Plan) keepsWaiting() bool {
	return slices.ContainsFunc(p.Changes, func(c Change) bool { return c.revives() && c.Kind != p.Changes[0].Kind })
}

// land is the end of a start that revive has made.
func (w *Watcher) land(r Result) {
	name := r.Change.Subjects[0]
	w.books.Lock()
	again := w.enter(r)
	w.backoffOf(r.Change).life(name).starting = false
	w.landed = time.Now()
	w.revived = append(w.revived, r)
	w.books.Unlock()
	w.reviver.hands.give(name)
	w.report(Ended{r})
	if again {
		w.report(Again{name})
	}
	w.watchStarted(r)
}

// watchStarted waits for the death of a daemon or a relay that has just been started. The end of the pass, when all are
// watched that it has observed, may be far.
func (w *Watcher) watchStarted(r Result) {
	if r.Outcome != Done && r.Outcome != Begun {
		return
	}
	lock := ""
	switch r.Change.Kind {
	case StartDaemon, RestartDaemon:
		lock = w.Machine.Session(r.Change.Subjects[0]).DaemonLife()
	case StartRelay, RestartRelay:
		if dir, err := w.Machine.RelayState(); err == nil {
			lock = relay.LifeLock(dir)
		}
	}
	if lock == "" {
		return
	}
	l, held, proven, err := process.ReadLife(lock)
	switch {
	case err != nil: // the next pass says what is wrong
	case held && proven:
		w.follow.watchProcess(proc{l.PID, l.StartTicks})
	case r.Outcome == Done:
		w.Wake(TriggerDeath) // since it was ready
	}
}

// revivals adds to what a pass did the revivals since the one before.
func (w *Watcher) revivals(s *Summary) {
	w.books.Lock()
	defer w.books.Unlock()
	if len(w.revived) == 0 {
		return
	}
	s.Results = append(w.revived, s.Results...)
	s.Rounds++
	w.revived = nil
}
