package relay

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// Limits of relay.md 6.3: bytes of compact event text, newlines not counted.
const (
	maxEvent = 262144
	maxSlot  = 67108864

	// maxIntros is up to where strangers may fill a slot: the rest is for those who hold its token, else
	// anybody could close a mailbox for ever (relay.md Q25).
	maxIntros = maxSlot / 4 * 3
)

// slot is one mailbox. Of its events only places in the file and hashes are in memory.
type slot struct {
	id, token string
	st        *store
	writes    group[*posting]

	lastPull atomic.Int64 // unix seconds; 0: none that is known of

	mu     sync.RWMutex
	loaded bool
	file   *os.File    // nil before the first event, and while the slot is quiet
	info   fs.FileInfo // of file, kept when it is closed
	size   int64       // of the file
	torn   bool        // its last line lacks the newline
	used   int64       // bytes of event text
	lines  []line
	odd    map[int][]byte    // events whose line is not in stored form: their text
	byID   map[uint64]uint32 // hash of event_id -> its first event
	byText map[uint64]uint32 // hash of the text of an event with event_id -> that event
	active time.Time         // last use of file

	responder healthRecord

	subsMu sync.Mutex
	subs   map[*subscriber]struct{}
}

// line is where an event stands in the slot file.
type line struct {
	off int64
	len int32
}

func (st *store) newSlot(id, token string) *slot {
	s := &slot{id: id, token: token, st: st}
	s.writes.commit, s.writes.turns = s.commit, st.turns
	return s
}

