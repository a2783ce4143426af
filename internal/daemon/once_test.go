package daemon

import (
	"bytes"
	"net"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/process"
)

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// silentListener takes connections and never answers.
func silentListener(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// once runs one cycle in this process and returns what it printed, ids and times made equal.
func (w *world) once(name string, json bool) (stdout, stderr string) {
	w.t.Helper()
	var out, err bytes.Buffer
	w.must(Run(w.t.Context(), Config{Session: w.session(name), Once: true, JSON: json, Stdout: &out, Stderr: &err}))
	return w.settled(out.String()), w.settled(err.String())
}

func (w *world) settled(s string) string {
	for pattern, to := range map[string]string{
		`[0-9a-f]{64}`: "<id>", `"ts":"[0-9TZ:.-]+"`: `"ts":"<now>"`, `events/[0-9a-f]{32}`: "events/<slot>",
		regexp.QuoteMeta(w.relay.Addr): "<relay>",
	} {
		s = regexp.MustCompile(pattern).ReplaceAllString(s, to)
	}
	return s
}

// The lines have the members of cli.md 2.11 in the reference's order (vectors cli/sync.json: daemon-once-json,
// daemon-once-unbound, daemon-once-relay-dead; home/slots-lost.json).
func TestOnce(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	w.create("eve") // without a slot
	w.weave("ada", "bob")
	w.send("ada", "bob", "one")
	w.send("ada", "bob", "two")

	expect := func(name, what, want string) {
		t.Helper()
		got, stderr := w.once(name, true)
		if got != want+"\n" {
			t.Errorf("%s:\n got %s\nwant %s\n%s", what, got, want, stderr)
		}
	}
	const (
		nothing = `{"cursor_advanced_to":null,"cursor_blocked":false,"rejected":[],"total_seen":0,"written":[]}`
		idle    = `{"pushed":[],"skipped":[]}`
	)
	expect("eve", "unbound", `{"pairs":{"transitions":[]},"pull":{"rejected":[],"total_seen":0,"written":[]},"push":`+idle+`,"ts":"<now>"}`)
	expect("bob", "nothing there", `{"pairs":{"transitions":[]},"pull":`+nothing+`,"push":`+idle+`,"ts":"<now>"}`)
	expect("ada", "two to push", `{"pairs":{"transitions":[]},"pull":`+nothing+
		`,"push":{"pushed":[{"event_id":"<id>","peer":"bob"},{"event_id":"<id>","peer":"bob"}],"skipped":[]},"ts":"<now>"}`)
	expect("ada", "pushed already", `{"pairs":{"transitions":[]},"pull":`+nothing+
		`,"push":{"pushed":[],"skipped":[{"event_id":"<id>","peer":"bob","reason":"duplicate"},{"event_id":"<id>","peer":"bob","reason":"duplicate"}]},"ts":"<now>"}`)
	expect("bob", "two to pull", `{"pairs":{"transitions":[]},"pull":{"cursor_advanced_to":"<id>","cursor_blocked":false,"rejected":[],"total_seen":2,"written":[`+
		`{"event_id":"<id>","from":"ada"},{"event_id":"<id>","from":"ada"}]},"push":`+idle+`,"ts":"<now>"}`)

	w.send("bob", "ada", "three")
	if out, err := w.once("bob", false); out != "" || err != "wire daemon: single sync cycle, then exit\ndaemon: pushed=1 pulled=0 rejected=0 pair-transitions=0\n" {
		t.Errorf("text: %q, %q", out, err)
	}
	if out, err := w.once("bob", false); out != "" || err != "wire daemon: single sync cycle, then exit\n" {
		t.Errorf("text, idle: %q, %q", out, err)
	}

	if _, form := w.record("bob"); form != process.FormMissing {
		t.Errorf("--once wrote a pid record: %s", form)
	}

	w.bind("bob", nowhere(w.relay.Addr))
	out, stderr := w.once("bob", true)
	if want := `"pull":{"error":"list_events failed: 404 Not Found: {\"error\":\"unknown slot\"}","rejected":[],"total_seen":0,"written":[]}`; !strings.Contains(out, want) {
		t.Errorf("slot lost: %s", out)
	}
	if !strings.Contains(stderr, "daemon: pull error: list_events failed: 404 Not Found: ") {
		t.Errorf("slot lost: %s", stderr)
	}

	w.relay.Stop()
	w.send("ada", "bob", "four")
	out, stderr = w.once("ada", true)
	if !strings.Contains(out, `"pull":{"error":"`) || !strings.Contains(out, `"rejected":[],"total_seen":0,"written":[]}`) ||
		!strings.Contains(out, `,"peer":"bob","reason":"connect error: `) {
		t.Errorf("relay dead: %s", out)
	}
	if !strings.Contains(stderr, "daemon: pull error: ") {
		t.Errorf("relay dead: %s", stderr)
	}
}

// One cycle beside a living daemon is allowed, and leaves that one's record alone (quirk 14).
func TestOnceBesideADaemon(t *testing.T) {
	w := newWorld(t, "ada")
	i := w.daemon("ada", never)
	w.once("ada", true)
	if r, _ := w.record("ada"); r.PID != i.PID {
		t.Errorf("the record names %d, not %d", r.PID, i.PID)
	}
}

func TestJournalSaysWhatIsNew(t *testing.T) {
	var out bytes.Buffer
	j := newJournal(&out)
	for _, text := range []string{"", "down", "down", "down", "refused", "", "", "down"} {
		j.state("pull", text)
	}
	j.state("push", "full")
	if got := out.String(); got != "down\nrefused\ndaemon: pull is well again\ndown\nfull\n" {
		t.Errorf("%q", got)
	}
}

func TestPausesAreNeverShorter(t *testing.T) {
	for range 100 {
		if p := jittered(time.Second); p < time.Second || p >= 1250*time.Millisecond {
			t.Fatal(p)
		}
	}
}

// A sick relay that takes the connection and drops it is dialled less and less often; only one that held for a
// while starts the pauses over (field-failures A20).
func TestPausesGrow(t *testing.T) {
	var p pause
	for n, step := range []struct{ lasted, want time.Duration }{
		{0, firstPause},
		{time.Millisecond, 2 * time.Second},
		{longLived - 1, 4 * time.Second},
		{0, 8 * time.Second},
		{0, 16 * time.Second},
		{0, lastPause},
		{time.Second, lastPause},
		{longLived, firstPause},
		{0, 2 * time.Second},
		{time.Hour, firstPause},
	} {
		if got := p.after(step.lasted); got != step.want {
			t.Errorf("step %d: %v after %v, want %v", n, got, step.lasted, step.want)
		}
	}
}
