package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Runner executes plans until nothing is left to do.
type Runner struct {
	Observe   func(context.Context) (Observed, error)
	Diff      func(Observed) Plan
	Actuators map[Kind]Actuator
	Parallel  int         // changes of one kind at a time; 0 means 8
	MaxRounds int         // 0 means 4
	Report    func(Event) // called from one goroutine at a time; nil for none
}

// Event is something that happened during a run: Planned, Started or Ended.
type Event interface{ event() }

// Planned is a plan that is about to be executed; Round counts from 1.
type Planned struct {
	Round int
	Plan  Plan
}

// Started is a change that an actuator took up.
type Started struct{ Change Change }

// Ended is a change that is over.
type Ended struct{ Result Result }

func (Planned) event() {}
func (Started) event() {}
func (Ended) event()   {}

// Result is what became of one change.
type Result struct {
	Change  Change
	Outcome Outcome
	Err     error // *Partial where some of its pairs failed
	Took    time.Duration
}

// Partial is a mesh change some of whose edges failed; the others are done.
type Partial struct {
	Failed []PairError
	Total  int
}

// PairError is one edge that failed.
type PairError struct {
	Pair Pair
	Err  error
}

func (p *Partial) Error() string {
	first := p.Failed[0]
	return fmt.Sprintf("%d of %s failed; %s-%s: %v", len(p.Failed), count(p.Total, "edge"), first.Pair.A, first.Pair.B, first.Err)
}

// Unwrap gives the causes, for errors.Is.
func (p *Partial) Unwrap() []error {
	errs := make([]error, len(p.Failed))
	for i, f := range p.Failed {
		errs[i] = f.Err
	}
	return errs
}

// Summary is what a run did and what it left.
type Summary struct {
	Results     []Result // in plan order, round after round
	Remaining   Plan     // the last plan: empty if the machine is as the file says
	Rounds      int
	Interrupted bool
}

// Changed says whether any change was really made.
func (s Summary) Changed() bool {
	return slices.ContainsFunc(s.Results, func(r Result) bool { return r.Outcome == Done })
}

// Run plans, executes and observes again until the plan is empty, only holds changes that have failed in this run
// or need one of those, or the rounds are used up. An error is a machine that could not be observed; failed changes
// are in the Summary. When ctx ends no new change starts, and those under way get it through their own context.
func (r Runner) Run(ctx context.Context) (Summary, error) {
	var s Summary
	var t tried
	rolled := true
	for s.Rounds < cmpOr(r.MaxRounds, 4) {
		o, err := r.Observe(ctx)
		if err != nil {
			if ctx.Err() != nil && s.Rounds > 0 {
				s.Interrupted = true
				return s, nil
			}
			return s, err
		}
		s.Remaining = r.Diff(o)
		todo := t.leave(s.Remaining)
		if todo.Empty() {
			return s, nil
		}
		s.Rounds++
		r.report(Planned{Round: s.Rounds, Plan: todo})
		results := r.execute(ctx, todo, &rolled)
		s.Results = append(s.Results, results...)
		t.learn(results)
		if ctx.Err() != nil {
			s.Interrupted = true
			return s, nil
		}
	}
	o, err := r.Observe(ctx)
	if err != nil {
		return s, err
	}
	s.Remaining = r.Diff(o)
	return s, nil
}

func cmpOr(v, otherwise int) int {
	if v == 0 {
		return otherwise
	}
	return v
}

func (r Runner) report(e Event) {
	if r.Report != nil {
		r.Report(e)
	}
}

