package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"wirefleet.dev/wire/internal/relay"
)

// wire is the built binary with the machine of p as its WIRE_HOME.
func (p place) wire(args ...string) *exec.Cmd { return p.wireAt(p.wh, args...) }

func (p place) wireAt(wireHome string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(suite.bin, "wire"), args...)
	cmd.Dir, cmd.Env = p.dir, append(p.env(), "WIRE_HOME="+wireHome)
	return cmd
}

// output runs a command that must succeed, and returns its stdout.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("wire %s: %w\n%s%s", strings.Join(cmd.Args[1:], " "), err, &stdout, &stderr)
	}
	return stdout.String(), nil
}

// must is output for the body of a test.
func must(tb testing.TB, cmd *exec.Cmd) string {
	tb.Helper()
	out, err := output(cmd)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// file writes a wire.yaml.
func (p place) file(tb testing.TB, name, text string) {
	tb.Helper()
	check(tb, os.WriteFile(filepath.Join(p.dir, name), []byte(p.expand(text)), 0o600))
}

func (p place) send(from, to, body string) error {
	_, err := output(p.wireAt(p.session(from).Dir, "send", to, "claim", body))
	return err
}

// TestEveryoneHearsEveryone: four sessions from one file, every one sends to every other, all of it arrives
// once, and nothing else does.
func TestEveryoneHearsEveryone(t *testing.T) {
	t.Parallel()
	p := placeFor(t)
	names := []string{"api", "web", "docs", "press"}
	p.file(t, "wire.yaml", `
version: 1
relays: {local: {url: $RELAY}}
sessions: [{name: api}, {name: web}, {name: docs}, {name: press}]
mesh: full
`)
	must(t, p.wire("apply"))

	var g errgroup.Group
	for _, from := range names {
		for _, to := range names {
			if from != to {
				g.Go(func() error { return p.send(from, to, from+" to "+to) })
			}
		}
	}
	check(t, g.Wait())
	for _, to := range names {
		for _, from := range names {
			if from == to {
				continue
			}
			check(t, p.arrived(to, from, 1))
			events, err := p.inbox(to, from)
			check(t, err)
			if got, want := events[0].Body, from+" to "+to; got != want {
				t.Errorf("%s got %q from %s, want %q", to, got, from, want)
			}
		}
		peers, err := p.session(to).InboxPeers()
		check(t, err)
		if len(peers) != len(names)-1 {
			t.Errorf("%s has inboxes of %v", to, peers)
		}
	}
	must(t, p.wire("plan", "--detailed-exitcode"))
	must(t, p.wire("down"))
	if left := carriers(p.dir); len(left) > 0 {
		t.Errorf("left after down: %v", left)
	}
}

// TestRelayKilledUnderLoad: the relay dies without warning while two sessions send to a third that does not
// listen yet. What it had acknowledged is there after apply has started it again, what it had not is posted
// again, and the receiver gets each message once.
func TestRelayKilledUnderLoad(t *testing.T) {
	t.Parallel()
	const messages = 25
	p := placeFor(t)
	file := `
version: 1
relays: {local: {url: $RELAY}}
sessions: [{name: api}, {name: docs}, {name: web, daemon: %v}]
`
	p.file(t, "deaf.yaml", fmt.Sprintf(file, false))
	p.file(t, "wire.yaml", fmt.Sprintf(file, true))
	must(t, p.wire("apply", "-f", "deaf.yaml"))

	var g errgroup.Group
	for _, from := range []string{"api", "docs"} {
		g.Go(func() error {
			for i := range messages {
				if err := p.send(from, "web", fmt.Sprint(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	check(t, until(func() error {
		if n := p.slotLines(t); n < messages/2 {
			return fmt.Errorf("%d messages reached the relay", n)
		}
		return nil
	}))
	_, err := kill9(relay.LifeLock(p.relayState()))
	check(t, err)
	must(t, p.wire("apply", "-f", "deaf.yaml"))
	check(t, g.Wait())

	must(t, p.wire("apply"))
	for _, from := range []string{"api", "docs"} {
		check(t, p.arrived("web", from, messages))
		events, err := p.inbox("web", from)
		check(t, err)
		for i, e := range events {
			if e.Body != fmt.Sprint(i) {
				t.Fatalf("message %d from %s is %v", i, from, e.Body)
			}
		}
	}
	must(t, p.wire("plan", "--detailed-exitcode"))
}

// slotLines counts the events that the relay's store holds.
func (p place) slotLines(tb testing.TB) int {
	tb.Helper()
	data, err := readAll(filepath.Join(p.relayState(), "slots"))
	check(tb, err)
	return bytes.Count(data, []byte("\n"))
}

// TestApplyKilledAtEachRequest kills apply with each of its requests to the relay in turn, asked or just
// answered, and has the next apply complete what is there.
func TestApplyKilledAtEachRequest(t *testing.T) {
	t.Parallel()
	for _, answered := range []bool{false, true} {
		for n := 0; ; n++ {
			p := placeFor(t)
			killed := p.applyKilledAt(t, n, answered)
			if killed {
				keys := p.keys(t)
				must(t, p.wire("apply"))
				for name, key := range keys {
					if now := p.keys(t)[name]; now != key {
						t.Errorf("request %d, answered %v: %s has another key", n, answered, name)
					}
				}
			}
			must(t, p.wire("plan", "--detailed-exitcode"))
			if _, err := endAll(p.dir); err != nil {
				t.Fatal(err)
			}
			if !killed {
				if n < 5 {
					t.Errorf("apply made only %d requests", n)
				}
				break
			}
		}
	}
}

// applyKilledAt kills an apply at its nth request; false if it had fewer and was done.
func (p place) applyKilledAt(t *testing.T, n int, answered bool) bool {
	t.Helper()
	p.file(t, "wire.yaml", `
version: 1
relays: {local: {url: $GATE, managed: false}}
defaults: {daemon: false}
sessions: [{name: api}, {name: web}]
`)
	check(t, p.startRelay())
	g, err := openGate(p.gate, p.relay)
	check(t, err)
	t.Cleanup(g.close)
	check(t, g.hold(`.`, n, answered))
	cmd := p.wire("apply", "--parallel", "1")
	check(t, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	defer g.open()
	select {
	case <-g.caught():
		check(t, cmd.Process.Kill())
		<-done
		return true
	case err := <-done:
		check(t, err)
		return false
	}
}

// keys are the private keys by session, as far as there are any.
func (p place) keys(tb testing.TB) map[string]string {
	tb.Helper()
	keys := map[string]string{}
	for _, name := range []string{"api", "web"} {
		data, err := os.ReadFile(p.session(name).KeyFile())
		if err == nil {
			keys[name] = string(data)
		} else if !errors.Is(err, os.ErrNotExist) {
			tb.Fatal(err)
		}
	}
	return keys
}
