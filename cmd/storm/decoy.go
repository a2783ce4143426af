package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// decoyEnv makes this program a decoy: a stranger that pid records name, or that is called like a daemon
// and serves another home. It lives until it is killed and writes down every signal that it gets.
const decoyEnv = "STORM_DECOY"

func decoy(at string) {
	got := make(chan os.Signal, 16)
	signal.Notify(got)
	signal.Reset(syscall.SIGURG) // the Go runtime's own
	if err := os.WriteFile(at+".ready", nil, 0o600); err != nil {
		os.Exit(1)
	}
	for s := range got {
		f, err := os.OpenFile(at, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			os.Exit(1)
		}
		fmt.Fprintln(f, s)
		_ = f.Close()
	}
}

// addDecoy starts one. As a namesake it is called `wire daemon --interval 5` in a home outside the world's.
func (w *world) addDecoy(n int, namesake bool) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	at := filepath.Join(w.dir, fmt.Sprintf("decoy-%d", n))
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), decoyEnv+"="+at)
	if namesake {
		cmd.Args = []string{"wire", "daemon", "--interval", "5"}
		cmd.Env = append(cmd.Env, "WIRE_HOME="+filepath.Join(w.dir, "elsewhere"))
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.mu.Lock()
	w.decoys = append(w.decoys, cmd)
	w.mu.Unlock()
	return waitFor(func() bool { _, err := os.Stat(at + ".ready"); return err == nil })
}

func (w *world) isDecoy(pid int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.decoys {
		if d.Process.Pid == pid {
			return true
		}
	}
	return false
}

// decoysUnharmed says whether every stranger lives and got no signal.
func (w *world) decoysUnharmed() error {
	for n, d := range w.decoys {
		at := filepath.Join(w.dir, fmt.Sprintf("decoy-%d", n))
		if err := d.Process.Signal(syscall.Signal(0)); err != nil {
			return fmt.Errorf("decoy %d (pid %d) is gone: %w", n, d.Process.Pid, err)
		}
		if got, err := os.ReadFile(at); err == nil {
			return fmt.Errorf("decoy %d (pid %d) got signals: %q", n, d.Process.Pid, got)
		}
	}
	return nil
}
