package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/mailbox"
	"wirefleet.dev/wire/internal/process"
)

func (s *site) want(want ...string) {
	s.t.Helper()
	if got := s.shown(); !slices.Equal(got, want) {
		s.t.Errorf("shown %q, want %q", got, want)
	}
}

// TestEachOnce: one notification for an event, whoever looks next.
func TestEachOnce(t *testing.T) {
	s := newSite(t)
	s.begin()
	s.arrives("api", "one")
	s.arrives("doc", "two")
	s.once(Config{})
	s.once(Config{})
	s.want("wire ← api: claim: one", "wire ← doc: claim: two")

	// What two programs have stored both is one message.
	s.forget()
	event := s.event("api", "decision", "three")
	s.stores("api", event)
	s.stores("api", event)
	s.once(Config{})
	s.want("wire ← api: decision: three")

	// A filter passes over, for good.
	s.forget()
	s.arrives("api", "four")
	s.arrives("doc", "five")
	s.once(Config{Peer: "doc"})
	s.once(Config{})
	s.want("wire ← doc: claim: five")
}

// TestLostCursor: what may have been shown already is one notification.
func TestLostCursor(t *testing.T) {
	s := newSite(t)
	s.once(Config{})
	s.want()
	s.arrives("api", "one")
	s.once(Config{})
	s.want("wire ← api: claim: one")
	s.arrives("api", "two")
	s.arrives("doc", "three")
	for _, lost := range []func() error{
		func() error { return os.Remove(s.home.NotifyCursor()) },
		func() error { return os.WriteFile(s.home.NotifyCursor(), []byte("{"), 0o600) },
	} {
		check(lost())
		s.forget()
		s.once(Config{})
		s.once(Config{})
		s.want("wire: 3 messages in the inbox, from api, doc")
	}
	check(os.Remove(s.home.NotifyCursor()))
	s.forget()
	s.once(Config{Peer: "doc"})
	s.want("wire ← doc: claim: three")
}

// TestBurst: beyond so many a minute they are one notification.
func TestBurst(t *testing.T) {
	s := newSite(t)
	s.begin()
	for i := range mostShown + 3 {
		s.arrives([]string{"api", "doc"}[i%2], fmt.Sprint(i))
	}
	s.once(Config{})
	got := s.shown()
	if len(got) != mostShown+1 || got[mostShown] != "wire: 3 messages more, from doc" && got[mostShown] != "wire: 3 messages more, from api, doc" {
		t.Errorf("%d shown, then %q", len(got), got[len(got)-1])
	}
}

// TestRequests: who asks to be paired is shown once, several at a time together, as data.
func TestRequests(t *testing.T) {
	s := newSite(t)
	ask := func(handle, id string) {
		check(s.home.EnsureInbound())
		s.n++
		text := canon.Compact(canon.Doc{
			"peer_handle": handle, "event_id": id, "received_at": fmt.Sprint(s.n), "peer_did": "", "peer_relay_url": "",
			"peer_slot_id": "", "peer_slot_token": "", "event_timestamp": "", "peer_card": nil,
		})
		check(os.WriteFile(filepath.Join(s.home.Inbound(), id+".json"), text, 0o600))
	}
	s.once(Config{})
	if _, known := s.home.Notified(); known {
		t.Error("written down for nothing")
	}
	ask("mara", "a1")
	ask("nils", "a2")
	s.once(Config{})
	s.once(Config{})
	s.want("wire — 2 pair requests: from mara, nils: " + whatToDo)
	s.forget()
	ask("-<b>x</b>\n"+strings.Repeat("y", 50), "a3")
	s.once(Config{Peer: "mara"})
	s.want()
	s.once(Config{})
	s.want("wire — pair request from -<b>x</b> " + strings.Repeat("y", 30) + ": " + whatToDo)
	s.forget()
	for i := range mostRequests + 1 {
		ask(fmt.Sprint("p", i), fmt.Sprint("b", i))
	}
	s.once(Config{})
	s.want("wire — 4 pair requests: from p0, p1, p2, p3: " + whatToDo)

	// What is answered is forgotten; the same stranger may ask again.
	s.forget()
	check(os.RemoveAll(s.home.Inbound()))
	s.once(Config{})
	ask("mara", "c1")
	s.once(Config{})
	s.want("wire — pair request from mara: " + whatToDo)
	if ids, known := s.home.Notified(); !known || !slices.Equal(ids, []string{"c1"}) {
		t.Errorf("%q", ids)
	}

	// A process learns of them as they come.
	s.forget()
	r := s.start()
	ask("nils", "c2")
	s.wait("the request", func() bool { return len(s.shown()) == 1 })
	s.stop(r.PID, time.Minute)
}

