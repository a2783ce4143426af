package mailbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
)

// How many lines of a peer are remembered as refused for good, for reports, and as posted out of turn.
const (
	keepRefused = 32
	keepDirect  = 256
)

// progress is how far one peer's outbox was posted: its member in ST/outbox-sent.json (design.md section 8).
type progress struct {
	did    string           // whose slots took the lines; "" if that was not known
	since  string           // lines older than this were for another identity under the handle; "" for none
	offset int64            // of the file; everything before it is done
	lastID string           // event_id of the line before offset, "" if it has none
	slots  map[string]taken // by slot id
	bad    []refusedLine    // lines that no relay takes, newest last
	direct []directLine     // lines that were posted as they were queued, ahead of what waited before them; newest last
}

// taken is where the first and the last line begin that a slot took in turn.
type taken struct{ first, last int64 }

type refusedLine struct{ id, reason string }

type directLine struct{ id, slot string }

// rewind goes back to the first line that the slot took and forgets the slot, which is gone: what it took may
// never have been read. The caller has to set lastID if it says true.
func (p *progress) rewind(slot string) bool {
	of, took := p.slots[slot]
	delete(p.slots, slot)
	p.direct = slices.DeleteFunc(p.direct, func(d directLine) bool { return d.slot == slot })
	if !took || of.first >= p.offset {
		return false
	}
	p.offset = of.first
	return true
}

// began notes that the slot has the line at the offset.
func (p *progress) began(slot string) {
	of, before := p.slots[slot]
	if !before || p.offset < of.first {
		of.first = p.offset
	}
	of.last = p.offset
	p.slots[slot] = of
}

func (p *progress) refuse(id, reason string) {
	if id == "" {
		return
	}
	p.bad = append(p.bad, refusedLine{id, reason})
	if n := len(p.bad) - keepRefused; n > 0 {
		p.bad = append([]refusedLine(nil), p.bad[n:]...)
	}
}

func (p *progress) refusal(id string) (string, bool) {
	for _, r := range p.bad {
		if r.id == id {
			return r.reason, true
		}
	}
	return "", false
}

// took remembers which slot has a line that was posted out of turn. One that is forgotten is posted again,
// and the relay says that it has it.
func (p *progress) took(id, slot string) {
	p.direct = append(p.direct, directLine{id, slot})
	if n := len(p.direct) - keepDirect; n > 0 {
		p.direct = append([]directLine(nil), p.direct[n:]...)
	}
}

// postedTo is the slot that took a line out of turn.
func (p *progress) postedTo(id string) (slot string, ok bool) {
	for _, d := range p.direct {
		if d.id == id && id != "" {
			return d.slot, true
		}
	}
	return "", false
}

// sentFile is outbox-sent.json. Members that others added stay.
type sentFile struct {
	path  string
	doc   canon.Doc
	peers canon.Doc
}

// readSent reads the file; a missing one is empty, an unparsable one a *home.FileError.
func readSent(path string) (*sentFile, error) {
	f := &sentFile{path: path, doc: canon.Doc{"version": uint64(1)}, peers: canon.Doc{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	if f.doc, err = canon.ParseObject(data); err != nil {
		return nil, &home.FileError{Path: path, Err: fmt.Errorf("does not parse: %w", err)}
	}
	if peers, ok := f.doc["peers"].(canon.Doc); ok {
		f.peers = peers
	}
	return f, nil
}

// recoverSent is readSent for a push: a file that does not parse is put aside, and nothing counts as posted. What
// arrived is posted once more and dropped there; whoever has the handle now gets nothing that is older than her key
// (job sees to that). lost says what became of the file, "" if nothing did.
func recoverSent(path string) (f *sentFile, lost string, err error) {
	f, err = readSent(path)
	var broken *home.FileError
	if !errors.As(err, &broken) {
		return f, "", err
	}
	aside := path + ".corrupt"
	if rerr := os.Rename(path, aside); rerr != nil {
		return nil, "", errors.Join(err, rerr)
	}
	f, err = readSent(path)
	return f, fmt.Sprintf("%v; it is kept as %s, and all that was sent goes out again: who has it drops it", broken, aside), err
}

// get is a peer's progress, new if there is none or if it cannot be what set wrote: where it does not say which
// slots took the lines, those of a slot that is lost would never go out again.
func (f *sentFile) get(handle string) (p *progress, known bool) {
	p = &progress{slots: map[string]taken{}}
	rec, ok := f.peers[handle].(canon.Doc)
	slots, named := rec["slots"].(canon.Doc)
	if !ok || !named {
		return p, false
	}
	p.did, _ = rec["did"].(string)
	p.since, _ = rec["since"].(string)
	p.lastID, _ = rec["last_id"].(string)
	offset, _ := rec["offset"].(uint64)
	p.offset = int64(min(offset, 1<<62))
	ends, _ := rec["ends"].(canon.Doc)
	for slot, v := range slots {
		first, ok := v.(uint64)
		if !ok {
			return &progress{slots: map[string]taken{}}, false
		}
		last, ok := ends[slot].(uint64)
		if !ok { // of an earlier version
			last = first
		}
		p.slots[slot] = taken{int64(min(first, 1<<62)), int64(min(last, 1<<62))}
	}
	bad, _ := rec["refused"].([]any)
	for _, v := range bad {
		r, _ := v.(canon.Doc)
		id, _ := r["event_id"].(string)
		reason, _ := r["reason"].(string)
		p.refuse(id, reason)
	}
	direct, _ := rec["direct"].([]any)
	for _, v := range direct {
		r, _ := v.(canon.Doc)
		id, _ := r["event_id"].(string)
		slot, _ := r["slot_id"].(string)
		p.took(id, slot)
	}
	return p, true
}

func (f *sentFile) set(handle string, p *progress) {
	rec, _ := f.peers[handle].(canon.Doc)
	if rec == nil {
		rec = canon.Doc{}
	}
	rec["did"], rec["offset"], rec["last_id"] = p.did, uint64(p.offset), p.lastID
	delete(rec, "since")
	if p.since != "" {
		rec["since"] = p.since
	}
	slots, ends := canon.Doc{}, canon.Doc{}
	for slot, of := range p.slots {
		slots[slot], ends[slot] = uint64(of.first), uint64(of.last)
	}
	rec["slots"], rec["ends"] = slots, ends
	delete(rec, "refused")
	if len(p.bad) > 0 {
		bad := make([]any, 0, len(p.bad))
		for _, r := range p.bad {
			bad = append(bad, canon.Doc{"event_id": r.id, "reason": r.reason})
		}
		rec["refused"] = bad
	}
	delete(rec, "direct")
	if len(p.direct) > 0 {
		direct := make([]any, 0, len(p.direct))
		for _, d := range p.direct {
			direct = append(direct, canon.Doc{"event_id": d.id, "slot_id": d.slot})
		}
		rec["direct"] = direct
	}
	f.peers[handle] = rec
}

// write replaces the file, if it changed.
func (f *sentFile) write() error {
	f.doc["peers"] = f.peers
	return home.WriteFile(f.path, canon.Pretty(f.doc), 0o600)
}
