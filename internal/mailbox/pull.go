package mailbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/diag"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
)

// RestPull is how often a daemon pulls a slot that a stream tells of.
const RestPull = 15 * time.Second

// pageLimit is what one list asks for, the most that a relay gives.
const pageLimit = 1000

// Rejected is one refused event. It never blocks: the cursor has passed it.
type Rejected struct {
	EventID       string // "" if it has none
	Reason        string // the reference's text
	Transient     bool   // a later pin or program may accept it; it waits in the quarantine if its id is right
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
	Asked     int      // endpoints
	Failed    []string // "endpoint <url> (Local) errored: ..." lines for stderr
}

// Nothing says whether every endpoint failed (field-failures G35).
func (r PullResult) Nothing() bool { return len(r.Failed) > 0 && len(r.Failed) == r.Asked }

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
	own, err := b.ownSlots()
	if err != nil {
		return PullResult{}, err
	}
	if len(own.endpoints) == 0 {
		return PullResult{}, ErrUnbound{Bound: own.bound}
	}
	var out PullResult
	if out.Written, err = b.Rejudge(ctx); err != nil {
		return out, err
	}
	out.Asked = len(own.endpoints)
	parts := make([]part, len(own.endpoints))
	var all sync.WaitGroup
	for i, e := range own.endpoints {
		parts[i] = b.part(e, own.cursors[i])
		all.Go(func() { b.pullEndpoint(ctx, &parts[i]) })
	}
	all.Wait()

	touched := map[string]bool{}
	errs := []error{b.order.keep(own.endpoints)}
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
			out.Cursor = p.stored
		}
		for _, w := range p.written {
			touched[w.From] = true
		}
		errs = append(errs, p.err)
	}
	b.in.trim(touched)
	b.trace(out)
	return out, errors.Join(errs...)
}

// trace notes what a pull brought for whoever looks for a fault.
func (b *Box) trace(r PullResult) {
	var at any
	if r.Cursor != "" {
		at = r.Cursor
	}
	diag.Emit(b.home, "pull", canon.Doc{
		"advance_to": at, "blocked": false, "events_in": uint64(r.TotalSeen),
		"rejected": uint64(len(r.Rejected)), "written": uint64(len(r.Written)),
	}, time.Now())
}

// ownSlots is what a pull needs of relay.json, kept while the file is as it was: with 400 peers it is 200 kB,
// and most pulls bring nothing.
type ownSlots struct {
	of        stamp
	bound     bool
	endpoints []home.Endpoint
	cursors   []string
}

func (b *Box) ownSlots() (ownSlots, error) {
	if b.own.of.current(b.home.RelayFile()) {
		return b.own, nil
	}
	of := stampOf(b.home.RelayFile()).settled(time.Now())
	relay, err := b.home.ReadRelay()
	if err != nil {
		return ownSlots{}, err
	}
	b.own = ownSlots{of: of, bound: relay.Bound(), endpoints: relay.Self()}
	for _, e := range b.own.endpoints {
		b.own.cursors = append(b.own.cursors, relay.Cursor(e))
	}
	return b.own, nil
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
	cursor   string // what the relay is asked to go on from
	stored   string // what relay.json says
	doubts   int    // of its relay, when it began
	again    bool   // from the start, where it was read before: what the inbox has is no news

	written  []Written
	rejected []Rejected
	requests []Request
	seen     int
	failed   error // of the relay
	err      error // of ours
}

// passed is how far a slot was read beyond what relay.json can say: to an event with an odd id, and to n more
// behind it that have none. They would come with every list, and are not judged and told of again.
type passed struct {
	stored string // the cursor in relay.json then
	since  string
	n      int
}

func (b *Box) part(e home.Endpoint, stored string) part {
	doubts, doubted := b.order.doubted(e)
	p := part{endpoint: e, cursor: stored, stored: stored, doubts: doubts}
	switch t, ok := b.tails[e.SlotID]; {
	case doubted:
		p.cursor, p.again = "", stored != ""
		delete(b.tails, e.SlotID)
	case ok && t.stored == stored:
		p.cursor = t.since
	}
	return p
}

