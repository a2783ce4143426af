// Package client speaks to a relay (reference/relay.md section 8): one shared transport with keep-alive,
// deadlines on every call, no proxy for loopback, and errors that tell refused, timeout, 401, 403, 404,
// 413 and 429 apart.
//
// Law of the room: only internal/relay and this package know an HTTP path of the relay.
package client

import (
	"context"
	"errors"
	"time"

	"wirefleet.dev/wire/internal/identity"
)

// Errors that a caller decides on; use errors.Is. Every error also carries URL, status and body.
var (
	ErrRefused      = errors.New("connection refused")
	ErrTimeout      = errors.New("timeout")
	ErrUnauthorized = errors.New("401 unauthorized")      // no token
	ErrForbidden    = errors.New("403 forbidden")         // wrong token: the slot is lost to us
	ErrNotFound     = errors.New("404 not found")         // the slot is lost
	ErrTooLarge     = errors.New("413 too large")         // event or slot quota
	ErrRateLimited  = errors.New("429 too many requests") // after the client's own retries
	ErrNoRelay      = errors.New("not a wire relay")      // something else answers there
)

// StatusError is an answer that is not 2xx: "<call> failed: <code> <reason>: <body>" (relay.md 8.2).
type StatusError struct {
	Call       string // allocate, post_event, list_events, ...
	Code       int
	Body       string
	RetryAfter time.Duration
}

func (e *StatusError) Error() string        { panic("seam") }
func (e *StatusError) Is(target error) bool { panic("seam") }

// Describe is the class and the causes of an error as push results and warnings show them (relay.md 8.3).
func Describe(err error) string { panic("seam") }

// Slot is a mailbox at a relay.
type Slot struct {
	URL   string // base URL; a trailing slash is trimmed on use
	ID    string
	Token identity.Token
}

// Client is safe for concurrent use and meant to be shared.
type Client struct{}

// New is a client whose calls take at most timeout each (0: 30 s) where their context has no deadline.
func New(timeout time.Duration) *Client { panic("seam") }

// Close lets idle connections go.
func (c *Client) Close() { panic("seam") }

// Healthy is nil if /healthz answers 2xx.
func (c *Client) Healthy(ctx context.Context, url string) error { panic("seam") }

// Identify is nil if the right program is there: /healthz says ok and a made-up slot is 404 `unknown slot`
// (design.md section 4). Another program is ErrNoRelay.
func (c *Client) Identify(ctx context.Context, url string) error { panic("seam") }

// Allocate makes a slot. A 429 is obeyed and retried until ctx ends.
func (c *Client) Allocate(ctx context.Context, url, handle string) (Slot, error) { panic("seam") }

// Posted is how a relay took an event.
type Posted struct {
	EventID   string
	Duplicate bool // it had the event already
}

// Post stores an event, given as its compact JSON text.
func (c *Client) Post(ctx context.Context, s Slot, event []byte) (Posted, error) { panic("seam") }

// List is the events after the cursor since ("" for the start), each as its JSON text, at most limit.
func (c *Client) List(ctx context.Context, s Slot, since string, limit int) ([][]byte, error) {
	panic("seam")
}

// State is what the relay knows of a slot. It does not count as a pull.
type State struct {
	EventCount int
	LastPull   *time.Time // nil: none since the relay started
	Health     []byte     // responder_health as JSON text, nil if null
}

// State reads GET .../state.
func (c *Client) State(ctx context.Context, s Slot) (State, error) { panic("seam") }

// Stream subscribes and calls wake for every data line until ctx ends, the relay closes (nil) or an error.
// opened is called once the relay has accepted. 90 s without a byte is an error.
func (c *Client) Stream(ctx context.Context, s Slot, opened, wake func()) error { panic("seam") }
