package mailbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
)

// pageLimit is what one list asks for, the most that a relay gives.
const pageLimit = 1000

// Rejected is one refused event. It never blocks: the cursor has passed it.
type Rejected struct {
	EventID       string // "" if it has none
	Reason        string // the reference's text
	Transient     bool   // it waits in the quarantine
	SchemaVersion string // only for schema mismatches
}

// Written is one event that reached the inbox.
type Written struct {
	EventID string
	From    string // handle
}

// Request is a pair request of a stranger that was stored for the user to accept.
type Request struct {
	EventID string
	Handle  string
	DID     identity.DID
}

// PullResult is what a pull did (cli.md 2.10). The reference's cursor_blocked is always false.
type PullResult struct {
	Written   []Written
	Rejected  []Rejected
	Requests  []Request // each of them is in Rejected too
	TotalSeen int
	Cursor    string   // of the federation slot, "" if none
	Failed    []string // "endpoint <url> (Local) errored: ..." lines for stderr
}

// ErrUnbound is a pull of a session without a slot.
type ErrUnbound struct{ Bound bool } // self is there, but names no slot

func (e ErrUnbound) Error() string {
	if e.Bound {
		return "self.relay_url / slot_id / slot_token missing in relay_state.json"
	}
	return "self slot not bound"
}

// Pull lists every own endpoint, page by page, verifies, writes inbox lines, then moves the cursors. It
// holds pull.lock for each page's writing, not while it waits for a relay. A session without a slot is
// ErrUnbound, for a daemon an empty result. A relay that fails is a line in Failed and no error.
func (b *Box) Pull(ctx context.Context) (PullResult, error) {
	relay, err := b.home.ReadRelay()
	if err != nil {
		return PullResult{}, err
	}
	self := relay.Self()
	if len(self) == 0 {
		return PullResult{}, ErrUnbound{Bound: relay.Bound()}
	}
	var out PullResult
	if out.Written, err = b.Rejudge(ctx); err != nil {
		return out, err
	}
	parts := make([]part, len(self))
	var all sync.WaitGroup
	for i, e := range self {
		parts[i] = part{endpoint: e, cursor: relay.Cursor(e)}
		all.Go(func() { b.pullEndpoint(ctx, &parts[i]) })
	}
	all.Wait()

	touched := map[string]bool{}
	var errs []error
	for i := range parts {
		p := &parts[i]
		out.Written = append(out.Written, p.written...)
		out.Rejected = append(out.Rejected, p.rejected...)
		out.Requests = append(out.Requests, p.requests...)
		out.TotalSeen += p.seen
		if p.failed != nil {
			out.Failed = append(out.Failed, fmt.Sprintf("endpoint %s (%s) errored: %s", p.endpoint.RelayURL, scopeName(p.endpoint.Scope), client.Describe(p.failed)))
		}
		if p.endpoint.Scope == home.Federation && out.Cursor == "" && (p.failed == nil || p.seen > 0) {
			out.Cursor = p.cursor
		}
		for _, w := range p.written {
			touched[w.From] = true
		}
		errs = append(errs, p.err)
	}
	b.in.trim(touched)
	return out, errors.Join(errs...)
}

func scopeName(s home.Scope) string {
	if s == home.Local {
		return "Local"
	}
	return "Federation"
}

// part is the pull of one endpoint.
type part struct {
	endpoint home.Endpoint
	cursor   string

	written  []Written
	rejected []Rejected
	requests []Request
	seen     int
	failed   error // of the relay
	err      error // of ours
}

func (b *Box) pullEndpoint(ctx context.Context, p *part) {
	limit := pageLimit
	been := map[string]bool{p.cursor: true}
	for {
		page, err := b.relay.List(ctx, slotOf(p.endpoint), p.cursor, limit)
		var call *client.CallError
		if errors.As(err, &call) && call.Answered && errors.Is(err, client.ErrTimeout) && limit > 1 && ctx.Err() == nil {
			limit /= 10 // a page that is too big for the line would be too big the next time as well (Q30)
			continue
		}
		if err != nil {
			p.failed = err
			return
		}
		if len(page) == 0 {
			return
		}
		next, err := b.take(ctx, p, page)
		if err != nil {
			p.err = err
			return
		}
		if next == "" {
			p.failed = fmt.Errorf("%d events in a row have no event id to go on from", len(page))
			return
		}
		if been[next] {
			return // somebody reused an id: the relay would lead us in a circle
		}
		been[next] = true
		p.cursor = next
	}
}

