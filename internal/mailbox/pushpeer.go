package mailbox

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
)

const (
	maxEvent = 256 << 10 // of an event's compact text; a relay takes no more (relay.md 6.3)
	postWait = 30 * time.Second

	noRoute = "no reachable endpoint pinned for peer"
)

// peerPush posts one peer's outbox.
type peerPush struct {
	handle   string
	path     string
	relay    *client.Client
	mute     *mute
	proof    *proof
	routes   []*route
	all      []home.Endpoint // also those that cannot be reached from here
	report   bool
	progress *progress
	keeper   *keeper
	file     *os.File
	lines    *bufio.Reader
	end      string // why no route takes any more; "" while one does
	told     bool   // the reason stands in skipped
	open     bool   // the line before the offset has no end

	pushed  []PushItem
	skipped []PushItem
	refused []PushItem
	failed  int  // lines of this push that no slot has taken: refused or left
	left    bool // something is left for the next push
	err     error
}

// route is one endpoint of the peer, in routing order.
type route struct {
	home.Endpoint
	down string // why nothing more is tried there in this push
}

// job settles where the push of a peer begins.
func (b *Box) job(handle string, relay *home.RelayFile, k *keeper, o PushOptions) (*peerPush, error) {
	path, err := b.home.Outbox(handle)
	if err != nil {
		return nil, err
	}
	a, err := b.peers.find(handle)
	if err != nil {
		return nil, err
	}
	j := &peerPush{handle: handle, path: path, relay: b.relay, mute: &b.mute, proof: &b.proof, all: relay.Peer(handle), report: o.Report, keeper: k}
	usable := func(e home.Endpoint) bool { return !e.SlotToken.Zero() }
	routes := slices.DeleteFunc(relay.Routes(handle), func(e home.Endpoint) bool { return !usable(e) })
	if len(routes) == 0 {
		// A sister on another local relay: no route leads there by the rules of 4.2, and yet it is on this machine.
		// The reference's daemon delivers to it, by the flat trio (cli.md 6.1-13).
		routes = slices.DeleteFunc(slices.Clone(j.all), func(e home.Endpoint) bool { return e.Scope != home.Local || !usable(e) })
	}
	for _, e := range routes {
		j.routes = append(j.routes, &route{Endpoint: e})
	}
	p, known := k.sent.get(handle)
	switch {
	case !known && a.renewed:
		// The pin replaced another identity's, and what was sent to that one we do not know.
		p.since = cmp.Or(a.since, identity.FormatTime(time.Now()))
	case known && a.did != "" && p.did != "" && !sameIdentity(p.did, a.did):
		p = &progress{slots: map[string]taken{}, since: cmp.Or(a.since, identity.FormatTime(time.Now()))}
	}
	if a.did != "" {
		p.did = a.did
	}
	j.progress = p
	return j, nil
}

// sameIdentity compares DIDs, of which one may be the legacy form of the other.
func sameIdentity(a, b string) bool {
	x, y := identity.DID(a), identity.DID(b)
	return x == y || (x.Fingerprint() == "" || y.Fingerprint() == "") && x.Handle() == y.Handle()
}

func (j *peerPush) run(ctx context.Context) {
	f, err := os.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		j.err = err
		return
	}
	defer f.Close()
	j.file = f
	if j.err = j.begin(); j.err != nil {
		return
	}
	if j.err = j.prove(ctx); j.err != nil {
		return
	}
	if j.report {
		if j.err = j.reportSent(); j.err != nil {
			return
		}
	}
	j.closeIfDown() // without routes
	j.err = j.each(ctx)
}

// begin voids progress that does not fit the file or the peer any more, and opens the file where it ends.
func (j *peerPush) begin() error {
	p := j.progress
	before := p.offset
	last, err := j.idBefore(p.offset)
	if err != nil {
		return err
	}
	if last != p.lastID {
		p.offset, p.lastID, p.slots = 0, "", map[string]taken{} // another file
	}
	for slot := range p.slots {
		if !j.pins(slot) {
			p.rewind(slot)
		}
	}
	p.direct = slices.DeleteFunc(p.direct, func(d directLine) bool { return !j.pins(d.slot) })
	if err := j.reopen(); err != nil {
		return err
	}
	if p.offset != before {
		return j.keeper.note(j.handle, p)
	}
	return nil
}

func (j *peerPush) pins(slot string) bool {
	return slices.ContainsFunc(j.all, func(e home.Endpoint) bool { return e.SlotID == slot })
}

// reopen reads on at the offset, for which it sets lastID.
func (j *peerPush) reopen() error {
	p := j.progress
	id, err := j.idBefore(p.offset)
	if err != nil {
		return err
	}
	p.lastID, j.open = id, false
	if p.offset > 0 {
		var last [1]byte
		if _, err := j.file.ReadAt(last[:], p.offset-1); err != nil {
			return err
		}
		j.open = last[0] != '\n'
	}
	j.lines = j.linesFrom(p.offset)
	return nil
}