func TestPace(t *testing.T) {
	var p pace
	now := time.Now()
	for i := range mostShown {
		if !p.take(now.Add(time.Duration(i) * time.Millisecond)) {
			t.Fatalf("not the %dth", i)
		}
	}
	if p.take(now.Add(time.Second)) || p.take(now.Add(within-time.Millisecond)) {
		t.Error("one too many")
	}
	if !p.take(now.Add(within)) || p.take(now.Add(within)) {
		t.Error("after a minute the first one counts no more, and only that")
	}
}

func TestBacklog(t *testing.T) {
	var b backlog
	b.add("z")
	if got := b.text("more"); got != "1 message more, from z" {
		t.Error(got)
	}
	for _, p := range []string{"b", "a", "c", "d", "e", "f", "a"} {
		b.add(p)
	}
	if got := b.text("in the inbox"); got != "8 messages in the inbox, from a, b, c, d, e and 2 others" {
		t.Error(got)
	}
}

// TestRecentIsBounded and forgets the oldest.
func TestRecentIsBounded(t *testing.T) {
	s := newSite(t)
	s.begin()
	first := s.event("api", "claim", "first")
	s.stores("api", first)
	s.once(Config{})
	var n notifier
	for i := range keepRecent + 1 {
		e := arrival(fmt.Sprint(i))
		if n.recent.has(e) {
			t.Fatalf("%d is known", i)
		}
		n.recent.add(e)
	}
	if n.recent.has(arrival("0")) || !n.recent.has(arrival("1")) || len(n.recent.ids) != keepRecent {
		t.Errorf("%d kept", len(n.recent.ids))
	}
	if n.recent.has(arrival("")) {
		t.Error("events without an id are one")
	}
}

// TestDataIsData: nothing of a peer's text is an option, markup or a control character.
func TestDataIsData(t *testing.T) {
	s := newSite(t)
	s.begin()
	s.stores("api", s.event("api", "--urgency=critical", "--help"))
	s.stores("api", s.event("api", "<b>claim</b>\x1b[2J", "<a href=\"x\">a</a> & b\nline\ttwo\u202e\x00"))
	forged := s.event("api", "claim", "forged")
	forged["body"] = "not mine"
	s.stores("api", forged)
	s.once(Config{})
	raw := string(must(os.ReadFile(s.path("shown"))))
	if !strings.HasPrefix(raw, options+"wire ← api|--urgency=critical: --help|\n") {
		t.Errorf("%q", raw)
	}
	s.want(
		"wire ← api: --urgency=critical: --help",
		"wire ← api: "+asShown("<b>claim</b>\ufffd[2J: <a href=\"x\">a</a> & b line two\ufffd\ufffd"),
		"wire ← api (UNVERIFIED): claim: not mine",
	)
}

// TestNoDesktop: what cannot be shown is logged, the reason once, and nothing is lost or repeated.
func TestNoDesktop(t *testing.T) {
	s := newSite(t)
	s.begin()
	t.Setenv("PATH", t.TempDir())
	s.arrives("api", "one")
	s.arrives("api", "two")
	got := s.once(Config{})
	if strings.Count(got, "wire notify: no desktop: ") != 1 || !strings.HasSuffix(got, "\n[wire notify] wire ← api\n  claim: one\n[wire notify] wire ← api\n  claim: two\n") {
		t.Errorf("%s", got)
	}
	if got := s.once(Config{}); got != "" {
		t.Errorf("%s", got)
	}
}

