package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"wirefleet.dev/wire/internal/process"
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

// stranger is a decoy as the storm knows it.
type stranger struct {
	cmd   *exec.Cmd
	start uint64 // as in process.Life
	at    string // where it writes down its signals
}

// unharmed says whether it lives as it was started. SIGKILL and SIGSTOP cannot be caught, so its own notes
// do not tell of them: the process table does. A stop that was taken back has left SIGCONT in the notes.
func (s stranger) unharmed() error {
	pid := s.cmd.Process.Pid
	switch i, ok := process.Lookup(pid); {
	case !ok || i.StartTicks != s.start:
		return fmt.Errorf("decoy %d was killed", pid)
	case i.Stopped():
		return fmt.Errorf("decoy %d was stopped", pid)
	}
	switch notes, err := os.ReadFile(s.at); {
	case err == nil:
		return fmt.Errorf("decoy %d got signals: %q", pid, notes)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// addDecoy starts one. As a namesake it is called `wire daemon --interval 5` in a home outside the world's.
func (w *world) addDecoy(namesake bool) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	at := filepath.Join(w.dir, fmt.Sprintf("decoy-%d", len(w.decoys)))
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), decoyEnv+"="+at)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what a terminal sends is not the fleet's doing
	if namesake {
		cmd.Args = []string{"wire", "daemon", "--interval", "5"}
		cmd.Env = append(cmd.Env, "WIRE_HOME="+filepath.Join(w.dir, "elsewhere"))
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	// Nobody waits for it before the end, so its pid stays its own even after it has died.
	i, _ := process.Lookup(cmd.Process.Pid)
	w.mu.Lock()
	w.decoys = append(w.decoys, stranger{cmd: cmd, start: i.StartTicks, at: at})
	w.mu.Unlock()
	return waitFor(func() bool { _, err := os.Stat(at + ".ready"); return err == nil })
}

func (w *world) strangers() []stranger {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.decoys
}

func (w *world) isDecoy(pid int) bool {
	for _, d := range w.strangers() {
		if d.cmd.Process.Pid == pid {
			return true
		}
	}
	return false
}

// decoysUnharmed says whether every stranger lives and got no signal.
func (w *world) decoysUnharmed() error {
	for _, d := range w.strangers() {
		if err := d.unharmed(); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) endDecoys() {
	for _, d := range w.strangers() {
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait()
	}
}
