package relay

import (
	"sync"
	"time"
)

// group gathers what many callers want written and lets one of them at a time, the leader, write it for
// all: whoever comes while a write is under way is in the next one.
type group[T any] struct {
	commit func(batch []T)
	turns  chan struct{} // nil, or how many groups may write at a time

	mu       sync.Mutex
	queue    []*member[T]
	busy     bool
	arrived  *sync.Cond    // a leader that waits for company
	expected int           // how many the last write released
	pause    time.Duration // how long to wait for those
	spare    []*member[T]
	batch    []T
}

type member[T any] struct {
	item T
	wake chan bool // true: lead; false: written
}

// do returns when item has been part of a commit.
func (g *group[T]) do(item T) {
	m := &member[T]{item: item, wake: make(chan bool, 1)}
	g.mu.Lock()
	g.queue = append(g.queue, m)
	if g.busy {
		if g.arrived != nil && len(g.queue) >= g.expected {
			g.arrived.Signal()
		}
		g.mu.Unlock()
		if !<-m.wake {
			return
		}
		g.mu.Lock()
	}
	g.busy = true
	g.lead(m)
}

// lead writes the queue, of which m is a part. It is called with mu held.
func (g *group[T]) lead(m *member[T]) {
	turn := g.takeTurn()
	g.await()
	members := g.queue
	g.queue, g.spare = g.spare[:0], nil
	g.mu.Unlock()

	g.batch = g.batch[:0]
	for _, each := range members {
		g.batch = append(g.batch, each.item)
	}
	g.commit(g.batch)
	clear(g.batch)
	if turn {
		<-g.turns
	}

	g.mu.Lock()
	g.expected = len(members)
	var next *member[T]
	if len(g.queue) > 0 {
		next = g.queue[0]
	} else {
		g.busy = false
	}
	g.mu.Unlock()
	if next != nil {
		next.wake <- true
	}
	for _, each := range members {
		if each != m {
			each.wake <- false
		}
	}
	clear(members)
	g.mu.Lock()
	if g.spare == nil {
		g.spare = members[:0]
	}
	g.mu.Unlock()
}

// takeTurn waits until few enough groups write. On a fast disk more writes at a time are only smaller ones,
// and each costs as much as two requests; on a slow one they share the disk's own commit, so nobody waits.
// mu is held before and after.
func (g *group[T]) takeTurn() bool {
	if g.turns == nil || g.pause > 0 {
		return false
	}
	g.mu.Unlock()
	g.turns <- struct{}{}
	g.mu.Lock()
	return true
}

// await gives those that the last write released the time to come back, where a write is slow enough for
// that to pay (shared/measurements.md).
func (g *group[T]) await() {
	if g.pause == 0 || len(g.queue) >= g.expected {
		return
	}
	late := false
	arrived := sync.NewCond(&g.mu)
	g.arrived = arrived
	t := time.AfterFunc(g.pause, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		late = true
		arrived.Signal()
	})
	for !late && len(g.queue) < g.expected {
		arrived.Wait()
	}
	t.Stop()
	g.arrived = nil
}

// took tells how long the disk needed: above half a millisecond, a quarter of it is spent waiting for
// company.
func (g *group[T]) took(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pause = 0
	if d > time.Millisecond/2 {
		g.pause = d / 4
	}
}

// idle says whether nobody writes or waits to.
func (g *group[T]) idle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.busy
}
