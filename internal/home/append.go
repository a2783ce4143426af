package home

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// AppendLines appends whole lines to a JSONL file under flock on it, 0600 when created; sync says whether to fsync
// before returning. Lines come without their "\n" and must not hold one. The directory must exist.
//
// All lines go out in one write, so that a process of the reference, which appends without a lock, cannot
// come between them. A write that fails is taken back. Whoever is killed in it leaves a torn line: the next append
// removes what is no JSON and does not grow for 100 ms, and ends what only lacks its line end.
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
	end, open, err := mend(f.File)
	if err != nil {
		return err
	}

	buf := make([]byte, 0, size)
	if open {
		buf = append(buf, '\n')
	}
	for _, line := range lines {
		buf = append(append(buf, line...), '\n')
	}
	if n, err := f.Write(buf); err != nil {
		return errors.Join(err, takeBack(f.File, end, int64(n)))
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

// takeBack removes the n bytes that were written at end, unless somebody who takes no lock has written behind them.
func takeBack(f *os.File, end, n int64) error {
	info, err := f.Stat()
	if err != nil || n == 0 || info.Size() != end+n {
		return err
	}
	return f.Truncate(end)
}

// mend removes a last line that nobody will finish. end is the size of the file then, open whether its last line is
// whole but for the line end.
func mend(f *os.File) (end int64, open bool, err error) {
	size := int64(-1)
	for deadline := time.Now().Add(tornFor); ; time.Sleep(tornEvery) {
		info, err := f.Stat()
		if err != nil {
			return 0, false, err
		}
		if info.Size() != size { // somebody is at it
			size, deadline = info.Size(), time.Now().Add(tornFor)
		}
		begin, err := lastLine(f, size)
		if err != nil || begin == size {
			return size, false, err
		}
		text := make([]byte, size-begin)
		if _, err := f.ReadAt(text, begin); err != nil {
			return 0, false, err
		}
		if begin == size-maxTorn || canon.Valid(bytes.TrimSpace(text)) == nil {
			return size, true, nil
		}
		if !time.Now().Before(deadline) {
			return begin, false, f.Truncate(begin)
		}
	}
}

// maxTorn is more than any line that is sent; what is longer is somebody else's.
const maxTorn = 1 << 20

// lastLine is where the line begins that no line end follows: size if there is none, and never more than maxTorn
// before it.
func lastLine(f *os.File, size int64) (int64, error) {
	var buf [4 << 10]byte
	for at := size; at > 0; {
		n := min(at, int64(len(buf)))
		if _, err := f.ReadAt(buf[:n], at-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return max(at-n+int64(i)+1, size-maxTorn), nil
		}
		if at -= n; size-at >= maxTorn {
			return size - maxTorn, nil
		}
	}
	return 0, nil
}
