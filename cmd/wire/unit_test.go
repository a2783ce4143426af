package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"wirefleet.dev/wire/internal/process"
)

const unit = "../../examples/systemd/wire-watch.service"

// setting is a line of the example's unit.
func setting(t *testing.T, key string) string {
	t.Helper()
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			return value
		}
	}
	t.Fatalf("the unit has no %s", key)
	return ""
}

// The example's unit starts, reloads and stops as it says.
func TestSystemdUnit(t *testing.T) {
	p := placeFor(t)
	home := filepath.Join(p.dir, "home")
	file := filepath.Join(home, ".config", "wire", "wire.yaml")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{filepath.Dir(file), filepath.Join(home, ".local", "bin")} {
		check(os.MkdirAll(dir, 0o700))
	}
	check(os.WriteFile(file, []byte(p.expand("version: 1\nrelays: {local: {url: $RELAY}}\nsessions: [{name: api}, {name: web}]\n")), 0o600))
	program := filepath.Join(home, ".local", "bin", "wire")
	data, err := os.ReadFile(filepath.Join(suite.bin, "wire"))
	check(err)
	check(os.WriteFile(program, data, 0o700))

	line := strings.NewReplacer("%h", home, "%E", filepath.Join(home, ".config"), "127.0.0.1:9871", p.vital).Replace(setting(t, "ExecStart"))
	argv := strings.Fields(line)
	cmd := exec.Command(argv[0], argv[1:]...)
	log, err := os.Create(filepath.Join(p.dir, "journal"))
	check(err)
	defer log.Close()
	cmd.Dir, cmd.Env, cmd.Stderr = "/", p.env(), log
	check(cmd.Start())
	wait := func(args ...string) {
		t.Helper()
		c := exec.Command(program, append([]string{"wait", "-f", file}, args...)...)
		c.Dir, c.Env = p.dir, p.env()
		if out, err := c.CombinedOutput(); err != nil {
			journal, _ := os.ReadFile(log.Name())
			t.Fatalf("%v\n%s\n%s", err, out, journal)
		}
	}
	wait()

	if got := setting(t, "ExecReload"); got != "/bin/kill -HUP $MAINPID" {
		t.Errorf("it is reloaded by %s", got)
	}
	before := p.machine().LastPass()
	check(cmd.Process.Signal(syscall.SIGHUP))
	check(until(func() error {
		if !p.machine().LastPass().After(before) {
			return fmt.Errorf("no further pass")
		}
		return nil
	}))

	// KillMode=process: only this one gets the signal.
	if got := setting(t, "KillMode"); got != "process" {
		t.Errorf("KillMode=%s ends the daemons, too", got)
	}
	check(cmd.Process.Signal(syscall.SIGTERM))
	check(cmd.Wait()) // with status 0, so that on-failure does not start it again
	for _, life := range []string{p.life("api"), p.life("web"), p.life("relay")} {
		if _, held, proven, err := process.ReadLife(life); err != nil || !held || !proven {
			t.Errorf("%s: held %v, proven %v, %v", life, held, proven, err)
		}
	}
}

func TestSystemdAcceptsTheUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd here")
	}
	cmd := exec.Command(analyze, "--user", "--man=no", "verify", unit)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_RUNTIME_DIR="+t.TempDir(), "XDG_CONFIG_HOME=", "XDG_DATA_HOME=")
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "is not executable") { // it is not installed here
			t.Errorf("%s (%v)", strings.TrimSpace(line), err)
		}
	}
}
