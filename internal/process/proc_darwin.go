package process

import (
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// openHandle signals by pid after a fresh proof, for darwin has no handle to signal through, and learns of
// the end from a kqueue.
func openHandle(pid int, start uint64) (handle, error) {
	q, err := endings()
	if err != nil {
		return nil, err
	}
	end, err := q.listen(pid)
	if err != nil {
		return nil, err
	}
	return &queued{polled: newPolled(pid, start), queue: q, end: end}, nil
}

// queued is a process whose end a kqueue tells.
type queued struct {
	*polled
	queue *queue
	end   chan struct{} // closed when it has ended
}

// wait takes the queue's word: a process whose end is told may not be a zombie yet.
func (h *queued) wait() error {
	select {
	case <-h.closed:
		return os.ErrClosed
	case <-h.end:
		return nil
	}
}

func (h *queued) close() error {
	_ = h.polled.close()
	h.queue.leave(h.pid, h.end)
	return nil
}

// queue is one kqueue for all processes that are waited for, so that one thread of ours waits and none looks again and
// again. It is as old as this process, and needs nobody to wake it: what is asked of it takes effect while it waits.
type queue struct {
	kq int

	mu  sync.Mutex
	all map[int][]chan struct{} // who waits for the end of a pid
}

var endings = sync.OnceValues(func() (*queue, error) {
	kq, err := unix.Kqueue()
	if err != nil {
		return nil, os.NewSyscallError("kqueue", err)
	}
	unix.CloseOnExec(kq)
	q := &queue{kq: kq, all: map[int][]chan struct{}{}}
	go q.run()
	return q, nil
})

func (q *queue) run() {
	events := make([]unix.Kevent_t, 16)
	for {
		n, err := unix.Kevent(q.kq, nil, events, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return // never, says kqueue(2): the queue is there, and so is the memory
		}
		q.mu.Lock()
		for _, e := range events[:max(n, 0)] {
			for _, end := range q.all[int(e.Ident)] {
				close(end)
			}
			delete(q.all, int(e.Ident))
		}
		q.mu.Unlock()
	}
}

// listen gives a channel that is closed when the process has ended.
func (q *queue) listen(pid int) (chan struct{}, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	exit := unix.Kevent_t{Ident: uint64(pid), Filter: unix.EVFILT_PROC, Flags: unix.EV_ADD | unix.EV_ONESHOT, Fflags: unix.NOTE_EXIT}
	switch _, err := unix.Kevent(q.kq, []unix.Kevent_t{exit}, nil, nil); {
	case errors.Is(err, unix.ESRCH):
		return nil, ErrGone
	case err != nil:
		return nil, os.NewSyscallError("kevent", err)
	}
	end := make(chan struct{})
	q.all[pid] = append(q.all[pid], end)
	return end, nil
}

// leave ends that.
func (q *queue) leave(pid int, end chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	rest := slices.DeleteFunc(q.all[pid], func(c chan struct{}) bool { return c == end })
	if len(rest) > 0 {
		q.all[pid] = rest
		return
	}
	if _, ok := q.all[pid]; !ok {
		return // its end was told
	}
	delete(q.all, pid)
	exit := unix.Kevent_t{Ident: uint64(pid), Filter: unix.EVFILT_PROC, Flags: unix.EV_DELETE}
	_, _ = unix.Kevent(q.kq, []unix.Kevent_t{exit}, nil, nil) // gone already, if it is an error
}

// pollEvery is how often a process without a handle of the kernel's is looked at.
const pollEvery = 100 * time.Millisecond
