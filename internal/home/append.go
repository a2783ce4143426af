package home

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
)

// AppendLines appends whole lines to a JSONL file under flock on it, first ending a torn last line, 0600
// when created; sync says whether to fsync before returning. Lines come without their "\n" and must not
// hold one. The directory must exist.
//
// All lines go out in one write, so that a process of the reference, which appends without a lock, cannot
// come between them. A write that fails half-way leaves a torn line, which the next append ends.
func AppendLines(path string, lines [][]byte, sync bool) error {
	if len(lines) == 0 {
		return nil
	}
	size := 1
	for _, line := range lines {
		if bytes.IndexByte(line, '\n') >= 0 {
			return &FileError{path, errors.New("refusing to append a line that holds a line break")}
		}
		size += len(line) + 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), LockWait)
	defer cancel()
	f, err := acquire(ctx, path, os.O_RDWR|os.O_APPEND|os.O_CREATE, nil)
	if err != nil {
		return err
	}
	defer f.release()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &FileError{path, errIrregular}
	}

	buf := make([]byte, 0, size)
	if end := info.Size(); end > 0 {
		var last [1]byte
		if _, err := f.ReadAt(last[:], end-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			buf = append(buf, '\n')
		}
	}
	for _, line := range lines {
		buf = append(append(buf, line...), '\n')
	}
	if _, err := f.Write(buf); err != nil {
		return err
	}
	if !sync {
		return nil
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if info.Size() == 0 { // new, as far as we know: its name must last as well
		return syncDirAt(filepath.Dir(path))
	}
	return nil
}
