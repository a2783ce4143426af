package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/spec"
)

// Watch is what a Watcher needs.
type Watch struct {
	Machine home.Machine
	File    string // the wire.yaml, absolute, links not followed
	// Load reads and resolves the file. It is called for every pass.
	Load func() Reading
	// Observer and Actuators are the doors of one pass.
	Observer  func(*spec.Desired) Observer
	Actuators func(*spec.Desired) map[Kind]Actuator
	Parallel  int // changes of one kind at a time
	// Lock takes the apply lock for one pass.
	Lock func(context.Context) (unlock func(), err error)
	// Linger holds a connection to the relay at a URL as long as it is there (client.Linger).
	Linger func(ctx context.Context, url string, answered func()) (reached bool, err error)
	// Resync is between two passes when nothing happens, ±20 %; Limit is how long one may take.
	Resync, Limit time.Duration
	Listen        string // where others ask this process, for its note
	// Report gets Passed, Reloaded, Again and the events of each pass's runner, one at a time.
	Report func(Event)
}

// Reading is a wire.yaml as it was read.
type Reading struct {
	Desired *spec.Desired
	Text    string
	Path    string // physical
	Refused error  // why it cannot be used; then there is no Desired
}

// Watcher keeps a machine as its file says: a pass whenever something may have changed. It is level-based:
// each pass reads the file and the machine anew and makes the one like the other; what woke it is forgotten.
type Watcher struct {
	Watch
	queue   *queue
	follow  *follower
	retries int                          // passes in a row that left something to do
	alarm   time.Time                    // when to look again whatever happens
	wanted  atomic.Pointer[spec.Desired] // in force
	lock    fs.FileInfo                  // the watch lock that this process holds
	note    home.WatchNote

	noting sync.Mutex
	noted  home.WatchNote // as it shall be on disk; zero where it shall not

	reviver reviver
	telling sync.Mutex // held while Report has an event

	books   sync.Mutex // of what a pass and the revivals beside it keep together:
	back    backoff    // of daemons
	desk    backoff    // of notifiers
	mill    backoff    // of the relay
	seen    *Observed  // last
	landed  time.Time  // when a revival was over last: what was observed before may not know of it
	revived []Result   // since the last pass
}

// NewWatcher makes one; first is the file that is in force until it is read again.
func NewWatcher(w Watch, first Reading) *Watcher {
	out := &Watcher{
		Watch: w, queue: newQueue(), reviver: newReviver(w), desk: backoff{of: notifiers}, mill: backoff{of: relays},
		note: home.WatchNote{File: w.File, Path: first.Path, Text: first.Text},
	}
	out.follow = newFollower(out.Wake)
	out.follow.linger, out.follow.resync = w.Linger, w.Resync
	out.follow.note, out.follow.noted = filepath.Base(w.Machine.WatchNoteFile()), out.renote
	out.wanted.Store(first.Desired)
	return out
}

// Wanted is the file in force. It may be called from anywhere.
func (w *Watcher) Wanted() *spec.Desired { return w.wanted.Load() }

// Passed is a pass that is over.
type Passed struct {
	Triggers []Trigger
	At       time.Time // when it ended
	Took     time.Duration
	Desired  *spec.Desired
	Observed Observed // as the pass left it
	Summary  Summary
	Refused  string // why the file, as it is now, is not in force; "" if it is
	Hampered error  // what went wrong beside: directories that could not be watched, a note not written
	Err      error  // the machine could not be observed, or the lock was not had, or the time was up
}

// Reloaded is a wire.yaml that was read and differs from the one before: taken, or refused (Err), and then
// the last good one stays in force.
type Reloaded struct{ Err error }

// Again is a daemon that was started in place of another one.
type Again struct{ Session string }

func (Passed) event()   {}
func (Reloaded) event() {}
func (Again) event()    {}

// Wake asks for a pass; a death is acted on first. It may be called from anywhere and never blocks.
func (w *Watcher) Wake(t Trigger) {
	if t == TriggerDeath {
		ring(w.reviver.died)
		return
	}
	w.queue.ask(t)
}

// Run passes until ctx ends, and then returns nil once the changes under way have come to a safe point.
func (w *Watcher) Run(ctx context.Context) error {
	defer w.follow.close()
	if err := w.introduce(); err != nil {
		return err
	}
	var beside sync.WaitGroup
	defer beside.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	beside.Go(func() { w.reviving(ctx) })
	w.Wake(TriggerStart)
	c := calm{resync: resyncAfter(time.Now(), w.Resync)}
	for {
		triggers, ok := w.queue.next(ctx, c)
		switch {
		case !ok:
			return w.leave()
		case !w.Machine.Watches(w.lock):
			return fmt.Errorf("%s was removed: nobody is kept out of it any more", w.Machine.WatchLife())
		case slices.Equal(triggers, []Trigger{TriggerState}) && w.follow.onlyCursors():
			c.last = time.Now() // it was a look, if a short one
			continue
		}
		w.pass(ctx, triggers)
		c.last, c.alarm = time.Now(), w.alarm
		c.resync = resyncAfter(c.last, w.Resync)
	}
}

