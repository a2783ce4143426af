package process

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// openHandle signals by pid after a fresh proof, for darwin has no handle to signal through, and learns of
// the end from a kqueue.
func openHandle(pid int, start uint64) (handle, error) {
	kq, err := unix.Kqueue()
	if err != nil {
		return nil, os.NewSyscallError("kqueue", err)
	}
	unix.CloseOnExec(kq)
	exit := unix.Kevent_t{Ident: uint64(pid), Filter: unix.EVFILT_PROC, Flags: unix.EV_ADD, Fflags: unix.NOTE_EXIT}
	if _, err := unix.Kevent(kq, []unix.Kevent_t{exit}, nil, nil); err != nil {
		unix.Close(kq)
		if errors.Is(err, unix.ESRCH) {
			return nil, ErrGone
		}
		return nil, os.NewSyscallError("kevent", err)
	}
	return &queue{polled: newPolled(pid, start), kq: kq}, nil
}

type queue struct {
	*polled
	mu sync.Mutex // held while kq is in use
	kq int        // -1 once closed
}

// wait comes up for air every pollEvery: closing a kqueue does not wake who waits in it.
func (q *queue) wait() error {
	for {
		switch ended, err := q.look(); {
		case err != nil:
			return err
		case ended || !Alive(q.pid, q.start):
			return nil
		}
	}
}

func (q *queue) look() (ended bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.closed:
		return false, os.ErrClosed
	default:
	}
	timeout := unix.NsecToTimespec(int64(pollEvery))
	n, err := unix.Kevent(q.kq, nil, make([]unix.Kevent_t, 1), &timeout)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return false, os.NewSyscallError("kevent", err)
	}
	return n > 0, nil
}

func (q *queue) close() error {
	q.polled.close()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.kq >= 0 {
		unix.Close(q.kq)
		q.kq = -1
	}
	return nil
}

// pollEvery bounds how late a closed handle is noticed.
const pollEvery = 100 * time.Millisecond
