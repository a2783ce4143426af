package mailbox

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/relaytest"
)

func ids(items []PushItem) (out []string) {
	for _, i := range items {
		out = append(out, i.EventID)
	}
	return out
}

// TestPushNobody is a push with nothing to push to.
func TestPushNobody(t *testing.T) {
	w := newWorld(t, "api", "web")
	if _, err := w.box("api").Push(t.Context(), PushOptions{}); !errors.As(err, &ErrNoPeers{}) {
		t.Errorf("no peers: %v", err)
	}
	w.send("api", "web", "early")
	if _, err := w.box("api").Push(t.Context(), PushOptions{}); !errors.As(err, &ErrNoPeers{}) {
		t.Errorf("outbox, but no peers: %v", err)
	}
	w.pin("api", "web")
	if res, err := w.box("api").Push(t.Context(), PushOptions{Peer: "ghost", Report: true}); err != nil || len(res.Pushed)+len(res.Skipped) != 0 {
		t.Errorf("unknown peer: %+v, %v", res, err)
	}
	if res := w.push(w.box("api")); len(res.Pushed) != 1 {
		t.Errorf("queued before the pin: %+v", res)
	}
}

// TestPushForgotten is a crash between a post and the note of it: the relay says duplicate, nobody hears it
// twice.
func TestPushForgotten(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	w.pin("web", "api")
	api := w.box("api")
	w.send("api", "web", "one")
	w.push(api)
	noted := must(os.ReadFile(w.session("api").SentFile()))
	w.send("api", "web", "two")
	w.push(api)
	check(home.WriteFile(w.session("api").SentFile(), noted, 0o600))

	if res := w.push(w.box("api")); len(res.Pushed) != 0 || !slices.Equal(reasons(res.Skipped), []string{"duplicate"}) {
		t.Errorf("%+v", res)
	}
	check(os.Remove(w.session("api").SentFile()))
	if res := w.push(api); !slices.Equal(reasons(res.Skipped), []string{"duplicate", "duplicate"}) {
		t.Errorf("without the file: %+v", res)
	}
	w.pull(w.box("web"))
	w.wantInbox("web", "api", "one", "two")
}

// TestPushAnotherFile: progress is void if the line before the offset is not the one that was posted.
func TestPushAnotherFile(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	w.pin("web", "api")
	api := w.box("api")
	w.send("api", "web", "one")
	w.push(api)
	path := must(w.session("api").Outbox("web"))
	for _, cut := range []string{"purged", "other content of the same length"} {
		if cut == "purged" {
			check(os.Remove(path))
		} else {
			data := must(os.ReadFile(path))
			check(os.WriteFile(path, []byte(strings.Repeat(" ", len(data)-1)+"\n"), 0o600))
		}
		w.send("api", "web", cut)
		if res := w.push(api); len(res.Pushed) != 1 {
			t.Errorf("%s: %+v", cut, res)
		}
	}
	w.pull(w.box("web"))
	w.wantInbox("web", "api", "one", "purged", "other content of the same length")
}

// TestPushAnotherFileBehindAnOddLine: an offset within a line is no progress, even if the line that stood there
// had no event_id.
func TestPushAnotherFileBehindAnOddLine(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	w.pin("web", "api")
	api := w.box("api")
	path := must(w.session("api").Outbox("web"))
	check(os.MkdirAll(filepath.Dir(path), 0o700))
	check(os.WriteFile(path, []byte("{\"x\":1}\n"), 0o600))
	w.push(api)
	check(os.Remove(path))
	w.send("api", "web", "longer than the line before")
	if res := w.push(api); len(res.Pushed) != 1 {
		t.Errorf("%+v", res)
	}
}

