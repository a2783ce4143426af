package pairing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// Edge is an unordered pair of sessions, by index into the sessions given.
type Edge struct{ A, B int }

// Result is what became of one edge.
type Result struct {
	Edge    Edge
	Changed bool  // a record was written; false: both pins were good already, or nothing could be done
	Err     error // which member and why (*ConflictError, *home.FileError, ...); other edges go on
}

// ConflictError is a pin that Weave leaves alone since it is somebody else's.
type ConflictError struct {
	Session string // whose files have the pin
	Handle  string // the sister's, taken
	DID     identity.DID
	Why     string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s: %s; nothing of this edge was written", e.Session, e.Why)
}

// ErrNoSlot is the error of an edge whose member has no slot that could be handed to a sister.
var ErrNoSlot = errors.New("no slot yet")

// maxRounds is how often Weave writes what it does not find when it reads back: the reference writes pins
// and cursors from an older reading and without a lock (home-and-daemon.md 4.3).
const maxRounds = 6

// roundPause is the wait before a second try, doubled with each further one: longer than a writer of the
// reference holds an old reading.
const roundPause = 5 * time.Millisecond

// Weave pairs the edges as one change (design.md section 6): each card is verified once, each sister's two
// records are rendered once with one now, then every trust.json is written once and, when all are, every
// relay.json, each under its lock, and read back. What is good already is not rewritten, and nobody gets a
// route to a sister that does not trust it yet. Files of sessions without an edge are not read.
//
// A conflict, a member that cannot take part and a file that cannot be written are errors of their edges;
// of such an edge no route is written. The error of Weave is ctx's, or an edge that names no two sessions.
func Weave(ctx context.Context, sessions []home.Session, edges []Edge, now time.Time, workers int) ([]Result, error) {
	w, err := newWeave(sessions, edges, now, workers)
	if err != nil {
		return nil, err
	}
	for round := 0; ; round++ {
		w.look = newLook(w.sessions, workers)
		w.look.want = w.want
		for i, err := range w.broken {
			w.Members[i].Err = err // not looked at again, for a broken file is waited for
		}
		if err := w.run(ctx); err != nil {
			return nil, err
		}
		if !w.plan() || round == maxRounds {
			return w.results, nil
		}
		if err := pause(ctx, round); err != nil {
			return nil, err
		}
		if err := w.write(ctx); err != nil {
			return nil, err
		}
	}
}

// weave is one call of Weave.
type weave struct {
	*look    // of the current round
	sessions []home.Session
	want     [][]int
	edges    []Edge // of results, by index into sessions
	results  []Result
	now      time.Time
	workers  int

	todo   []int   // indices of the edges that this round writes
	broken []error // per session: why it could not be read or written; it is not tried again
	wrote  matrix  // directed pins of which a record was written
	moved  matrix  // pins that changed between look and lock: the next round judges them again
}

// matrix is a set of directed pins.
type matrix struct {
	n   int
	set []bool
}

func newMatrix(n int) matrix          { return matrix{n, make([]bool, n*n)} }
func (m matrix) add(from, to int)     { m.set[from*m.n+to] = true }
func (m matrix) either(a, b int) bool { return m.set[a*m.n+b] || m.set[b*m.n+a] }

func newWeave(sessions []home.Session, edges []Edge, now time.Time, workers int) (*weave, error) {
	w := &weave{now: now, workers: workers, results: make([]Result, len(edges)), edges: make([]Edge, len(edges))}
	index := make(map[int]int) // given -> used
	use := func(i int) int {
		j, known := index[i]
		if !known {
			j = len(w.sessions)
			index[i] = j
			w.sessions = append(w.sessions, sessions[i])
			w.want = append(w.want, nil)
		}
		return j
	}
	for k, e := range edges {
		if min(e.A, e.B) < 0 || max(e.A, e.B) >= len(sessions) || e.A == e.B {
			return nil, fmt.Errorf("edge %d-%d names no two of %d sessions", e.A, e.B, len(sessions))
		}
		w.results[k].Edge = e
		a, b := use(e.A), use(e.B)
		w.edges[k] = Edge{a, b}
		w.want[a] = append(w.want[a], b)
		w.want[b] = append(w.want[b], a)
	}
	n := len(w.sessions)
	w.broken = make([]error, n)
	w.wrote = newMatrix(n)
	return w, nil
}

// plan settles the errors of this round and which edges are to be written; false when none is.
func (w *weave) plan() bool {
	for i, m := range w.Members {
		w.broken[i] = m.Err
	}
	w.todo = w.todo[:0]
	for k, e := range w.edges {
		r := &w.results[k]
		r.Changed = w.wrote.either(e.A, e.B)
		r.Err = w.obstacle(e)
		if r.Err == nil && (w.at(e.A, e.B).state != good || w.at(e.B, e.A).state != good) {
			r.Err = w.unsettled(e) // stands only if this is the last round
			w.todo = append(w.todo, k)
		}
	}
	return len(w.todo) > 0
}

// obstacle is why an edge cannot be written, nil if it can or need not.
func (w *weave) obstacle(e Edge) error {
	both := [2]int{e.A, e.B}
	for _, i := range both {
		m := &w.Members[i]
		switch {
		case m.Err != nil:
			return fmt.Errorf("%s: %w", label(m.Session), m.Err)
		case w.sisters[i].route == nil:
			return fmt.Errorf("%s: %w", label(m.Session), ErrNoSlot)
		}
	}
	for k, from := range both {
		to := both[1-k]
		if o, is := w.reasons[from][to]; is && o.state == PinConflict {
			return &ConflictError{
				Session: label(w.sessions[from]), Handle: w.sisters[to].info.Handle, DID: o.did, Why: o.why,
			}
		}
	}
	return nil
}

