package reconcile

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/spec"
)

// Watcher keeps a machine as its file says: a pass whenever something may have changed. It is level-based:
// each pass reads the file and the machine anew and makes the one like the other; what woke it is forgotten.
type Watcher struct {
	Machine home.Machine
	Path    string // of the wire.yaml, for the file watch
	// Load reads and resolves the file. It is called for every pass.
	Load func() (*spec.Desired, error)
	// Runner makes the runner of one pass; its Diff and Report are the watcher's.
	Runner func(*spec.Desired) Runner
	// Lock takes the apply lock for one pass.
	Lock func(context.Context) (unlock func(), err error)
	// Linger blocks while the relay at a URL is connected.
	Linger func(ctx context.Context, url string) error
	// LogTail is the end of a session's daemon.log, for a report.
	LogTail func(name string) string
	Resync  time.Duration // between two passes when nothing happens, ±20 %
	Report  func(Event)   // Passed, Reloaded, and the events of each pass's runner; called one at a time

	follow  *follower
	back    backoff
	retries int           // passes in a row that left something to do
	wanted  *spec.Desired // the last good file
	fileErr string        // of the file in its present state; "" if it is in force

	mu      sync.Mutex
	urgent  map[Trigger]bool
	patient map[Trigger]bool // may wait for the end of the second since the last pass
	bell    chan struct{}
}

// Passed is a pass that is over.
type Passed struct {
	Triggers []Trigger
	At       time.Time // when it ended
	Took     time.Duration
	Desired  *spec.Desired
	Observed Observed // as the pass left it
	Summary  Summary
	Err      error // the machine could not be observed, or the lock was not had
}

// Reloaded is a wire.yaml that was read and differs from the one before: taken, or refused (Err), and then
// the last good one stays in force.
type Reloaded struct{ Err error }

func (Passed) event()   {}
func (Reloaded) event() {}

// How fast triggers become passes.
const (
	settle    = 200 * time.Millisecond // of wire.yaml, which editors write in pieces
	fileQuiet = time.Second            // files wake at most once in this time
)

// Wake asks for a pass. It may be called from anywhere and never blocks.
func (w *Watcher) Wake(t Trigger) {
	w.mu.Lock()
	if w.bell == nil {
		w.bell = make(chan struct{}, 1)
	}
	if w.urgent == nil {
		w.urgent, w.patient = map[Trigger]bool{}, map[Trigger]bool{}
	}
	if t == TriggerState || t == TriggerFile {
		w.patient[t] = true
	} else {
		w.urgent[t] = true
	}
	bell := w.bell
	w.mu.Unlock()
	select {
	case bell <- struct{}{}:
	default:
	}
}

// Run passes until ctx ends, and then returns nil once the change under way has come to a safe point. It
// returns an error only where the first pass cannot read the file, or the file watch cannot be had.
func (w *Watcher) Run(ctx context.Context) error {
	d, err := w.Load()
	if err != nil {
		return err
	}
	w.wanted = d
	w.Wake(TriggerStart)
	if w.follow, err = newFollower(w.Wake, w.Linger); err != nil {
		return err
	}
	defer w.follow.close()
	go w.follow.run()
	w.follow.watchSpec(w.Path)

	var last time.Time
	for {
		triggers, ok := w.next(ctx, last)
		if !ok {
			return nil
		}
		last = w.pass(ctx, triggers)
	}
}

// next waits for triggers. Deaths, hang-ups and the clock act at once; files wait for the second since the
// last pass to be over, and wire.yaml until it has settled.
func (w *Watcher) next(ctx context.Context, last time.Time) ([]Trigger, bool) {
	resync := time.NewTimer(time.Duration(float64(w.Resync) * (0.8 + 0.4*rand.Float64())))
	defer resync.Stop()
	for {
		wait := w.due(last)
		var timer <-chan time.Time
		switch {
		case wait == 0:
			if ctx.Err() != nil {
				return nil, false
			}
			return w.take(), true
		case wait > 0:
			t := time.NewTimer(wait)
			defer t.Stop()
			timer = t.C
		}
		select {
		case <-ctx.Done():
			return nil, false
		case <-w.bell:
		case <-timer:
		case <-resync.C:
			w.Wake(TriggerResync)
		}
	}
}