// introduce leaves the first note.
func (w *Watcher) introduce() error {
	life, err := process.Self()
	if err != nil {
		return err
	}
	w.note.PID, w.note.StartTicks, w.note.Owner, w.note.Listen = life.PID, life.StartTicks, w.Wanted().Owner, w.Listen
	w.note.Sessions = names(w.Wanted())
	if w.lock, err = os.Stat(w.Machine.WatchLife()); err != nil {
		return err
	}
	return errors.Join(w.Machine.Passed(time.Time{}), w.save())
}

// pass observes, diffs and acts, once.
func (w *Watcher) pass(ctx context.Context, triggers []Trigger) {
	p := Passed{Triggers: triggers}
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, w.Limit)
	defer cancel()
	_, p.Hampered = w.follow.watchFiles(w.File, dirsOf(w.Machine, names(w.Wanted())))
	w.alarm = time.Time{}
	w.reload()
	p.Summary, p.Observed, p.Err = w.act(limited, triggers)
	w.revivals(&p.Summary)
	p.At = time.Now()
	p.Took = p.At.Sub(began)
	if ctx.Err() != nil {
		return // it was called off, and has not failed
	}
	if p.Err == nil && p.Summary.Interrupted {
		p.Err = fmt.Errorf("it took longer than %s", w.Limit)
	}
	p.Desired, p.Refused = w.Wanted(), w.note.Refused
	w.retry(p)
	if p.Err == nil {
		w.attend(ctx, &p)
	}
	p.Hampered = errors.Join(p.Hampered, w.remember(p))
	w.report(p)
}

// attend follows what a pass has seen or made.
func (w *Watcher) attend(ctx context.Context, p *Passed) {
	fresh, err := w.follow.watchFiles(w.File, dirsOf(w.Machine, names(w.Wanted())))
	if fresh {
		w.Wake(TriggerState)
	}
	p.Hampered = err
	w.follow.watchRelays(ctx, strangers(w.Wanted(), p.Observed))
}

// remember notes that the pass is over, and for others what only this process knows.
func (w *Watcher) remember(p Passed) error {
	w.note.Sessions = names(w.Wanted())
	w.books.Lock()
	w.note.Crashes, w.note.NotifierCrashes, w.note.RelayCrash = w.back.crashing(), w.desk.crashing(), w.mill.crashing()[w.Wanted().LocalRelay.URL]
	w.books.Unlock()
	err := w.save()
	if p.Err == nil {
		err = errors.Join(err, w.Machine.Passed(p.At))
	}
	return err
}

// save leaves the note as it is now.
func (w *Watcher) save() error {
	w.noting.Lock()
	defer w.noting.Unlock()
	w.noted = w.note
	return w.Machine.WriteWatchNote(w.noted)
}

// renote makes the note again where somebody has removed or changed it: others would not know whose sessions these
// are. The end of the next pass tries again, and says what is wrong.
func (w *Watcher) renote() {
	w.noting.Lock()
	defer w.noting.Unlock()
	if w.noted.PID != 0 {
		_ = w.Machine.WriteWatchNote(w.noted)
	}
}

// leave takes the note away.
func (w *Watcher) leave() error {
	w.noting.Lock()
	defer w.noting.Unlock()
	w.noted = home.WatchNote{}
	return w.Machine.DropWatchNote()
}

// reload takes the file as it is now; one that cannot be read or is wrong leaves the last good one in force,
// and so does one that is still being written.
func (w *Watcher) reload() {
	if w.queue.unsettled() {
		return
	}
	if info, err := os.Stat(w.File); err == nil {
		if age := time.Since(info.ModTime()); age >= 0 && age < settle {
			w.Wake(TriggerFile)
			return
		}
	}
	r := w.Load()
	if r.Refused != nil {
		if text := r.Refused.Error(); text != w.note.Refused {
			w.note.Refused = text
			_ = w.save() // or at the end of the pass, which reports it
			w.report(Reloaded{Err: r.Refused})
		}
		return
	}
	w.wanted.Store(r.Desired)
	if w.note.Refused != "" || r.Text != w.note.Text || r.Path != w.note.Path {
		w.note.Refused, w.note.Text, w.note.Path, w.note.Sessions = "", r.Text, r.Path, names(r.Desired)
		_ = w.save()
		w.report(Reloaded{})
	}
}

func (w *Watcher) report(e Event) {
	if w.Report != nil {
		w.telling.Lock()
		defer w.telling.Unlock()
		w.Report(e)
	}
}

// retry asks for another pass, ever later, where one left something to do that no event will announce.
func (w *Watcher) retry(p Passed) {
	if p.Err == nil && p.Summary.Remaining.Empty() {
		w.retries = 0
		return
	}
	w.wakeAt(time.Now().Add(min(max(w.Resync, firstWait), firstWait<<min(w.retries, 20))))
	w.retries++
}

func (w *Watcher) wakeAt(t time.Time) {
	if w.alarm.IsZero() || t.Before(w.alarm) {
		w.alarm = t
	}
}