// TestPushOddLines: what is no event is passed over and does not block, what no relay takes is told once and
// remembered.
func TestPushOddLines(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	w.pin("web", "api")
	api := w.box("api")
	path := must(w.session("api").Outbox("web"))
	appendText := func(text string) {
		f := must(os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600))
		_, err := f.WriteString(text)
		check(errors.Join(err, f.Close()))
	}
	w.send("api", "web", "one")
	appendText("no JSON\n\n[1]\n\xff\xfe\n{\"x\":1}\n")
	signed := w.sign("api", canon.Doc{"type": "claim", "kind": uint64(1001), "body": strings.Repeat("x", 262_145)})
	big, _ := signed["event_id"].(string)
	appendText(string(canon.Compact(signed)) + "\n") // Send would refuse it
	w.send("api", "web", "two")
	appendText(`{"torn`)

	res := w.push(api)
	if len(res.Pushed) != 2 || len(res.Skipped) != 2 || len(res.Refused) != 2 || !res.Skipped[1].Never || res.Skipped[1].EventID != big || !strings.Contains(res.Skipped[1].Reason, "413 Payload Too Large") {
		t.Errorf("%+v", res)
	}
	w.send("api", "web", "three") // ends the torn line first
	if res := w.push(api); len(res.Pushed) != 1 || len(res.Skipped) != 0 {
		t.Errorf("after the torn line: %+v", res)
	}
	// A last line without its end counts once it is whole, and its late end is no line of its own.
	appendText(string(canon.Compact(w.event("api", "four"))))
	if res := w.push(api); len(res.Pushed) != 1 {
		t.Errorf("without a line end: %+v", res)
	}
	w.send("api", "web", "five")
	if res := w.push(w.box("api")); len(res.Pushed) != 1 || len(res.Skipped) != 0 {
		t.Errorf("behind it: %+v", res)
	}
	w.send("api", "web", "six")
	if res := w.push(w.box("api")); len(res.Pushed) != 1 || len(res.Skipped) != 0 {
		t.Errorf("the progress was not void: %+v", res)
	}
	w.pull(w.box("web"))
	w.wantInbox("web", "api", "one", "two", "three", "four", "five", "six")

	report := must(w.box("api").Push(t.Context(), PushOptions{Report: true}))
	duplicates := 0
	for _, i := range report.Skipped {
		if i.Reason == "duplicate" {
			duplicates++
		}
		if i.EventID == big && !strings.Contains(i.Reason, "413") {
			t.Errorf("the refused line is reported as %q", i.Reason)
		}
	}
	if duplicates != 6 || len(report.Skipped) != 8 {
		t.Errorf("report: %q", reasons(report.Skipped))
	}
}

// TestPushRefusedByRelay: 400 for one line passes over it, but only if a relay says so.
func TestPushRefusedByRelay(t *testing.T) {
	for _, isRelay := range []bool{true, false} {
		t.Run(fmt.Sprint(isRelay), func(t *testing.T) {
			w := newWorld(t, "api", "web")
			w.trust("api", "web", time.Now())
			srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				body := make([]byte, r.ContentLength)
				_, _ = r.Body.Read(body)
				switch {
				case r.URL.Path == "/healthz" && isRelay:
					fmt.Fprintln(rw, "ok")
				case strings.HasSuffix(r.URL.Path, "/state"):
					rw.WriteHeader(404)
					fmt.Fprint(rw, `{"error":"unknown slot"}`)
				case strings.Contains(string(body), "poison"):
					rw.WriteHeader(400)
					fmt.Fprint(rw, "no")
				default:
					rw.WriteHeader(201)
					fmt.Fprint(rw, `{"event_id":null,"status":"stored"}`)
				}
			}))
			defer srv.Close()
			w.route("api", "web", home.Endpoint{RelayURL: srv.URL, SlotID: "aa", SlotToken: identity.NewToken("t"), Scope: home.Federation})
			for _, body := range []string{"one", "poison", "two"} {
				w.send("api", "web", body)
			}
			api := w.box("api")
			res := w.push(api)
			if isRelay && (len(res.Pushed) != 2 || !slices.Equal(reasons(res.Skipped), []string{"post_event failed: 400 Bad Request: no"})) {
				t.Errorf("%+v", res)
			}
			if !isRelay && (len(res.Pushed) != 1 || len(res.Skipped) != 1) {
				t.Errorf("%+v", res)
			}
			if again := w.push(api); isRelay != (len(again.Skipped) == 0) {
				t.Errorf("again: %+v", again)
			}
		})
	}
}

