package mailbox

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// TestSendLine is the outbox line of the reference's own example (cli.md 2.5, vectors/cli/messages.json
// send-json-outbox-line): the same members, and it verifies.
func TestSendLine(t *testing.T) {
	w := newWorld(t, "atlas")
	now := time.Date(2026, 11, 22, 20, 6, 29, 850261397, time.UTC)
	for _, c := range []struct {
		out  Outgoing
		want canon.Doc
	}{
		{Outgoing{Peer: "boreas", Kind: "claim", Body: "hello"}, canon.Doc{"body": "hello", "kind": uint64(1001), "type": "claim"}},
		{Outgoing{Peer: "boreas", Kind: "question", Body: canon.Doc{"a": uint64(1)}}, canon.Doc{"body": canon.Doc{"a": uint64(1)}, "kind": uint64(1), "type": "question"}},
		{Outgoing{Peer: "boreas", Kind: "1000", Body: nil}, canon.Doc{"body": nil, "kind": uint64(1000), "type": "1000"}},
		{Outgoing{Peer: "boreas", Kind: "", Body: "", Deadline: "2030-01-01T00:00:00Z"}, canon.Doc{"body": "", "kind": uint64(1), "type": "", "time_sensitive_until": "2030-01-01T00:00:00Z"}},
		{Outgoing{Peer: "boreas", Kind: "42", Body: "x"}, canon.Doc{"body": "x", "kind": uint64(42), "type": "42"}}, // and KindWarning says so
	} {
		if warned := KindWarning(c.out.Kind) != ""; warned != (c.out.Kind == "42") {
			t.Errorf("kind %q: warning %v", c.out.Kind, warned)
		}
		q, err := w.box("atlas").Send(t.Context(), c.out, now)
		if err != nil {
			t.Fatal(err)
		}
		lines := w.lines(q.Outbox)
		got := lines[len(lines)-1]
		if got["event_id"] != q.EventID || verifyWith(got, w.card["atlas"], now) != nil {
			t.Errorf("%s", canon.Compact(got))
		}
		for k, v := range map[string]any{
			"from": w.card["atlas"]["did"], "to": "did:wire:boreas", "schema_version": "v3.1", "timestamp": "2026-11-22T20:06:29.850261397Z",
			"public_key_id": identity.KeyID("atlas", w.key["atlas"].Public()),
		} {
			c.want[k] = v
		}
		delete(got, "event_id")
		delete(got, "signature")
		if string(canon.Compact(got)) != string(canon.Compact(c.want)) {
			t.Errorf("got  %s\nwant %s", canon.Compact(got), canon.Compact(c.want))
		}
	}
	if m := must(os.Stat(must(w.session("atlas").Outbox("boreas")))).Mode().Perm(); m != 0o600 {
		t.Errorf("mode %v", m)
	}
}

// TestSendRefuses what would be lost on its way without a word.
func TestSendRefuses(t *testing.T) {
	w := newWorld(t, "api")
	nested := func(n int) any {
		var v any = "x"
		for range n {
			v = []any{v}
		}
		return v
	}
	for _, c := range []struct {
		out  Outgoing
		want string
	}{
		{Outgoing{Peer: "../evil", Kind: "claim", Body: "x"}, "../evil"},
		{Outgoing{Peer: "x/y", Kind: "claim", Body: "x"}, "x/y"},
		{Outgoing{Peer: "", Kind: "claim", Body: "x"}, ""},
		{Outgoing{Peer: "web", Kind: "claim", Body: nested(126)}, "nested 126 deep"},
		{Outgoing{Peer: "web", Kind: "claim", Body: canon.Doc{"a": []any{3.73110762665466e+37}}}, "body.a[0]"},
	} {
		_, err := w.box("api").Send(t.Context(), c.out, time.Now())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.out, err)
		}
	}
	if got := must(os.ReadDir(w.session("api").OutboxDir())); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if _, err := w.box("nobody").Send(t.Context(), Outgoing{Peer: "web", Kind: "claim", Body: "x"}, time.Now()); !errors.Is(err, home.ErrNotInitialized) {
		t.Errorf("%v", err)
	}
	if w.session("nobody").Exists() {
		t.Error("a refused send made a home")
	}
}

