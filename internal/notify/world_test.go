package notify

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/process"
)

// asNotifier makes the test binary be a notifier: those that are killed are processes.
const asNotifier = "WIRE_NOTIFY_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(asNotifier) != "" {
		time.AfterFunc(5*time.Minute, func() { os.Exit(9) }) // should its test be killed
		ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		err := Run(ctx, Config{
			Session: home.At(os.Getenv("WIRE_HOME")), Stdout: os.Stdout, Stderr: os.Stderr,
			Build: "v9.9.9-test", Owner: "the tests", StartedBy: "test",
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// site is a session that has pinned api and doc, on a desktop that writes down what it is shown.
type site struct {
	t    *testing.T
	home home.Session
	dir  string
	keys map[string]identity.Key
	dids map[string]identity.DID
	n    int
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), keys: map[string]identity.Key{}, dids: map[string]identity.DID{}}
	s.home = home.At(filepath.Join(s.dir, "sessions", "web"))
	check(s.home.Ensure())
	for _, name := range []string{"api", "doc"} {
		key := must(identity.NewKey())
		card := identity.SignCard(identity.NewCard(name, "", key.Public()), key)
		s.keys[name], s.dids[name] = key, must(identity.ReadCard(card)).DID
		s.pin(card)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	t.Setenv("XDG_RUNTIME_DIR", s.dir)
	s.desktop()
	return s
}

func (s *site) pin(card canon.Doc) {
	name, rec, err := identity.PinRecord(card, identity.TierVerified, time.Now(), nil)
	check(err)
	check(s.home.UpdateTrust(s.t.Context(), func(sp *canon.Spans) error {
		sp.Set(canon.AppendPretty(nil, rec, 2), "agents", name)
		return nil
	}))
}

// desktop puts stand-ins for the programs that show notifications on PATH. Each call is one line: the
// arguments, with a "|" behind each. osascript's are cut down to those of the script.
func (s *site) desktop() {
	s.t.Helper()
	script := `#!/bin/sh
[ "$1" = -e ] && shift 6
{ for a; do printf '%s|' "$a"; done; echo; } >>"` + s.path("shown") + `"
`
	for _, name := range []string{"notify-send", "osascript"} {
		check(os.WriteFile(s.path(name), []byte(script), 0o700))
	}
	s.t.Setenv("PATH", s.dir+":/usr/bin:/bin")
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// shown are the notifications so far, "title: body".
func (s *site) shown() (list []string) {
	data, err := os.ReadFile(s.path("shown"))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		args := strings.Split(strings.TrimSuffix(line, "|\n"), "|")
		list = append(list, strings.Join(args[len(args)-2:], ": "))
	}
	return list
}

// forget throws away what was shown.
func (s *site) forget() { check(os.RemoveAll(s.path("shown"))) }

// arrives stores an event as a pull does.
func (s *site) arrives(from, body string) string { return s.stores(from, s.event(from, "claim", body)) }

func (s *site) event(from, typ string, body any) canon.Doc {
	s.n++
	return identity.SignEvent(canon.Doc{
		"timestamp": fmt.Sprint(s.n), "from": string(s.dids[from]), "to": "did:wire:web", "type": typ,
		"kind": uint64(identity.KindNumber(typ)), "body": body,
	}, s.keys[from], s.dids[from])
}

func (s *site) stores(from string, event canon.Doc) string {
	s.t.Helper()
	check(home.AppendLines(must(s.home.Inbox(from)), [][]byte{canon.Compact(event)}, false))
	id, _ := event["event_id"].(string)
	return id
}

// once runs one sweep and is what it wrote on stderr.
func (s *site) once(c Config) string {
	s.t.Helper()
	var errs bytes.Buffer
	c.Session, c.Once, c.Stderr = s.home, true, &errs
	if c.Stdout == nil {
		c.Stdout = io.Discard
	}
	if err := Run(s.t.Context(), c); err != nil {
		s.t.Fatal(err)
	}
	return errs.String()
}

// begin makes a cursor that says that nothing was shown yet.
func (s *site) begin() { check(home.WriteOffsets(s.home.NotifyCursor(), home.Offsets{})) }

// start starts a notifier as a process.
func (s *site) start() process.Readiness {
	s.t.Helper()
	r, err := process.Spawn(s.t.Context(), process.Spec{
		Args: []string{"notify", "--interval", "2"}, Home: s.home.Dir, Log: s.home.NotifyLog(),
		Exe: must(os.Executable()), Env: map[string]string{asNotifier: "1"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if r.Held == nil {
		s.t.Cleanup(func() { s.stop(r.PID, 0) })
	}
	return r
}

// stop ends a process, at once with grace 0; one that is gone is well.
func (s *site) stop(pid int, grace time.Duration) {
	s.t.Helper()
	i, alive := process.Lookup(pid)
	if !alive {
		return
	}
	p, err := process.Open(pid, i.StartTicks)
	if err != nil {
		return // it has gone meanwhile
	}
	defer p.Close()
	if err := p.Stop(context.WithoutCancel(s.t.Context()), grace); err != nil {
		s.t.Error(err)
	}
}

// wait waits for a condition that another process brings about.
func (s *site) wait(what string, until func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); !until(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(s.home.NotifyLog())
			s.t.Fatalf("waited in vain: %s\nshown: %q\nlog:\n%s", what, s.shown(), log)
		}
	}
}
