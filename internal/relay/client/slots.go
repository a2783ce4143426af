package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// Allocate makes a slot. A 429 is obeyed and retried until ctx ends.
func (c *Client) Allocate(ctx context.Context, url, handle string) (Slot, error) {
	a, err := c.patiently(ctx, url, request{
		call: "allocate", method: "POST", path: "/v1/slot/allocate",
		body: canon.Compact(canon.Doc{"handle": handle}),
	})
	if err != nil {
		return Slot{}, err
	}
	doc, err := a.object("POST")
	if err != nil {
		return Slot{}, err
	}
	id, okID := doc["slot_id"].(string)
	token, okToken := doc["slot_token"].(string)
	if !okID || !okToken || id == "" || token == "" {
		return Slot{}, a.wrong("POST", "slot_id and slot_token missing")
	}
	return Slot{URL: url, ID: id, Token: identity.NewToken(token)}, nil
}

// Posted is how a relay took an event.
type Posted struct {
	EventID   string // as the relay read it, "" for an event without one
	Duplicate bool   // it had the event already
}

// Post stores an event, given as its compact JSON text. A 429 is obeyed and retried until ctx ends.
func (c *Client) Post(ctx context.Context, s Slot, event []byte) (Posted, error) {
	a, err := c.patiently(ctx, s.URL, request{
		call: "post_event", method: "POST", path: "/v1/events/" + url.PathEscape(s.ID), token: s.Token, body: envelope(event),
	})
	if err != nil {
		return Posted{}, err
	}
	doc, err := a.object("POST")
	if err != nil {
		return Posted{}, err
	}
	status, ok := doc["status"].(string)
	if !ok {
		return Posted{}, a.wrong("POST", "status missing")
	}
	id, ok := doc["event_id"].(string)
	if v := doc["event_id"]; !ok && v != nil {
		return Posted{}, a.wrong("POST", "event_id is no string")
	}
	return Posted{EventID: id, Duplicate: status == "duplicate"}, nil
}

// envelope is {"event": ...} around a JSON text.
func envelope(event []byte) []byte {
	body := make([]byte, 0, len(event)+10)
	body = append(body, `{"event":`...)
	body = append(body, event...)
	return append(body, '}')
}

// runHeader asks a relay of ours which run of it answers, and holds the answer.
const runHeader = "Wire-Relay-Run"

// Page is one answer to a reader of a slot.
type Page struct {
	Events [][]byte // each as its JSON text; they alias one buffer and are whole JSON values, not more: canon may still refuse one
	Run    string   // another one after each start of the relay; "" of one that does not tell
}

// Page is the events after the cursor since ("" for the start), at most limit.
func (c *Client) Page(ctx context.Context, s Slot, since string, limit int) (Page, error) {
	path := "/v1/events/" + url.PathEscape(s.ID) + "?"
	if since != "" {
		path += "since=" + url.QueryEscape(since) + "&"
	}
	path += "limit=" + strconv.Itoa(limit)
	a, err := c.do(ctx, s.URL, request{call: "list_events", method: "GET", path: path, token: s.Token, limit: maxPage, asks: runHeader})
	if err != nil {
		return Page{}, err
	}
	events, err := elements(a.body)
	if err != nil {
		return Page{}, a.wrong("GET", err.Error())
	}
	return Page{Events: events, Run: a.header.Get(runHeader)}, nil
}

// List is the events of a Page.
func (c *Client) List(ctx context.Context, s Slot, since string, limit int) ([][]byte, error) {
	p, err := c.Page(ctx, s, since, limit)
	return p.Events, err
}

// State is what the relay knows of a slot. It does not count as a pull.
type State struct {
	EventCount int
	LastPull   *time.Time // nil: none since the relay started
	Health     []byte     // responder_health as JSON text, nil if null
	Full       bool       // it may refuse the next event with 413; only a relay of ours says so
}