// TestJSON prints the same events whatever a notifier shows, also those that a lost cursor hides from it.
func TestJSON(t *testing.T) {
	s := newSite(t)
	one := s.arrives("api", "one")
	two := s.stores("doc", s.event("doc", "heartbeat", canon.Doc{"a": uint64(1)}))
	var out bytes.Buffer
	s.once(Config{JSON: true, Stdout: &out})
	lines := strings.SplitAfter(out.String(), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], `{"peer":"api","event_id":"`+one+`","kind":"claim","body_preview":"one","verified":true,"timestamp":"1","raw":{"body":"one",`) ||
		!strings.HasPrefix(lines[1], `{"peer":"doc","event_id":"`+two+`","kind":"heartbeat","body_preview":"{\"a\":1}",`) {
		t.Errorf("%s", out.String())
	}
	out.Reset()
	if s.once(Config{JSON: true, Stdout: &out}); out.Len() > 0 {
		t.Errorf("again: %s", out.String())
	}
	s.want()

	// A reader who is gone hears it when he is back.
	s.arrives("api", "three")
	err := Run(t.Context(), Config{Session: s.home, JSON: true, Once: true, Stdout: broken{}})
	if err == nil {
		t.Error("no error")
	}
	if s.once(Config{JSON: true, Stdout: &out}); strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%s", out.String())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, os.ErrClosed }

