package process

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// openHandle prefers a pidfd; kernels before 5.3 and strict seccomp profiles have none.
func openHandle(pid int, start uint64) (handle, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	switch {
	case err == nil:
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
		return newPolled(pid, start), nil
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		return nil, ErrGone // EINVAL, ENOENT: a thread's id
	default:
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	// Non-blocking, so that the runtime's poller waits for it and no thread does.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return pidfd{os.NewFile(uintptr(fd), "pidfd")}, nil
}

type pidfd struct{ f *os.File }

func (p pidfd) signal(sig syscall.Signal) error {
	conn, err := p.f.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err != nil {
		return err
	}
	return sent
}

func (p pidfd) wait() error {
	conn, err := p.f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		if err != nil && !errors.Is(err, unix.EINTR) {
			failed = err
			return true
		}
		return n > 0 // readable: the process is a zombie or reaped
	})
	return errors.Join(err, failed)
}

func (p pidfd) close() error { return p.f.Close() }

// pollEvery is how often a process without a handle of the kernel's is looked at.
const pollEvery = 20 * time.Millisecond