// due is how long the triggers at hand have to wait: negative if there is none.
func (w *Watcher) due(last time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case len(w.urgent) > 0:
		return 0
	case w.patient[TriggerFile]:
		return max(0, settle, time.Until(last.Add(fileQuiet)))
	case len(w.patient) > 0:
		return max(0, time.Until(last.Add(fileQuiet)))
	}
	return -1
}

func (w *Watcher) take() []Trigger {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Trigger
	for _, t := range Triggers {
		if w.urgent[t] || w.patient[t] {
			out = append(out, t)
		}
	}
	clear(w.urgent)
	clear(w.patient)
	return out
}

// reload takes the file as it is now; one that cannot be read or is wrong leaves the last good one in force.
func (w *Watcher) reload() {
	d, err := w.Load()
	text := ""
	if err != nil {
		text = err.Error()
	} else {
		w.wanted = d
	}
	if text != w.fileErr {
		w.fileErr = text
		w.report(Reloaded{Err: err})
	}
}

func (w *Watcher) report(e Event) {
	if w.Report != nil {
		w.Report(e)
	}
}

// pass observes, diffs and acts, once, under the apply lock, and returns when it ended.
func (w *Watcher) pass(ctx context.Context, triggers []Trigger) time.Time {
	began := time.Now()
	w.follow.watchSpec(w.Path)
	w.reload()
	p := Passed{Triggers: triggers, Desired: w.wanted}
	unlock, err := w.Lock(ctx)
	if err != nil {
		p.Err = err
	} else {
		p.Summary, p.Observed, p.Err = w.act(ctx)
		unlock()
	}
	p.At = time.Now()
	p.Took = p.At.Sub(began)
	w.retry(p)
	if p.Err == nil {
		w.follow.update(ctx, w.Machine, names(w.wanted), w.wanted.LocalRelay.URL, p.Observed)
	}
	if !errors.Is(p.Err, context.Canceled) {
		w.report(p)
	}
	return p.At
}

// retry asks for another pass, ever later, where one left something to do that no event will announce.
func (w *Watcher) retry(p Passed) {
	if p.Err == nil && p.Summary.Remaining.Empty() {
		w.retries = 0
		return
	}
	wait := min(longestWait, firstWait<<min(w.retries, 10))
	w.retries++
	time.AfterFunc(wait, func() { w.Wake(TriggerBackoff) })
}

func names(d *spec.Desired) []string {
	out := make([]string, len(d.Sessions))
	for i, s := range d.Sessions {
		out[i] = s.Name
	}
	return out
}

// act is the part of a pass that holds the lock.
func (w *Watcher) act(ctx context.Context) (Summary, Observed, error) {
	r := w.Runner(w.wanted)
	var seen Observed
	observe := r.Observe
	r.Observe = func(ctx context.Context) (Observed, error) {
		o, err := observe(ctx)
		if err == nil {
			seen = o
			w.back.see(o, time.Now())
		}
		return o, err
	}
	r.Diff = func(o Observed) Plan {
		p, next := w.back.hold(Diff(w.wanted, o, Options{}), time.Now(), w.LogTail)
		if !next.IsZero() {
			time.AfterFunc(max(time.Millisecond, time.Until(next)), func() { w.Wake(TriggerBackoff) })
		}
		return p
	}
	r.Report = func(e Event) {
		if end, ok := e.(Ended); ok {
			w.ended(end.Result)
		}
		w.report(e)
	}
	sum, err := r.Run(ctx)
	return sum, seen, err
}

func (w *Watcher) ended(r Result) {
	switch {
	case r.Change.Kind == StartDaemon && r.Outcome == Failed:
		w.back.failed(r.Change.Subjects[0], time.Now())
	case r.Change.Kind == RestartDaemon, r.Change.Kind == StopDaemon:
		w.back.replaced(r.Change.Subjects[0])
	}
}
