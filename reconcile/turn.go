package reconcile

import (
	"context"
	"errors"
	"sync"
)

// turn is this process's at the apply lock. A pass and the revivals beside it have it together: the first takes it,
// the last lets go.
type turn struct {
	gate   chan struct{} // held for a look at what follows
	lock   func(context.Context) (unlock func(), err error)
	n      int
	unlock func()
}

func (t *turn) take(ctx context.Context) (release func(), err error) {
	select {
	case t.gate <- struct{}{}:
	case <-ctx.Done():
		return nil, t.late(ctx)
	}
	defer func() { <-t.gate }()
	if t.n == 0 {
		if t.unlock, err = t.lock(ctx); err != nil {
			return nil, err
		}
	}
	t.n++
	return t.release, nil
}

// late is why the turn did not come: somebody else of this process has the gate, and waits for the lock as well, whose
// error names the one that has it.
func (t *turn) late(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		unlock, err := t.lock(ctx)
		if err != nil {
			return err
		}
		unlock()
	}
	return ctx.Err()
}

// release does not wait for long: who has the gate for long waits for a lock that we do not have.
func (t *turn) release() {
	t.gate <- struct{}{}
	defer func() { <-t.gate }()
	if t.n--; t.n == 0 {
		t.unlock()
	}
}

// hands say who is at the daemon of a session, or at the relay: a change of the pass, or a revival.
type hands struct {
	mu sync.Mutex
	by map[string]chan struct{}
}

// of is full as long as somebody has the daemon of that session in hand, or the relay of that URL.
func (h *hands) of(name string) chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by == nil {
		h.by = map[string]chan struct{}{}
	}
	if h.by[name] == nil {
		h.by[name] = make(chan struct{}, 1)
	}
	return h.by[name]
}

func (h *hands) try(name string) bool {
	select {
	case h.of(name) <- struct{}{}:
		return true
	default:
		return false
	}
}

func (h *hands) give(name string) { <-h.of(name) }

// handed is an actuator that has its subject in hand.
type handed struct {
	Actuator
	hands *hands
}

func (a handed) Do(ctx context.Context, c Change) (Outcome, error) {
	hand := a.hands.of(c.Subjects[0])
	select {
	case hand <- struct{}{}:
	case <-ctx.Done():
		return Skipped, ctx.Err()
	}
	defer func() { <-hand }()
	return a.Actuator.Do(ctx, c)
}

// handing are actuators of a pass, beside which others revive.
func (h *hands) handing(all map[Kind]Actuator) map[Kind]Actuator {
	for _, k := range []Kind{StartDaemon, RestartDaemon, StopDaemon, StopDuplicate, StopLeftover, StopAll, DestroySession, StartRelay, RestartRelay, StopRelay} {
		if a := all[k]; a != nil {
			all[k] = handed{a, h}
		}
	}
	return all
}
