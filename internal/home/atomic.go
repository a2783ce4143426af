package home

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Temporary files are hidden and end in nothing that a reader of the reference loads: it looks for *.json
// and *.jsonl, and for directories below the sessions root.
const tempMark = ".tmp-"

// A temp file older than this belongs to nobody who is still writing.
const tempAge = time.Minute

// IsTemp says whether a file name is that of a write in progress, which watches should pass over.
func IsTemp(name string) bool {
	base := filepath.Base(name)
	return strings.HasPrefix(base, ".") && strings.Contains(base, tempMark)
}

// WriteFile replaces path atomically with data (temp file, fsync, rename, fsync of the directory); it
// refuses to replace what is no regular file and skips equal bytes. mode counts from creation, less the
// umask; a skipped file is only tightened to it.
//
// A link is followed and what it leads to is replaced, as the reference would write through it; a link that
// leads nowhere is refused. The directory must exist.
func WriteFile(path string, data []byte, mode uint32) error {
	return replace(path, data, fs.FileMode(mode), nil)
}

// errMoved is that somebody else changed what was to be replaced.
var errMoved = errors.New("changed by another program while it was being replaced")

// placing gives a finished temp file its name, when everything slow is done, and may refuse. after is called once
// that is durable, nil for nothing to do; the temp file is its to remove.
type placing func(temp, path string) (after func() error, err error)

// replace is the one writer of whole files. place is a rename if it is nil.
//
// Whenever we die: before the rename the old file is untouched and the temp file lies beside it, which the
// next write of the file after a minute removes; after it the new file is whole, for its bytes were synced
// first.
func replace(path string, data []byte, mode fs.FileMode, place placing) error {
	path, old, err := target(path)
	if err != nil {
		return err
	}
	if old != nil && equal(path, old, data) {
		if perm := old.Mode().Perm(); perm&^mode != 0 {
			return os.Chmod(path, perm&mode)
		}
		return nil
	}

	temp, err := writeTemp(path, data, mode)
	if err != nil {
		return err
	}
	var after func() error
	if place == nil {
		err = os.Rename(temp, path)
	} else {
		after, err = place(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return err
	}
	return settle(path, after)
}

// target follows links and refuses what must not be replaced; info is nil if there is no file yet.
func target(path string) (string, fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			return "", nil, &FileError{path, errors.New("a link that leads nowhere")}
		}
		if info, err = os.Lstat(real); err != nil {
			return "", nil, err
		}
		path = real
	}
	if !info.Mode().IsRegular() {
		return "", nil, &FileError{path, errIrregular}
	}
	return path, info, nil
}

func equal(path string, info fs.FileInfo, data []byte) bool {
	if info.Size() != int64(len(data)) {
		return false
	}
	old, _, err := readRegular(path)
	return err == nil && bytes.Equal(old, data)
}

// settle makes the name of a new or replaced file durable and, with the directory open anyway, removes what
// crashes left of earlier writes of it. after comes in between.
func settle(path string, after func() error) error {
	dir, prefix := filepath.Dir(path), "."+filepath.Base(path)+tempMark
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := syncDir(d); err != nil {
		return err
	}
	if after != nil {
		if err := after(); err != nil {
			return err
		}
	}
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil // the write itself is done
	}
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		left := filepath.Join(dir, name)
		if info, err := os.Lstat(left); err == nil && time.Since(info.ModTime()) > tempAge {
			_ = os.Remove(left)
		}
	}
	return nil
}

// syncDir is fsync of a directory, where the file system knows such a thing.
func syncDir(d *os.File) error {
	err := d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}

func syncDirAt(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return syncDir(d)
}

// create writes a new file whole and durably, or fails with fs.ErrExist, whatever the name holds, a link
// that leads nowhere included. The name appears with the last byte already behind it: link, unlike open,
// has no moment in which the file is there and short.
func create(path string, data []byte, mode fs.FileMode) error {
	temp, err := writeTemp(path, data, mode)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp) }()
	err = os.Link(temp, path)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) {
		err = writeNew(path, data, mode) // a file system without links
	}
	if err != nil {
		return err
	}
	return settle(path, nil)
}

// writeTemp writes a temp file for path beside it.
func writeTemp(path string, data []byte, mode fs.FileMode) (string, error) {
	var suffix [6]byte
	_, _ = rand.Read(suffix[:])
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+tempMark+hex.EncodeToString(suffix[:]))
	return temp, writeNew(temp, data, mode)
}

// writeNew writes and syncs a file that must not be there yet. On an error none is left.
func writeNew(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}
