package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	"wirefleet.dev/wire/internal/mailbox"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/internal/relay/relaytest"
)

// The daemons of these tests are processes: this binary again.
const (
	asDaemon = "WIRE_DAEMON_TEST" // the interval
	watching = "WIRE_DAEMON_TEST_WATCH"
	another  = "WIRE_DAEMON_TEST_HOME" // served in place of WIRE_HOME
)

func TestMain(m *testing.M) {
	if interval := os.Getenv(asDaemon); interval != "" {
		time.AfterFunc(5*time.Minute, func() { os.Exit(9) }) // should its test be killed
		os.Exit(serve(interval))
	}
	code := m.Run()
	_ = os.RemoveAll(programDir)
	os.Exit(code)
}

// programDir is where the benchmarks build the real program; "" if they did not run.
var programDir string

func serve(interval string) int {
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	every, err := time.ParseDuration(interval)
	if err == nil {
		switch os.Getenv(watching) {
		case "by fsnotify":
			watchers = watchers[1:]
		case "not at all":
			watchers = []func(string, string) (*watch, error){func(string, string) (*watch, error) { return nil, syscall.EMFILE }}
		}
		dir := os.Getenv(another)
		if dir == "" {
			dir = os.Getenv("WIRE_HOME")
		}
		err = Run(ctx, Config{
			Session: home.At(dir), Interval: every, Stdout: os.Stdout, Stderr: os.Stderr,
			Build: "v9.9.9-test", Owner: "the tests", StartedBy: "test",
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return 0
}

// nowhere is an endpoint that no relay knows.
func nowhere(addr string) home.Endpoint {
	return home.Endpoint{
		RelayURL: "http://" + addr, SlotID: strings.Repeat("0", 32), SlotToken: identity.NewToken(strings.Repeat("0", 64)), Scope: home.Local,
	}
}

// never is an interval that no test lives to see: what happens then was brought about by a watch, a stream or
// a poke.
const never = "1h"

// world is some sessions under one root on a real relay, each with a slot, not pinned to each other yet.
type world struct {
	t     testing.TB
	root  string
	relay *relaytest.Relay
}

func newWorld(t testing.TB, names ...string) *world {
	t.Helper()
	for _, key := range []string{"HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "WIRE_HOME"} {
		t.(interface{ Setenv(key, value string) }).Setenv(key, t.TempDir())
	}
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, root: filepath.Join(root, "sessions"), relay: relaytest.Start(t, relaytest.Config{})}
	for _, name := range names {
		w.create(name)
		w.bind(name, w.slot(name, w.relay, home.Local))
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) session(name string) home.Session { return home.At(filepath.Join(w.root, name)) }

func (w *world) create(name string) {
	w.t.Helper()
	s := w.session(name)
	w.must(s.Ensure())
	key, err := identity.NewKey()
	w.must(err)
	card := identity.SignCard(identity.NewCard(name, "", key.Public()), key)
	info, err := identity.ReadCard(card)
	w.must(err)
	w.must(s.CreateKey(key))
	w.must(s.WriteCard(card))
	w.must(s.UpdateTrust(w.t.Context(), func(sp *canon.Spans) error {
		sp.Set(canon.AppendPretty(nil, identity.SelfRecord(info, time.Now()), 2), "agents", name)
		return nil
	}))
}

// slot allocates one; bind makes slots a session's own.
func (w *world) slot(name string, at *relaytest.Relay, scope home.Scope) home.Endpoint {
	w.t.Helper()
	c := client.New(5 * time.Second)
	defer c.Close()
	got, err := c.Allocate(w.t.Context(), at.URL(), name)
	w.must(err)
	return home.Endpoint{RelayURL: got.URL, SlotID: got.ID, SlotToken: got.Token, Scope: scope}
}

func (w *world) bind(name string, endpoints ...home.Endpoint) {
	w.t.Helper()
	w.must(w.session(name).UpdateRelay(w.t.Context(), func(r *home.RelayFile) error {
		r.SetSelf(endpoints)
		return nil
	}))
}

// weave pairs all of the named sessions with each other.
func (w *world) weave(names ...string) {
	w.t.Helper()
	var sessions []home.Session
	var edges []pairing.Edge
	for i, name := range names {
		sessions = append(sessions, w.session(name))
		for j := range i {
			edges = append(edges, pairing.Edge{A: j, B: i})
		}
	}
	results, err := pairing.Weave(w.t.Context(), sessions, edges, time.Now(), 2)
	w.must(err)
	for _, r := range results {
		w.must(r.Err)
	}
}

// route lets from post to to, who need not trust it.
func (w *world) route(from, to string) {
	w.t.Helper()
	card, err := w.session(to).ReadCard()
	w.must(err)
	w.must(w.session(from).UpdateTrust(w.t.Context(), func(sp *canon.Spans) error {
		_, rec, err := identity.PinRecord(card, identity.TierVerified, time.Now(), nil)
		if err == nil {
			sp.Set(canon.AppendPretty(nil, rec, 2), "agents", to)
		}
		return err
	}))
	own, err := w.session(to).ReadRelay()
	w.must(err)
	w.must(w.session(from).UpdateRelay(w.t.Context(), func(r *home.RelayFile) error {
		r.SetPeer(to, own.Self())
		return nil
	}))
}

func (w *world) spec(name, interval string) process.Spec {
	w.t.Helper()
	exe, err := os.Executable()
	w.must(err)
	s := w.session(name)
	return process.Spec{
		Args: []string{"daemon", "--interval", "5"}, Home: s.Dir, Log: s.DaemonLog(), Exe: exe,
		Env: map[string]string{asDaemon: interval},
	}
}

// daemon starts one and ends it with the test.
func (w *world) daemon(name, interval string) process.Info {
	w.t.Helper()
	return w.spawn(w.spec(name, interval))
}

func (w *world) spawn(spec process.Spec) process.Info {
	w.t.Helper()
	r, err := process.Spawn(w.t.Context(), spec)
	w.must(err)
	i, ok := process.Lookup(r.PID)
	if !ok || !r.Ready {
		w.t.Fatalf("%+v: not there", r)
	}
	w.t.Cleanup(func() { w.stop(i, 10*time.Second) })
	return i
}

// stop ends a process by TERM, or by KILL if it takes longer than grace.
func (w *world) stop(i process.Info, grace time.Duration) {
	w.t.Helper()
	p, err := process.Open(i.PID, i.StartTicks)
	if errors.Is(err, process.ErrGone) {
		return
	}
	w.must(err)
	defer p.Close()
	w.must(p.Stop(context.Background(), grace))
}

// send is `wire send`; it pokes only where asked to.
func (w *world) send(from, to, body string) {
	w.t.Helper()
	c := client.New(time.Second)
	defer c.Close()
	out := mailbox.Outgoing{Peer: to, Kind: "claim", Body: body}
	_, err := mailbox.Open(w.session(from), c).Send(w.t.Context(), out, time.Now())
	w.must(err)
}

// arrives waits until a session's inbox holds the bodies of a sender, in this order and nothing else.
func (w *world) arrives(name, from string, bodies ...string) {
	w.t.Helper()
	want := strings.Join(bodies, "|")
	got := ""
	eventually(w.t, func() bool {
		got = strings.Join(w.inbox(name, from), "|")
		return got == want
	}, func() string { return fmt.Sprintf("%s has %q from %s, want %q\n%s", name, got, from, want, w.logs()) })
}

func (w *world) inbox(name, from string) (bodies []string) {
	w.t.Helper()
	path, err := w.session(name).Inbox(from)
	w.must(err)
	data, err := os.ReadFile(path)
	if !errors.Is(err, os.ErrNotExist) {
		w.must(err)
	}
	for line := range bytes.Lines(data) {
		event, err := canon.ParseObject(line)
		if err != nil {
			continue // half a line: not there yet
		}
		body, _ := event["body"].(string)
		bodies = append(bodies, body)
	}
	return bodies
}

func (w *world) log(name string) string {
	data, _ := os.ReadFile(w.session(name).DaemonLog())
	return string(data)
}

func (w *world) logs() string {
	var out strings.Builder
	logs, _ := filepath.Glob(filepath.Join(w.root, "*", "state", "wire", "daemon.log"))
	for _, path := range logs {
		data, _ := os.ReadFile(path)
		fmt.Fprintf(&out, "%s:\n%s", path, data)
	}
	return out.String()
}

func (w *world) record(name string) (process.Record, process.Form) {
	return process.ReadRecord(w.session(name).DaemonPID())
}

// eventually looks until it is so; what says what is wrong if it never is.
func eventually(t testing.TB, so func() bool, what func() string) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	late := time.After(30 * time.Second)
	for !so() {
		select {
		case <-look.C:
		case <-late:
			t.Fatal(what())
		}
	}
}