// TestSendSize: what Send takes a relay takes, to the byte; the limit is that of the whole signed event.
func TestSendSize(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	w.pin("web", "api")
	now := time.Now()
	send := func(n int) error {
		// Of a quote and a line break JSON takes two bytes each.
		_, err := w.box("api").Send(t.Context(), Outgoing{Peer: "web", Kind: "claim", Body: "\"\n" + strings.Repeat("x", n)}, now)
		return err
	}
	var big *TooLargeError
	if err := send(300_000); !errors.As(err, &big) || !strings.Contains(err.Error(), "a relay takes 262144: nothing was queued") {
		t.Fatal(err)
	}
	fits := maxEvent - (big.Bytes - big.Body) - len(`"\"\n"`)
	if err := send(fits + 1); !errors.As(err, &big) || big.Bytes != maxEvent+1 || !strings.Contains(err.Error(), fmt.Sprintf("may have %d", big.Body-1)) {
		t.Error(err)
	}
	opts := BroadcastOptions{Body: strings.Repeat("x", 300_000), Kind: "claim", Scope: "both"}
	if _, err := w.box("api").Broadcast(t.Context(), opts, now); !errors.As(err, &big) {
		t.Error(err)
	}
	if got := must(os.ReadDir(w.session("api").OutboxDir())); len(got) != 0 {
		t.Errorf("refused, and queued: %v", got)
	}
	check(send(fits))
	w.send("api", "web", "behind it")
	if res := w.push(w.box("api")); len(res.Pushed) != 2 {
		t.Errorf("%+v", res)
	}
	w.pull(w.box("web"))
	if got := w.inbox("web", "api"); len(got) != 2 {
		t.Errorf("%d arrived", len(got))
	}
}

// TestHopVectors sends each body of vectors/identity/hops.json over a relay: it arrives as the reference
// says, or is refused where the reference loses it.
func TestHopVectors(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	w.pin("alice", "bob")
	w.pin("bob", "alice")
	file := must(canon.ParseObject(must(os.ReadFile("testdata/hops.json"))))
	cases, _ := file["cases"].([]any)
	if len(cases) != 12 {
		t.Fatalf("%d cases", len(cases))
	}
	alice, bob := w.box("alice"), w.box("bob")
	for _, v := range cases {
		c := v.(canon.Doc)
		text := c["body_file"].(string)
		n := 0
		if strings.HasSuffix(text, " arrays") {
			must(fmt.Sscanf(text, "%d", &n))
			text = strings.Repeat("[", n) + strings.Repeat("]", n)
		}
		body := must(canon.Parse([]byte(text)))
		_, err := alice.Send(t.Context(), Outgoing{Peer: "bob", Kind: "claim", Body: body}, time.Now())
		arrives := c["pull"].(canon.Doc)["written"] == uint64(1)
		if arrives != (err == nil) {
			t.Errorf("%s: %v; with the reference it arrives: %v", c["name"], err, arrives)
			continue
		}
		if !arrives {
			continue
		}
		w.push(alice)
		if res := w.pull(bob); len(res.Written) != 1 {
			t.Errorf("%s: %+v", c["name"], res)
		}
		lines := w.lines(must(w.session("bob").Inbox("alice")))
		got := string(canon.Compact(lines[len(lines)-1]["body"]))
		want := c["bodies_in_peer_inbox"].([]any)[0].(string)
		if n > 0 {
			want = text
		}
		if got != want {
			t.Errorf("%s arrived as %s, want %s", c["name"], got, want)
		}
	}
}

func TestAttention(t *testing.T) {
	w := newWorld(t, "api", "web")
	api, now := w.box("api"), time.Now()
	if got := api.Attention(t.Context(), "web", now); got != "" {
		t.Errorf("unpinned: %q", got)
	}
	w.pin("api", "web")
	w.pin("web", "api")
	if got := api.Attention(t.Context(), "web", now); !strings.HasPrefix(got, "phyllis: web's line is silent") {
		t.Errorf("never pulled: %q", got)
	}
	w.pull(w.box("web"))
	if got := api.Attention(t.Context(), "web", now); got != "" {
		t.Errorf("pulls: %q", got)
	}
	if got := api.Attention(t.Context(), "web", now.Add(time.Hour)); !strings.HasPrefix(got, "phyllis: web last picked up") {
		t.Errorf("pulled an hour ago: %q", got)
	}
	w.relay.Stop()
	if got := api.Attention(t.Context(), "web", now); !strings.HasPrefix(got, "phyllis: web's line is silent") || !strings.Contains(got, "connect error") {
		t.Errorf("dead relay: %q", got)
	}
	// One that accepts and says nothing may not hold up the command.
	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	defer ln.Close()
	w.route("api", "web", home.Endpoint{RelayURL: "http://" + ln.Addr().String(), SlotID: "aa", SlotToken: identity.NewToken("t"), Scope: home.Federation})
	if got := api.Attention(t.Context(), "web", now); !strings.Contains(got, "timeout") {
		t.Errorf("mute relay: %q", got)
	}
}

