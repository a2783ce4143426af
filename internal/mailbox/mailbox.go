// Package mailbox moves signed events between a session's files and its relay slots: send, push, pull,
// tail (reference/home-and-daemon.md sections 6 and 7, design.md section 8).
//
// Law of the room: the outbox is only appended to; progress lives in outbox-sent.json. The inbox is synced
// before the cursor moves. Every refused event is stepped over; one whose signer, key, kind or schema is
// unknown goes to the quarantine and is judged again when trust changes.
package mailbox

import (
	"context"
	"io"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
)

// Box is the mailbox of one session. It keeps what it learns (inbox index, trust, progress) between calls:
// a daemon holds one for life, a command for one call. Not safe for concurrent use, but Push and Pull may
// run beside each other.
type Box struct{}

// Open is the mailbox of s.
func Open(s home.Session, c *client.Client) *Box { panic("seam") }

// Outgoing is what `wire send` queues.
type Outgoing struct {
	Peer     string // bare handle
	Kind     string // as typed
	Body     any    // canon value
	Deadline string // RFC 3339 or ""
}

// Queued is what Send wrote.
type Queued struct {
	EventID string
	Outbox  string // path of the outbox file
}

// Send signs an event and appends it to the peer's outbox, synced. Unstable floats, unknown numeric kinds
// and bodies deeper than 125 are refused.
func (b *Box) Send(ctx context.Context, o Outgoing, now time.Time) (Queued, error) { panic("seam") }

// Attention looks whether a peer pulls; the line for stderr ("phyllis: ...") or "". At most 300 ms.
func (b *Box) Attention(ctx context.Context, peer string, now time.Time) string { panic("seam") }

// PushItem is one line of a push result (cli.md 2.9).
type PushItem struct {
	Peer     string
	EventID  string
	Endpoint string // relay URL that answered; "" if none did
	Scope    home.Scope
	Reason   string // why it was skipped: "duplicate", a transport reason; "" for a pushed one
}

// PushResult is what a push did.
type PushResult struct {
	Pushed  []PushItem
	Skipped []PushItem
}

// PushOptions: Peer limits to one peer; Resend posts lines again that are counted as sent (the CLI reports
// them as duplicates), which a daemon never does.
type PushOptions struct {
	Peer   string
	Resend bool
}

// ErrNoPeers is a push without any pinned peer.
type ErrNoPeers struct{}

func (ErrNoPeers) Error() string { panic("seam") }

// Push posts every outbox line that its peer's slot does not have, along the peer's routes, each once. It
// holds push.lock.
func (b *Box) Push(ctx context.Context, o PushOptions) (PushResult, error) { panic("seam") }

// Rejected is one refused event.
type Rejected struct {
	EventID       string
	Reason        string
	Transient     bool
	SchemaVersion string // only for schema mismatches
}

// Written is one event that reached the inbox.
type Written struct {
	EventID string
	From    string // handle
}

// PullResult is what a pull did (cli.md 2.10).
type PullResult struct {
	Written   []Written
	Rejected  []Rejected
	TotalSeen int
	Cursor    string   // of the federation slot, "" if none
	Failed    []string // "endpoint <url> (Local) errored: ..." lines for stderr
}

// Pull lists every own endpoint, page by page, verifies, writes inbox lines, then moves the cursors. It
// holds pull.lock. Unbound is an error for a command and an empty result for a daemon.
func (b *Box) Pull(ctx context.Context) (PullResult, error) { panic("seam") }

// Rejudge verifies the quarantined events again and moves those that a new pin makes acceptable to the
// inbox. It is called when trust.json changed and at daemon start.
func (b *Box) Rejudge(ctx context.Context) ([]Written, error) { panic("seam") }

// TailOptions are those of `wire tail`.
type TailOptions struct {
	Peer  string
	Limit int
	JSON  bool
}

// Tail prints stored inbox events, verified against trust now (cli.md 2.6).
func (b *Box) Tail(w io.Writer, o TailOptions) error { panic("seam") }
