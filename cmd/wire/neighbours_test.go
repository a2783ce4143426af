package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSharedMachine: where other people have homes, drift, status and doctor say that the relay answers them,
// too, and nothing else changes: neither plan nor exit status.
func TestSharedMachine(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a directory somebody else's; home.TestNeighbours runs for everybody")
	}
	t.Parallel()
	p := placeFor(t)
	p.file(t, "wire.yaml", "version: 1\nrelays: {local: {url: $RELAY}}\ndefaults: {daemon: false}\nsessions: [{name: api}, {name: web}]\n")
	must(t, p.wire("apply"))
	const people = "eve"
	if out := must(t, p.wire("drift")); strings.Contains(out, people) {
		t.Fatalf("nobody else is here:\n%s", out)
	}
	check(t, os.Mkdir(filepath.Join(p.dir, people), 0o700))
	check(t, os.Chown(filepath.Join(p.dir, people), 4321, -1))
	for _, args := range [][]string{{"drift"}, {"status", "-f", "wire.yaml"}} {
		out := must(t, p.wire(args...))
		for _, line := range []string{
			"! http://" + p.relay + ": somebody else of this machine can reach it, too: eve\n",
			"\n  next: run it on a machine, or in a container, of your own: what is in a slot takes its token, which only you can read, ",
		} {
			if !strings.Contains(out, line) {
				t.Errorf("%v lacks %q:\n%s", args, line, out)
			}
		}
	}
	if out := must(t, p.wire("plan", "--detailed-exitcode")); strings.Contains(out, people) {
		t.Errorf("plan says what it cannot change:\n%s", out)
	}
	doctor := p.wireAt(p.session("api").Dir, "doctor")
	out, _ := doctor.Output() // it FAILs for want of a daemon
	if want := "\n      fix: run it on a machine, or in a container, of your own; "; !strings.Contains(string(out), want) {
		t.Errorf("doctor lacks %q:\n%s", want, out)
	}
	if want := "[WARN] slots: api: other people of this machine reach its local relay, too, can allocate slots and fill the disk: eve\n"; !strings.Contains(string(out), want) {
		t.Errorf("doctor lacks %q:\n%s", want, out)
	}
}