// take judges and stores one page and moves the cursor to next. The order is what makes a crash harmless:
// first the inbox, synced, then the cursor. What is in both the slot and the inbox is a duplicate.
func (b *Box) take(ctx context.Context, p *part, page [][]byte) (next string, err error) {
	b.pull.Lock()
	defer b.pull.Unlock()
	unlock, err := b.lockPull(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	b.keys.refresh()
	defer b.keys.release()

	now := time.Now()
	var verdicts []verdict
	for _, text := range page {
		event, err := canon.Parse(text)
		if err != nil {
			verdicts = append(verdicts, verdict{refused: &identity.VerifyError{Reason: "no canonical JSON: " + err.Error()}})
			continue
		}
		v, err := b.judge(event, now)
		if err != nil {
			b.in.forget()
			b.held.discard()
			return "", err
		}
		b.stage(&v, event, now)
		verdicts = append(verdicts, v)
	}
	if err := b.flush(verdicts, now); err != nil {
		return "", err
	}
	next = cursorAfter(verdicts)
	if err := b.settle(ctx, p, verdicts, next); err != nil {
		return "", err
	}
	p.count(verdicts)
	return next, nil
}

func (b *Box) lockPull(ctx context.Context) (unlock func(), err error) {
	if err := b.home.Ensure(); err != nil {
		return nil, err
	}
	return home.Lock(ctx, b.home.PullLock())
}

// cursorAfter is the last event of a page that the relay can be asked to go on from. One whose id is its
// own hash comes first: any other id may stand elsewhere in the slot too, and lead back.
func cursorAfter(verdicts []verdict) string {
	for _, trusted := range []bool{true, false} {
		for i := len(verdicts) - 1; i >= 0; i-- {
			if v := verdicts[i]; isEventID(v.id) && (v.genuine || !trusted) {
				return v.id
			}
		}
	}
	return ""
}

// stage hands the event to the inbox or to the quarantine, for flush.
func (b *Box) stage(v *verdict, event any, now time.Time) {
	doc, _ := event.(canon.Doc)
	switch {
	case v.line != nil:
		b.in.files[v.handle].add(v.k, v.line)
	case v.hold && v.genuine:
		b.held.add(doc, v.refused.Reason, v.proven, now)
	}
}

// flush makes durable what a page brought, before the cursor moves past it.
func (b *Box) flush(verdicts []verdict, now time.Time) error {
	if err := b.in.flush(); err != nil {
		b.held.discard()
		return err
	}
	if err := b.held.flush(); err != nil {
		return err
	}
	var log [][]byte
	for _, v := range verdicts {
		if v.request != nil {
			if err := v.request.store(b.home, now); err != nil {
				return err
			}
		}
		if v.log != nil {
			log = append(log, v.log.line(now))
		}
	}
	return home.AppendLines(b.home.Rejections(), log, false)
}

// settle writes relay.json once for the page: where peers are now, and the cursor, unless somebody else has
// moved it since we read it or the slot is no longer ours. Nothing new is no write.
func (b *Box) settle(ctx context.Context, p *part, verdicts []verdict, next string) error {
	var news []verdict
	for _, v := range verdicts {
		if v.refresh != nil {
			news = append(news, v)
		}
	}
	if len(news) == 0 && (next == "" || next == p.cursor) {
		return nil
	}
	pinned := map[string]string{}
	for _, v := range news {
		a, err := b.keys.find(v.handle)
		if err != nil {
			return err
		}
		pinned[v.handle] = a.pinned
	}
	return b.home.UpdateRelay(ctx, func(r *home.RelayFile) error {
		for _, v := range news {
			refreshPeer(r, v.handle, v.refresh, v.since, pinned[v.handle])
		}
		for _, e := range r.Self() {
			if e == p.endpoint && r.Cursor(e) == p.cursor {
				r.SetCursor(e, next)
			}
		}
		return nil
	})
}

// count adds a page to the result.
func (p *part) count(verdicts []verdict) {
	p.seen += len(verdicts)
	for _, v := range verdicts {
		if v.refused == nil {
			p.written = append(p.written, Written{EventID: v.id, From: v.handle})
			continue
		}
		p.rejected = append(p.rejected, Rejected{
			EventID: v.id, Reason: v.refused.Reason, Transient: v.refused.Transient && v.hold && v.genuine, SchemaVersion: v.schema,
		})
		if v.request != nil {
			p.requests = append(p.requests, Request{EventID: v.id, Handle: v.request.handle, DID: identity.DID(v.request.did)})
		}
	}
}

// Rejudge verifies the quarantined events again and moves those that a new pin makes acceptable to the
// inbox. It is called when trust.json changed and at daemon start; Pull does it first. It costs one look at
// a file if nothing is held or trust is as it was.
func (b *Box) Rejudge(ctx context.Context) ([]Written, error) {
	if b.held.empty() {
		return nil, nil
	}
	b.pull.Lock()
	defer b.pull.Unlock()
	if b.held.judged.current(b.home.TrustFile()) {
		return nil, nil
	}
	unlock, err := b.lockPull(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	now := time.Now()
	judged := stampOf(b.home.TrustFile()).settled(now) // before the look at trust: a change after it shows
	b.keys.refresh()
	defer b.keys.release()

	var verdicts []verdict
	stay := map[key]bool{}
	err = b.held.each(func(e heldEvent, _ []byte, event canon.Doc) error {
		v, err := b.judge(event, now)
		if err != nil {
			return err
		}
		if v.hold && v.genuine {
			stay[e.id] = true
			return nil
		}
		if v.line != nil {
			b.in.files[v.handle].add(v.k, v.line)
		}
		verdicts = append(verdicts, v)
		return nil
	})
	if err != nil {
		b.in.forget()
		return nil, err
	}
	if err := b.flush(verdicts, now); err != nil {
		return nil, err
	}
	if err := b.settle(ctx, &part{}, verdicts, ""); err != nil {
		return nil, err
	}
	if len(verdicts) > 0 {
		if err := b.held.rewrite(func(e heldEvent) bool { return stay[e.id] }, nil); err != nil {
			return nil, err
		}
	}
	b.held.judged = judged
	var p part
	p.count(verdicts)
	return p.written, nil
}
