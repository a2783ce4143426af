package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Life is the line in a life lock: who holds it. Held and agreeing with the kernel (pid, start ticks, boot)
// is proof of identity.
type Life struct {
	PID        int    `json:"pid"`
	StartTicks uint64 `json:"start_ticks"` // field 22 of /proc/PID/stat; microseconds of start on darwin
	BootID     string `json:"boot_id"`
	Exe        string `json:"exe"`
	ExeDev     uint64 `json:"exe_dev"` // device and inode of the executable: another build is another file
	ExeIno     uint64 `json:"exe_ino"`
	Build      string `json:"build"`              // our own version
	Interval   int    `json:"interval,omitempty"` // seconds, daemon and notify
	Bind       string `json:"bind,omitempty"`     // relay: the address as typed
	Owner      string `json:"owner,omitempty"`    // of the wire.yaml that started it
	File       string `json:"file,omitempty"`     // continuous mode: the wire.yaml it keeps
	StartedBy  string `json:"started_by"`         // "apply", "session new", "operator", ...
}

// How long a lock must be busy before its holder is believed to be more than an observer's instant. A
// record that agrees with the kernel is the holder's own, so it needs no full second.
const (
	insist       = time.Second
	insistProven = 100 * time.Millisecond
	lockRetry    = 2 * time.Millisecond
	settle       = 300 * time.Millisecond // from taking a lock to its record, on a busy machine
)

// maxLife is more than any life record: paths are at most 4 KiB.
const maxLife = 16 << 10

// Self fills pid, start ticks, boot id, executable and build of this process.
func Self() (Life, error) {
	i, ok := Lookup(os.Getpid())
	if !ok {
		return Life{}, errors.New("this process is not in the process table: is /proc mounted?")
	}
	boot, err := thisBoot()
	if err != nil {
		return Life{}, fmt.Errorf("boot id: %w", err)
	}
	l := Life{PID: i.PID, StartTicks: i.StartTicks, BootID: boot, Exe: i.Exe, ExeDev: i.ExeDev, ExeIno: i.ExeIno}
	if b, ok := debug.ReadBuildInfo(); ok {
		l.Build = b.Main.Version
	}
	return l, nil
}

// thisBoot is the boot that this process runs in.
var thisBoot = sync.OnceValues(bootID)

// Proven says whether the process of this record lives: its pid exists since the recorded start in the
// recorded boot and is no zombie. It says nothing of a lock.
func (l Life) Proven() bool {
	boot, err := thisBoot()
	return err == nil && l.PID > 1 && l.BootID == boot && Alive(l.PID, l.StartTicks)
}

// HeldError says that a living process has the life lock. Life is zero where its record is unreadable.
type HeldError struct {
	Path string
	Life Life
}

func (e *HeldError) Error() string {
	if e.Life.PID == 0 {
		return e.Path + " is held by a process that left no record"
	}
	text := fmt.Sprintf("%s is held by pid %d", e.Path, e.Life.PID)
	if e.Life.StartedBy != "" {
		text += ", started by " + e.Life.StartedBy
	}
	return text
}

// TakeLife locks path for the life of this process and writes l into it. It insists for a second, since
// observers try the lock shared for an instant; then *HeldError. release empties the record and closes the
// lock (exit closes it as well). The file is created 0600 and never unlinked: an unlinked lock would let
// two holders in.
func TakeLife(path string, l Life) (release func(), err error) {
	line, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockInsisting(f); err != nil {
		f.Close()
		return nil, err
	}
	// Line first, then the cut: readers take the first line only, so no moment shows half a record.
	line = append(line, '\n')
	if _, err = f.WriteAt(line, 0); err == nil {
		err = f.Truncate(int64(len(line)))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() {
		// Emptied first: a record that agrees with the kernel must mean that the lock is held.
		_ = f.Truncate(0)
		f.Close()
	}, nil
}

func lockInsisting(f *os.File) error {
	start := time.Now()
	var proven time.Time
	for {
		err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
		l, _ := readLife(f)
		switch {
		case !l.Proven():
			proven = time.Time{}
		case proven.IsZero():
			proven = time.Now()
		case time.Since(proven) >= insistProven:
			return &HeldError{Path: f.Name(), Life: l}
		}
		if time.Since(start) >= insist {
			return &HeldError{Path: f.Name(), Life: l}
		}
		time.Sleep(lockRetry)
	}
}

// ReadLife reads who holds the life lock at path: held is false if nobody does or the file is missing.
// proven says that the record agrees with the kernel. It never creates the file. A holder that has locked
// but not written yet is waited for, 300 ms at most.
func ReadLife(path string) (l Life, held, proven bool, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO in its place must not hang whoever looks
	if errors.Is(err, fs.ErrNotExist) {
		return Life{}, false, false, nil
	}
	if err != nil {
		return Life{}, false, false, err
	}
	defer f.Close()
	for start := time.Now(); ; time.Sleep(lockRetry) {
		switch err := flock(f, unix.LOCK_SH|unix.LOCK_NB); {
		case err == nil:
			return Life{}, false, false, nil // closing f unlocks
		case !errors.Is(err, unix.EWOULDBLOCK):
			return Life{}, false, false, &fs.PathError{Op: "flock", Path: path, Err: err}
		}
		l, err = readLife(f)
		proven = err == nil && l.Proven()
		if proven || time.Since(start) >= settle {
			if err != nil {
				err = fmt.Errorf("%s: held, but its record does not parse: %w", path, err)
			}
			return l, true, proven, err
		}
	}
}

func readLife(f *os.File) (l Life, err error) {
	data := make([]byte, maxLife)
	n, err := f.ReadAt(data, 0)
	if err != nil && err != io.EOF {
		return Life{}, err
	}
	line, _, _ := bytes.Cut(data[:n], []byte("\n"))
	err = json.Unmarshal(line, &l)
	return l, err
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if err != unix.EINTR {
			return err
		}
	}
}
