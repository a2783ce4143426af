package mailbox

import (
	"bufio"
	"bytes"
	"errors"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// What the quarantine holds at most. Whoever can write to our slot can fill it; what he cannot do is drive
// out what a sister or a pinned peer wrote, nor let it grow. Those have room for half of what a slot takes in
// its whole life: stepped over is not lost, however long a pin is late.
const (
	heldEvents, heldBytes     = 1000, 4 << 20    // of all strangers
	signerEvents, signerBytes = 100, 512 << 10   // of one of them
	roomEvents, roomBytes     = 10_000, 32 << 20 // with what is proven
)

// heldEvent is one event in ST/quarantine.jsonl: a line {"at","event","proven","reason"}.
type heldEvent struct {
	id     key
	signer uint64 // hash of who says that he signed it
	size   int    // of the line
	proven bool   // the signature is that of a pinned peer or of a declared sister
}

// quarantine is the file of events that may become acceptable. The table in memory is one of sizes; the
// events stay on disk. It is used under pull.lock.
type quarantine struct {
	path  string
	of    stamp
	table []heldEvent // in the order of the lines
	fresh []heldEvent
	lines [][]byte // of fresh
	bad   error    // of the first add that could not read the file

	judged stamp // trust.json when all of it was last judged
}

var signerSeed = maphash.MakeSeed()

// empty says whether there is nothing to judge, without reading the file.
func (q *quarantine) empty() bool {
	info, err := os.Stat(q.path)
	return err != nil || info.Size() == 0
}

// load reads the table if another process changed the file.
func (q *quarantine) load() error {
	if q.of.current(q.path) {
		return nil
	}
	q.of, q.table = stampOf(q.path), nil
	return q.each(func(e heldEvent, _ []byte, _ canon.Doc) error {
		q.table = append(q.table, e)
		return nil
	})
}

// each reads the file line by line. What is no line of ours is passed over, and goes with the next rewrite.
func (q *quarantine) each(do func(e heldEvent, line []byte, event canon.Doc) error) error {
	f, err := os.Open(q.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 64<<10)
	for whole := true; whole; {
		var l textLine
		if l, whole, err = readLine(r, maxLine); err != nil {
			return err
		}
		rec, err := canon.ParseObject(bytes.TrimSpace(l.text))
		if err != nil {
			continue
		}
		event, _ := rec["event"].(canon.Doc)
		e, ok := describe(event, len(l.text))
		if !ok {
			continue
		}
		e.proven, _ = rec["proven"].(bool)
		if err := do(e, l.text, event); err != nil {
			return err
		}
	}
	return nil
}

func describe(event canon.Doc, size int) (heldEvent, bool) {
	id, _ := event["event_id"].(string)
	from, _ := event["from"].(string)
	keyID, _ := event["public_key_id"].(string)
	k, ok := keyOf(id)
	return heldEvent{id: k, signer: maphash.String(signerSeed, from+"\n"+keyID), size: size}, ok
}

// add takes an event for the next flush. One that is held already is not taken twice.
func (q *quarantine) add(event canon.Doc, reason string, proven bool, now time.Time) {
	if err := q.load(); err != nil {
		q.bad = err
		return
	}
	line := canon.Compact(canon.Doc{
		"at": identity.FormatTime(now), "event": event, "proven": proven, "reason": reason,
	})
	e, ok := describe(event, len(line))
	if !ok {
		return
	}
	for _, list := range [][]heldEvent{q.table, q.fresh} {
		for _, old := range list {
			if old.id == e.id {
				return
			}
		}
	}
	e.proven = proven
	q.fresh, q.lines = append(q.fresh, e), append(q.lines, line)
}

// discard gives up what add took.
func (q *quarantine) discard() { q.fresh, q.lines, q.bad = nil, nil, nil }

// flush writes what add took, synced, and drops what is too much. After an error the table is read anew.
func (q *quarantine) flush() error {
	fresh, lines, bad := q.fresh, q.lines, q.bad
	q.discard()
	if bad != nil {
		return bad
	}
	if len(fresh) == 0 {
		return nil
	}
	all := append(append([]heldEvent(nil), q.table...), fresh...)
	gone := evict(all)
	if len(gone) == 0 {
		if err := home.AppendLines(q.path, lines, true); err != nil {
			q.of = stamp{}
			return err
		}
		q.table, q.of = all, stampOf(q.path)
		return nil
	}
	var extra [][]byte
	for i, e := range fresh {
		if !gone[e.id] {
			extra = append(extra, lines[i])
		}
	}
	return q.rewrite(func(e heldEvent) bool { return !gone[e.id] }, extra)
}

// rewrite replaces the file by the lines that keep wants and extra ones.
func (q *quarantine) rewrite(keep func(heldEvent) bool, extra [][]byte) error {
	var buf bytes.Buffer
	err := q.each(func(e heldEvent, line []byte, _ canon.Doc) error {
		if keep(e) {
			buf.Write(line)
			buf.WriteByte('\n')
		}
		return nil
	})
	q.of = stamp{}
	if err != nil {
		return err
	}
	for _, line := range extra {
		buf.Write(line)
		buf.WriteByte('\n')
	}
	if err := os.MkdirAll(filepath.Dir(q.path), 0o700); err != nil {
		return err
	}
	return home.WriteFile(q.path, buf.Bytes(), 0o600)
}

// evict names what has to go for the limits to hold: the oldest of a stranger who has too many, then the
// oldest of all strangers; and only if all of them are not enough, the oldest of what is proven. It makes some
// room to spare, so that a flood does not rewrite the file for every event.
func evict(all []heldEvent) map[key]bool {
	gone := map[key]bool{}
	var everything, strangers load
	of := map[uint64]*load{}
	for _, e := range all {
		everything.add(e)
		if e.proven {
			continue
		}
		strangers.add(e)
		if of[e.signer] == nil {
			of[e.signer] = new(load)
		}
		of[e.signer].add(e)
	}
	drop := func(e heldEvent) {
		gone[e.id] = true
		everything.remove(e)
		if !e.proven {
			strangers.remove(e)
			of[e.signer].remove(e)
		}
	}
	over := map[uint64]bool{}
	for signer, l := range of {
		over[signer] = l.beyond(signerEvents, signerBytes)
	}
	for _, e := range all {
		if !e.proven && over[e.signer] && of[e.signer].beyond(spare(signerEvents), spare(signerBytes)) {
			drop(e)
		}
	}
	oldest := func(proven bool, l *load, events, bytes int) {
		if !l.beyond(events, bytes) {
			return
		}
		for _, e := range all {
			if l.beyond(spare(events), spare(bytes)) && e.proven == proven && !gone[e.id] {
				drop(e)
			}
		}
	}
	oldest(false, &strangers, heldEvents, heldBytes)
	oldest(false, &everything, roomEvents, roomBytes)
	oldest(true, &everything, roomEvents, roomBytes)
	return gone
}

// load is how much some events are.
type load struct{ events, bytes int }

func (l *load) add(e heldEvent)    { l.events, l.bytes = l.events+1, l.bytes+e.size }
func (l *load) remove(e heldEvent) { l.events, l.bytes = l.events-1, l.bytes-e.size }

func (l *load) beyond(events, bytes int) bool { return l.events > events || l.bytes > bytes }

func spare(limit int) int { return limit - limit/10 }
