package notify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/mailbox"
)

// What is shown of a burst: the rest of it is one notification.
const (
	mostShown = 100
	within    = time.Minute
)

// showWait is how long a desktop may take for one notification: one that hangs stalls nobody.
const showWait = 5 * time.Second

// note is one notification. Neither text holds a line break or control character.
type note struct{ title, body string }

// sweep shows all that has arrived, one after the other.
func (n *notifier) sweep(ctx context.Context) error {
	return errors.Join(n.requests(ctx), n.messages(ctx))
}

func (n *notifier) messages(ctx context.Context) error {
	if n.lost {
		return n.catchUp(ctx)
	}
	if n.over.n > 0 && n.pace.take(time.Now()) {
		n.flush(ctx)
	}
	at := maps.Clone(n.reader.Offsets())
	err := n.reader.Sweep(func(e mailbox.Arrival) error {
		if err := ctx.Err(); err != nil {
			return err // it is the next notifier's
		}
		if !n.wants(e) || n.recent.has(e) {
			return nil
		}
		at[e.Peer] = e.End
		if err := n.save(at); err != nil {
			return err
		}
		n.recent.add(e)
		if n.over.n > 0 || !n.pace.take(time.Now()) {
			n.over.add(e.Peer)
			return nil
		}
		n.show(ctx, noteOf(e))
		return nil
	})
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, n.save(n.reader.Offsets()))
}

// catchUp is for a cursor that was lost, or is not there yet: nobody knows which messages were shown, so they
// are one notification, but for a single one.
func (n *notifier) catchUp(ctx context.Context) error {
	var stored backlog
	var last mailbox.Arrival
	err := n.reader.Sweep(func(e mailbox.Arrival) error {
		if n.wants(e) {
			stored.add(e.Peer)
			last = e
		}
		return nil
	})
	if err == nil {
		err = n.save(n.reader.Offsets())
	}
	if err != nil {
		n.reader.Seek(nil) // and from the start again
		return err
	}
	n.lost = false
	switch stored.n {
	case 0:
	case 1:
		n.show(ctx, noteOf(last))
	default:
		n.show(ctx, note{"wire", stored.text("in the inbox")})
	}
	return nil
}

// rest shows what came faster than it is shown, before the notifier ends.
func (n *notifier) rest(ctx context.Context) {
	if n.over.n > 0 {
		n.flush(ctx)
	}
}

func (n *notifier) flush(ctx context.Context) {
	n.show(ctx, note{"wire", n.over.text("more")})
	n.over = backlog{}
}

func (n *notifier) show(ctx context.Context, t note) {
	n.news = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), showWait) // what has begun is finished
	defer cancel()
	err := onDesktop(ctx, t)
	if err == nil {
		n.mute = false
		return
	}
	if !n.mute {
		n.line("no desktop: %v; what arrives is written here", err)
		n.mute = true
	}
	fmt.Fprintf(n.Stderr, "[wire notify] %s\n  %s\n", t.title, t.body)
}

// noteOf is the reference's text for an event (13.3), as data.
func noteOf(e mailbox.Arrival) note {
	t := note{title: "wire ← " + e.Peer, body: mailbox.OneLine(e.Kind + ": " + e.Preview)}
	if !e.Verified {
		t.title += " (UNVERIFIED)"
	}
	return t
}

// backlog counts messages that are told of together.
type backlog struct {
	n     int
	peers map[string]bool
}

func (b *backlog) add(peer string) {
	if b.peers == nil {
		b.peers = map[string]bool{}
	}
	b.n++
	b.peers[peer] = true
}

func (b *backlog) text(where string) string {
	const named = 5
	peers := slices.Sorted(maps.Keys(b.peers))
	rest := ""
	if len(peers) > named {
		peers, rest = peers[:named], fmt.Sprintf(" and %d others", len(peers)-named)
	}
	noun := "messages"
	if b.n == 1 {
		noun = "message"
	}
	return fmt.Sprintf("%d %s %s, from %s%s", b.n, noun, where, strings.Join(peers, ", "), rest)
}

// pace lets so many through in a minute.
type pace struct{ times []time.Time }

func (p *pace) take(now time.Time) bool {
	i := slices.IndexFunc(p.times, func(t time.Time) bool { return now.Sub(t) < within })
	if i < 0 {
		i = len(p.times)
	}
	p.times = append(p.times[:0], p.times[i:]...)
	if len(p.times) >= mostShown {
		return false
	}
	p.times = append(p.times, now)
	return true
}

// recent are the ids that were shown last: two programs that pull for one home can store an event twice.
type recent struct {
	ids  map[string]bool
	ring []string
	next int
}

const keepRecent = 256

func (r *recent) key(e mailbox.Arrival) string { return fmt.Sprintf("%t %s", e.Verified, e.EventID) }

func (r *recent) has(e mailbox.Arrival) bool { return e.EventID != "" && r.ids[r.key(e)] }

func (r *recent) add(e mailbox.Arrival) {
	if r.ids == nil {
		r.ids, r.ring = map[string]bool{}, make([]string, keepRecent)
	}
	delete(r.ids, r.ring[r.next])
	r.ring[r.next] = r.key(e)
	r.ids[r.key(e)] = true
	r.next = (r.next + 1) % keepRecent
}