// unsettled is the error of an edge that still is not good.
func (w *weave) unsettled(e Edge) error {
	from, to := e.A, e.B
	if w.at(from, to).state == good {
		from, to = to, from
	}
	d := w.Pin(from, to)
	return fmt.Errorf("%s: its pin of %s is %s (%s) although it was written: another program rewrites its files",
		label(w.sessions[from]), w.sisters[to].info.Handle, d.State, d.Why)
}

// pause lets the writer finish that undid the round before.
func pause(ctx context.Context, round int) error {
	if round == 0 {
		return nil
	}
	t := time.NewTimer(roundPause << (round - 1))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// write makes the edges of todo: homes tightened, all trust, then all routes.
func (w *weave) write(ctx context.Context) error {
	n := len(w.sessions)
	w.moved = newMatrix(n)
	trust, routes := make([][]int, n), make([][]int, n)
	touched := make([]bool, n)
	queued := newMatrix(n)
	for _, k := range w.todo {
		e := w.edges[k]
		if queued.either(e.A, e.B) {
			continue // an edge that was given twice
		}
		queued.add(e.A, e.B)
		for _, d := range [2]Edge{e, {e.B, e.A}} {
			touched[d.A] = true
			if w.at(d.A, d.B).write&writeTrust != 0 {
				trust[d.A] = append(trust[d.A], d.B)
			}
			if w.at(d.A, d.B).write&writeRoute != 0 {
				routes[d.A] = append(routes[d.A], d.B)
			}
		}
	}
	texts := w.render(trust)
	w.phase(ctx, func(i int) error {
		if touched[i] && w.loose[i] {
			if err := w.sessions[i].Ensure(); err != nil {
				return err
			}
		}
		return w.writeTrust(ctx, i, trust[i], texts)
	})
	// All trust stands now but where it could not be written; those edges get no route.
	open := make([][]int, n)
	for i, targets := range routes {
		for _, j := range targets {
			if w.broken[j] == nil && !w.moved.either(i, j) {
				open[i] = append(open[i], j)
			}
		}
	}
	w.phase(ctx, func(i int) error { return w.writeRoutes(ctx, i, open[i]) })
	return ctx.Err()
}

// phase calls do for all sessions that are not broken and breaks those where it fails. It ends when all
// calls have.
func (w *weave) phase(ctx context.Context, do func(i int) error) {
	each(ctx, len(w.sessions), w.workers, func(i int) {
		if w.broken[i] == nil {
			w.broken[i] = do(i)
		}
	})
}

// render makes the trust record of every sister that somebody is about to pin, once for all of them.
func (w *weave) render(targets [][]int) [][]byte {
	texts := make([][]byte, len(w.sessions))
	for _, list := range targets {
		for _, j := range list {
			if texts[j] == nil {
				texts[j] = w.sisters[j].trust.render(nil, w.now)
			}
		}
	}
	return texts
}

// writeTrust writes i's trust records of the targets, and its own one if that was lost with the file.
func (w *weave) writeTrust(ctx context.Context, i int, targets []int, texts [][]byte) error {
	if len(targets) == 0 {
		return nil
	}
	var moved []int
	err := w.sessions[i].UpdateTrust(ctx, func(t *canon.Spans) error {
		moved = moved[:0] // home may call again
		self := w.sisters[i].info
		if _, there := t.Raw("agents", self.Handle); !there {
			t.Set(canon.AppendPretty(nil, identity.SelfRecord(self, w.now), recordDepth), "agents", self.Handle)
		}
		for _, j := range targets {
			s := w.sisters[j]
			raw, there := t.Raw("agents", s.info.Handle)
			if w.hash(raw, there) != w.reasons[i][j].trustHash {
				moved = append(moved, j)
				continue
			}
			text := texts[j]
			if there {
				var err error
				if text, err = s.repin(raw, w.now); err != nil {
					return err
				}
			}
			t.Set(text, "agents", s.info.Handle)
		}
		return nil
	})
	w.note(i, targets, moved, err)
	return err
}

// writeRoutes writes i's routes to the targets.
func (w *weave) writeRoutes(ctx context.Context, i int, targets []int) error {
	if len(targets) == 0 {
		return nil
	}
	var moved []int
	err := w.sessions[i].UpdateRelay(ctx, func(file *home.RelayFile) error {
		moved = moved[:0] // home may call again
		for _, j := range targets {
			s := w.sisters[j]
			raw, there := file.PeerRaw(s.info.Handle)
			if w.hash(raw, there) != w.routes[i*len(w.sessions)+j] {
				moved = append(moved, j)
				continue
			}
			text := s.route
			if pinned := w.reasons[i][j].did; there && (pinned == "" || pinned == s.info.DID) {
				text = s.reroute(raw)
			}
			file.SetPeerRaw(s.info.Handle, text)
		}
		return nil
	})
	w.note(i, targets, moved, err)
	return err
}

// note remembers which pins were written and which were not, since they had changed meanwhile.
func (w *weave) note(i int, targets, moved []int, err error) {
	for _, j := range moved {
		w.moved.add(i, j)
	}
	for _, j := range targets {
		if err == nil && !slices.Contains(moved, j) {
			w.wrote.add(i, j)
		}
	}
}
