package process

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// polled is the handle of a system that has none: each signal is preceded by a fresh proof, the end is
// looked for. Between proof and signal a pid could be recycled in theory; no kernel we run on hands one
// out again that fast.
type polled struct {
	pid    int
	start  uint64
	once   sync.Once
	closed chan struct{}
}

func newPolled(pid int, start uint64) *polled {
	return &polled{pid: pid, start: start, closed: make(chan struct{})}
}

func (p *polled) signal(sig syscall.Signal) error {
	if !Alive(p.pid, p.start) {
		return syscall.ESRCH
	}
	return syscall.Kill(p.pid, sig)
}

func (p *polled) wait() error {
	look := time.NewTicker(pollEvery)
	defer look.Stop()
	for Alive(p.pid, p.start) {
		select {
		case <-p.closed:
			return os.ErrClosed
		case <-look.C:
		}
	}
	return nil
}

func (p *polled) close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}