// TestPushRelayDown: order is kept, nothing is lost, and a report names every line that waits.
func TestPushRelayDown(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	w.pin("web", "api")
	api := w.box("api")
	w.send("api", "web", "one")
	w.push(api)
	w.relay.Stop()
	second, third := w.send("api", "web", "two"), w.send("api", "web", "three")
	res := w.push(api)
	if len(res.Pushed) != 0 || !slices.Equal(ids(res.Skipped), []string{second}) || !strings.HasPrefix(res.Skipped[0].Reason, "connect error: POST "+w.relay.URL()) {
		t.Errorf("%+v", res)
	}
	report := must(api.Push(t.Context(), PushOptions{Report: true}))
	if got := ids(report.Skipped); len(got) != 3 || got[1] != second || got[2] != third || report.Skipped[0].Reason != "duplicate" || report.Skipped[2].Endpoint != "" {
		t.Errorf("report: %+v", report.Skipped)
	}
	w.relay.Start()
	if res := w.push(api); !slices.Equal(ids(res.Pushed), []string{second, third}) {
		t.Errorf("%+v", res)
	}
	w.pull(w.box("web"))
	w.wantInbox("web", "api", "one", "two", "three")
}

func TestPushNoRoute(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.trust("api", "web", time.Now())
	w.route("api", "web", home.Endpoint{RelayURL: "http://127.0.0.1:9", SlotID: "aa", Scope: home.Local})
	first := w.send("api", "web", "one")
	w.send("api", "web", "two")
	if res := w.push(w.box("api")); !slices.Equal(ids(res.Skipped), []string{first}) || res.Skipped[0].Reason != noRoute {
		t.Errorf("%+v", res)
	}
	if res := must(w.box("api").Push(t.Context(), PushOptions{Report: true})); !slices.Equal(reasons(res.Skipped), []string{noRoute, noRoute}) {
		t.Errorf("%+v", res)
	}
}

// TestPushAnotherLocalRelay: a sister whose only slot is on another local relay is reached there.
func TestPushAnotherLocalRelay(t *testing.T) {
	w := newWorld(t, "api", "web")
	own := w.relay
	w.relay = relaytest.Start(t, relaytest.Config{})
	w.slot("web")
	w.relay = own
	w.pin("api", "web")
	w.pin("web", "api")
	w.send("api", "web", "one")
	res := w.push(w.box("api"))
	if len(res.Pushed) != 1 || res.Pushed[0].Scope != "local" || res.Pushed[0].Endpoint == own.URL() {
		t.Errorf("%+v", res)
	}
	w.pull(w.box("web"))
	w.wantInbox("web", "api", "one")
}

// TestPushFailover: another endpoint of the same pin goes on where the first one stopped; nothing is
// replayed to it, also not when the first one comes back.
func TestPushFailover(t *testing.T) {
	w := newWorld(t, "api", "web")
	second := relaytest.Start(t, relaytest.Config{})
	other := must(w.client.Allocate(t.Context(), second.URL(), "web"))
	fed := home.Endpoint{RelayURL: other.URL, SlotID: other.ID, SlotToken: other.Token, Scope: home.Federation}
	w.pin("web", "api")
	local := w.self("web")[0]
	check(w.session("web").UpdateRelay(t.Context(), func(r *home.RelayFile) error {
		r.SetSelf([]home.Endpoint{fed, local})
		return nil
	}))
	w.pin("api", "web")
	api := w.box("api")
	at := func(e home.Endpoint) int {
		t.Helper()
		return must(w.client.State(t.Context(), slotOf(e))).EventCount
	}

	w.send("api", "web", "one")
	if res := w.push(api); len(res.Pushed) != 1 || res.Pushed[0].Scope != home.Local {
		t.Fatalf("local first: %+v", res)
	}
	w.relay.Stop()
	w.send("api", "web", "two")
	if res := w.push(api); len(res.Pushed) != 1 || res.Pushed[0].Scope != home.Federation || res.Pushed[0].Endpoint != second.URL() {
		t.Fatalf("%+v", res)
	}
	if n := at(fed); n != 1 {
		t.Errorf("%d events on the second relay", n)
	}
	w.relay.Start()
	w.send("api", "web", "three")
	if res := w.push(api); len(res.Pushed) != 1 || res.Pushed[0].Scope != home.Local {
		t.Fatalf("%+v", res)
	}
	if at(local) != 2 || at(fed) != 1 {
		t.Errorf("%d local, %d federation", at(local), at(fed))
	}
	report := must(api.Push(t.Context(), PushOptions{Report: true}))
	if got := []home.Scope{report.Skipped[0].Scope, report.Skipped[1].Scope}; !slices.Equal(got, []home.Scope{home.Local, home.Federation}) {
		t.Errorf("reported at %v", got)
	}
	web := w.box("web")
	w.pull(web)
	if got := w.inbox("web", "api"); len(got) != 3 {
		t.Errorf("inbox %q", got)
	}

	// The local slot is lost with what nobody pulled: that, and only that, goes to the other one.
	w.send("api", "web", "four")
	w.push(api)
	w.relay.Stop()
	check(os.RemoveAll(w.relay.Dir))
	w.relay.Start()
	w.send("api", "web", "five")
	w.push(api)
	w.pull(web)
	if got := w.inbox("web", "api"); len(got) != 5 {
		t.Errorf("inbox %q", got)
	}
	if n := at(fed); n != 5 {
		t.Errorf("%d events on the second relay: the local slot took its first line first", n)
	}
}