func names(d *spec.Desired) []string {
	out := make([]string, len(d.Sessions))
	for i, s := range d.Sessions {
		out[i] = s.Name
	}
	return out
}

// act is what a pass does. Where somebody has died, or a start is due, it takes the lock at once. Otherwise it
// looks first and takes the lock only if there is something to do: a machine that is as the file says is
// looked at without a write, and without waiting for whoever has the lock.
func (w *Watcher) act(ctx context.Context, triggers []Trigger) (Summary, Observed, error) {
	r, seen := w.runner()
	if !hasty(triggers) {
		o, err := r.Observe(ctx)
		if err != nil {
			return Summary{}, o, err
		}
		if p := r.Diff(o); p.Empty() {
			return Summary{Remaining: p}, o, nil
		}
	}
	release, err := w.reviver.turn.take(ctx)
	if err != nil {
		return Summary{}, Observed{}, err
	}
	defer release()
	sum, err := r.Run(ctx)
	return sum, *seen, err
}

func hasty(triggers []Trigger) bool {
	for _, t := range triggers {
		switch t {
		case TriggerStart, TriggerDeath, TriggerBackoff:
			return true
		}
	}
	return false
}

// runner is the runner of one pass, and what it saw last.
func (w *Watcher) runner() (Runner, *Observed) {
	d := w.Wanted()
	r := Runner{Actuators: w.reviver.hands.handing(w.Actuators(d)), Parallel: w.Parallel}
	seen := new(Observed)
	ob := w.Observer(d)
	r.Observe = func(ctx context.Context) (Observed, error) {
		o, err := ob.Observe(ctx)
		if err == nil {
			o = w.enterSeen(ob, o)
			*seen = o
			w.follow.watchProcesses(names(d), o) // the end of the pass may be far
		}
		return o, err
	}
	r.Diff = func(o Observed) Plan {
		w.books.Lock()
		defer w.books.Unlock()
		p := Diff(d, o, Options{})
		for _, b := range w.backoffs() {
			var next time.Time
			if p, next = b.hold(p, time.Now()); !next.IsZero() {
				w.wakeAt(next)
				ring(w.reviver.later) // the pass may then be at something else
			}
		}
		if p.keepsWaiting() {
			ring(w.reviver.later)
		}
		return withCrashes(d, o, p)
	}
	r.Report = func(e Event) {
		w.report(e)
		if end, ok := e.(Ended); ok {
			w.ended(end.Result)
		}
	}
	return r, seen
}

// enterSeen takes an observation into the books. Where a revival was over while it was made, it looks again at who
// serves: a daemon that was not there yet has not died.
func (w *Watcher) enterSeen(ob Observer, o Observed) Observed {
	w.books.Lock()
	defer w.books.Unlock()
	if w.landed.After(o.Now) {
		o = ob.Serving(o)
	}
	wanted, now := names(ob.Desired), time.Now()
	w.back.see(o, wanted, now)
	w.desk.see(o, wanted, now)
	w.mill.see(o, []string{ob.Desired.LocalRelay.URL}, now)
	w.tellDeaths(&o, ob.Desired)
	w.seen = &o
	return o
}

// tellDeaths puts into an observation what others learn from the note.
func (w *Watcher) tellDeaths(o *Observed, d *spec.Desired) {
	daemons, notifiers := w.back.crashing(), w.desk.crashing()
	for _, name := range names(d) {
		if s, ok := o.Sessions[name]; ok {
			at := w.Machine.Session(name)
			s.Crash, s.NotifyCrash = crashOf(daemons[name], at.DaemonLog()), crashOf(notifiers[name], at.NotifyLog())
			o.Sessions[name] = s
		}
	}
	o.Relay.Crash = relayCrashOf(w.Machine, w.mill.crashing()[d.LocalRelay.URL])
}

func (w *Watcher) backoffs() []*backoff { return []*backoff{&w.back, &w.desk, &w.mill} }

// ended keeps the books of who lives.
func (w *Watcher) ended(r Result) {
	w.books.Lock()
	again := w.enter(r)
	w.books.Unlock()
	if again {
		w.report(Again{r.Change.Subjects[0]})
	}
	w.watchStarted(r)
}

// enter takes the end of a change into the books, and says whether it put a daemon in place of another one.
func (w *Watcher) enter(r Result) (again bool) {
	if len(r.Change.Subjects) != 1 {
		return false
	}
	name, now := r.Change.Subjects[0], time.Now()
	for _, b := range w.backoffs() {
		put := false
		start, restart, stop := b.kinds()
		switch r.Change.Kind {
		case start:
			switch r.Outcome {
			case Done, Begun:
				put = b.began(name, now)
			case Failed:
				b.fell(name, now, r.Err)
			}
		case restart:
			switch r.Outcome {
			case Done, Begun:
				put = true
				b.replaced(name, nil, now)
			case Failed:
				b.replaced(name, r.Err, now)
			}
		case stop:
			b.stopped(name)
		}
		again = again || put && b.of == daemons
	}
	return again
}
