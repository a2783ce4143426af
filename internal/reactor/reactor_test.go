package reactor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/mailbox"
)

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

// site is a session with two pinned peers, and where its commands write.
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
	for _, name := range []string{"web", "api", "doc"} {
		key := must(identity.NewKey())
		card := identity.SignCard(identity.NewCard(name, "", key.Public()), key)
		s.keys[name], s.dids[name] = key, must(identity.ReadCard(card)).DID
		if name == "web" {
			check(s.home.CreateKey(key))
			check(s.home.WriteCard(card))
			continue
		}
		_, rec, err := identity.PinRecord(card, identity.TierVerified, time.Now(), nil)
		check(err)
		check(s.home.UpdateTrust(t.Context(), func(sp *canon.Spans) error {
			sp.Set(canon.AppendPretty(nil, rec, 2), "agents", name)
			return nil
		}))
	}
	return s
}

// arrives stores an event as a pull does and is its id.
func (s *site) arrives(from, typ string, body any) string {
	s.t.Helper()
	s.n++
	event := identity.SignEvent(canon.Doc{
		"timestamp": fmt.Sprint(s.n), "from": string(s.dids[from]), "to": "did:wire:web", "type": typ,
		"kind": uint64(identity.KindNumber(typ)), "body": body,
	}, s.keys[from], s.dids[from])
	check(home.AppendLines(must(s.home.Inbox(from)), [][]byte{canon.Compact(event)}, false))
	return event["event_id"].(string)
}

// says queues an event of the session itself, as a command with `wire send` does.
func (s *site) says(to, body string) string {
	s.t.Helper()
	return must(mailbox.Open(s.home, nil).Send(s.t.Context(), mailbox.Outgoing{Peer: to, Kind: "claim", Body: body}, time.Now())).EventID
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) read(name string) string {
	data, err := os.ReadFile(s.path(name))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	return string(data)
}

// once runs one sweep; its stderr is the result.
func (s *site) once(c Config) string {
	s.t.Helper()
	var errs bytes.Buffer
	c.Session, c.Once, c.Stderr = s.home, true, &errs
	if err := Run(s.t.Context(), c); err != nil {
		s.t.Fatal(err)
	}
	return errs.String()
}

// rewind makes everything new again.
func (s *site) rewind() { check(os.Remove(s.home.ReactorCursor())) }

// TestCommand gets what it needs to know, each its own.
func TestCommand(t *testing.T) {
	s := newSite(t)
	s.once(Config{Command: "touch " + s.path("ran")})
	if got := string(must(os.ReadFile(s.home.ReactorCursor()))); got != "{}" || s.read("ran") != "" {
		t.Errorf("cursor %q", got)
	}
	if _, err := os.Stat(s.path("ran")); err == nil {
		t.Error("it ran for nothing")
	}
	one := s.arrives("api", "claim", "one")
	two := s.arrives("doc", "decision", canon.Doc{"a": uint64(1)})
	s.once(Config{Command: `cat >"` + s.dir + `/$WIRE_EVENT_ID"; echo "$WIRE_EVENT_PEER $WIRE_EVENT_KIND $WIRE_HOME" >>"` + s.dir + `/$WIRE_EVENT_ID"`})
	for id, want := range map[string][]string{
		one: {`{"body":"one","event_id":"` + one + `","from":"` + string(s.dids["api"]) + `",`, "\napi claim " + s.home.Dir + "\n"},
		two: {`{"body":{"a":1},"event_id":"` + two + `",`, "\ndoc decision "},
	} {
		got := s.read(id)
		if !strings.HasPrefix(got, want[0]) || !strings.Contains(got, want[1]) || strings.Count(got, "\n") != 2 {
			t.Errorf("%s", got)
		}
	}
	size := must(os.Stat(must(s.home.Inbox("api")))).Size()
	if at, known := home.ReadOffsets(s.home.ReactorCursor()); !known || at["api"] != size {
		t.Errorf("%v", at)
	}
	// Once for each event.
	if s.once(Config{Command: "touch " + s.path("ran")}); s.read("ran") != "" {
		t.Error("it ran again")
	}
}

