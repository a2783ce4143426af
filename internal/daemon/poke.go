package daemon

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"wirefleet.dev/wire/internal/home"
)

// Poke wakes the daemon of a session where a file watch could not be had; it never blocks and never fails.
// Whoever wrote to the outbox or changed pins calls it. A daemon with a watch has no pipe there, or one that
// nobody reads.
func Poke(s home.Session) {
	f, err := os.OpenFile(s.DaemonPoke(), os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return // ENXIO: nobody reads
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Mode().Type() == fs.ModeNamedPipe {
		_, _ = f.Write([]byte{'\n'})
	}
}

// listenForPokes makes the pipe at path and rings for what is written to it. If that cannot be had either,
// the bell never rings: the interval is left.
func listenForPokes(path string) (bell wake, closeBell func()) {
	bell = newWake()
	if err := unix.Mkfifo(path, 0o600); err != nil && err != unix.EEXIST {
		return bell, func() {}
	}
	// Open for both: a pipe without a writer would be at its end all the time.
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return bell, func() {}
	}
	if st, err := f.Stat(); err != nil || st.Mode().Type() != fs.ModeNamedPipe {
		f.Close()
		return bell, func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 64)
		for {
			if _, err := f.Read(buf); err != nil {
				return
			}
			bell.up()
		}
	}()
	return bell, func() {
		f.Close()
		<-done
		_ = os.Remove(path)
	}
}