// idBefore is the event id of the line before an offset: "" at the start and for a line without one, and
// noLine for an offset that is no end of a line.
func (j *peerPush) idBefore(offset int64) (string, error) {
	if offset == 0 {
		return "", nil
	}
	info, err := j.file.Stat()
	if err != nil {
		return "", err
	}
	if info.Size() < offset {
		return noLine, nil
	}
	if whole, err := lineEndsAt(j.file, offset, info.Size()); err != nil || !whole {
		return noLine, err
	}
	text, err := lineBefore(j.file, offset)
	if err != nil {
		return "", err
	}
	return lineID(text), nil
}

const noLine = "\x00" // no event has this id

// each posts line by line until the end of the file or of the routes.
func (j *peerPush) each(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			j.left = true
			return err
		}
		l, whole, err := readLine(j.lines, maxLine)
		if err != nil {
			return err
		}
		if l.size == 0 {
			return nil
		}
		m := readMail(l)
		if !whole && !m.valid {
			return nil // half a line: whoever writes it is not done
		}
		if j.end != "" {
			j.behind(m)
			if !j.report {
				return nil
			}
			continue
		}
		done, err := j.one(ctx, m)
		if err != nil {
			return err
		}
		if !done {
			continue // the routes are down, or it goes on from an earlier line
		}
		if err := j.advance(m, l, whole); err != nil {
			return err
		}
	}
}

// behind is for a line that is not tried, since no route is left.
func (j *peerPush) behind(m mail) {
	if !m.valid {
		return
	}
	j.left = true
	if slot, ok := j.progress.postedTo(m.id); ok {
		if j.report {
			j.skip(j.has(m.id, j.endpoint(slot)))
		}
		return
	}
	j.failed++
	if j.report || !j.told {
		j.skip(PushItem{EventID: m.id, Reason: cmp.Or(m.refused, j.end)})
		j.told = true
	}
}

// one decides on one line: passed over, refused or posted. done is false if it has to wait.
func (j *peerPush) one(ctx context.Context, m mail) (done bool, err error) {
	switch {
	case !m.valid: // a torn or foreign line
		return true, nil
	case m.refused != "":
		j.refuse(m, m.refused)
		return true, nil
	case j.forAnother(m):
		if j.report {
			j.skip(PushItem{EventID: m.id, Reason: j.olderThanPin(), Never: true})
		}
		return true, nil
	}
	if slot, ok := j.progress.postedTo(m.id); ok {
		j.progress.began(slot)
		if j.report {
			j.skip(j.has(m.id, j.endpoint(slot)))
		}
		return true, nil
	}
	return j.post(ctx, m)
}

// refuse passes over a line for good. One that was refused before is news to nobody.
func (j *peerPush) refuse(m mail, reason string) {
	j.failed++
	item := PushItem{Peer: j.handle, EventID: m.id, Reason: reason, Never: true}
	j.skip(item)
	if _, known := j.progress.refusal(m.id); known {
		return
	}
	j.progress.refuse(m.id, reason)
	j.refused = append(j.refused, item)
}

// has is the report of a line that an endpoint has already.
func (j *peerPush) has(id string, e home.Endpoint) PushItem {
	return PushItem{EventID: id, Endpoint: e.RelayURL, Scope: e.Scope, Reason: duplicateLine}
}

// endpoint is the peer's endpoint with that slot.
func (j *peerPush) endpoint(slot string) home.Endpoint {
	i := slices.IndexFunc(j.all, func(e home.Endpoint) bool { return e.SlotID == slot })
	if i < 0 {
		return home.Endpoint{}
	}
	return j.all[i]
}

// advance counts a line as done.
func (j *peerPush) advance(m mail, l textLine, whole bool) error {
	p := j.progress
	p.offset += l.size
	if !j.open || len(l.text) > 0 { // else it is no line, but the late end of the one before
		p.lastID = m.id
	}
	j.open = !whole
	return j.keeper.note(j.handle, p)
}

// forAnother says that a line was written when the handle was another identity's.
func (j *peerPush) forAnother(m mail) bool {
	return j.progress.since != "" && !notOlder(m.timestamp, j.progress.since)
}

func (j *peerPush) olderThanPin() string {
	return "written before the present identity of " + j.handle + " was pinned"
}

func (j *peerPush) skip(i PushItem) {
	i.Peer = j.handle
	j.skipped = append(j.skipped, i)
}

// post tries the routes in order. done is true if a slot has the line or no slot ever will.
func (j *peerPush) post(ctx context.Context, m mail) (done bool, err error) {
	p := j.progress
	for _, r := range j.routes {
		if r.down != "" {
			continue
		}
		posted, perr := j.try(ctx, r, m)
		if perr == nil {
			item := PushItem{Peer: j.handle, EventID: m.id, Endpoint: r.RelayURL, Scope: r.Scope}
			if posted.Duplicate {
				item.Reason = duplicateLine
				j.skipped = append(j.skipped, item)
			} else {
				j.pushed = append(j.pushed, item)
			}
			p.began(r.SlotID)
			return true, nil
		}
		reason := client.Describe(perr)
		if j.lineIsToBlame(ctx, r, perr) {
			j.refuse(m, reason)
			return true, nil
		}
		r.down = reason
		j.closeIfDown()
		if j.end != "" && !j.report {
			j.behind(m)
		}
		if errors.Is(perr, client.ErrNotFound) && p.rewind(r.SlotID) {
			// The slot is gone, and with it what its owner had not pulled: first that, then this line.
			if err := j.reopen(); err != nil {
				return false, err
			}
			return false, j.keeper.note(j.handle, p)
		}
	}
	if j.report {
		j.behind(m)
	}
	return false, nil
}