// TestWhichEvents run the command.
func TestWhichEvents(t *testing.T) {
	s := newSite(t)
	s.arrives("api", "claim", "one")
	s.arrives("api", "decision", "two")
	s.arrives("doc", "note", "three") // kind 1, like a decision
	forged := canon.Doc{"from": string(s.dids["api"]), "type": "claim", "kind": uint64(1001), "body": "forged", "event_id": "x"}
	check(home.AppendLines(must(s.home.Inbox("api")), [][]byte{canon.Compact(forged)}, false))
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{}, "one,two,three"},
		{Config{Peer: "doc"}, "three"},
		{Config{Peer: "ghost"}, ""},
		{Config{Kind: "decision"}, "two"},
		{Config{Kind: "1"}, "two,three"},
		{Config{Kind: "1001"}, "one"},
		{Config{Kind: "no"}, ""},
		{Config{MaxPerMinute: 1}, "one,three"},
	} {
		var out bytes.Buffer
		c.config.DryRun, c.config.Stdout = true, &out
		errs := s.once(c.config)
		var bodies []string
		for line := range strings.Lines(out.String()) {
			bodies = append(bodies, must(canon.ParseObject([]byte(strings.TrimSpace(line))))["body"].(string))
		}
		if got := strings.Join(bodies, ","); got != c.want {
			t.Errorf("%+v: %s", c.config, got)
		}
		if limited := strings.Contains(errs, "wire reactor: skip ") && strings.Contains(errs, " from api — more than 1 in a minute"); limited != (c.config.MaxPerMinute == 1) {
			t.Errorf("%+v: %s", c.config, errs)
		}
		s.rewind()
	}
}

// TestPace is per peer and minute.
func TestPace(t *testing.T) {
	var p pace
	now := time.Now()
	var got []bool
	for _, at := range []time.Duration{0, 1, 2, 59, 60, 60, 62, 200} {
		got = append(got, p.take("api", 2, now.Add(at*time.Second)))
	}
	if want := []bool{true, true, false, false, true, false, true, true}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if !p.take("doc", 2, now) || !p.take("doc", 0, now) {
		t.Error("one peer's share is another's")
	}
}

// TestNoEcho: what answers a message that the commands have sent runs none; what was sent before or by others
// is somebody's own.
func TestNoEcho(t *testing.T) {
	s := newSite(t)
	before := s.says("api", "by hand")
	s.arrives("api", "claim", "hello")
	sent := ""
	// A command that answers: here the test does, between two looks at the outbox.
	r := &reactor{Config: Config{Session: s.home}, box: mailbox.Open(s.home, nil)}
	check(r.causes.begin(s.home, r.box))
	sent = s.says("api", "an answer")
	check(r.causes.look())
	if got := s.home.ReadEmitted(); !slices.Equal(got, []string{sent}) {
		t.Errorf("%q, want %q", got, sent)
	}

	s.once(Config{Command: "true"})
	quiet := []string{
		s.arrives("api", "claim", "(re:"+sent[:12]+") thanks"),
		s.arrives("api", "claim", "(re:nobody) and (re:"+sent+")"),
		s.arrives("api", "claim", canon.Doc{"text": "(re:" + sent[:8] + ")"}),
	}
	loud := []string{
		s.arrives("api", "claim", "(re:"+before+") thanks"),
		s.arrives("api", "claim", "(re:"+sent[:3]+") could be anybody"),
		s.arrives("api", "claim", "(re:"+sent),
		s.arrives("api", "claim", "(re:)"),
	}
	cursor := must(os.ReadFile(s.home.ReactorCursor()))
	var out bytes.Buffer
	errs := s.once(Config{DryRun: true, Stdout: &out})
	for _, id := range quiet {
		if strings.Contains(out.String(), `"event_id":"`+id) || !strings.Contains(errs, "skip "+id+" from api — it answers "+sent[:8]) {
			t.Errorf("%s\n%s", errs, out.String())
		}
	}
	for _, id := range loud {
		if !strings.Contains(out.String(), `"event_id":"`+id) {
			t.Errorf("not %s:\n%s", id, out.String())
		}
	}
	check(os.WriteFile(s.home.ReactorCursor(), cursor, 0o600))
	out.Reset()
	if s.once(Config{DryRun: true, Answers: true, Stdout: &out}); strings.Count(out.String(), "\n") != 7 {
		t.Errorf("%s", out.String())
	}
}

// TestCausesAreBounded: the oldest go first, whatever their ids sort like.
func TestCausesAreBounded(t *testing.T) {
	s := newSite(t)
	var ids []string
	for i := range keepCaused {
		ids = append(ids, fmt.Sprintf("%064x", i*7919%keepCaused))
	}
	check(s.home.WriteEmitted(ids))
	c := causes{}
	check(c.begin(s.home, mailbox.Open(s.home, nil)))
	a, b := s.says("api", "a"), s.says("doc", "b")
	check(c.look())
	got := s.home.ReadEmitted()
	if len(got) != keepCaused || !slices.Equal(got[:3], ids[2:5]) || !slices.Equal(got[keepCaused-2:], []string{a, b}) {
		t.Errorf("%d, %q ... %q", len(got), got[:3], got[keepCaused-2:])
	}
}

