package reconcile

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// moves tells when one of some directories is renamed or removed, and nothing of what happens in them: they may be /tmp
// and somebody's home. It is part of a follower, under whose lock it is used.
type moves struct {
	file *os.File // an inotify
	dirs map[string]moving
}

type moving struct {
	at    fs.FileInfo // the directory that was followed at that path
	watch uint32
}

func newMoves(tell func()) (*moves, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	m := &moves{file: os.NewFile(uintptr(fd), "inotify"), dirs: map[string]moving{}}
	go func() {
		for buf := make([]byte, 4096); ; {
			n, err := m.file.Read(buf)
			if err != nil {
				return // it was closed
			}
			if tells(buf[:n]) {
				tell()
			}
		}
	}()
	return m, nil
}

// tells says whether inotify(7) events are about more than watches that have ended.
func tells(events []byte) bool {
	for len(events) >= unix.SizeofInotifyEvent {
		mask, name := binary.NativeEndian.Uint32(events[4:]), binary.NativeEndian.Uint32(events[12:])
		if mask&(unix.IN_MOVE_SELF|unix.IN_DELETE_SELF|unix.IN_Q_OVERFLOW) != 0 {
			return true
		}
		events = events[min(len(events), unix.SizeofInotifyEvent+int(name)):]
	}
	return false
}

func (m *moves) close() { _ = m.file.Close() }

// follow makes dirs the ones that are followed. One that is not there, or may only be passed, is left out.
func (m *moves) follow(dirs []string) error {
	conn, err := m.file.SyscallConn()
	if err != nil {
		return err
	}
	want := make(map[string]bool, len(dirs))
	var errs []error
	err = conn.Control(func(fd uintptr) {
		for _, d := range dirs {
			want[d] = true
			if failed := m.add(int(fd), d); failed != nil {
				errs = append(errs, failed)
			}
		}
		for d := range m.dirs {
			if !want[d] {
				m.drop(int(fd), d)
			}
		}
	})
	return errors.Join(append(errs, err)...)
}

func (m *moves) add(fd int, dir string) error {
	now, err := os.Stat(dir)
	if before, ok := m.dirs[dir]; ok {
		if err == nil && os.SameFile(before.at, now) {
			return nil
		}
		m.drop(fd, dir)
	}
	if err != nil {
		return ignoring(err, fs.ErrNotExist, fs.ErrPermission)
	}
	wd, err := unix.InotifyAddWatch(fd, dir, unix.IN_MOVE_SELF|unix.IN_DELETE_SELF|unix.IN_ONLYDIR)
	if err != nil {
		return ignoring(&fs.PathError{Op: "inotify_add_watch", Path: dir, Err: err}, fs.ErrNotExist, fs.ErrPermission, unix.ENOTDIR)
	}
	m.dirs[dir] = moving{now, uint32(wd)}
	return nil
}

func (m *moves) drop(fd int, dir string) {
	_, _ = unix.InotifyRmWatch(fd, m.dirs[dir].watch) // gone already, if it is an error
	delete(m.dirs, dir)
}

func ignoring(err error, not ...error) error {
	for _, n := range not {
		if errors.Is(err, n) {
			return nil
		}
	}
	return err
}
