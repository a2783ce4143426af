package reconcile

import (
	"fmt"
	"time"

	"wirefleet.dev/wire/internal/census"
)

// How a watcher brings daemons back that keep dying.
const (
	firstWait   = 200 * time.Millisecond // before the second start in a row; the first is at once
	longestWait = 30 * time.Second
	steady      = 10 * time.Second // a daemon that lived this long starts afresh
	crashLoop   = 5                // deaths without that
)

// backoff remembers the deaths of daemons, session by session. It is part of a watcher; a one-shot apply
// starts what is dead, whatever happened before.
type backoff struct {
	by map[string]*deaths
}

type deaths struct {
	running census.Daemon // as last seen alive
	alive   bool
	count   int       // deaths in a row without a steady life
	next    time.Time // not before
}

// see takes in who is alive, and counts those that have gone since the last look.
func (b *backoff) see(o Observed, now time.Time) {
	if b.by == nil {
		b.by = map[string]*deaths{}
	}
	for name, s := range o.Sessions {
		d := b.by[name]
		if d == nil {
			d = &deaths{}
			b.by[name] = d
		}
		cur := s.Daemon.Ours
		if d.alive && (cur == nil || cur.PID != d.running.PID || cur.StartTicks != d.running.StartTicks) {
			d.died(now)
		}
		d.alive = cur != nil
		if cur != nil {
			d.running = *cur
			if now.Sub(cur.Started) >= steady {
				d.count = 0
			}
		}
	}
}

func (d *deaths) died(now time.Time) {
	if now.Sub(d.running.Started) >= steady {
		d.count = 0
	}
	d.count++
	d.next = now
	if d.count > 1 {
		d.next = now.Add(min(longestWait, firstWait<<min(d.count-2, 10)))
	}
}

// failed counts a start that did not become ready as a death.
func (b *backoff) failed(name string, now time.Time) {
	d := b.by[name]
	if d == nil {
		d = &deaths{}
		b.by[name] = d
	}
	d.running, d.alive = census.Daemon{Started: now}, false
	d.died(now)
	d.next = maxTime(d.next, now.Add(firstWait))
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// replaced forgets the daemon that a session had: its end was wished.
func (b *backoff) replaced(name string) {
	if d := b.by[name]; d != nil {
		d.alive = false
	}
}

// hold takes the starts out of a plan whose time has not come, and says when the first of them may run.
// What keeps crashing is reported, with what tail says of its log.
func (b *backoff) hold(p Plan, now time.Time, tail func(name string) string) (Plan, time.Time) {
	var next time.Time
	kept := make([]Change, 0, len(p.Changes))
	for _, c := range p.Changes {
		if c.Kind != StartDaemon {
			kept = append(kept, c)
			continue
		}
		d := b.by[c.Subjects[0]]
		if d != nil && d.count >= crashLoop {
			p.Blocked = append(p.Blocked, Report{
				Subject: c.Subjects[0],
				Reason:  Reason{"daemon-crash-looping", fmt.Sprintf("its daemon died %d times in a row; tried again every %s at most", d.count, longestWait)},
				Advice:  tail(c.Subjects[0]),
			})
		}
		if d == nil || !now.Before(d.next) {
			kept = append(kept, c)
			continue
		}
		p.Held = append(p.Held, c)
		if next.IsZero() || d.next.Before(next) {
			next = d.next
		}
	}
	p.Changes = kept
	return p, next
}
