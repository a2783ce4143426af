package mailbox

import (
	"context"
	"fmt"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
)

// maxDepth is the deepest body that survives the hop over a relay, whose envelopes cost a level each
// (identity.md 1.1).
const maxDepth = 125

// Outgoing is what `wire send` queues.
type Outgoing struct {
	Peer     string // bare handle; it need not be pinned
	Kind     string // as typed
	Body     any    // canon value
	Deadline string // RFC 3339 or ""
}

// Queued is what Send wrote.
type Queued struct {
	EventID string
	Outbox  string // path of the outbox file
}

// Send signs an event and appends it to the peer's outbox, synced. Refused is what would be lost on its way
// without a word: unstable floats, bodies deeper than 125, an event larger than a relay takes (*TooLargeError), a
// handle that is no file name. Without key or card
// the error is home.ErrNotInitialized.
func (b *Box) Send(ctx context.Context, o Outgoing, now time.Time) (Queued, error) {
	p, err := b.pen()
	if err != nil {
		return Queued{}, err
	}
	l, err := b.write(p, o, now)
	if err != nil {
		return Queued{}, err
	}
	if err := ctx.Err(); err != nil {
		return Queued{}, err
	}
	if err := b.home.Ensure(); err != nil {
		return Queued{}, err
	}
	if err := l.queue(); err != nil {
		return Queued{}, err
	}
	return Queued{EventID: l.id, Outbox: l.outbox}, nil
}

// KindWarning says what receivers make of a kind that they do not know, "" for one that they do. The
// reference queues it all the same (cli.md 6.2-6).
func KindWarning(kind string) string {
	n := identity.KindNumber(kind)
	if identity.KnownKind(n) {
		return ""
	}
	return fmt.Sprintf("kind %d is none that receivers know: they will not show it, and one of 0.6.10 stops reading there", n)
}

// pen signs for the session.
type pen struct {
	key identity.Key
	did identity.DID
}

func (b *Box) pen() (pen, error) {
	key, card, err := b.home.Identity()
	if err != nil {
		return pen{}, err
	}
	me, err := identity.ReadCard(card)
	if err != nil {
		return pen{}, fmt.Errorf("%s: %w", b.home.CardFile(), err)
	}
	return pen{key, me.DID}, nil
}

// letter is a signed event on its way into an outbox.
type letter struct {
	peer   string
	id     string
	outbox string // path
	text   []byte // compact
}

func (b *Box) write(p pen, o Outgoing, now time.Time) (letter, error) {
	path, err := b.home.Outbox(o.Peer)
	if err != nil {
		return letter{}, err
	}
	event, err := compose(o, p.did, now)
	if err != nil {
		return letter{}, err
	}
	signed := identity.SignEvent(event, p.key, p.did)
	id, _ := signed["event_id"].(string)
	text := canon.Compact(signed)
	if len(text) > maxEvent {
		return letter{}, &TooLargeError{Bytes: len(text), Body: len(canon.Compact(o.Body))}
	}
	return letter{peer: o.Peer, id: id, outbox: path, text: text}, nil
}

// TooLargeError is an event that no relay would ever take: the limit counts its whole signed text (relay.md 6.3).
type TooLargeError struct {
	Bytes int // of the signed event
	Body  int // of it, what the body takes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the signed event has %d bytes and a relay takes %d: nothing was queued; its body, %d bytes as JSON, may have %d",
		e.Bytes, maxEvent, e.Body, maxEvent-(e.Bytes-e.Body))
}

func (l letter) queue() error { return home.AppendLines(l.outbox, [][]byte{l.text}, true) }

// compose is the unsigned event (identity.md 3.1).
func compose(o Outgoing, from identity.DID, now time.Time) (canon.Doc, error) {
	if d := canon.Depth(o.Body); d > maxDepth {
		return nil, fmt.Errorf("the body is nested %d deep; more than %d does not survive a relay", d, maxDepth)
	}
	if path, bad := canon.Unstable(canon.Doc{"body": o.Body}); bad {
		return nil, fmt.Errorf("the number at %s changes when it is printed and read again, so nobody could verify the event: round it or send it as a string", path)
	}
	event := canon.Doc{
		"schema_version": "v3.1",
		"timestamp":      identity.FormatTime(now),
		"from":           string(from),
		"to":             "did:wire:" + o.Peer,
		"type":           o.Kind,
		"kind":           uint64(identity.KindNumber(o.Kind)),
		"body":           o.Body,
	}
	if o.Deadline != "" {
		event["time_sensitive_until"] = o.Deadline
	}
	return event, nil
}

// Times of Attention.
const (
	attentionWait = 300 * time.Millisecond
	silentAfter   = 300 * time.Second // as in the reference's status
)

// Attention looks whether a peer pulls; the line for stderr ("phyllis: ...") or "". At most 300 ms. It asks
// the slot to which the next push would go, and it says nothing of a peer that is not pinned.
func (b *Box) Attention(ctx context.Context, peer string, now time.Time) string {
	relay, err := b.home.ReadRelay()
	if err != nil {
		return ""
	}
	routes := relay.Routes(peer)
	if len(routes) == 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, attentionWait)
	defer cancel()
	st, err := b.relay.State(ctx, slotOf(routes[0]))
	switch {
	case err != nil:
		return fmt.Sprintf("phyllis: %s's line is silent — %s", peer, client.Describe(err))
	case st.LastPull == nil:
		return fmt.Sprintf("phyllis: %s's line is silent — nothing was pulled since the relay started", peer)
	}
	if age := now.Sub(*st.LastPull); age > silentAfter {
		return fmt.Sprintf("phyllis: %s last picked up %s ago — the message is queued", peer, age.Round(time.Second))
	}
	return ""
}