// TestPushSlotLost: the relay lost its state with messages under way; once the peer has a new slot all
// arrive, none twice.
func TestPushSlotLost(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	w.pin("web", "api")
	api, web := w.box("api"), w.box("web")
	for _, b := range bodies(3) {
		w.send("api", "web", b)
	}
	w.push(api)
	w.pull(web)
	w.send("api", "web", "lost")
	w.push(api) // posted, not pulled
	w.relay.Stop()
	check(os.RemoveAll(w.relay.Dir))
	w.relay.Start()

	last := w.send("api", "web", "last")
	if res := w.push(api); len(res.Pushed) != 0 || !slices.Equal(ids(res.Skipped), []string{last}) || !strings.Contains(res.Skipped[0].Reason, "404 Not Found") {
		t.Errorf("in the broken state: %+v", res)
	}
	if res := w.pull(web); len(res.Failed) != 1 || !strings.Contains(res.Failed[0], "(Local) errored: list_events failed: 404 Not Found") {
		t.Errorf("pull in the broken state: %+v", res)
	}
	w.slot("web")
	w.slot("api")
	w.route("api", "web")
	w.route("web", "api")
	if res := w.push(api); len(res.Pushed) != 5 {
		t.Errorf("%+v", res)
	}
	w.pull(web)
	w.wantInbox("web", "api", "m0", "m1", "m2", "lost", "last")
	if res := w.push(api); len(res.Pushed)+len(res.Skipped) != 0 {
		t.Errorf("again: %+v", res)
	}
}

// TestPushNewIdentity: what was written to somebody else under the handle stays with him.
func TestPushNewIdentity(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	api := w.box("api")
	earlier := time.Now().Add(-time.Minute)
	w.sendAt("api", "web", "to the old one", earlier)
	w.push(api)
	w.sendAt("api", "web", "never posted", earlier)

	w.create("web")
	w.pin("api", "web")
	w.pin("web", "api")
	w.send("api", "web", "to the new one")
	if res := w.push(api); len(res.Pushed) != 1 {
		t.Errorf("%+v", res)
	}
	web := w.box("web")
	w.pull(web)
	w.wantInbox("web", "api", "to the new one")

	// It stays so when everything is posted again.
	w.slot("web")
	w.route("api", "web")
	if res := w.push(w.box("api")); len(res.Pushed) != 1 {
		t.Errorf("after a new slot: %+v", res)
	}
	report := must(w.box("api").Push(t.Context(), PushOptions{Report: true}))
	want := []string{"written before the present identity of web was pinned", "written before the present identity of web was pinned", "duplicate"}
	if !slices.Equal(reasons(report.Skipped), want) {
		t.Errorf("%q", reasons(report.Skipped))
	}
}

