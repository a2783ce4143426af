package reactor

import (
	"slices"
	"strings"
	"sync"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/mailbox"
)

// keepCaused is how many ids are remembered; the oldest go first (home-and-daemon.md quirk 29).
const keepCaused = 500

// causes are the events that were queued while a reactor ran: what its commands have sent, as far as can be
// told. They stand in ST/reactor-emitted.log, for the next run as well.
type causes struct {
	mu   sync.Mutex
	home home.Session
	box  *mailbox.Box
	at   home.Offsets // of the outbox files
	ids  []string     // oldest first
}

func (c *causes) begin(s home.Session, box *mailbox.Box) (err error) {
	c.home, c.box = s, box
	c.ids = s.ReadEmitted()
	c.at, err = box.QueueEnds()
	return err
}

// look takes in what was queued since the last time.
func (c *causes) look() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids, err := c.box.QueuedSince(c.at)
	if len(ids) > 0 {
		c.ids = append(c.ids, ids...)
		c.ids = c.ids[max(0, len(c.ids)-keepCaused):]
		if werr := c.home.WriteEmitted(c.ids); err == nil {
			err = werr
		}
	}
	return err
}

// shortest is the least that names an event: fewer digits could be anybody's.
const shortest = 8

// answered is the first of our own that an event says to answer: "(re:ID)" in its body, with the whole id or
// its beginning.
func (c *causes) answered(event canon.Doc) (ref string, ours bool) {
	body, ok := event["body"].(string)
	if !ok {
		body = string(canon.Compact(event["body"]))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		_, rest, found := strings.Cut(body, "(re:")
		if !found {
			return "", false
		}
		ref, body, found = strings.Cut(rest, ")")
		if !found {
			return "", false
		}
		if len(ref) >= shortest && slices.ContainsFunc(c.ids, func(id string) bool { return strings.HasPrefix(id, ref) }) {
			return ref, true
		}
	}
}
