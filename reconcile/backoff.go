package reconcile

import (
	"errors"
	"slices"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

// How a watcher brings back who keeps dying.
const (
	firstWait   = 200 * time.Millisecond // before the second revival in a row; the first is at once
	longestWait = 30 * time.Second
	relayWait   = 2 * time.Second  // likewise of the relay: everybody waits for it
	steady      = 10 * time.Second // a daemon that was ready this long starts afresh
	crashLoop   = 5                // deaths without that
)

// backoff remembers the lives and deaths of daemons or of notifiers, session by session, or of the relay, by its URL.
// It is part of a watcher; a one-shot apply starts what is dead, whatever happened before.
type backoff struct {
	of whose
	by map[string]*life
}

type whose int

const (
	daemons whose = iota
	notifiers
	relays
)

// kinds are the changes that it has to do with.
func (b *backoff) kinds() (start, restart, stop Kind) {
	switch b.of {
	case notifiers:
		return StartNotify, RestartNotify, StopNotify
	case relays:
		return StartRelay, RestartRelay, StopRelay
	}
	return StartDaemon, RestartDaemon, StopDaemon
}

// longest is what one waits at most.
func (b *backoff) longest() time.Duration {
	if b.of == relays {
		return relayWait
	}
	return longestWait
}

// who is it that lives, of ours; nil for nobody.
func (b *backoff) who(o Observed, name string) *census.Daemon {
	switch b.of {
	case notifiers:
		return o.Session(name).Notify.Ours
	case relays:
		return o.Relay.process()
	}
	return o.Session(name).Daemon.Ours
}

// life is what is known of the daemons of one session, or of the relays at one URL.
type life struct {
	starting bool // beside a pass: how that ends is told

	alive bool
	pid   int // 0: started, and not seen yet
	ticks uint64
	ready time.Time // of the one that lives, or lived last

	known  bool      // there was one before: the next is a restart
	deaths int       // in a row, without a steady life
	died   time.Time // the last of them
	why    string    // the last start failed; "" if it became ready
	failed bool      // it was replaced and its successor did not become ready
	silent time.Time // since when it is under suspicion
}

func (b *backoff) life(name string) *life {
	if b.by == nil {
		b.by = map[string]*life{}
	}
	l := b.by[name]
	if l == nil {
		l = &life{}
		b.by[name] = l
	}
	return l
}

// see takes in who is alive of the wanted sessions, and counts those that have gone since the last look.
func (b *backoff) see(o Observed, wanted []string, now time.Time) {
	listed := make(map[string]bool, len(wanted))
	for _, name := range wanted {
		listed[name] = true
		b.life(name).see(b.who(o, name), now)
	}
	for name := range b.by {
		if !listed[name] {
			delete(b.by, name)
		}
	}
}

func (l *life) see(d *census.Daemon, now time.Time) {
	if l.starting {
		return
	}
	if l.alive && (d == nil || l.pid != 0 && (d.PID != l.pid || d.StartTicks != l.ticks)) {
		l.end(now)
	}
	if d == nil {
		return
	}
	if !l.alive {
		l.ready = d.Started // by others, and it was found at work
	}
	l.alive, l.known, l.failed = true, true, false
	l.pid, l.ticks = d.PID, d.StartTicks
	l.rest(now)
}

// rest forgets the deaths before a steady life.
func (l *life) rest(now time.Time) {
	if now.Sub(l.ready) >= steady {
		l.deaths = 0
	}
}

func (l *life) end(now time.Time) {
	l.rest(now)
	l.alive, l.pid = false, 0
	l.deaths++
	l.died = now
}

// began is a start that became ready. It says whether there was a daemon before.
func (b *backoff) began(name string, now time.Time) (again bool) {
	l := b.life(name)
	again = l.known
	l.alive, l.known, l.pid, l.ready, l.why = true, true, 0, now, ""
	return again
}

// fell is a start that did not become ready, and why: it counts as a death.
func (b *backoff) fell(name string, now time.Time, why error) {
	l := b.life(name)
	l.alive, l.pid = false, 0
	l.deaths++
	l.died, l.why = now, startFailure(why)
}

// startFailure is why a start failed, in one line. Which process it was changes with each of them, and the end of its
// log is reported anyway.
func startFailure(err error) string {
	text := err.Error()
	var start *process.StartError
	if errors.As(err, &start) {
		text = start.Why
	}
	text, _, _ = strings.Cut(text, "\n")
	return text
}

// replaced is a daemon that was stopped for another one to take its place: no death. why says why that other one is
// not there; nil if it is.
func (b *backoff) replaced(name string, why error, now time.Time) {
	l := b.life(name)
	*l = life{known: true, starting: l.starting}
	if why == nil {
		l.alive, l.ready = true, now
		return
	}
	b.fell(name, now, why)
	l.failed = true
}

// stopped is a daemon that is not wanted any more.
func (b *backoff) stopped(name string) { delete(b.by, name) }

// next is when a dead one may be started.
func (b *backoff) next(name string) time.Time {
	l := b.life(name)
	if l.deaths <= 1 {
		return time.Time{}
	}
	return l.died.Add(min(b.longest(), firstWait<<min(l.deaths-2, 10)))
}

// crashing are those that keep dying, by session.
func (b *backoff) crashing() map[string]home.Crash {
	var out map[string]home.Crash
	for name, l := range b.by {
		if l.deaths >= crashLoop {
			if out == nil {
				out = map[string]home.Crash{}
			}
			out[name] = home.Crash{Deaths: l.deaths, Failed: l.why}
		}
	}
	return out
}

// hold takes out of a plan what shall wait, and says when to look again for it, or for the end of a crash loop; zero
// if nothing waits for a time. What needs something that waits, waits as well.
func (b *backoff) hold(p Plan, now time.Time) (Plan, time.Time) {
	h := holder{now: now, kept: make([]Change, 0, len(p.Changes))}
	stuck, silent := b.stuck(p), map[string]bool{}
	start, restart, _ := b.kinds()
	waits, without := map[ID]bool{}, map[string]bool{}
	for _, c := range p.Changes {
		c, _, need := prepare(c, waits, without)
		held := len(h.held)
		switch {
		case need != nil:
			h.held = append(h.held, c)
		case c.Kind == start && b.life(c.Subjects[0]).starting:
			h.held = append(h.held, c)
		case c.Kind == start:
			h.until(c, b.next(c.Subjects[0]))
		case c.Kind == restart && c.Suspect > 0:
			l := b.life(c.Subjects[0])
			silent[c.Subjects[0]] = true
			if l.silent.IsZero() {
				l.silent = now
			}
			h.until(c, l.silent.Add(c.Suspect))
		case c.Kind == restart && c.Roll && stuck:
			h.held = append(h.held, c) // the next one after readiness of the one before
		default:
			h.kept = append(h.kept, c)
		}
		if len(h.held) > held {
			waits[c.ID()] = true
			c.breaks(without)
		}
	}
	for name, l := range b.by {
		if !silent[name] {
			l.silent = time.Time{}
		}
		if l.deaths >= crashLoop && l.alive {
			h.wake(l.ready.Add(steady))
		}
	}
	p.Changes, p.Held = h.kept, append(p.Held, h.held...)
	return p, h.next
}

// stuck says whether a plan has to start a daemon whose predecessor was replaced in vain: with what is
// installed now, the others would not come back either.
func (b *backoff) stuck(p Plan) bool {
	start, _, _ := b.kinds()
	return slices.ContainsFunc(p.Changes, func(c Change) bool {
		return c.Kind == start && b.life(c.Subjects[0]).failed
	})
}

type holder struct {
	now        time.Time
	kept, held []Change
	next       time.Time
}

// until keeps a change that is due and holds any other.
func (h *holder) until(c Change, due time.Time) {
	if !h.now.Before(due) {
		h.kept = append(h.kept, c)
		return
	}
	h.held = append(h.held, c)
	h.wake(due)
}

func (h *holder) wake(at time.Time) {
	if at.After(h.now) && (h.next.IsZero() || at.Before(h.next)) {
		h.next = at
	}
}