// TestPushFullSlot: a full slot refuses every line, so none is passed over.
func TestPushFullSlot(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.trust("api", "web", time.Now())
	full := true
	var mu sync.Mutex
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if full {
			rw.WriteHeader(413)
			fmt.Fprint(rw, `{"error":"slot quota exceeded","slot_bytes_max":67108864,"slot_bytes_used":67108864}`)
			return
		}
		rw.WriteHeader(201)
		fmt.Fprint(rw, `{"event_id":null,"status":"stored"}`)
	}))
	defer srv.Close()
	w.route("api", "web", home.Endpoint{RelayURL: srv.URL, SlotID: "aa", SlotToken: identity.NewToken("t"), Scope: home.Federation})
	w.send("api", "web", "one")
	api := w.box("api")
	if res := w.push(api); len(res.Pushed) != 0 || len(res.Skipped) != 1 {
		t.Errorf("%+v", res)
	}
	mu.Lock()
	full = false
	mu.Unlock()
	if res := w.push(api); len(res.Pushed) != 1 {
		t.Errorf("%+v", res)
	}
}

// TestPushOutboxMadeMeanwhile: the first message to a peer that is queued while a push posts to another one is
// what the next push is for, though that push left nothing of what it had found.
func TestPushOutboxMadeMeanwhile(t *testing.T) {
	w := newWorld(t, "api", "web", "docs")
	w.trust("api", "web", time.Now())
	w.pin("api", "docs")
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		w.send("api", "docs", "meanwhile")
		rw.WriteHeader(201)
		fmt.Fprint(rw, `{"event_id":null,"status":"stored"}`)
	}))
	defer srv.Close()
	w.route("api", "web", home.Endpoint{RelayURL: srv.URL, SlotID: "aa", SlotToken: identity.NewToken("t"), Scope: home.Federation})
	w.send("api", "web", "one")
	for _, path := range []string{w.session("api").RelayFile(), w.session("api").TrustFile()} {
		check(os.Chtimes(path, time.Time{}, time.Now().Add(-time.Minute))) // too young, they would be read again anyway
	}
	api := w.box("api")
	if res := w.push(api); len(res.Pushed) != 1 || res.Pushed[0].Peer != "web" {
		t.Errorf("%+v", res)
	}
	if res := w.push(api); len(res.Pushed) != 1 || res.Pushed[0].Peer != "docs" {
		t.Errorf("what came meanwhile: %+v", res)
	}
}

// TestPushManyPeers: peers are served beside each other, each one's lines in order; results are sorted.
func TestPushManyPeers(t *testing.T) {
	names := []string{"hub"}
	for i := range 9 {
		names = append(names, fmt.Sprint("s", i))
	}
	w := newWorld(t, names...)
	hub := w.box("hub")
	for _, n := range names[1:] {
		w.pin("hub", n)
		w.pin(n, "hub")
		for _, b := range bodies(5) {
			w.send("hub", n, b)
		}
	}
	res := w.push(hub)
	if len(res.Pushed) != 45 || !slices.IsSortedFunc(res.Pushed, func(a, b PushItem) int { return strings.Compare(a.Peer, b.Peer) }) {
		t.Errorf("%+v", res)
	}
	for _, n := range names[1:] {
		w.pull(w.box(n))
		w.wantInbox(n, "hub", bodies(5)...)
	}
}

// TestPushStray: messages under a full address are named to whoever asks.
func TestPushStray(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	for _, name := range []string{"web@wireup.net.jsonl", "other@wireup.net.jsonl", "web.pushed.jsonl"} {
		check(os.WriteFile(w.session("api").OutboxDir()+"/"+name, []byte("{}\n"), 0o600))
	}
	w.send("api", "web", "one")
	if res := must(w.box("api").Push(t.Context(), PushOptions{Report: true})); !slices.Equal(res.Stray, []string{"web@wireup.net.jsonl"}) {
		t.Errorf("%q", res.Stray)
	}
}

