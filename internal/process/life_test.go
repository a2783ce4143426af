package process

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLifeLockOfALivingProcess(t *testing.T) {
	s := spec(t, "serve")
	lock := filepath.Join(s.Home, "daemon.lock")
	s.Env[lockPath] = lock
	if _, held, _, err := ReadLife(lock); held || err != nil {
		t.Fatalf("nobody has it yet: held %v, %v", held, err)
	}
	if _, err := os.Stat(lock); !os.IsNotExist(err) {
		t.Fatal("looking made the file")
	}

	i := start(t, s)
	l, held, proven, err := ReadLife(lock)
	if err != nil || !held || !proven {
		t.Fatalf("held %v, proven %v, %v", held, proven, err)
	}
	if l.PID != i.PID || l.StartTicks != i.StartTicks || l.Exe != i.Exe || l.ExeIno != i.ExeIno || l.ExeDev != i.ExeDev {
		t.Errorf("the record %+v is not the process %+v", l, i)
	}
	if l.StartedBy != "the test" {
		t.Errorf("started by %q", l.StartedBy)
	}

	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	var heldBy *HeldError
	if _, err := TakeLife(lock, self); !errors.As(err, &heldBy) || heldBy.Life != l {
		t.Errorf("a second holder: %v", err)
	}

	kill9(t, i)
	if _, held, _, err := ReadLife(lock); held || err != nil {
		t.Errorf("a dead process holds it: %v, %v", held, err)
	}
	release, err := TakeLife(lock, self)
	if err != nil {
		t.Fatalf("the next one: %v", err)
	}
	if l, held, proven, err := ReadLife(lock); l != self || !held || !proven || err != nil {
		t.Errorf("%+v, held %v, proven %v, %v", l, held, proven, err)
	}
	release()
	if _, held, _, err := ReadLife(lock); held || err != nil {
		t.Errorf("released and held: %v", err)
	}
	if st, err := os.Stat(lock); err != nil || st.Mode() != 0o600 {
		t.Errorf("the lock file must stay, private: %v", err)
	}
}

// A record proves nothing by itself: not with the pid of a stranger, not with one of another boot.
func TestLifeRecordThatTheKernelDenies(t *testing.T) {
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Life){
		"recycled pid": func(l *Life) { l.StartTicks-- },
		"other boot":   func(l *Life) { l.BootID = "00000000-0000-0000-0000-000000000000" },
		"no process":   func(l *Life) { l.PID = 1<<22 + 1 },
		"pid 0":        func(l *Life) { l.PID = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "daemon.lock")
			l := self
			change(&l)
			line, err := json.Marshal(l)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, line, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, held, _, err := ReadLife(path); held || err != nil {
				t.Errorf("held without a lock: %v, %v", held, err)
			}
			holder, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer holder.Close()
			if err := flock(holder, unix.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			if got, held, proven, err := ReadLife(path); !held || proven || err != nil || got != l {
				t.Errorf("%+v: held %v, proven %v, %v", got, held, proven, err)
			}
			var heldBy *HeldError
			if _, err := TakeLife(path, self); !errors.As(err, &heldBy) {
				t.Errorf("a busy lock was taken: %v", err)
			}
		})
	}
}

func TestLifeRecordThatDoesNotParse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.lock")
	if err := os.WriteFile(path, []byte("{\"pid\":"), 0o600); err != nil {
		t.Fatal(err)
	}
	holder, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if err := flock(holder, unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, held, proven, err := ReadLife(path); !held || proven || err == nil {
		t.Errorf("held %v, proven %v, %v", held, proven, err)
	}
}

func TestFIFOInPlaceOfALifeLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.lock")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, held, proven, _ := ReadLife(path); held || proven {
		t.Errorf("held %v, proven %v", held, proven)
	}
}

// Observers hold the lock shared for an instant each; no starter may take that for another daemon.
func TestStarterInsistsBesideObservers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.lock")
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var observers sync.WaitGroup
	var looks atomic.Int64
	for range 4 {
		observers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				looks.Add(1)
				// A holder may be put to sleep by the system before it has written its record: an error then.
				if l, _, proven, err := ReadLife(path); proven && (err != nil || l != self) {
					t.Errorf("%+v, proven %v, %v", l, proven, err)
				}
			}
		})
	}
	for rounds := 0; rounds < 50 || looks.Load() < 500; rounds++ {
		release, err := TakeLife(path, self)
		if err != nil {
			t.Fatal(err)
		}
		release()
	}
	close(stop)
	observers.Wait()
}
