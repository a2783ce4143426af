package mailbox

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"slices"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
)

// key is the first half of an event id. A sender who made two events with one key would lose the second of
// his own, after 2^64 tries.
type key [16]byte

// keyOf is the key of an event id; false for what is no event id, which no verified event has.
func keyOf(id string) (k key, ok bool) {
	if !isEventID(id) {
		return k, false
	}
	_, err := hex.Decode(k[:], []byte(id[:2*len(k)]))
	return k, err == nil
}

// keepKeys is how many keys the index keeps between pulls, about 1.5 MB. Beyond it only the files that the
// last pull touched stay; another one is read again when its sender writes again.
const keepKeys = 50_000

// inbox knows which events the inbox files hold. Each file is read once, when its sender's first event
// comes, and then followed from where the knowledge ends, for others append too.
type inbox struct {
	home  home.Session
	files map[string]*inboxFile
}

// inboxFile is one sender's file, and what a pull is about to add to it.
type inboxFile struct {
	path string
	info fs.FileInfo // what was read; nil: there was no file
	read int64       // whole lines up to here are known
	keys map[key]struct{}

	lines [][]byte // not written yet
	fresh []key    // their keys, which are in keys already

	// texts are hashes of the events up to textsTo, made when a key is met again: somebody may have written
	// another text under it. They live no longer than a pull.
	texts   map[uint64]struct{}
	textsTo int64
}

// file is the index of a sender's file as it is on disk now. A handle that is no file name is an error.
func (in *inbox) file(handle string) (*inboxFile, error) {
	path, err := in.home.Inbox(handle)
	if err != nil {
		return nil, err
	}
	f := in.files[handle]
	if f == nil {
		f = &inboxFile{path: path}
		if in.files == nil {
			in.files = map[string]*inboxFile{}
		}
		in.files[handle] = f
	}
	if len(f.lines) > 0 {
		return f, nil // followed already in this batch
	}
	return f, f.follow()
}

// follow reads what was appended since the last time. A file that was replaced or cut is read anew.
func (f *inboxFile) follow() error {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.info, f.read, f.keys = nil, 0, map[key]struct{}{}
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &home.FileError{Path: f.path, Err: errors.New("not a regular file")}
	}
	if f.info == nil || !os.SameFile(f.info, info) || info.Size() < f.read || f.keys == nil {
		f.read, f.keys = 0, map[key]struct{}{}
	}
	f.info = info
	if info.Size() == f.read {
		return nil
	}
	r := bufio.NewReaderSize(io.NewSectionReader(file, f.read, 1<<62), 64<<10)
	for {
		line, whole, err := readLine(r, maxLine)
		if err != nil {
			return err
		}
		if k, ok := keyOf(lineID(line.text)); ok {
			f.keys[k] = struct{}{} // also of a last line without its end, which may be whole all the same
		}
		if !whole {
			return nil
		}
		f.read += line.size
	}
}

// has says whether the file, or this batch, holds the event whose line this is. A line that only has its id does
// not count: whoever can write into the inbox would keep the real event out of it (field failure G27).
func (f *inboxFile) has(k key, line []byte) (bool, error) {
	if _, known := f.keys[k]; !known {
		return false, nil
	}
	if slices.Contains(f.fresh, k) {
		return true, nil
	}
	if err := f.readTexts(); err != nil {
		return false, err
	}
	_, same := f.texts[maphash.Bytes(textSeed, line)]
	return same, nil
}

var textSeed = maphash.MakeSeed()

// readTexts makes texts cover what keys cover. Lines count as what they mean, not how they are written: an event
// that another program spaced out is the same event.
func (f *inboxFile) readTexts() error {
	if f.info == nil || f.texts != nil && f.textsTo == f.info.Size() {
		return nil
	}
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	f.texts, f.textsTo = map[uint64]struct{}{}, f.info.Size()
	r := bufio.NewReaderSize(io.NewSectionReader(file, 0, f.textsTo), 64<<10)
	for whole := true; whole; {
		var line textLine
		if line, whole, err = readLine(r, maxLine); err != nil {
			return err
		}
		if event, err := canon.ParseObject(bytes.TrimSpace(line.text)); err == nil {
			f.texts[maphash.Bytes(textSeed, canon.Compact(event))] = struct{}{}
		}
	}
	return nil
}

// add takes a line for the next flush.
func (f *inboxFile) add(k key, line []byte) {
	f.keys[k] = struct{}{}
	f.fresh = append(f.fresh, k)
	f.lines = append(f.lines, line)
}

// flush writes and syncs what add took. After an error nothing of it counts as known: it comes again, for
// the cursor does not move either.
func (in *inbox) flush() error {
	var failed error
	for handle, f := range in.files {
		if len(f.lines) == 0 {
			continue
		}
		if failed == nil {
			failed = f.anew()
		}
		lines, fresh := f.lines, f.fresh
		f.lines, f.fresh = nil, nil
		if failed == nil {
			failed = home.AppendLines(f.path, lines, true)
			if failed == nil {
				f.wrote(lines)
				continue
			}
			failed = fmt.Errorf("inbox of %s: %w", handle, failed)
		}
		for _, k := range fresh {
			delete(f.keys, k)
		}
	}
	return failed
}

// anew drops what somebody else has written since add took it: a daemon of the reference beside us hears of the same
// event at the same time, and takes no lock.
func (f *inboxFile) anew() error {
	now, err := os.Stat(f.path)
	if err != nil || f.info != nil && os.SameFile(f.info, now) && now.Size() == f.info.Size() {
		return nil // what is wrong with it AppendLines says
	}
	lines, fresh := f.lines, f.fresh
	f.lines, f.fresh = nil, nil
	for _, k := range fresh {
		delete(f.keys, k)
	}
	if err := f.follow(); err != nil {
		return err
	}
	for i, line := range lines {
		has, err := f.has(fresh[i], line)
		if err != nil {
			return err
		}
		if !has {
			f.add(fresh[i], line)
		}
	}
	return nil
}

// forget gives up what add took, so that it is not known either.
func (in *inbox) forget() {
	for _, f := range in.files {
		for _, k := range f.fresh {
			delete(f.keys, k)
		}
		f.lines, f.fresh = nil, nil
	}
}

// wrote moves past our own lines, if nobody else's came between; else the next follow reads both.
func (f *inboxFile) wrote(lines [][]byte) {
	info, err := os.Stat(f.path)
	if err != nil || f.info != nil && !os.SameFile(f.info, info) {
		return
	}
	end := f.read
	for _, line := range lines {
		end += int64(len(line)) + 1
	}
	if info.Size() == end {
		f.info, f.read = info, end
	}
}

// trim gives memory back after a pull that touched these handles.
func (in *inbox) trim(touched map[string]bool) {
	total := 0
	for _, f := range in.files {
		f.texts = nil
		total += len(f.keys)
	}
	if total <= keepKeys {
		return
	}
	for handle := range in.files {
		if !touched[handle] {
			delete(in.files, handle)
		}
	}
}

// lineID is the event_id of a stored line, "" if it is no event. Only the line's own member counts, not one
// of an event inside its body.
func lineID(line []byte) string {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] != '{' {
		return ""
	}
	spans, err := canon.ReadSpans(line)
	if err != nil {
		return ""
	}
	raw, ok := spans.Raw("event_id")
	if !ok {
		return ""
	}
	v, err := canon.Parse(raw)
	if err != nil {
		return ""
	}
	id, _ := v.(string)
	return id
}
