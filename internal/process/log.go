package process

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// maxLog is how large the log of a background process may grow. What is larger becomes its one predecessor,
// path + ".1", at the next start and while the process lives.
const maxLog = 8 << 20

// CappedLog is w for a background process whose log is at path: where w is that file, writes keep it below
// maxLog, and standard output and error follow it, so that the words of a crash are in the new one. Any other
// w, a terminal, a pipe, the journal of a service manager, is returned as it is.
func CappedLog(w io.Writer, path string) io.Writer {
	f, ok := w.(*os.File)
	if !ok || !isFile(f, path) {
		return w
	}
	return &cappedLog{f: f, path: path}
}

// isFile says whether an open file is the regular one at path.
func isFile(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil || !open.Mode().IsRegular() {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(open, named)
}

type cappedLog struct {
	mu   sync.Mutex
	f    *os.File
	path string
}

// Write never fails for what became of the old log: one that cannot be put aside just grows on.
func (l *cappedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.f.Write(p)
	// Others append to it as well, so its size is asked for and not counted.
	var st unix.Stat_t
	if unix.Fstat(int(l.f.Fd()), &st) == nil && st.Size > maxLog {
		_ = l.turn(st)
	}
	return n, err
}

// turn puts the log aside and goes on in a new one, or in that of whoever was faster.
func (l *cappedLog) turn(old unix.Stat_t) error {
	if isFile(l.f, l.path) {
		if err := putAside(l.path); err != nil {
			return err
		}
	}
	fresh, err := openAppending(l.path)
	if err != nil {
		return err
	}
	defer fresh.Close()
	for _, fd := range []int{standardOutput, standardError, int(l.f.Fd())} {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && uint64(st.Dev) == uint64(old.Dev) && st.Ino == old.Ino {
			if err := dupOver(int(fresh.Fd()), fd); err != nil {
				return err
			}
		}
	}
	return nil
}

const standardOutput, standardError = 1, 2

func putAside(path string) error { return os.Rename(path, path+".1") }

func openAppending(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
}

// openLog opens the log for appending and says where this start begins. One that has grown too large makes
// room first.
func openLog(path string) (f *os.File, from int64, err error) {
	if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Size() > maxLog {
		if err := putAside(path); err != nil {
			return nil, 0, err
		}
	}
	if f, err = openAppending(path); err != nil {
		return nil, 0, err
	}
	from, err = f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, from, nil
}