// storable says whether the id may be a file name: those that a relay made are; one written into
// tokens.json by hand may be anything.
func (s *slot) storable() bool {
	if len(s.id) != 32 {
		return false
	}
	for _, c := range []byte(s.id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func (s *slot) path() string { return s.st.path("slots", s.id+".jsonl") }

// load reads the slot file once. Lines that do not parse are passed over.
func (s *slot) load() error {
	s.mu.RLock()
	loaded := s.loaded
	s.mu.RUnlock()
	if loaded {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded {
		return nil
	}
	return s.read()
}

// read replaces what is known of the slot file by what it holds. mu is held.
func (s *slot) read() error {
	s.size, s.used, s.torn, s.lines = 0, 0, false, nil
	s.odd, s.byID, s.byText = map[int][]byte{}, map[uint64]uint32{}, map[uint64]uint32{}
	if !s.storable() {
		s.loaded = true
		return nil
	}
	data, err := os.ReadFile(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		s.loaded = true
		return nil
	}
	if err != nil {
		return err
	}
	s.size = int64(len(data))
	s.torn = len(data) > 0 && data[len(data)-1] != '\n'
	for off := 0; off < len(data); {
		text := data[off:]
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text = text[:i]
		}
		if canon.Valid(text) == nil {
			e := readEvent(bytes.Trim(text, " \t\r"))
			if len(e.text) != len(text) || !bytes.Equal(e.text, text) {
				s.odd[len(s.lines)] = bytes.Clone(e.text)
			}
			s.add(line{int64(off), int32(len(text))}, e)
		}
		off += len(text) + 1
	}
	s.loaded = true
	return nil
}

// add notes an event that is on disk. mu is held.
func (s *slot) add(l line, e event) {
	n := uint32(len(s.lines))
	s.lines = append(s.lines, l)
	s.used += int64(len(e.text))
	if !e.hasID {
		return
	}
	h := maphash.String(s.st.seed, e.id)
	if _, known := s.byID[h]; !known {
		s.byID[h] = n
	}
	s.byText[maphash.Bytes(s.st.seed, e.text)] = n
}

// outcome is how a slot took an event.
type outcome int

const (
	stored outcome = iota
	duplicate
	overQuota
	notPersisted
)

// posting is one event on its way to disk.
type posting struct {
	event   event
	limit   int64  // of bytes in the slot
	hash    uint64 // of the text
	outcome outcome
	used    int64 // where the quota stood
	err     error
	at      line
}

// post stores an event durably, unless the slot has it or it would take it beyond limit bytes.
func (s *slot) post(e event, limit int64) *posting {
	p := &posting{event: e, limit: limit}
	if p.err = s.load(); p.err != nil {
		p.outcome = notPersisted
		return p
	}
	if e.hasID {
		p.hash = maphash.Bytes(s.st.seed, e.text)
	}
	s.writes.do(p)
	return p
}

// commit is the slot's one writer: it alone changes the file and the index. Events are published in the
// order in which they stand in the file, and not before they are on disk.
func (s *slot) commit(batch []*posting) {
	fresh := s.sift(batch)
	if len(fresh) == 0 {
		return
	}
	if err := s.append(fresh); err != nil {
		for _, p := range batch {
			if p.outcome != overQuota {
				p.outcome, p.err = notPersisted, err
			}
		}
		return
	}
	s.mu.Lock()
	if s.loaded {
		for _, p := range fresh {
			s.add(p.at, p.event)
		}
	}
	s.active = time.Now()
	s.mu.Unlock()
	s.publish(fresh)
}

// sift decides what of a batch is new: quota first, then duplicates (relay.md 6.3). The index is read
// without lock, for only the writer changes it.
func (s *slot) sift(batch []*posting) []*posting {
	used := s.used
	fresh := make([]*posting, 0, len(batch))
	for _, p := range batch {
		n := int64(len(p.event.text))
		switch {
		case used+n > p.limit:
			p.outcome, p.used = overQuota, used
		case p.event.hasID && (s.has(p) || inBatch(fresh, p)):
			p.outcome = duplicate
		default:
			used += n
			fresh = append(fresh, p)
		}
	}
	return fresh
}

func inBatch(fresh []*posting, p *posting) bool {
	for _, q := range fresh {
		if q.hash == p.hash && q.event.hasID && bytes.Equal(q.event.text, p.event.text) {
			return true
		}
	}
	return false
}

// has says whether the very same event is stored. Another event under the same id is no duplicate, else
// anybody who knows an id could keep the real event out (relay.md Q23).
func (s *slot) has(p *posting) bool {
	n, ok := s.byText[p.hash]
	if !ok {
		return false
	}
	text, err := s.text(int(n))
	return err == nil && bytes.Equal(text, p.event.text)
}

// text reads one event.
func (s *slot) text(n int) ([]byte, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.done()
	return v.append(nil, n, n+1, ' ')
}

// append writes events behind the last one and syncs them.
func (s *slot) append(fresh []*posting) error {
	if err := s.st.failure(); err != nil {
		return err
	}
	f, err := s.open()
	if err != nil {
		return err
	}
	buf := appendBuffers.Get().(*[]byte)
	defer appendBuffers.Put(buf)
	b := (*buf)[:0]
	if s.torn {
		// Without this, the event would continue the line that a crash cut short, and be lost with it.
		b = append(b, '\n')
	}
	for _, p := range fresh {
		p.at = line{s.size + int64(len(b)), int32(len(p.event.text))}
		b = append(append(b, p.event.text...), '\n')
	}
	*buf = b[:0]
	if _, err := s.st.disk.write(f, b); err != nil {
		if back := f.Truncate(s.size); back != nil {
			return s.st.fail(fmt.Errorf("slot %s: %w, and what was written could not be taken back: %w", s.id, err, back))
		}
		return err
	}
	start := time.Now()
	if err := s.st.disk.sync(f); err != nil {
		// After a failed sync nobody knows what is on disk, and the next one may lie.
		return s.st.fail(fmt.Errorf("slot %s: %w", s.id, err))
	}
	s.writes.took(time.Since(start))
	now, err := os.Stat(s.path())
	if err != nil || !os.SameFile(now, s.info) {
		return s.st.fail(s.gone())
	}
	s.size += int64(len(b))
	s.torn = false
	if now.Size() != s.size {
		// Somebody else appended too: our lines are whole, but not where we thought.
		s.mu.Lock()
		s.loaded = false
		s.mu.Unlock()
	}
	return nil
}

var appendBuffers = sync.Pool{New: func() any { return new([]byte) }}

func (s *slot) gone() error {
	return fmt.Errorf("the relay's state is gone: slots/%s.jsonl was deleted, cut or replaced", s.id)
}

// open is the slot file for appending, made if it is not there yet.
func (s *slot) open() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		return s.file, nil
	}
	if !s.storable() {
		return nil, fmt.Errorf("invalid slot_id format: %q", s.id)
	}
	if err := s.st.inPlace(); err != nil {
		return nil, err
	}
	flags := os.O_RDWR | os.O_APPEND
	if s.size == 0 {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(s.path(), flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s.st.fail(s.gone())
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.Size() < s.size || s.info != nil && !os.SameFile(info, s.info):
		err = s.st.fail(s.gone())
	case info.Size() > s.size:
		err = s.read()
	case info.Size() == 0:
		err = syncDir(s.st.path("slots"))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.file, s.info, s.active = f, info, time.Now()
	return f, nil
}

// quietAfter is how long the file of a slot stays open without use.
const quietAfter = time.Minute

// rest lets go of the file of a quiet slot.
func (s *slot) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil || time.Since(s.active) < quietAfter || !s.writes.idle() {
		return
	}
	s.file.Close()
	s.file = nil
}

func (s *slot) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
}