// TestCommandFails is said and is no failure of the reactor.
func TestCommandFails(t *testing.T) {
	s := newSite(t)
	id := s.arrives("api", "claim\x00evil", "one")
	errs := s.once(Config{Command: "exit 3"})
	if errs != "wire reactor: the command for "+id+" from api failed: exit status 3\n" {
		t.Errorf("%s", errs)
	}
}

// TestParallel: as many run at once as there is room for, and the rest when one of them ends.
func TestParallel(t *testing.T) {
	s := newSite(t)
	const all = atOnce + 4
	for i := range all {
		s.arrives("api", "claim", fmt.Sprint(i))
	}
	// Each command says that it is there and waits until the test lets it go.
	check(os.Mkdir(s.path("there"), 0o700))
	fifo := s.path("go")
	check(mkfifo(fifo))
	done := make(chan string)
	go func() {
		done <- s.once(Config{Command: `touch "` + s.dir + `/there/$WIRE_EVENT_ID"; read x <"` + fifo + `"`})
	}()
	s.wait(func() bool { return len(must(os.ReadDir(s.path("there")))) == atOnce })
	gate := must(os.OpenFile(fifo, os.O_RDWR, 0))
	defer gate.Close()
	var feed sync.WaitGroup
	feed.Go(func() {
		for range all {
			must(gate.WriteString("\n"))
		}
	})
	if errs := <-done; errs != "" {
		t.Errorf("%s", errs)
	}
	feed.Wait()
	if n := len(must(os.ReadDir(s.path("there")))); n != all {
		t.Errorf("%d ran, want %d", n, all)
	}
}

// TestServe runs for what comes while it serves, and lets what runs come to its end.
func TestServe(t *testing.T) {
	s := newSite(t)
	fifo := s.path("go")
	check(mkfifo(fifo))
	ctx, cancel := context.WithCancel(t.Context())
	var errs bytes.Buffer
	done := make(chan error)
	go func() {
		done <- Run(ctx, Config{
			Session: s.home, Command: `touch ` + s.path("began") + `; read x <"` + fifo + `"; echo $x >` + s.path("ended"), Stderr: &errs,
		})
	}()
	s.wait(func() bool { return exists(s.home.ReactorCursor()) })
	s.arrives("api", "claim", "one")
	s.wait(func() bool { return exists(s.path("began")) })
	cancel()
	check(os.WriteFile(fifo, []byte("well\n"), 0))
	if err := <-done; err != nil || errs.Len() > 0 {
		t.Errorf("%v, %s", err, &errs)
	}
	if got := s.read("ended"); got != "well\n" {
		t.Errorf("%q", got)
	}
}

// TestAtMostOnce: a cursor that cannot be written runs nothing, and the events run when it can.
func TestAtMostOnce(t *testing.T) {
	s := newSite(t)
	s.arrives("api", "claim", "one")
	check(os.Mkdir(s.home.ReactorCursor(), 0o700))
	var errs bytes.Buffer
	c := Config{Session: s.home, Command: "touch " + s.path("ran"), Once: true, Stderr: &errs}
	if err := Run(t.Context(), c); err == nil || exists(s.path("ran")) {
		t.Errorf("%v", err)
	}
	check(os.Remove(s.home.ReactorCursor()))
	if err := Run(t.Context(), c); err != nil || !exists(s.path("ran")) {
		t.Errorf("%v, %s", err, &errs)
	}
}

// TestRemovedHome ends the reactor instead of making the home again.
func TestRemovedHome(t *testing.T) {
	s := newSite(t)
	done := make(chan error)
	go func() { done <- Run(t.Context(), Config{Session: s.home, Stderr: &bytes.Buffer{}}) }()
	s.wait(func() bool { return exists(s.home.ReactorCursor()) })
	check(os.RemoveAll(s.home.Dir))
	if err := <-done; err == nil || !strings.Contains(err.Error(), "was removed") {
		t.Errorf("%v", err)
	}
	if exists(s.home.Dir) {
		t.Error("it is there again")
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// wait waits for a condition that another process brings about.
func (s *site) wait(until func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); !until(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("it does not come")
		}
	}
}