// TestPushBrokenProgress: a record of what was posted that cannot be read is put aside, and everything goes out
// again: once more into a slot that has it, and for the first time into one that took the place of a lost one.
func TestPushBrokenProgress(t *testing.T) {
	for name, spoil := range map[string]func(text string) string{
		"torn":          func(text string) string { return text[:len(text)/2] },
		"empty":         func(string) string { return "" },
		"without slots": func(text string) string { return strings.Replace(text, `"slots"`, `"stols"`, 1) },
		"slots torn away": func(text string) string {
			return regexp.MustCompile(`("slots": \{\s*"[0-9a-f]+": )\d+`).ReplaceAllString(text, "${1}null")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "api", "web")
			w.pin("api", "web")
			w.pin("web", "api")
			w.send("api", "web", "one")
			w.push(w.box("api"))
			path := w.session("api").SentFile()
			before := string(must(os.ReadFile(path)))
			broken := spoil(before)
			if broken == before {
				t.Fatalf("nothing to spoil in %s", before)
			}
			check(os.WriteFile(path, []byte(broken), 0o600))
			w.slot("web")
			w.route("api", "web")
			w.send("api", "web", "two")
			res := w.push(w.box("api"))
			if len(res.Pushed) != 2 {
				t.Errorf("%+v", res)
			}
			if _, err := canon.ParseObject([]byte(broken)); err != nil {
				if got := string(must(os.ReadFile(path + ".corrupt"))); got != broken || !strings.Contains(res.Lost, path+".corrupt") {
					t.Errorf("%q, %s", res.Lost, got)
				}
			}
			if res := w.push(w.box("api")); res.Lost != "" || len(res.Pushed)+len(res.Skipped) != 0 {
				t.Errorf("again: %+v", res)
			}
			w.pull(w.box("web"))
			w.wantInbox("web", "api", "one", "two")
		})
	}
}

// TestPushLostProgressOfRenewedSister: a sister that was made again, and whose card changed since, gets all that
// was written to her as she is now, though it is no longer known what was posted and her slot is lost.
func TestPushLostProgressOfRenewedSister(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	w.pin("web", "api")
	start := time.Now().Add(-time.Hour)
	w.sendAt("api", "web", "to the old one", start)
	w.push(w.box("api"))
	old := w.card["web"]
	w.create("web")
	w.pin("web", "api")
	pinned := start.Add(time.Minute)
	repin := func(added, at time.Time) {
		check(w.session("api").UpdateTrust(t.Context(), func(sp *canon.Spans) error {
			_, was, err := identity.PinRecord(old, identity.TierVerified, start, nil)
			check(err)
			_, rec, err := identity.PinRecord(w.card["web"], identity.TierVerified, at, was["public_keys"].([]any))
			check(err)
			rec["public_keys"].([]any)[0].(canon.Doc)["added_at"] = identity.FormatTime(added)
			sp.Set(canon.AppendPretty(nil, rec, 2), "agents", "web")
			return nil
		}))
		w.route("api", "web")
	}
	repin(pinned, pinned)
	w.sendAt("api", "web", "to the new one", pinned.Add(time.Minute))
	w.push(w.box("api"))
	repin(pinned, pinned.Add(30*time.Minute))
	w.slot("web")
	w.route("api", "web")
	check(os.Remove(w.session("api").SentFile()))
	w.push(w.box("api"))
	w.pull(w.box("web"))
	w.wantInbox("web", "api", "to the new one")
}

