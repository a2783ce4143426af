package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// ErrGone says that the process which was asked for no longer exists: its pid is free, a zombie, or
// belongs to somebody else by now.
var ErrGone = errors.New("the process is gone")

// Proc is a handle on one process that stays valid when the pid is recycled. It is safe for concurrent use.
type Proc struct {
	pid   int
	start uint64
	h     handle

	once sync.Once
	end  chan struct{} // closed when the process has ended
	err  error         // why end was closed without that; set before
}

// handle is what a system has for one process: a pidfd, a kqueue.
type handle interface {
	// signal sends sig; ESRCH if the process has ended.
	signal(sig syscall.Signal) error
	// wait blocks until the process has ended or close was called, which is an error.
	wait() error
	close() error
}

// Open takes a handle on pid and then checks that it is the process that started at startTicks; any other
// one is ErrGone and is never signalled. pid 0 and 1 and this process are refused.
func Open(pid int, startTicks uint64) (*Proc, error) {
	if pid <= 1 || pid == os.Getpid() {
		return nil, fmt.Errorf("pid %d is never one to wait for or to stop", pid)
	}
	h, err := openHandle(pid, startTicks)
	if err != nil {
		return nil, fmt.Errorf("pid %d: %w", pid, err)
	}
	// Only now: a proof before the handle would be about whoever had the pid then.
	if !Alive(pid, startTicks) {
		h.close()
		return nil, fmt.Errorf("pid %d: %w", pid, ErrGone)
	}
	return &Proc{pid: pid, start: startTicks, h: h, end: make(chan struct{})}, nil
}

// PID is its process id, for people and logs.
func (p *Proc) PID() int { return p.pid }

// Close lets go of the handle; a Wait under way ends with an error.
func (p *Proc) Close() error { return p.h.close() }

// Wait blocks until the process has ended (nil) or ctx has.
func (p *Proc) Wait(ctx context.Context) error {
	p.once.Do(func() {
		go func() {
			p.err = p.h.wait()
			close(p.end)
		}()
	})
	select {
	case <-p.end:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop sends TERM (and CONT, so that a stopped process can die), waits grace, sends KILL, waits. nil means
// that the process is gone.
func (p *Proc) Stop(ctx context.Context, grace time.Duration) error {
	if err := p.send(syscall.SIGTERM); err != nil {
		return err
	}
	if err := p.send(syscall.SIGCONT); err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	err := p.Wait(patience)
	if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if err := p.send(syscall.SIGKILL); err != nil {
		return err
	}
	return p.Wait(ctx)
}

// How HaltWhen looks: what a process was in the middle of when it was halted goes on for a moment in its other
// threads, and it must come forward between two looks.
const (
	haltLook  = time.Millisecond
	haltQuiet = 2 * time.Millisecond
	haltApart = 5 * time.Millisecond
)

// HaltWhen stops the process where it is (STOP), at a moment of which fit says that it is a good one to end it: Stop
// then ends it there. fit is asked while the process is halted; as long as it says no, the process goes on in between.
// After patience it is left running, wherever it is. That it has ended is no error. Whoever does not call Stop then,
// leaves a halted process behind.
func (p *Proc) HaltWhen(ctx context.Context, patience time.Duration, fit func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if err := p.send(syscall.SIGSTOP); err != nil {
			return err
		}
		for i, ok := Lookup(p.pid); ok && i.StartTicks == p.start && !i.Stopped() && pause(ctx, haltLook); i, ok = Lookup(p.pid) {
		}
		if pause(ctx, haltQuiet) && fit() {
			return nil
		}
		if err := p.send(syscall.SIGCONT); err != nil || !pause(ctx, haltApart) {
			return err
		}
	}
}

// pause is false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// send signals the process; one that has ended meanwhile is no error, the wait that follows says so.
func (p *Proc) send(sig syscall.Signal) error {
	if err := p.h.signal(sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%v to pid %d: %w", sig, p.pid, err)
	}
	return nil
}