// TestFollowsInJSON until it is ended, and by itself when nobody reads.
func TestFollowsInJSON(t *testing.T) {
	s := newSite(t)
	r, w := must2(os.Pipe())
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	c := Config{Session: s.home, JSON: true, Stdout: w, Stderr: &bytes.Buffer{}}
	go func() { done <- Run(ctx, c) }()
	lines := json.NewDecoder(r)
	for _, body := range []string{"one", "two"} {
		s.arrives("api", body)
		var got struct {
			Preview string `json:"body_preview"`
		}
		check(lines.Decode(&got))
		if got.Preview != body {
			t.Errorf("%q, want %q", got.Preview, body)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("%v", err)
	}
	w.Close()
	s.arrives("api", "three")
	go func() { done <- Run(t.Context(), c) }()
	if err := <-done; err == nil {
		t.Error("it goes on for nobody")
	}
}

func must2[A, B any](a A, b B, err error) (A, B) {
	check(err)
	return a, b
}

// TestBrokenTrust: a sweep that fails is said and loses nothing.
func TestBrokenTrust(t *testing.T) {
	s := newSite(t)
	s.begin()
	whole := must(os.ReadFile(s.home.TrustFile()))
	check(os.WriteFile(s.home.TrustFile(), []byte("{"), 0o600))
	s.arrives("api", "one")
	if err := Run(t.Context(), Config{Session: s.home, Once: true, Stderr: &bytes.Buffer{}}); err == nil {
		t.Error("no error")
	}
	r := s.start()
	s.wait("the error is logged", func() bool {
		log, _ := os.ReadFile(s.home.NotifyLog())
		return strings.Contains(string(log), "wire notify: sweep error: ")
	})
	check(os.WriteFile(s.home.TrustFile(), whole, 0o600))
	s.arrives("api", "two")
	s.wait("both are shown", func() bool { return len(s.shown()) == 2 })
	s.want("wire ← api: claim: one", "wire ← api: claim: two")
	s.stop(r.PID, time.Minute)
}

// TestProcess: life lock, record, readiness; a second one names the first; what arrives while nobody runs is
// shown by the next; TERM is an orderly end.
func TestProcess(t *testing.T) {
	s := newSite(t)
	s.begin()
	s.arrives("api", "before")
	first := s.start()
	if !first.Ready || first.Held != nil {
		t.Fatalf("%+v", first)
	}
	s.wait("what was there", func() bool { return len(s.shown()) == 1 })
	s.arrives("api", "while")
	s.wait("what comes", func() bool { return len(s.shown()) == 2 })

	life, held, proven, err := process.ReadLife(s.home.NotifyLife())
	if err != nil || !held || !proven || life.PID != first.PID || life.Interval != 1 || life.StartedBy != "test" || life.Owner != "the tests" {
		t.Errorf("%+v, %v, %v, %v", life, held, proven, err)
	}
	rec, form := process.ReadRecord(s.home.NotifyPID())
	if form != process.FormJSON || rec.PID != first.PID || rec.Version != process.Level || rec.Build != "v9.9.9-test" || rec.DID != nil {
		t.Errorf("%s, %+v", form, rec)
	}
	if second := s.start(); second.Held == nil || second.Held.PID != first.PID {
		t.Errorf("%+v", second)
	}
	if got := s.once(Config{}); !strings.Contains(got, fmt.Sprintf("is served already (pid %d, started by test)", first.PID)) {
		t.Errorf("%s", got)
	}

	s.stop(first.PID, time.Minute)
	if _, err := os.Stat(s.home.NotifyPID()); !os.IsNotExist(err) {
		t.Errorf("the record is left: %v", err)
	}
	s.arrives("api", "after")
	s.start()
	s.wait("what came meanwhile", func() bool { return len(s.shown()) == 3 })
	s.want("wire ← api: claim: before", "wire ← api: claim: while", "wire ← api: claim: after")
}

// TestKilled: however often it is killed, no event is shown twice.
func TestKilled(t *testing.T) {
	s := newSite(t)
	s.begin()
	seen := func() map[string]int {
		count := map[string]int{}
		for _, n := range s.shown() {
			count[n]++
		}
		return count
	}
	for round := range 5 {
		for i := range 10 {
			s.arrives("api", fmt.Sprint(round, " ", i))
		}
		r := s.start()
		s.wait("something of this round", func() bool {
			return slices.ContainsFunc(s.shown(), func(n string) bool { return strings.Contains(n, fmt.Sprint(": ", round, " ")) })
		})
		s.stop(r.PID, 0)
	}
	r := s.start()
	s.arrives("doc", "last")
	s.wait("the last", func() bool { return seen()["wire ← doc: claim: last"] > 0 })
	s.stop(r.PID, time.Minute)
	lost := 50
	for text, n := range seen() {
		if n > 1 {
			t.Errorf("%q was shown %d times", text, n)
		}
		if strings.HasPrefix(text, "wire ← api") {
			lost--
		}
	}
	if lost > 5 { // one for each time it was killed
		t.Errorf("%d of 50 were never shown", lost)
	}
}

// TestHungDesktop: a program that does not end holds nobody up for long, and the message is logged.
func TestHungDesktop(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"notify-send", "osascript"} {
		check(os.WriteFile(s.path(name), []byte("#!/bin/sh\nexec sleep 1000\n"), 0o700))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := onDesktop(ctx, note{"wire", "hello"}); err == nil || ctx.Err() == nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}

// TestRemovedHome ends the notifier instead of making the home again.
func TestRemovedHome(t *testing.T) {
	s := newSite(t)
	done := make(chan error)
	go func() { done <- Run(t.Context(), Config{Session: s.home, Stderr: &bytes.Buffer{}}) }()
	s.wait("the cursor", func() bool { _, err := os.Stat(s.home.NotifyCursor()); return err == nil })
	check(os.RemoveAll(s.home.Dir))
	if err := <-done; err == nil || !strings.Contains(err.Error(), "was removed") {
		t.Errorf("%v", err)
	}
	if s.home.Exists() {
		t.Error("it is there again")
	}
}

// TestUninitialized homes may be watched: only ST is made.
func TestUninitialized(t *testing.T) {
	dir := t.TempDir()
	s := home.At(filepath.Join(dir, "none"))
	check(Run(t.Context(), Config{Session: s, Once: true, JSON: true, Stdout: &bytes.Buffer{}}))
	if got := string(must(os.ReadFile(s.NotifyCursor()))); got != "{}" {
		t.Errorf("%q", got)
	}
	if n := len(must(os.ReadDir(s.StateDir()))); n != 1 {
		t.Errorf("%d files", n)
	}
}

// vectorStep is one step of vectors/home/notify-and-readers.json.
type vectorStep struct {
	Do    string            `json:"do"`
	Note  string            `json:"note"`
	Lines []json.RawMessage `json:"stdout_json_lines"` // keys sorted
	Calls [][]string        `json:"calls"`
}

// TestVectors replays what the reference's notifier did with one inbox.
func TestVectors(t *testing.T) {
	var file struct {
		Steps []vectorStep `json:"steps"`
	}
	check(json.Unmarshal(must(os.ReadFile(filepath.Join("testdata", "notify-and-readers.json"))), &file))
	s := newSite(t)
	step := func(do, note string) int {
		i := slices.IndexFunc(file.Steps, func(s vectorStep) bool { return s.Do == do && s.Note == note })
		if i < 0 {
			t.Fatalf("no step %q (%s)", do, note)
		}
		return i
	}
	all := file.Steps[step("wire notify --once --json", "")].Lines
	inbox := must(s.home.Inbox("alpha"))
	for i, l := range all {
		event := must(canon.ParseObject(l))["raw"].(canon.Doc)
		if i == 0 { // the drop brings the card
			s.pin(event["body"].(canon.Doc)["card"].(canon.Doc))
		}
		check(home.AppendLines(inbox, [][]byte{canon.Compact(event)}, false))
	}
	events := func() (out []string) {
		var buf bytes.Buffer
		s.once(Config{JSON: true, Stdout: &buf})
		for line := range strings.Lines(buf.String()) {
			out = append(out, strings.TrimSuffix(line, "\n"))
		}
		return out
	}
	expect := func(i int) {
		t.Helper()
		got := events()
		want := file.Steps[i].Lines
		if len(got) != len(want) {
			t.Fatalf("%s (%s): %d events, want %d", file.Steps[i].Do, file.Steps[i].Note, len(got), len(want))
		}
		for j, w := range want {
			record := must(canon.ParseObject(w))
			var members []string
			for _, key := range []string{"peer", "event_id", "kind", "body_preview", "verified", "timestamp", "raw"} {
				members = append(members, fmt.Sprintf("%q:%s", key, canon.Compact(record[key])))
			}
			if line := "{" + strings.Join(members, ",") + "}"; line != got[j] {
				t.Errorf("%s (%s):\ngot  %s\nwant %s", file.Steps[i].Do, file.Steps[i].Note, got[j], line)
			}
		}
	}
	cursor := func(want string) {
		t.Helper()
		if got := string(must(os.ReadFile(s.home.NotifyCursor()))); got != want {
			t.Errorf("cursor %s, want %s", got, want)
		}
	}
	expect(step("wire notify --once --json", ""))
	cursor(`{"alpha":2092}`)
	expect(step("wire notify --once --json", "again"))
	check(os.Remove(s.home.NotifyCursor()))
	var out bytes.Buffer
	if s.once(Config{JSON: true, Peer: "nobody", Stdout: &out}); out.Len() > 0 {
		t.Errorf("%s", out.String())
	}
	cursor(`{"alpha":2092}`)

	// Where the reference shows all of them again, we show that there are some.
	check(os.Remove(s.home.NotifyCursor()))
	s.once(Config{})
	s.want("wire: 3 messages in the inbox, from alpha")
	s.forget()
	s.begin()
	s.once(Config{})
	var toasts []string
	for _, call := range file.Steps[step("notifier called", "")].Calls {
		toasts = append(toasts, call[len(call)-2]+": "+asShown(call[len(call)-1]))
	}
	s.want(toasts...)

	check(os.WriteFile(s.home.NotifyCursor(), []byte("not json"), 0o600))
	expect(step("wire notify --once --json", "cursor unparsable"))
	f := must(os.OpenFile(inbox, os.O_APPEND|os.O_WRONLY, 0))
	must(f.WriteString("junk\n\n{\"torn"))
	check(f.Close())
	expect(step("wire notify --once --json", "junk line, empty line, torn tail"))
	cursor(`{"alpha":2098}`)
	check(os.Truncate(inbox, 100))
	expect(step("wire notify --once --json", "file truncated"))
}

func arrival(id string) mailbox.Arrival { return mailbox.Arrival{EventID: id} }