// State reads GET .../state.
func (c *Client) State(ctx context.Context, s Slot) (State, error) {
	a, err := c.do(ctx, s.URL, request{call: "slot_state", method: "GET", path: statePath(s.ID), token: s.Token})
	if err != nil {
		return State{}, err
	}
	doc, err := a.object("GET")
	if err != nil {
		return State{}, err
	}
	var st State
	if n, ok := doc["event_count"].(uint64); ok {
		st.EventCount = int(n)
	} else {
		return State{}, a.wrong("GET", "event_count missing")
	}
	if n, ok := doc["last_pull_at_unix"].(uint64); ok {
		at := time.Unix(int64(n), 0).UTC()
		st.LastPull = &at
	}
	_, st.Full = doc["slot_bytes_used"].(uint64)
	if h := doc["responder_health"]; h != nil {
		st.Health = canon.Compact(h)
	}
	return st, nil
}

// SetResponderHealth replaces the slot's responder record (relay.md 6.7) and is the relay's answer as JSON text.
func (c *Client) SetResponderHealth(ctx context.Context, s Slot, record canon.Doc) ([]byte, error) {
	a, err := c.do(ctx, s.URL, request{
		call: "responder_health_set", method: "POST", path: "/v1/slot/" + url.PathEscape(s.ID) + "/responder-health",
		token: s.Token, body: canon.Compact(record),
	})
	return a.json("POST", err)
}

func statePath(slotID string) string { return "/v1/slot/" + url.PathEscape(slotID) + "/state" }

// maxPatience bounds the waiting for a limiter where the context has no deadline.
const maxPatience = 5 * time.Minute

// patiently is do that waits as long as a 429 says and tries again, while ctx leaves time for it.
func (c *Client) patiently(ctx context.Context, base string, r request) (answer, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(maxPatience)
	}
	for {
		a, err := c.do(ctx, base, r)
		var refused *StatusError
		if !errors.As(err, &refused) || !errors.Is(refused, ErrRateLimited) {
			return a, err
		}
		// The reference rounds down, so 0 means less than a second. Spread, for all who wait wait for the same permit.
		wait := max(refused.RetryAfter, 100*time.Millisecond)
		wait += time.Duration(rand.Int64N(int64(wait)/4 + 1))
		if time.Now().Add(wait).After(deadline) {
			return answer{}, err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return answer{}, err
		}
	}
}

// object is the answer as a JSON object.
func (a answer) object(method string) (canon.Doc, error) {
	doc, err := canon.ParseObject(a.body)
	if err != nil {
		return nil, a.wrong(method, err.Error())
	}
	return doc, nil
}

// json is the answer's own text if it is JSON of any shape.
func (a answer) json(method string, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if err := canon.Valid(a.body); err != nil {
		return nil, a.wrong(method, err.Error())
	}
	return a.body, nil
}

// wrong is a 2xx answer that the call cannot use.
func (a answer) wrong(method, why string) error {
	return &CallError{Method: method, URL: a.url, Err: fmt.Errorf("error decoding response body: %s", why), Answered: true}
}

// elements cuts a JSON array into the texts of its elements, which alias data. Only the syntax is checked:
// what one event holds must not cost the others of its page.
func elements(data []byte) ([][]byte, error) {
	if !json.Valid(data) {
		return nil, errors.New("not JSON")
	}
	i := skipSpace(data, 0)
	if data[i] != '[' {
		return nil, errors.New("not an array")
	}
	var out [][]byte
	for i = skipSpace(data, i+1); data[i] != ']'; i = skipSpace(data, i) {
		end := valueEnd(data, i)
		out = append(out, data[i:end:end])
		if i = skipSpace(data, end); data[i] == ',' {
			i = skipSpace(data, i+1)
		}
	}
	return out, nil
}

func skipSpace(data []byte, i int) int {
	for data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r' {
		i++
	}
	return i
}

// valueEnd is the offset behind the value that starts at i in valid JSON inside an array.
func valueEnd(data []byte, i int) int {
	depth := 0
	for ; ; i++ {
		switch data[i] {
		case '"':
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '[', '{':
			depth++
		case ']', '}':
			if depth == 0 {
				return i // a number or word that ends the array
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
	}
}
