package mailbox

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// Verify checks one event against trust as it is now. refused is why it does not count, nil if it does; an
// error is a trust.json that cannot be read.
func (b *Box) Verify(event any) (refused *identity.VerifyError, err error) {
	b.keys.refresh()
	defer b.keys.release()
	return b.keys.verify(event)
}

// Reader reads what pull has stored, from where it last stopped (home-and-daemon.md 13.1). It is not safe
// for concurrent use.
type Reader struct {
	home home.Session
	keys *agents
	at   home.Offsets
	seen map[string]os.FileInfo // what a file was when it was last read
}

// Reader starts at the offsets given; a file that has none there is read from its start.
func (b *Box) Reader(from home.Offsets) *Reader {
	r := &Reader{home: b.home, keys: b.keys}
	r.Seek(from)
	return r
}

// Seek goes on from other offsets.
func (r *Reader) Seek(to home.Offsets) {
	r.at = make(home.Offsets, len(to))
	for stem, n := range to {
		r.at[stem] = n
	}
	if r.seen == nil {
		r.seen = map[string]os.FileInfo{}
	}
}

// Offsets is where the reader stands; the map is its own.
func (r *Reader) Offsets() home.Offsets { return r.at }

// Ends is behind the last whole line of each inbox file, where a reader starts that wants only news.
func (b *Box) Ends() (home.Offsets, error) { return ends(b.home.InboxPeers, b.home.Inbox) }

func ends(peers func() ([]string, error), file func(string) (string, error)) (home.Offsets, error) {
	stems, err := peers()
	if err != nil {
		return nil, err
	}
	at := make(home.Offsets, len(stems))
	for _, stem := range stems {
		path, err := file(stem)
		if err != nil {
			return nil, err
		}
		f, info, err := openStored(path)
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue
		}
		at[stem], err = lastEnd(f, info.Size())
		f.Close()
		if err != nil {
			return nil, err
		}
	}
	return at, nil
}

// Sweep passes each event that has arrived since to each, file by file in the order of their names, verified
// against trust as it is now. Only whole lines count; what is no event is passed over. A line is done when
// each has returned nil for it: its error ends the sweep, and the next one begins with that line again. A file
// that cannot be read keeps no other from being read.
//
// A file that has become shorter holds nothing new. One that is gone is read from its start if it comes back.
func (r *Reader) Sweep(each func(Arrival) error) error {
	peers, err := r.home.InboxPeers()
	if err != nil {
		return err
	}
	r.keys.refresh()
	defer r.keys.release()
	there := make(map[string]bool, len(peers))
	var refused error
	take := func(a Arrival) error {
		refused = each(a)
		return refused
	}
	var errs []error
	for _, peer := range peers {
		there[peer] = true
		err := r.sweepFile(peer, take)
		if refused != nil {
			return refused
		}
		errs = append(errs, err)
	}
	for peer := range r.seen {
		if !there[peer] {
			delete(r.seen, peer)
			delete(r.at, peer)
		}
	}
	return errors.Join(errs...)
}

func (r *Reader) sweepFile(peer string, each func(Arrival) error) error {
	path, err := r.home.Inbox(peer)
	if err != nil {
		return err
	}
	// Most sweeps find nothing in most files: a look at the size is enough for those.
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	last := r.seen[peer]
	r.seen[peer] = info
	switch {
	case last != nil && !os.SameFile(last, info):
		r.at[peer] = 0 // another file under the name
	case info.Size() == r.at[peer]:
		return nil
	}
	f, info, err := openStored(path)
	if err != nil || f == nil {
		return err
	}
	defer f.Close()
	if info.Size() <= r.at[peer] {
		r.at[peer], err = lastEnd(f, info.Size())
		return err
	}
	lines := bufio.NewReaderSize(io.NewSectionReader(f, r.at[peer], 1<<62), 64<<10)
	for {
		l, whole, err := readLine(lines, maxLine)
		if err != nil || !whole {
			return err
		}
		if event, bad := canon.ParseObject(bytes.TrimSpace(l.text)); bad == nil {
			refused, err := r.keys.verify(event)
			if err == nil {
				a := arrivalOf(peer, event, refused == nil)
				a.End = r.at[peer] + l.size
				err = each(a)
			}
			if err != nil {
				return err
			}
		}
		r.at[peer] += l.size
	}
}

// openStored opens an inbox file; nil for one that is gone or no regular file.
func openStored(path string) (*os.File, os.FileInfo, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// lastEnd is the offset behind the last line end before size.
func lastEnd(f io.ReaderAt, size int64) (int64, error) {
	const block = 4 << 10
	for size > 0 {
		n := min(size, block)
		buf := make([]byte, n)
		if _, err := f.ReadAt(buf, size-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf, '\n'); i >= 0 {
			return size - n + int64(i) + 1, nil
		}
		size -= n
	}
	return 0, nil
}
