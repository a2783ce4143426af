package process

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests start real processes: this binary again, playing the part that the variable names.
const (
	part     = "WIRE_PROCESS_TEST"
	lockPath = "WIRE_PROCESS_TEST_LOCK"
)

func TestMain(m *testing.M) {
	if p := os.Getenv(part); p != "" {
		time.AfterFunc(2*time.Minute, func() { os.Exit(9) }) // should its test be killed
		play(p)
	}
	os.Exit(m.Run())
}

func play(p string) {
	switch p {
	case "serve":
		terminated, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		if path := os.Getenv(lockPath); path != "" {
			self, err := Self()
			check(err)
			self.StartedBy = "the test"
			_, err = TakeLife(path, self)
			check(err)
		}
		NotifyReady(Readiness{Ready: true})
		<-terminated.Done()
		os.Exit(0)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		NotifyReady(Readiness{Ready: true})
		select {}
	case "report":
		cwd, err := os.Getwd()
		check(err)
		sid, _, _ := syscall.Syscall(syscall.SYS_GETSID, 0, 0, 0)
		fmt.Printf("cwd=%s\nsid=%v\nargs=%q\n", cwd, int(sid) == os.Getpid(), os.Args)
		fds, _ := filepath.Glob("/proc/self/fd/*")
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil {
				fmt.Printf("fd=%s %s\n", filepath.Base(fd), to)
			}
		}
		env := os.Environ()
		slices.Sort(env)
		fmt.Println(strings.Join(env, "\n"))
		NotifyReady(Readiness{Ready: true})
		os.Exit(0)
	case "die":
		fmt.Fprintln(os.Stderr, "boom: no such relay")
		os.Exit(3)
	case "refuse":
		NotifyReady(Readiness{Error: "not initialized"})
		os.Exit(1)
	case "held":
		NotifyReady(Readiness{Held: &Life{PID: 4711, StartedBy: "apply"}})
		os.Exit(0)
	case "mute":
		select {}
	}
	panic("no part called " + p)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

// spec is a start of this binary in a home of its own.
func spec(t *testing.T, p string) Spec {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return Spec{
		Args: []string{"daemon", "--interval", "5"}, Home: dir, Exe: exe,
		Log: filepath.Join(dir, "daemon.log"), Env: map[string]string{part: p},
	}
}

// start spawns s, which must become ready, and ends it with the test.
func start(t *testing.T, s Spec) Info {
	t.Helper()
	r, err := Spawn(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	i, ok := Lookup(r.PID)
	if !ok {
		t.Fatalf("pid %d is ready but not in the process table", r.PID)
	}
	t.Cleanup(func() {
		p, err := Open(i.PID, i.StartTicks)
		if err != nil {
			return // ended by the test itself
		}
		defer p.Close()
		if err := p.Stop(context.Background(), 0); err != nil {
			t.Errorf("pid %d is left over: %v", i.PID, err)
		}
	})
	return i
}

// gone waits until the process with that pid and start has ended.
func gone(t *testing.T, i Info) {
	t.Helper()
	p, err := Open(i.PID, i.StartTicks)
	if err != nil {
		return
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.Wait(ctx); err != nil {
		t.Fatalf("pid %d still lives: %v", i.PID, err)
	}
}
