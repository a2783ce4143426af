package home

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain lets a test run the test binary as another process: with WIRE_HOME_TEST set it does what that
// says instead of testing, until its stdin ends.
func TestMain(m *testing.M) {
	if job := os.Getenv("WIRE_HOME_TEST"); job != "" {
		if err := helper(job, os.Getenv("WIRE_HOME_TEST_PATH")); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

func helper(job, path string) error {
	switch job {
	case "apply":
		unlock, err := Machine{Root: path}.LockApply(context.Background(), "destroy", nil)
		if err != nil {
			return err
		}
		defer unlock()
	case "lock":
		unlock, err := Lock(context.Background(), path)
		if err != nil {
			return err
		}
		defer unlock()
	case "shared", "posix":
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if job == "shared" {
			err = flock(f, syscall.LOCK_SH)
		} else {
			err = syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK})
		}
		if err != nil {
			return err
		}
	case "writer":
		// Replaces a file over and over, each time with one letter many times over.
		_, _ = os.Stdout.WriteString("ready\n")
		for n := 0; ; n++ {
			if err := WriteFile(path, []byte(strings.Repeat(string(rune('a'+n%26)), 1<<16)), 0o600); err != nil {
				return err
			}
		}
	case "idle":
	default:
		return errors.New(job)
	}
	_, _ = os.Stdout.WriteString("ready\n")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// process starts the test binary on a job and returns when it is ready. end ends it as its kind of end.
func process(t *testing.T, job, path string) (cmd *exec.Cmd, end func()) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "WIRE_HOME_TEST="+job, "WIRE_HOME_TEST_PATH="+path)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	end = sync.OnceFunc(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		end()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Fatalf("%s: %q, %v", job, line, err)
	}
	return cmd, end
}

// soon is a context for a wait that is to fail.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestApplyLockNamesItsHolder(t *testing.T) {
	m := Machine{Root: filepath.Join(root(t), "sessions")}
	cmd, end := process(t, "apply", m.Root)
	want := Holder{PID: cmd.Process.Pid, Verb: "destroy"}
	told := 0
	_, err := m.LockApply(soon(t), "apply", func(h Holder) {
		told++
		if h != want {
			t.Errorf("told of %v, want %v", h, want)
		}
	})
	var locked *LockedError
	if !errors.As(err, &locked) || locked.Holder != want || !errors.Is(err, context.DeadlineExceeded) || told != 1 {
		t.Fatalf("told %d times, then %v", told, err)
	}
	if text := err.Error(); !strings.Contains(text, "apply.lock") || !strings.Contains(text, "(destroy)") {
		t.Error(text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := m.LockApply(ctx, "apply", func(Holder) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
	// The wait ends with the holder.
	unlock, err := m.LockApply(t.Context(), "apply", func(Holder) { end() })
	must(t, err)
	defer unlock()
	var h Holder
	must(t, json.Unmarshal([]byte(read(t, filepath.Join(m.Root, "apply.lock"))), &h))
	if (h != Holder{os.Getpid(), "apply"}) {
		t.Errorf("the lock says %+v", h)
	}
}

func TestLockSurvivesKill(t *testing.T) {
	m := Machine{Root: filepath.Join(root(t), "sessions")}
	cmd, _ := process(t, "apply", m.Root)
	must(t, cmd.Process.Kill())
	unlock, err := m.LockApply(t.Context(), "apply", nil)
	must(t, err)
	unlock()
	unlock() // twice does no harm
	if got := read(t, filepath.Join(m.Root, "apply.lock")); got != "" {
		t.Errorf("a free lock says %q", got)
	}
}

// TestLocksVector: who waits for relay.lock when somebody else has it, and which kind of lock (locks.json).
// Ours takes it for every change, where the reference takes it for cursors only; and since it is exclusive,
// a shared holder is waited for as well.
func TestLocksVector(t *testing.T) {
	v := load[struct{ Held map[string]map[string]string }](t, "locks.json")
	for kind, job := range map[string]string{"POSIX record lock": "posix", "flock exclusive": "lock", "flock shared": "shared"} {
		reference, ok := v.Held[kind]["pull"]
		if !ok {
			t.Fatalf("the vector lacks %s", kind)
		}
		s := At(root(t))
		must(t, s.Ensure())
		cmd, end := process(t, job, s.relayLock())
		change := func(ctx context.Context) error {
			return s.UpdateRelay(ctx, func(r *RelayFile) error { r.SetPeer("q", nil); return nil })
		}
		err := change(soon(t))
		var locked *LockedError
		waited := errors.As(err, &locked)
		if err != nil && !waited {
			t.Fatal(err)
		}
		if want := reference == "waited" || kind == "flock shared"; waited != want {
			t.Errorf("%s: waited %v (%v), the reference's cursor update: %s", kind, waited, err, reference)
		}
		if waited && kernelHolder(openFile(t, s.relayLock())) != 0 && locked.Holder.PID != cmd.Process.Pid {
			t.Errorf("%s: held by %v, want pid %d", kind, locked.Holder, cmd.Process.Pid)
		}
		if waited && exists(s.RelayFile()) {
			t.Errorf("%s: written without the lock", kind)
		}
		end()
		must(t, change(t.Context()))
	}
}

func openFile(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// A child that we start meanwhile does not keep our lock.
func TestLockIsNotInherited(t *testing.T) {
	path := filepath.Join(root(t), "x.lock")
	unlock, err := Lock(t.Context(), path)
	must(t, err)
	process(t, "idle", "")
	unlock()
	f := openFile(t, path)
	if err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Errorf("still held after unlock: %v", err)
	}
}

func TestLockInOneProcess(t *testing.T) {
	path := filepath.Join(root(t), "x.lock")
	unlock, err := Lock(t.Context(), path)
	must(t, err)
	if _, err := Lock(soon(t), path); !errors.As(err, new(*LockedError)) {
		t.Errorf("second: %v", err)
	}
	inside, max, counter := 0, 0, sync.Mutex{}
	count := func(d int) {
		counter.Lock()
		defer counter.Unlock()
		inside += d
		if inside > max {
			max = inside
		}
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			unlock, err := Lock(context.Background(), path)
			if err != nil {
				t.Error(err)
				return
			}
			count(1)
			count(-1)
			unlock()
		})
	}
	unlock()
	wg.Wait()
	if max != 1 || len(queues.of) != 0 {
		t.Errorf("%d at once; queues left: %v", max, queues.of)
	}
}

// The session is destroyed, lock file and all, while we wait: the lock that comes free is nobody's.
func TestLockOfDestroyedDirectory(t *testing.T) {
	dir := filepath.Join(root(t), "gone")
	must(t, os.Mkdir(dir, 0o700))
	path := filepath.Join(dir, "x.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	must(t, flock(f, syscall.LOCK_EX))
	_, err = acquire(t.Context(), path, os.O_RDWR|os.O_CREATE, func(Holder) {
		must(t, os.RemoveAll(dir))
		must(t, f.Close())
	})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	// Made anew, it is the new file that is locked, and the queue of this process is free.
	must(t, os.Mkdir(dir, 0o700))
	unlock, err := Lock(t.Context(), path)
	must(t, err)
	unlock()
}