// view is the slot's events as they are now.
type view struct {
	s     *slot
	lines []line
	odd   map[int][]byte
	file  *os.File
	used  int64 // bytes of event text
}

// view opens the slot for reading. The events it sees are on disk and never change.
func (s *slot) view() (*view, error) {
	if err := s.load(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	v := &view{s: s, lines: s.lines, odd: s.odd, used: s.used}
	return v, nil
}

func (v *view) done() {
	if v.file != nil {
		v.file.Close()
	}
}

// append appends the texts of events from to to-1, each followed by sep but the last.
func (v *view) append(dst []byte, from, to int, sep byte) ([]byte, error) {
	for from < to {
		if len(v.odd) > 0 {
			if text, ok := v.odd[from]; ok {
				dst = append(dst, text...)
				if from++; from < to {
					dst = append(dst, sep)
				}
				continue
			}
		}
		run := from + 1
		for run < to && v.lines[run].off == v.lines[run-1].off+int64(v.lines[run-1].len)+1 {
			if _, ok := v.odd[run]; ok {
				break
			}
			run++
		}
		var err error
		if dst, err = v.read(dst, from, run, sep); err != nil {
			return dst, err
		}
		if from = run; from < to {
			dst = append(dst, sep)
		}
	}
	return dst, nil
}

// read appends lines that follow each other in the file with one read.
func (v *view) read(dst []byte, from, to int, sep byte) ([]byte, error) {
	if v.file == nil {
		f, err := os.Open(v.s.path())
		if errors.Is(err, fs.ErrNotExist) {
			return dst, v.s.st.fail(v.s.gone())
		}
		if err != nil {
			return dst, err
		}
		v.file = f
	}
	start, last := v.lines[from].off, v.lines[to-1]
	n := int(last.off + int64(last.len) - start)
	at := len(dst)
	dst = append(dst, make([]byte, n)...)
	switch _, err := v.file.ReadAt(dst[at:], start); {
	case errors.Is(err, io.EOF): // it was cut: what is left is no list of what came
		return dst[:at], v.s.st.fail(v.s.gone())
	case err != nil:
		return dst[:at], err
	}
	for _, l := range v.lines[from : to-1] {
		dst[at+int(l.off-start)+int(l.len)] = sep
	}
	return dst, nil
}

// after is the index of the first event behind the cursor since: 0 where the id is unknown (relay.md 6.4).
func (v *view) after(since string) int {
	s := v.s
	s.mu.RLock()
	n, ok := s.byID[maphash.String(s.st.seed, since)]
	s.mu.RUnlock()
	if !ok || int(n) >= len(v.lines) {
		return 0
	}
	text, err := v.append(nil, int(n), int(n)+1, ' ')
	if err != nil {
		return 0
	}
	if e := readEvent(text); !e.hasID || e.id != since {
		return 0
	}
	return int(n) + 1
}