// TestTail is cli.md 2.6.
func TestTail(t *testing.T) {
	w := newWorld(t, "api", "web", "zoe")
	w.pin("web", "api")
	w.pin("web", "zoe")
	web := w.box("web")
	show := func(o TailOptions) []string {
		t.Helper()
		var out bytes.Buffer
		if err := web.Tail(&out, o); err != nil {
			t.Fatal(err)
		}
		return slices.Collect(strings.Lines(out.String()))
	}
	if got := show(TailOptions{}); got != nil {
		t.Errorf("%q", got)
	}
	w.post("web", w.event("zoe", "z"), w.event("api", "first"),
		w.sign("api", canon.Doc{"type": "decision", "kind": uint64(1), "body": "second", "time_sensitive_until": "2030-01-01T00:00:00Z", "timestamp": "2026-01-01T00:00:00Z"}),
		w.sign("api", canon.Doc{"type": "note", "kind": uint64(1), "body": canon.Doc{"a": uint64(1)}, "timestamp": "2026-01-01T00:00:00Z"}))
	w.pull(web)
	path := must(w.session("web").Inbox("api"))
	tampered := w.event("api", "x")
	tampered["body"] = "y"
	check(home.AppendLines(path, [][]byte{[]byte("no JSON"), nil, canon.Compact(tampered)}, false))

	did := w.card["api"]["did"].(string)
	got := show(TailOptions{Peer: "api"})
	if len(got) != 4 || !strings.HasSuffix(got[0], did+" kind=1001 claim] first | sig ✓\n") {
		t.Fatalf("%q", got)
	}
	want := []string{
		"[2026-01-01T00:00:00Z " + did + " kind=1 decision deadline: 2030-01-01T00:00:00Z] second | sig ✓\n",
		"[2026-01-01T00:00:00Z " + did + " kind=1 note] {\"a\":1} | sig ✓\n",
	}
	if !slices.Equal(got[1:3], want) || !strings.HasSuffix(got[3], "] y | sig ✗\n") {
		t.Errorf("%q", got)
	}
	if got := show(TailOptions{}); len(got) != 5 || !strings.Contains(got[4], "] z | sig") {
		t.Errorf("%q", got)
	}
	if got := show(TailOptions{Limit: 2}); len(got) != 2 {
		t.Errorf("%q", got)
	}
	if got := show(TailOptions{Peer: "ghost"}); got != nil {
		t.Errorf("%q", got)
	}
	for i, line := range show(TailOptions{JSON: true, Peer: "api"}) {
		e := must(canon.ParseObject([]byte(strings.TrimSuffix(line, "\n"))))
		if e["verified"] != (i < 3) {
			t.Errorf("%s", line)
		}
	}
	if err := Open(home.At(t.TempDir()), w.client).Tail(&bytes.Buffer{}, TailOptions{}); !errors.Is(err, ErrNoInbox) {
		t.Errorf("%v", err)
	}
}

// TestIdlePush: a push with nothing to do asks nobody, and is woken by each of the things it depends on.
func TestIdlePush(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	s := w.session("api")
	settle := func() { // as if the files were an hour old
		for _, f := range []string{s.RelayFile(), s.TrustFile(), s.SentFile()} {
			old := time.Now().Add(-time.Hour)
			check(os.Chtimes(f, old, old))
		}
	}
	api := w.box("api")
	w.send("api", "web", "one")
	w.push(api)
	settle()
	w.push(api)
	settle()
	w.push(api)
	if !api.nothingNew() {
		t.Fatal("not idle")
	}
	w.send("api", "web", "two")
	if api.nothingNew() {
		t.Error("a message does not wake it")
	}
	w.push(api)
	settle()
	w.push(api)
	w.send("api", "stranger", "x")
	if api.nothingNew() {
		t.Error("a message to somebody unpinned does not wake it")
	}
	w.push(api)
	if !api.nothingNew() {
		t.Error("somebody unpinned keeps it awake")
	}
	w.slot("web")
	w.route("api", "web")
	if api.nothingNew() {
		t.Error("a new route does not wake it")
	}
	if res := w.push(api); len(res.Pushed) != 2 {
		t.Errorf("%+v", res)
	}
}

// TestPageTooSlow: a page that does not arrive in time is asked for in smaller parts.
func TestPageTooSlow(t *testing.T) {
	t.Parallel() // it waits for two deadlines
	w := newWorld(t, "web")
	var limits []string
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		limit := r.URL.Query().Get("limit")
		limits = append(limits, limit)
		if len(limit) > 2 {
			rw.Header().Set("Content-Length", "1000000")
			rw.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		fmt.Fprint(rw, "[]")
	}))
	defer srv.Close()
	check(w.session("web").UpdateRelay(t.Context(), func(r *home.RelayFile) error {
		r.SetSelf([]home.Endpoint{{RelayURL: srv.URL, SlotID: "aa", Scope: home.Local}})
		return nil
	}))
	b := Open(w.session("web"), newImpatientClient(t))
	if res := w.pull(b); len(res.Failed) != 0 || !slices.Equal(limits, []string{"1000", "100", "10"}) {
		t.Errorf("%v, asked %v", res.Failed, limits)
	}
}
