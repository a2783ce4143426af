package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// kill9 ends a process without a word and waits until it is dead.
func kill9(t *testing.T, i Info) {
	t.Helper()
	p, err := Open(i.PID, i.StartTicks)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.h.signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestStrangersAreNeverSignalled(t *testing.T) {
	i := start(t, spec(t, "serve"))
	if _, err := Open(i.PID, i.StartTicks+1); !errors.Is(err, ErrGone) {
		t.Errorf("another start: %v", err)
	}
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{-1, 0, 1, self.PID} {
		if _, err := Open(pid, self.StartTicks); err == nil {
			t.Errorf("pid %d was opened", pid)
		}
	}
	if _, err := Open(1<<22+1, 1); !errors.Is(err, ErrGone) {
		t.Errorf("no process: %v", err)
	}
	if !Alive(i.PID, i.StartTicks) {
		t.Error("the stranger was harmed")
	}
}

// Each case runs with the kernel's handle and with the one for systems that have none.
func TestStop(t *testing.T) {
	kinds := map[string]func(t *testing.T, i Info) *Proc{
		"handle": func(t *testing.T, i Info) *Proc {
			p, err := Open(i.PID, i.StartTicks)
			if err != nil {
				t.Fatal(err)
			}
			return p
		},
		"polled": func(t *testing.T, i Info) *Proc {
			return &Proc{pid: i.PID, start: i.StartTicks, h: newPolled(i.PID, i.StartTicks), end: make(chan struct{})}
		},
	}
	for kind, open := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Run("polite", func(t *testing.T) {
				i := start(t, spec(t, "serve"))
				p := open(t, i)
				defer p.Close()
				if err := p.Stop(t.Context(), time.Minute); err != nil {
					t.Fatal(err)
				}
				if _, ok := Lookup(i.PID); ok {
					t.Error("it lives")
				}
				if err := p.Stop(t.Context(), 0); err != nil {
					t.Errorf("again: %v", err)
				}
			})
			t.Run("stubborn", func(t *testing.T) {
				i := start(t, spec(t, "stubborn"))
				p := open(t, i)
				defer p.Close()
				if err := p.Stop(t.Context(), time.Millisecond); err != nil {
					t.Fatal(err)
				}
				if Alive(i.PID, i.StartTicks) {
					t.Error("it lives")
				}
			})
			t.Run("halted", func(t *testing.T) {
				i := start(t, spec(t, "serve"))
				p := open(t, i)
				defer p.Close()
				if err := p.h.signal(syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
				if err := p.Stop(t.Context(), time.Minute); err != nil {
					t.Fatal(err)
				}
			})
			t.Run("given up", func(t *testing.T) {
				i := start(t, spec(t, "stubborn"))
				p := open(t, i)
				defer p.Close()
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if err := p.Stop(ctx, time.Minute); !errors.Is(err, context.Canceled) {
					t.Errorf("stop: %v", err)
				}
				if !Alive(i.PID, i.StartTicks) {
					t.Error("killed although the caller had gone")
				}
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
				if err := p.Wait(t.Context()); err == nil {
					t.Error("a closed handle says that the process ended")
				}
			})
		})
	}
}

func TestZombieIsDead(t *testing.T) {
	s := spec(t, "serve")
	cmd := exec.Command(s.Exe, s.Args...)
	cmd.Env = append(s.environ(os.Environ()), readyFD+"=")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	i, ok := Lookup(cmd.Process.Pid)
	if !ok {
		t.Fatal("a child that lives is not found")
	}
	kill9(t, i) // nobody has waited for it: it stays a zombie until we do
	if Alive(i.PID, i.StartTicks) {
		t.Error("a zombie is alive")
	}
	if _, ok := Lookup(i.PID); ok {
		t.Error("a zombie is in the table")
	}
	if _, err := Open(i.PID, i.StartTicks); !errors.Is(err, ErrGone) {
		t.Errorf("a zombie was opened: %v", err)
	}
}

// A process is halted at each look, goes on between two, and is left running when no moment was good.
func TestHaltWhen(t *testing.T) {
	i := start(t, spec(t, "serve"))
	p, err := Open(i.PID, i.StartTicks)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	stopped := func() bool {
		now, ok := Lookup(i.PID)
		return ok && now.Stopped()
	}
	ctx, giveUp := context.WithCancel(t.Context())
	looks := 0
	if err := p.HaltWhen(ctx, time.Minute, func() bool { looks++; giveUp(); return false }); err != nil || looks != 1 {
		t.Fatalf("%d looks, %v", looks, err)
	}
	for stopped() {
		runtime.Gosched()
	}
	looks = 0
	err = p.HaltWhen(t.Context(), time.Minute, func() bool {
		if looks++; !stopped() {
			t.Error("it runs while it is looked at")
		}
		return looks == 3
	})
	if err != nil || looks != 3 || !stopped() {
		t.Errorf("%d looks, halted %v, %v", looks, stopped(), err)
	}
	if err := p.Stop(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := p.HaltWhen(t.Context(), time.Minute, func() bool { return true }); err != nil {
		t.Errorf("of one that is gone: %v", err)
	}
}