// TestPushEmptiedSlot: a relay that comes back with its slots, but without what they held, takes all of it again.
func TestPushEmptiedSlot(t *testing.T) {
	for name, lose := range map[string]func(path string){
		"deleted": func(path string) { check(os.Remove(path)) },
		"emptied": func(path string) { check(os.Truncate(path, 0)) },
		"the last line torn": func(path string) {
			check(os.Truncate(path, must(os.Stat(path)).Size()-10))
		},
		"the last line gone": func(path string) {
			data := must(os.ReadFile(path))
			check(os.WriteFile(path, data[:bytes.LastIndexByte(data[:len(data)-1], '\n')+1], 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "api", "web", "doc")
			for _, pair := range [][2]string{{"api", "web"}, {"doc", "web"}} {
				w.pin(pair[0], pair[1])
				w.pin(pair[1], pair[0])
			}
			web, doc, api := w.box("web"), w.box("doc"), w.box("api")
			w.send("api", "web", "pulled")
			w.push(api)
			w.pull(web)
			w.send("doc", "web", "theirs")
			w.push(doc)
			w.send("api", "web", "one")
			w.send("api", "web", "two")
			w.push(api)
			if res := w.push(w.box("api")); len(res.Pushed) != 0 {
				t.Errorf("posted again, though nothing was lost: %+v", res)
			}
			for range 2 {
				w.relay.Stop()
				lose(filepath.Join(w.relay.Dir, "slots", w.self("web")[0].SlotID+".jsonl"))
				w.relay.Start()
				for _, b := range []*Box{api, doc} {
					b.Doubt(w.relay.URL())
					w.push(b)
					if res := w.push(b); len(res.Pushed)+len(res.Skipped) != 0 {
						t.Errorf("again: %+v", res)
					}
				}
			}
			w.pull(web)
			w.pull(w.box("web"))
			got := w.inbox("web", "api")
			slices.Sort(got) // a slot that lost its end gets the last line back first
			if !slices.Equal(got, []string{"one", "pulled", "two"}) {
				t.Errorf("inbox %q", got)
			}
			w.wantInbox("web", "doc", "theirs")
		})
	}
}

// TestPushEmptiedSlotOutOfTurn: also what was posted ahead of lines that wait is seen to be lost.
func TestPushEmptiedSlotOutOfTurn(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	w.pin("web", "api")
	if _, err := w.box("api").Broadcast(t.Context(), BroadcastOptions{Body: "all", Kind: "claim", Scope: "both"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	w.relay.Stop()
	check(os.Remove(filepath.Join(w.relay.Dir, "slots", w.self("web")[0].SlotID+".jsonl")))
	w.relay.Start()
	if res := w.push(w.box("api")); len(res.Pushed)+len(res.Skipped) != 1 {
		t.Errorf("%+v", res)
	}
	if res := w.pull(w.box("web")); len(res.Written) != 1 {
		t.Errorf("%+v", res)
	}
}

// TestPushForeignKeys: what others wrote into outbox-sent.json stays.
func TestPushForeignKeys(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	path := w.session("api").SentFile()
	check(os.WriteFile(path, []byte(`{"later":1,"peers":{"web":{"more":2},"x":3},"version":1}`), 0o600))
	w.send("api", "web", "one")
	w.push(w.box("api"))
	doc := must(canon.ParseObject(must(os.ReadFile(path))))
	peers := doc["peers"].(canon.Doc)
	web := peers["web"].(canon.Doc)
	if doc["later"] != uint64(1) || peers["x"] != uint64(3) || web["more"] != uint64(2) || web["offset"] == nil {
		t.Errorf("%s", canon.Compact(doc))
	}
}

// TestPushTwoProcesses: two pushers of one home post each line once between them.
func TestPushTwoProcesses(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	for _, b := range bodies(20) {
		w.send("api", "web", b)
	}
	var results [2]PushResult
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() { results[i] = w.push(w.box("api")) })
	}
	all.Wait()
	if n := len(results[0].Pushed) + len(results[1].Pushed); n != 20 || len(results[0].Skipped)+len(results[1].Skipped) != 0 {
		t.Errorf("%d pushed, skipped %+v %+v", n, results[0].Skipped, results[1].Skipped)
	}
}

