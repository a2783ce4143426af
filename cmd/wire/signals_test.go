package main_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

// TestEverySignal: whatever asks a daemon or a relay to end, it ends with 0, its lock free and its record gone; the
// relay while a daemon listens to its stream, the daemon while it has no relay.
func TestEverySignal(t *testing.T) {
	t.Parallel()
	p := placeFor(t)
	check(t, p.startRelay())
	must(t, p.wire("session", "new", "api", "--local-only", "--local-relay", "http://"+p.relay, "--no-daemon"))
	_, err := kill9(p.life("relay"))
	check(t, err)
	s := p.session("api")
	start := func(cmd *exec.Cmd, ready func() error) *exec.Cmd {
		check(t, cmd.Start())
		check(t, until(ready))
		return cmd
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		relay := start(p.wire("relay-server", "--bind", p.relay, "--local-only"), func() error { return dial(p.relay) })
		daemon := start(p.wireAt(s.Dir, "daemon"), func() error { return recorded(s) })
		for _, one := range []struct {
			name, life string
			cmd        *exec.Cmd
		}{{"relay", p.life("relay"), relay}, {"daemon", s.DaemonLife(), daemon}} {
			check(t, one.cmd.Process.Signal(sig))
			if err := one.cmd.Wait(); err != nil {
				t.Errorf("%s of the %s: %v", sig, one.name, err)
			}
			if l, held, _, err := process.ReadLife(one.life); held || err != nil {
				t.Errorf("%s of the %s: its lock is held by %d, %v", sig, one.name, l.PID, err)
			}
		}
		if _, err := os.Stat(s.DaemonPID()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the record stays: %v", sig, err)
		}
	}
}

// recorded says whether a living daemon has written its record.
func recorded(s home.Session) error {
	if rec, form := process.ReadRecord(s.DaemonPID()); form != process.FormJSON {
		return fmt.Errorf("daemon.pid: %s %+v", form, rec)
	}
	return nil
}