// execute runs the changes of one plan: kind after kind in plan order, those of one kind side by side.
// A change whose needs failed is skipped; so are the edges of a session that could not be made, and in a
// rolling restart all that come after one that failed, which rolled remembers.
func (r Runner) execute(ctx context.Context, p Plan, rolled *bool) []Result {
	var (
		mu      sync.Mutex
		results = make([]Result, len(p.Changes)) // by place in the plan: two runs of it tell the same
		failed  = map[ID]bool{}
		broken  = map[string]bool{} // sessions whose identity or slot failed
	)
	end := func(i int, res Result) {
		mu.Lock()
		defer mu.Unlock()
		if res.Outcome == Failed || res.Outcome == Skipped {
			failed[res.Change.ID()] = true
			*rolled = *rolled && !res.Change.Roll
			res.Change.breaks(broken)
		}
		results[i] = res
		r.report(Ended{res})
	}
	for i := 0; i < len(p.Changes); {
		j := i
		for j < len(p.Changes) && p.Changes[j].Kind == p.Changes[i].Kind {
			j++
		}
		var wg sync.WaitGroup
		slots := make(chan struct{}, r.width(p.Changes[i].Kind))
		for k := i; k < j; k++ {
			mu.Lock()
			c, skipped, why := prepare(p.Changes[k], failed, broken)
			mu.Unlock()
			if why == nil {
				slots <- struct{}{} // may take long: only then look whether to go on
				mu.Lock()
				switch {
				case ctx.Err() != nil:
					why = errInterrupted
				case c.Roll && !*rolled:
					why = fmt.Errorf("%w: the daemon before it did not become ready", ErrNeed)
				}
				mu.Unlock()
				if why != nil {
					<-slots
				}
			}
			if why != nil {
				end(k, Result{Change: c, Outcome: Skipped, Err: why})
				continue
			}
			mu.Lock()
			r.report(Started{c})
			mu.Unlock()
			wg.Go(func() {
				defer func() { <-slots }()
				began := time.Now()
				out, err := r.do(ctx, c)
				end(k, Result{Change: c, Outcome: out, Err: withSkipped(err, c, skipped), Took: time.Since(began)}.judged())
			})
		}
		wg.Wait()
		i = j
	}
	return results
}

// width is how many changes of a kind may run at once: a rolling restart takes one daemon at a time.
func (r Runner) width(k Kind) int {
	if k == RestartDaemon {
		return 1
	}
	return cmpOr(r.Parallel, 8)
}

func (r Runner) do(ctx context.Context, c Change) (Outcome, error) {
	a, ok := r.Actuators[c.Kind]
	if !ok {
		return Failed, fmt.Errorf("no actuator for %q", c.Kind)
	}
	act, done := graceful(ctx)
	defer done()
	return a.Do(act, c)
}

// safePoint is how long a change that is under way may go on after its run was called off.
const safePoint = 5 * time.Second

// graceful outlives ctx by safePoint: a change under way ends at a point from which the next run goes on.
func graceful(ctx context.Context) (context.Context, func()) {
	act, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		late := time.AfterFunc(safePoint, cancel)
		context.AfterFunc(act, func() { late.Stop() })
	})
	return act, func() { stop(); cancel() }
}

// judged makes the outcome of a change with an error Failed, so that an actuator cannot contradict itself;
// one that was called off has not failed.
func (r Result) judged() Result {
	switch {
	case errors.Is(r.Err, context.Canceled):
		r.Outcome = Skipped
		r.Err = fmt.Errorf("%w: %w", errInterrupted, r.Err)
	case r.Err != nil:
		r.Outcome = Failed
	}
	return r
}

var errInterrupted = errors.New("interrupted")

// prepare settles whether a change can run after what has failed so far; of a mesh it takes out the edges
// that cannot.
func prepare(c Change, failed map[ID]bool, broken map[string]bool) (_ Change, skipped []Pair, why error) {
	for _, n := range c.Needs {
		if failed[n] {
			return c, nil, fmt.Errorf("%w: it needs `%s`", ErrNeed, n)
		}
	}
	if c.Kind != PairMesh || len(broken) == 0 {
		return c, nil, nil
	}
	var kept []Pair
	for _, p := range c.Pairs {
		if broken[p.A] || broken[p.B] {
			skipped = append(skipped, p)
		} else {
			kept = append(kept, p)
		}
	}
	if len(kept) == 0 {
		return c, nil, fmt.Errorf("%w: each of its edges needs a session that failed", ErrNeed)
	}
	c.Pairs = kept
	return c, skipped, nil
}

// ErrNeed is why a change was skipped: one that it needs failed, or was skipped itself.
var ErrNeed = errors.New("skipped")

var errSessionFailed = errors.New("skipped: one of the two sessions failed")

// withSkipped adds the edges that prepare took out to what the actuator says of the others.
func withSkipped(err error, c Change, skipped []Pair) error {
	if len(skipped) == 0 {
		return err
	}
	var p *Partial
	if !errors.As(err, &p) {
		if err != nil {
			return err
		}
		p = &Partial{Total: len(c.Pairs)}
	}
	for _, s := range skipped {
		p.Failed = append(p.Failed, PairError{Pair: s, Err: errSessionFailed})
	}
	p.Total += len(skipped)
	return p
}