// TestMuteRelay: a relay that answers nothing costs a deadline once, not in every cycle, and is asked again.
func TestMuteRelay(t *testing.T) {
	t.Parallel() // it waits for deadlines
	w := newWorld(t, "api", "web")
	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	defer ln.Close()
	var asked atomic.Int32
	go func() {
		var held []net.Conn // the collector closes what nobody holds
		for {
			c, err := ln.Accept()
			if err != nil {
				for _, c := range held {
					c.Close()
				}
				return
			}
			held = append(held, c)
			asked.Add(1)
		}
	}()
	url := "http://" + ln.Addr().String()
	dead := home.Endpoint{RelayURL: url, SlotID: "aa", SlotToken: identity.NewToken("t"), Scope: home.Federation}
	w.trust("api", "web", time.Now())
	w.route("api", "web", dead)
	local := w.self("api")[0]
	check(w.session("api").UpdateRelay(t.Context(), func(r *home.RelayFile) error {
		r.SetSelf([]home.Endpoint{dead, local})
		return nil
	}))
	w.send("api", "web", "one")
	api := Open(w.session("api"), newImpatientClient(t))

	for i := range 3 {
		if res := w.push(api); len(res.Skipped) != 1 || !strings.HasPrefix(res.Skipped[0].Reason, "timeout: POST "+url) {
			t.Errorf("push %d: %+v", i, res)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times by three pushes", n)
	}
	if res := w.pull(api); len(res.Failed) != 1 || !strings.Contains(res.Failed[0], "(Federation) errored: timeout: POST "+url) {
		t.Errorf("pull: %v", res.Failed)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times, the pull included", n)
	}
	p := api.mute.relays[url]
	p.until = time.Now()
	api.mute.relays[url] = p
	w.pull(api)
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times after the pause", n)
	}
	if wait := api.mute.relays[url].wait; wait != 2*firstPause {
		t.Errorf("the next pause is %v", wait)
	}
	api.mute.heard(url, nil, time.Now())
	if err := api.mute.closed(url, time.Now()); err != nil {
		t.Errorf("after an answer: %v", err)
	}
}

// TestPushGoesByTheList: the endpoints of a peer decide, the flat trio beside them does not. The reference's
// daemon goes by the trio, and where it leads elsewhere or is missing it never sends (field-failures C7).
func TestPushGoesByTheList(t *testing.T) {
	for name, trio := range map[string]home.Endpoint{
		"no trio":                    {},
		"a trio that leads nowhere":  {RelayURL: "http://127.0.0.1:1", SlotID: strings.Repeat("0", 32), SlotToken: identity.NewToken("t")},
		"a trio with an empty token": {RelayURL: "http://127.0.0.1:1", SlotID: strings.Repeat("0", 32)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "api", "web")
			w.pin("web", "api")
			w.pin("api", "web")
			check(w.session("api").UpdateRelay(t.Context(), func(r *home.RelayFile) error {
				rec := home.PeerRecord(w.self("web"))
				rec["relay_url"], rec["slot_id"], rec["slot_token"] = trio.RelayURL, trio.SlotID, trio.SlotToken.Reveal()
				if trio.RelayURL == "" {
					delete(rec, "relay_url")
					delete(rec, "slot_id")
					delete(rec, "slot_token")
				}
				r.SetPeerRaw("web", canon.AppendPretty(nil, rec, 2))
				return nil
			}))
			w.send("api", "web", "here")
			if res := w.push(w.box("api")); len(res.Pushed) != 1 || res.Pushed[0].Scope != home.Local {
				t.Fatalf("%+v", res)
			}
			w.pull(w.box("web"))
			w.wantInbox("web", "api", "here")
		})
	}
}

// TestStray: what is queued where no push looks, and what was sent while somebody was pinned there.
func TestStray(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	w.send("api", "web", "sent")
	w.push(w.box("api"))
	w.send("api", "ghost", "to nobody")
	s := w.session("api")
	for _, name := range []string{"web@wireup.net.jsonl", "web.pushed.jsonl", "empty@x.jsonl", "web@x.txt"} {
		text := "{}\n"
		if name == "empty@x.jsonl" {
			text = ""
		}
		check(os.WriteFile(filepath.Join(s.OutboxDir(), name), []byte(text), 0o600))
	}
	want := []string{"ghost.jsonl", "web@wireup.net.jsonl"}
	if got := must(Stray(s)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	check(s.UpdateRelay(t.Context(), func(r *home.RelayFile) error { r.RemovePeer("web"); return nil }))
	if got := must(Stray(s)); !slices.Equal(got, want) {
		t.Errorf("what was sent before the pin went is not lost: %q", got)
	}
	w.send("api", "web", "too late")
	if got := must(Stray(s)); !slices.Contains(got, "web.jsonl") {
		t.Errorf("%q", got)
	}
	if got := must(Stray(home.At(t.TempDir()))); got != nil {
		t.Errorf("no home: %q", got)
	}
}
