package home

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// LockWait is how long a lock is waited for where the caller sets no earlier end (design.md section 8).
const LockWait = 10 * time.Second

// Holder is who holds a lock, as far as it is known.
type Holder struct {
	PID  int    `json:"pid"`
	Verb string `json:"verb"`
}

func (h Holder) String() string {
	switch {
	case h.PID == 0:
		return "another process"
	case h.Verb == "":
		return fmt.Sprintf("pid %d", h.PID)
	}
	return fmt.Sprintf("pid %d (%s)", h.PID, h.Verb)
}

// LockedError names who has a lock that did not come free in time. Err is why the wait ended: the context's
// error.
type LockedError struct {
	Path   string
	Holder Holder
	Err    error
}

func (e *LockedError) Error() string {
	why := "gave up waiting: " + e.Err.Error()
	if errors.Is(e.Err, context.DeadlineExceeded) {
		why = "it did not come free in time"
	}
	return fmt.Sprintf("%s: held by %s; %s", e.Path, e.Holder, why)
}
func (e *LockedError) Unwrap() error { return e.Err }

// Lock takes the exclusive flock on path, which it makes if need be (0600), waiting until ctx ends but 10 s
// at most; then the error is *LockedError. The file is never unlinked; unlock may be called twice.
//
// It is flock(2) on an own descriptor, close-on-exec, so two goroutines exclude each other as two processes
// do, and the reference's cursor updates are excluded too (4.3). One lock at a time; where two are needed,
// in path order.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, LockWait)
	defer cancel()
	l, err := acquire(ctx, path, os.O_RDWR|os.O_CREATE, nil)
	if err != nil {
		return nil, err
	}
	return l.release, nil
}

// LockApply takes ROOT/apply.lock, waiting until ctx ends; waiting is told of the holder once, when the
// lock is not free at once. The error after a wait is *LockedError. Root is made if it is missing.
func (m Machine) LockApply(ctx context.Context, verb string, waiting func(Holder)) (unlock func(), err error) {
	return m.lockNamed(ctx, "apply.lock", verb, waiting)
}

func (m Machine) lockNamed(ctx context.Context, name, verb string, waiting func(Holder)) (func(), error) {
	if err := m.Ensure(); err != nil {
		return nil, err
	}
	l, err := acquire(ctx, join(m.Root, name), os.O_RDWR|os.O_CREATE, waiting)
	if err != nil {
		return nil, err
	}
	line := canon.Compact(canon.Doc{"pid": os.Getpid(), "verb": verb})
	err = l.Truncate(0)
	if err == nil {
		_, err = l.WriteAt(append(line, '\n'), 0)
	}
	if err != nil {
		l.release()
		return nil, err
	}
	return func() {
		_ = l.Truncate(0)
		l.release()
	}, nil
}

// lock is one that is held: the flock, and the turn in this process's queue for it.
type lock struct {
	*os.File
	*turn
}

// acquire opens path with flag and locks it exclusively.
func acquire(ctx context.Context, path string, flag int, waiting func(Holder)) (lock, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return lock{}, err
	}
	w := waiter{path: path, flag: flag, start: time.Now(), waiting: waiting}
	turn := joinQueue(abs)
	if err := w.queue(ctx, turn); err != nil {
		turn.leave()
		return lock{}, err
	}
	for {
		f, err := w.open()
		if err == nil {
			err = w.flock(ctx, f)
		}
		if err != nil {
			turn.end()
			return lock{}, err
		}
		l := lock{f, turn}
		if current(f, path) {
			return l, nil
		}
		// The whole directory went while we waited: what we locked is nobody's file any more.
		l.unlock()
	}
}

// release unlocks before it closes: a child being forked at this instant has the descriptor until its exec,
// and closing ours alone would leave the lock with it. Calling it again does nothing.
func (l lock) release() {
	if l.unlock() {
		l.end()
	}
}

func (l lock) unlock() (held bool) {
	if flock(l.File, syscall.LOCK_UN) != nil {
		return false
	}
	return l.Close() == nil
}

// waiter is one attempt at a lock.
type waiter struct {
	path    string
	flag    int
	start   time.Time
	waiting func(Holder) // nil once it was told
}

func (w *waiter) open() (*os.File, error) {
	return os.OpenFile(w.path, w.flag|syscall.O_NONBLOCK, 0o600)
}

// queue waits for the turn among the goroutines of this process.
func (w *waiter) queue(ctx context.Context, t *turn) error {
	select {
	case t.free <- struct{}{}:
		return nil
	default:
	}
	f, err := w.open()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	w.tell(f)
	select {
	case t.free <- struct{}{}:
		return nil
	case <-ctx.Done():
		return w.gaveUp(ctx, f)
	}
}

// flock waits for the lock itself, against other processes. It polls, for a blocking flock could not be
// called off: first every quarter of a millisecond, since most locks are held for one write, then ever more
// rarely, up to 20 ms, but never much longer than an eighth of what it has waited so far.
func (w *waiter) flock(ctx context.Context, f *os.File) error {
	for {
		err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			_ = f.Close()
			return &os.PathError{Op: "flock", Path: w.path, Err: err}
		}
		waited := time.Since(w.start)
		// One that has just got the lock has not written its line yet.
		if w.waiting != nil && (waited > 10*time.Millisecond || holder(f).Verb != "") {
			w.tell(f)
		}
		select {
		case <-time.After(min(max(waited/8, 250*time.Microsecond), 20*time.Millisecond)):
		case <-ctx.Done():
			defer func() { _ = f.Close() }()
			return w.gaveUp(ctx, f)
		}
	}
}

func (w *waiter) tell(f *os.File) {
	if w.waiting != nil {
		w.waiting(holder(f))
		w.waiting = nil
	}
}

func (w *waiter) gaveUp(ctx context.Context, f *os.File) error {
	return &LockedError{Path: w.path, Holder: holder(f), Err: ctx.Err()}
}

// current says whether path still names f.
func current(f *os.File, path string) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(path)
	return err == nil && os.SameFile(info, now)
}

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// holder is who has the lock on f: its own line, else what the kernel knows.
func holder(f *os.File) Holder {
	line, err := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	if err == nil {
		if doc, err := canon.ParseObject(line); err == nil {
			if pid, ok := doc["pid"].(uint64); ok && pid > 0 && pid <= math.MaxInt32 {
				verb, _ := doc["verb"].(string)
				return Holder{PID: int(pid), Verb: verb}
			}
		}
	}
	return Holder{PID: kernelHolder(f)}
}
