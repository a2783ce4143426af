package home

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// A write in progress by the reference (truncate, write) is over within this time (section 4.3).
const (
	tornFor   = 100 * time.Millisecond
	tornEvery = 10 * time.Millisecond
)

// errIrregular is what a path holds that is neither missing nor a regular file.
var errIrregular = errors.New("not a regular file")

// readRegular reads a file whole, with what the descriptor said of it before the first byte. A missing file
// is fs.ErrNotExist; anything but a regular file is a *FileError, and is not waited for: a FIFO in place of
// trust.json must not hang whoever looks.
func readRegular(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.EOPNOTSUPP) { // a socket
			err = &FileError{path, errIrregular}
		}
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, &FileError{path, errIrregular}
	}
	buf := bytes.NewBuffer(make([]byte, 0, info.Size()+bytes.MinRead))
	if _, err := buf.ReadFrom(f); err != nil {
		return nil, nil, err
	}
	return buf.Bytes(), info, nil
}

// ReadFile is the content of a file that people write; anything but a regular file is a *FileError, at once.
func ReadFile(path string) ([]byte, error) {
	data, _, err := readRegular(path)
	return data, err
}

// document is one kind of file: where it is, what a missing one reads as, how its bytes are understood.
type document[T any] struct {
	path    string
	missing string // "" if a missing file is fs.ErrNotExist
	parse   func([]byte) (T, error)
}

// read is the document as it is now and what of the file it was read from. What does not parse is read again
// for 100 ms and is then a *FileError.
func (d document[T]) read() (doc T, seen sight, err error) {
	var zero T
	for deadline := time.Now().Add(tornFor); ; time.Sleep(tornEvery) {
		data, info, err := readRegular(d.path)
		if errors.Is(err, fs.ErrNotExist) && d.missing != "" {
			data, err = []byte(d.missing), nil
		}
		if err != nil {
			return zero, sight{}, err
		}
		doc, err := d.parse(data)
		if err == nil {
			return doc, sight{d.path, info, data, time.Now()}, nil
		}
		if !time.Now().Before(deadline) {
			return zero, sight{}, &FileError{d.path, fmt.Errorf("does not parse: %w", err)}
		}
	}
}

// Torn says whether a file that daemons of the reference rewrite in place does not parse at this moment: one that is
// writing must not be ended now, for what it has not written yet would be lost.
func (s Session) Torn() bool {
	return s.relay().torn() || s.trust().torn()
}

func (d document[T]) torn() bool {
	data, _, err := readRegular(d.path)
	if err != nil {
		return false
	}
	_, err = d.parse(data)
	return err != nil
}

// sight is a file as it was when it was read; info is nil if there was none.
type sight struct {
	path string
	info fs.FileInfo
	data []byte
	when time.Time
}

// clockTick is more than the step of the clock that file times are taken from.
const clockTick = 20 * time.Millisecond

// holds says whether the file is still the one that was seen, untouched. Sizes and times tell, unless the
// file had just been written: a second write within one tick of the file system's clock leaves no trace in
// its time, so then the bytes are compared.
func (s sight) holds() bool {
	now, err := os.Stat(s.path)
	if err != nil {
		return s.info == nil && errors.Is(err, fs.ErrNotExist)
	}
	if s.info == nil || !os.SameFile(s.info, now) || s.info.Size() != now.Size() || !s.info.ModTime().Equal(now.ModTime()) {
		return false
	}
	return s.when.Sub(s.info.ModTime()) > clockTick || equal(s.path, now, s.data)
}