// duplicateLine is the reason of a line that the slot has.
const duplicateLine = "duplicate"

// closeIfDown ends the push of this peer when no route is left.
func (j *peerPush) closeIfDown() {
	reason := noRoute
	for _, r := range j.routes {
		if r.down == "" {
			return
		}
		reason = r.down
	}
	j.end = reason
}

func (j *peerPush) try(ctx context.Context, r *route, m mail) (client.Posted, error) {
	if err := j.mute.closed(r.RelayURL, time.Now()); err != nil {
		return client.Posted{}, err
	}
	post, cancel := context.WithTimeout(ctx, postWait)
	defer cancel()
	posted, err := j.relay.Post(post, slotOf(r.Endpoint), m.text)
	if ctx.Err() == nil { // else it is we who did not wait
		j.mute.heard(r.RelayURL, err, time.Now())
		if err != nil && !errors.As(err, new(*client.StatusError)) {
			j.proof.doubt(r.RelayURL) // it comes back with what it had, or without
		}
	}
	return posted, err
}

// lineIsToBlame tells an answer that is about this line from one about the slot or the relay: a full slot
// refuses every line. A proxy or a stranger on the port must not make us pass over a whole outbox, so the
// word of an unspecific answer counts only from a relay.
func (j *peerPush) lineIsToBlame(ctx context.Context, r *route, err error) bool {
	var answer *client.StatusError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Code {
	case 413:
		return strings.Contains(answer.Body, "max_bytes") && !strings.Contains(answer.Body, "slot_bytes")
	case 400, 422:
		return j.relay.Identify(ctx, r.RelayURL) == nil
	}
	return false
}

// reportSent lists what was posted before this push, from the file and without a request.
func (j *peerPush) reportSent() error {
	p := j.progress
	r := bufio.NewReaderSize(io.NewSectionReader(j.file, 0, p.offset), 64<<10)
	for at := int64(0); ; {
		l, _, err := readLine(r, maxLine)
		if err != nil {
			return err
		}
		if l.size == 0 {
			return nil
		}
		m := readMail(l)
		item := PushItem{EventID: m.id, Reason: duplicateLine}
		reason, refused := p.refusal(m.id)
		direct, out := p.postedTo(m.id)
		switch {
		case !m.valid:
			at += l.size
			continue
		case refused:
			item.Reason, item.Never = reason, true
		case m.refused != "":
			item.Reason, item.Never = m.refused, true
		case j.forAnother(m):
			item.Reason, item.Never = j.olderThanPin(), true
		case out:
			item = j.has(m.id, j.endpoint(direct))
		default:
			item = j.has(m.id, j.taker(at))
		}
		j.skip(item)
		at += l.size
	}
}

// taker is the endpoint that took the line at an offset, as far as is known: of the slots that began to take
// lines before it, the last.
func (j *peerPush) taker(at int64) (best home.Endpoint) {
	latest := int64(-1)
	for _, e := range j.all {
		if of, ok := j.progress.slots[e.SlotID]; ok && of.first <= at && of.first > latest {
			best, latest = e, of.first
		}
	}
	return best
}

// mail is one line of an outbox.
type mail struct {
	valid     bool // a JSON object
	id        string
	timestamp string
	text      []byte // compact
	refused   string // why no relay or receiver would take it
}

// readMail reads a line. What it refuses would be refused by every relay, or would come to every receiver as
// an event without an id, at which one of the reference stops reading for good.
func readMail(l textLine) mail {
	if l.text == nil && l.size > 0 && l.size > maxLine {
		return mail{valid: true, refused: fmt.Sprintf("a line of %d bytes is no event", l.size)}
	}
	event, err := canon.ParseObject(bytes.TrimSpace(l.text))
	if err != nil {
		return mail{}
	}
	m := mail{valid: true, text: canon.Compact(event)}
	m.id, _ = event["event_id"].(string)
	m.timestamp, _ = event["timestamp"].(string)
	switch {
	case len(m.text) > maxEvent:
		m.refused = fmt.Sprintf("post_event failed: 413 Payload Too Large: the event has %d bytes, a relay takes %d", len(m.text), maxEvent)
	case canon.Depth(event) > maxDepth+1:
		m.refused = fmt.Sprintf("nested %d deep: a relay takes %d", canon.Depth(event), maxDepth+1)
	case !isEventID(m.id):
		m.refused = "no signed event: it has no event_id"
	}
	return m
}
