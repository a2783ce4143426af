package daemon

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// What F_NOTIFY tells of, fcntl(2): bytes written, names made, removed and changed, and to go on telling.
const telling = 0x2 | 0x4 | 0x8 | 0x10 | -0x80000000

// The signals that stand for the two directories. Such signals merge while they are pending, so a burst is
// one wake-up; one that somebody else sends is a wake-up for nothing.
const (
	mailSignal   = syscall.SIGIO
	configSignal = syscall.SIGUSR1
)

// signalled is a watch by dnotify, a signal for each directory. It is older than inotify and tells less, but
// no user runs out of it, where the 129th daemon gets no inotify; and the kernel takes 15 ms longer to end a
// process that holds inotify, which is the better part of noticing a dead daemon and starting the next.
func signalled(outbox, config string) (*watch, error) {
	mail, conf, got := newWake(), newWake(), make(chan os.Signal, 2)
	signal.Notify(got, mailSignal, configSignal)
	go func() {
		for s := range got {
			if s == mailSignal {
				mail.up()
			} else {
				conf.up()
			}
		}
	}()
	var dirs []*os.File
	w := &watch{outbox: mail, config: conf, close: func() {
		for _, dir := range dirs {
			dir.Close() // from here on no signal is sent
		}
		signal.Stop(got)
		close(got)
	}}
	for _, each := range []struct {
		path   string
		signal syscall.Signal
	}{{outbox, mailSignal}, {config, configSignal}} {
		dir, err := os.Open(each.path)
		if err != nil {
			w.close()
			return nil, err
		}
		dirs = append(dirs, dir)
		if err := tellBy(dir, each.signal); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

func tellBy(dir *os.File, sig syscall.Signal) error {
	if _, err := unix.FcntlInt(dir.Fd(), unix.F_SETSIG, int(sig)); err != nil {
		return os.NewSyscallError("F_SETSIG", err)
	}
	_, err := unix.FcntlInt(dir.Fd(), unix.F_NOTIFY, telling)
	return os.NewSyscallError("F_NOTIFY", err)
}