func (b *Box) pullEndpoint(ctx context.Context, p *part) {
	limit := pageLimit
	been := map[string]bool{p.cursor: true}
	for {
		if p.failed = b.mute.closed(p.endpoint.RelayURL, time.Now()); p.failed != nil {
			return
		}
		page, err := b.relay.Page(ctx, slotOf(p.endpoint), p.cursor, limit)
		var call *client.CallError
		if errors.As(err, &call) && call.Answered && errors.Is(err, client.ErrTimeout) && limit > 1 && ctx.Err() == nil {
			limit /= 10 // a page that is too big for the line would be too big the next time as well (Q30)
			continue
		}
		if ctx.Err() == nil {
			b.mute.heard(p.endpoint.RelayURL, err, time.Now())
		}
		if err != nil {
			p.failed = err
			return
		}
		if p.cursor != "" && b.order.another(p.endpoint, page.Run) {
			b.fromStart(p)
			been = map[string]bool{p.cursor: true}
			continue
		}
		known := b.passed(p)
		if len(page.Events) <= known {
			if known >= pageLimit {
				p.failed = fmt.Errorf("%d events in a row have no id to go on from: what lies behind them cannot be read", known)
			}
			return
		}
		next, err := b.take(ctx, p, page.Events[known:])
		if err != nil {
			p.err = err
			return
		}
		if next != "" && been[next] {
			return // somebody reused an id: the relay would lead us in a circle
		}
		if next != "" {
			been[next] = true
			p.cursor = next
			b.order.trust(p.endpoint, p.doubts, page.Run)
		}
	}
}

// fromStart has a part read its slot from the start.
func (b *Box) fromStart(p *part) {
	b.pull.Lock()
	defer b.pull.Unlock()
	p.cursor, p.again = "", true
	delete(b.tails, p.endpoint.SlotID)
}

// passed is how many events behind the part's cursor need no second look.
func (b *Box) passed(p *part) int {
	b.pull.Lock()
	defer b.pull.Unlock()
	if t := b.tails[p.endpoint.SlotID]; t.since == p.cursor {
		return t.n
	}
	return 0
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
	next, at := cursorAfter(verdicts)
	if err := b.settle(ctx, p, verdicts, next); err != nil {
		return "", err
	}
	if isEventID(next) {
		p.stored = next
	}
	b.note(p, next, len(verdicts)-1-at)
	p.count(verdicts)
	return next, nil
}

// note remembers how many events lie behind the last one that could become the cursor.
func (b *Box) note(p *part, next string, behind int) {
	if b.tails == nil {
		b.tails = map[string]passed{}
	}
	t := passed{stored: p.stored, since: next, n: behind}
	if next == "" { // none could: at is -1
		t.since = p.cursor
		if old := b.tails[p.endpoint.SlotID]; old.since == p.cursor {
			t.n += old.n
		}
	}
	b.tails[p.endpoint.SlotID] = t
}

func (b *Box) lockPull(ctx context.Context) (unlock func(), err error) {
	if err := b.home.Ensure(); err != nil {
		return nil, err
	}
	return home.Lock(ctx, b.home.PullLock())
}

// cursorAfter is the last event of a page that the relay can be asked to go on from, and its place; "" and -1
// for none. One whose id is its own hash comes first: any other id may stand elsewhere in the slot too, and
// lead back. Only 64 hex digits get into relay.json, but a stranger's odd id must not hold a page up.
func cursorAfter(verdicts []verdict) (id string, at int) {
	for _, good := range []func(v verdict) bool{
		func(v verdict) bool { return v.genuine && isEventID(v.id) },
		func(v verdict) bool { return isEventID(v.id) },
		func(v verdict) bool { return v.id != "" },
	} {
		for i := len(verdicts) - 1; i >= 0; i-- {
			if good(verdicts[i]) {
				return verdicts[i].id, i
			}
		}
	}
	return "", -1
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
			if err := b.home.StoreInbound(*v.request); err != nil {
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
	if len(news) == 0 && (!isEventID(next) || next == p.stored) {
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
			if e == p.endpoint && r.Cursor(e) == p.stored {
				r.SetCursor(e, next)
			}
		}
		return nil
	})
}

// count adds a page to the result.
func (p *part) count(verdicts []verdict) {
	for _, v := range verdicts {
		if p.again && v.refused != nil && v.refused.Reason == duplicate {
			continue
		}
		p.seen++
		if v.refused == nil {
			p.written = append(p.written, Written{EventID: v.id, From: v.handle})
			continue
		}
		p.rejected = append(p.rejected, Rejected{
			EventID: v.id, Reason: v.refused.Reason, Transient: v.refused.Transient, SchemaVersion: v.schema,
		})
		if v.request != nil {
			p.requests = append(p.requests, Request{EventID: v.id, Handle: v.request.Handle, DID: v.request.DID})
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
