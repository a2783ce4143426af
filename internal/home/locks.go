package home

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
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
	f, err := acquire(ctx, path, os.O_RDWR|os.O_CREATE, nil)
	if err != nil {
		return nil, err
	}
	return func() { release(f) }, nil
}

// LockApply takes ROOT/apply.lock, waiting until ctx ends; waiting is told of the holder once, when the
// lock is not free at once. The error after a wait is *LockedError. Root is made if it is missing.
func (m Machine) LockApply(ctx context.Context, verb string, waiting func(Holder)) (unlock func(), err error) {
	return m.lockNamed(ctx, "apply.lock", verb, waiting)
}

// LockWatch takes ROOT/watch.lock, which one continuous mode holds for life, as LockApply does.
func (m Machine) LockWatch(ctx context.Context, verb string, waiting func(Holder)) (unlock func(), err error) {
	return m.lockNamed(ctx, "watch.lock", verb, waiting)
}

func (m Machine) lockNamed(ctx context.Context, name, verb string, waiting func(Holder)) (func(), error) {
	if err := os.MkdirAll(m.Root, 0o700); err != nil {
		return nil, err
	}
	f, err := acquire(ctx, join(m.Root, name), os.O_RDWR|os.O_CREATE, waiting)
	if err != nil {
		return nil, err
	}
	line, err := json.Marshal(Holder{PID: os.Getpid(), Verb: verb})
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(append(line, '\n'), 0)
	}
	if err != nil {
		release(f)
		return nil, err
	}
	return func() {
		_ = f.Truncate(0)
		release(f)
	}, nil
}

// acquire opens path and locks it exclusively. A waiter polls: a blocking flock could not be called off.
// The intervals grow from a quarter of a millisecond, for most locks are held for one write, to 20 ms.
func acquire(ctx context.Context, path string, flag int, waiting func(Holder)) (*os.File, error) {
	pause := 250 * time.Microsecond
	for {
		f, err := os.OpenFile(path, flag|syscall.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, err
		}
		for {
			err = flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
			if !errors.Is(err, syscall.EWOULDBLOCK) {
				break
			}
			if waiting != nil {
				// One that has just got the lock has not written its line yet.
				if h := holder(f); h.Verb != "" || pause >= 4*time.Millisecond {
					waiting(h)
					waiting = nil
				}
			}
			select {
			case <-ctx.Done():
				h := holder(f)
				_ = f.Close()
				return nil, &LockedError{Path: path, Holder: h, Err: ctx.Err()}
			case <-time.After(pause):
			}
			pause = min(2*pause, 20*time.Millisecond)
		}
		if err != nil {
			_ = f.Close()
			return nil, &os.PathError{Op: "flock", Path: path, Err: err}
		}
		if info, err := f.Stat(); err == nil {
			if now, err := os.Stat(path); err == nil && os.SameFile(info, now) {
				return f, nil
			}
		}
		// The whole directory went while we waited: what we locked is nobody's file any more.
		release(f)
	}
}

// release unlocks before it closes: a child being forked at this instant has the descriptor until its exec,
// and closing ours alone would leave the lock with it.
func release(f *os.File) {
	_ = flock(f, syscall.LOCK_UN)
	_ = f.Close()
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
	var h Holder
	line, err := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	if err == nil && json.Unmarshal(line, &h) == nil && h.PID > 0 {
		return h
	}
	return Holder{PID: kernelHolder(f)}
}
