package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

// TestTheTerminalGoes: a daemon in a terminal ends with it and leaves no record of itself; under nohup it does
// not so much as hear of it.
func TestTheTerminalGoes(t *testing.T) {
	t.Parallel()
	p := placeFor(t)
	s := home.At(p.wh)
	must(t, p.wire("init", "api"))
	start := func(cmd *exec.Cmd) *exec.Cmd {
		check(t, cmd.Start())
		check(t, until(func() error {
			if rec, _ := process.ReadRecord(s.DaemonPID()); rec.PID != cmd.Process.Pid {
				return fmt.Errorf("daemon.pid names %d, not %d", rec.PID, cmd.Process.Pid)
			}
			return nil
		}))
		return cmd
	}
	ended := func(cmd *exec.Cmd) {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.DaemonPID()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the record: %v", err)
		}
	}

	cmd := start(p.wire("daemon"))
	for range 2 { // from the kernel and from the shell
		check(t, cmd.Process.Signal(syscall.SIGHUP))
	}
	ended(cmd)

	cmd = p.wire()
	cmd.Args, cmd.Path = []string{"sh", "-c", `trap "" HUP; exec "$0" daemon`, cmd.Path}, "/bin/sh"
	cmd = start(cmd)
	if !ignores(t, cmd.Process.Pid, syscall.SIGHUP) {
		t.Error("nohup: the hangup is not ignored")
	}
	check(t, cmd.Process.Signal(syscall.SIGTERM))
	ended(cmd)
}

// ignores says whether the kernel keeps a signal from a process.
func ignores(t *testing.T, pid int, sig syscall.Signal) bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	check(t, err)
	_, mask, _ := bytes.Cut(data, []byte("\nSigIgn:\t"))
	mask, _, _ = bytes.Cut(mask, []byte("\n"))
	bits, err := strconv.ParseUint(string(mask), 16, 64)
	check(t, err)
	return bits>>(sig-1)&1 == 1
}
