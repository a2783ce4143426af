package mailbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/relaytest"
)

func TestPullUnbound(t *testing.T) {
	w := newWorld(t, "api")
	s := w.session("api")
	check(os.Remove(s.RelayFile()))
	if _, err := w.box("api").Pull(t.Context()); !errors.Is(err, ErrUnbound{}) || err.Error() != "self slot not bound" {
		t.Errorf("%v", err)
	}
	check(os.WriteFile(s.RelayFile(), []byte(`{"self":{"relay_url":"http://127.0.0.1:9"}}`), 0o600))
	if _, err := w.box("api").Pull(t.Context()); !errors.Is(err, ErrUnbound{Bound: true}) || err.Error() != "self.relay_url / slot_id / slot_token missing in relay_state.json" {
		t.Errorf("%v", err)
	}
}

// TestPullCrash is a kill between the inbox line and the cursor: the next pull sees the event again and
// writes nothing twice, with what it remembers and without.
func TestPullCrash(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	w.pin("web", "api")
	before := must(os.ReadFile(w.session("web").RelayFile()))
	for _, b := range bodies(3) {
		w.send("api", "web", b)
	}
	w.push(w.box("api"))
	web := w.box("web")
	w.pull(web)
	for _, b := range []*Box{web, w.box("web")} {
		check(os.WriteFile(w.session("web").RelayFile(), before, 0o600))
		res := w.pull(b)
		if len(res.Written) != 0 || res.TotalSeen != 3 || !slices.Equal(refusals(res.Rejected), []string{duplicate, duplicate, duplicate}) {
			t.Errorf("%+v", res)
		}
		if got := w.pull(b); got.TotalSeen != 0 {
			t.Errorf("the cursor did not move: %+v", got)
		}
	}
	w.wantInbox("web", "api", bodies(3)...)
}

// TestPullEmptiedSlot: a slot that lost what it had gets it again in another order, so that what was never read
// may come before the event at the cursor.
func TestPullEmptiedSlot(t *testing.T) {
	for name, between := range map[string]func(w *world, web *Box){
		"read when all is back":        func(*world, *Box) {},
		"read while it is empty, too":  func(w *world, web *Box) { w.pull(web) },
		"doubted twice while it is so": func(w *world, web *Box) { w.pull(web); web.Doubt(w.relay.URL()); w.pull(web) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "api", "web", "doc")
			for _, peer := range []string{"api", "doc"} {
				w.pin("web", peer)
				w.pin(peer, "web")
			}
			read, unread := w.event("api", "read"), w.event("doc", "unread")
			web := w.box("web")
			w.post("web", read)
			w.pull(web)
			w.relay.Stop()
			check(os.Remove(filepath.Join(w.relay.Dir, "slots", w.self("web")[0].SlotID+".jsonl")))
			w.relay.Start()
			web.Doubt(w.relay.URL())
			between(w, web)
			w.post("web", unread, read)
			w.pull(web)
			w.wantInbox("web", "doc", "unread")
			w.wantInbox("web", "api", "read")
			if res := w.pull(web); res.TotalSeen != 0 {
				t.Errorf("read from the start for ever: %+v", res)
			}
			w.post("web", w.event("doc", "next"))
			if res := w.pull(web); res.TotalSeen != 1 || len(res.Written) != 1 {
				t.Errorf("%+v", res)
			}
		})
	}
}

// TestPullEmptiedSlotUnseen: the same where the reader was not there when the relay went, and so was told by nobody.
// Without another run of the relay the cursor is believed.
func TestPullEmptiedSlotUnseen(t *testing.T) {
	w := newWorld(t, "api", "web", "doc")
	for _, peer := range []string{"api", "doc"} {
		w.pin("web", peer)
		w.pin(peer, "web")
	}
	read, unread := w.event("api", "read"), w.event("doc", "unread")
	w.post("web", read)
	w.pull(w.box("web"))
	w.relay.Stop()
	check(os.Remove(filepath.Join(w.relay.Dir, "slots", w.self("web")[0].SlotID+".jsonl")))
	w.relay.Start()
	w.pull(w.box("web"))
	w.post("web", unread, read)
	if res := w.pull(w.box("web")); len(res.Written) != 1 || res.TotalSeen != 1 {
		t.Errorf("what the inbox has was told of again: %+v", res)
	}
	w.wantInbox("web", "doc", "unread")
	w.wantInbox("web", "api", "read")
	if res := w.pull(w.box("web")); res.TotalSeen != 0 {
		t.Errorf("read from the start for ever: %+v", res)
	}
	whole := must(os.ReadFile(w.session("web").InboxRead()))
	for _, torn := range []string{"", "{", `{"version":1,"runs":{"` + w.self("web")[0].SlotID + `":7}}`} {
		check(os.WriteFile(w.session("web").InboxRead(), []byte(torn), 0o600))
		w.pull(w.box("web"))
		if now := must(os.ReadFile(w.session("web").InboxRead())); !bytes.Equal(now, whole) {
			t.Errorf("after %q: %s, want %s", torn, now, whole)
		}
	}
}

// TestPullOthersAppend: the index follows what another process appends, and a file that is replaced.
func TestPullOthersAppend(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("web", "api")
	web := w.box("web")
	path := must(w.session("web").Inbox("api"))
	one, two, three := w.event("api", "one"), w.event("api", "two"), w.event("api", "three")
	w.post("web", one)
	w.pull(web)
	check(home.AppendLines(path, [][]byte{canon.Compact(two)}, false)) // a second puller was faster
	w.post("web", two, three)
	if res := w.pull(web); len(res.Written) != 1 || !slices.Equal(refusals(res.Rejected), []string{duplicate}) {
		t.Errorf("%+v", res)
	}
	w.wantInbox("web", "api", "one", "two", "three")

	check(os.Remove(path)) // forget-peer --purge
	w.slot("web")
	w.post("web", one, w.event("api", "four"))
	w.pull(web)
	w.wantInbox("web", "api", "one", "four")
}

// TestPullBesideAnother: what another puller writes while we judge the same page is not written twice.
func TestPullBesideAnother(t *testing.T) {
	w := newWorld(t, "web")
	in := inbox{home: w.session("web")}
	path := must(in.home.Inbox("api"))
	batch := []canon.Doc{w.event("api", "one"), w.event("api", "two"), w.event("api", "three")}
	for n, faster := range []int{0, 2} { // into a file that is new, and into one that we know
		f := must(in.file("api"))
		for _, e := range batch {
			k, _ := keyOf(e["event_id"].(string))
			if line := canon.Compact(e); !must(f.has(k, line)) {
				f.add(k, line)
			}
		}
		check(home.AppendLines(path, [][]byte{canon.Compact(batch[faster])}, false))
		check(in.flush())
		if n == 0 {
			w.wantInbox("web", "api", "one", "two", "three")
			batch = []canon.Doc{w.event("api", "four"), w.event("api", "five"), w.event("api", "six")}
		}
	}
	w.wantInbox("web", "api", "one", "two", "three", "six", "four", "five")
}

// TestPullPages: more than a page, and a stranger in front.
func TestPullPages(t *testing.T) {
	w := newWorld(t, "web")
	s := w.session("web")
	w.event("api", "") // api has a key, and no home
	w.trust("web", "api", time.Now())
	var texts []string
	texts = append(texts, string(canon.Compact(w.event("mallory", "hi"))))
	for i := range 2001 {
		texts = append(texts, string(canon.Compact(w.event("api", fmt.Sprint("m", i)))))
	}
	srv := newSlotServer(t, texts...)
	check(s.UpdateRelay(t.Context(), func(r *home.RelayFile) error {
		r.SetSelf([]home.Endpoint{{RelayURL: srv.URL, SlotID: "aa", SlotToken: identity.NewToken("t"), Scope: home.Local}})
		return nil
	}))
	res := w.pull(w.box("web"))
	if len(res.Written) != 2001 || res.TotalSeen != 2002 || len(res.Rejected) != 1 {
		t.Errorf("%d written of %d, rejected %v", len(res.Written), res.TotalSeen, res.Rejected)
	}
	w.wantInbox("web", "api", bodies(2001)...)
}

// TestPullJunk: events that cannot become a cursor, in all positions and numbers, hold nothing up, and are
// told of once.
func TestPullJunk(t *testing.T) {
	w := newWorld(t, "web")
	s := w.session("web")
	w.event("api", "")
	w.trust("web", "api", time.Now())
	good := func(body string) string { return string(canon.Compact(w.event("api", body))) }
	many := func(n int, format string) (out []string) {
		for i := range n {
			if strings.Contains(format, "%d") {
				out = append(out, fmt.Sprintf(format, i))
			} else {
				out = append(out, format)
			}
		}
		return out
	}
	known := good("known")
	knownID := lineID([]byte(known))
	srv := newSlotServer(t, known)
	srv.add(many(999, `{"event_id":null}`)...)
	srv.add(good("behind 999 without an id"))
	srv.add(many(1500, `{"event_id":"odd %d","kind":1}`)...)
	srv.add(good("behind 1500 with odd ids"))
	srv.add(many(5, `{"event_id":"`+knownID+`","kind":1}`)...) // would lead back to the start
	srv.add(many(7, `5`)...)
	check(s.UpdateRelay(t.Context(), func(r *home.RelayFile) error {
		r.SetSelf([]home.Endpoint{{RelayURL: srv.URL, SlotID: "aa", SlotToken: identity.NewToken("t"), Scope: home.Federation}})
		return nil
	}))
	web := w.box("web")
	res := w.pull(web)
	want := []string{"known", "behind 999 without an id", "behind 1500 with odd ids"}
	if len(res.Written) != 3 || len(res.Rejected) != 999+1500+5+7 || len(res.Failed) != 0 {
		t.Errorf("%d written, %d rejected, %v", len(res.Written), len(res.Rejected), res.Failed)
	}
	w.wantInbox("web", "api", want...)
	if res := w.pull(web); res.TotalSeen != 0 || len(res.Failed) != 0 {
		t.Errorf("told again of %d events, %v", res.TotalSeen, res.Failed)
	}
	srv.add(good("the end"))
	if res := w.pull(web); res.TotalSeen != 1 || len(res.Written) != 1 {
		t.Errorf("%+v", res)
	}
	srv.add(many(3, `{"event_id":"tail %d","kind":1}`)...)
	if res := w.pull(web); res.TotalSeen != 3 {
		t.Errorf("%+v", res)
	}
	if res := w.pull(web); res.TotalSeen != 0 {
		t.Errorf("%+v", res)
	}
	// A page full of events without any id is more than the protocol can pass (relay.md Q10).
	srv.add(many(1000, `{}`)...)
	srv.add(good("out of reach"))
	if res := w.pull(web); len(res.Failed) != 1 || !strings.Contains(res.Failed[0], "1000 events in a row") {
		t.Errorf("%v", res.Failed)
	}
}

// TestPullTwoSlots: every own slot is served, one that fails does not stop the other, the same event from
// both is written once, and each scope has its cursor.
func TestPullTwoSlots(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("web", "api")
	second := relaytest.Start(t, relaytest.Config{})
	other := must(w.client.Allocate(t.Context(), second.URL(), "web"))
	local := w.self("web")[0]
	fed := home.Endpoint{RelayURL: other.URL, SlotID: other.ID, SlotToken: other.Token, Scope: home.Federation}
	check(w.session("web").UpdateRelay(t.Context(), func(r *home.RelayFile) error {
		r.SetSelf([]home.Endpoint{fed, local})
		return nil
	}))
	both, onlyFed, onlyLocal := w.event("api", "both"), w.event("api", "fed"), w.event("api", "local")
	for _, e := range []canon.Doc{both, onlyFed} {
		must(w.client.Post(t.Context(), slotOf(fed), canon.Compact(e)))
	}
	for _, e := range []canon.Doc{both, onlyLocal} {
		must(w.client.Post(t.Context(), slotOf(local), canon.Compact(e)))
	}
	res := w.pull(w.box("web"))
	if res.TotalSeen != 4 || len(res.Written) != 3 || res.Cursor != onlyFed["event_id"] {
		t.Errorf("%+v", res)
	}
	file := must(w.session("web").ReadRelay())
	if file.Cursor(fed) != onlyFed["event_id"] || file.Cursor(local) != onlyLocal["event_id"] {
		t.Errorf("cursors %q %q", file.Cursor(fed), file.Cursor(local))
	}
	second.Stop()
	w.postTo(local, w.event("api", "later"))
	res = w.pull(w.box("web"))
	if len(res.Written) != 1 || len(res.Failed) != 1 || res.Cursor != "" || !strings.HasPrefix(res.Failed[0], "endpoint "+second.URL()+" (Federation) errored: connect error: GET "+second.URL()) {
		t.Errorf("%+v", res)
	}
}

// TestPullReadsTrustAgain: a pin needs no new Box.
func TestPullReadsTrustAgain(t *testing.T) {
	w := newWorld(t, "api", "web")
	web := w.box("web")
	w.post("web", w.event("api", "too early"))
	res := w.pull(web)
	if len(res.Written) != 0 || len(res.Rejected) != 1 || !res.Rejected[0].Transient {
		t.Fatalf("%+v", res)
	}
	w.pin("web", "api")
	w.post("web", w.event("api", "in time"))
	if res := w.pull(web); len(res.Written) != 2 {
		t.Errorf("%+v", res)
	}
	w.wantInbox("web", "api", "too early", "in time")
	if !web.held.empty() {
		t.Error("still in the quarantine")
	}
}

// TestPullBrokenTrust: nothing is judged without trust.json, and nothing is lost.
func TestPullBrokenTrust(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("web", "api")
	w.post("web", w.event("api", "one"))
	good := must(os.ReadFile(w.session("web").TrustFile()))
	check(os.WriteFile(w.session("web").TrustFile(), good[:40], 0o600))
	web := w.box("web")
	var bad *home.FileError
	if _, err := web.Pull(t.Context()); !errors.As(err, &bad) || bad.Path != w.session("web").TrustFile() {
		t.Fatalf("%v", err)
	}
	check(os.WriteFile(w.session("web").TrustFile(), good, 0o600))
	w.pull(web)
	w.wantInbox("web", "api", "one")
}

// TestPullForgedID: an event under the id of another one neither passes for it nor hides it.
func TestPullForgedID(t *testing.T) {
	w := newWorld(t, "web")
	s := w.session("web")
	w.event("api", "")
	w.trust("web", "api", time.Now())
	real := w.event("api", "real")
	forged := canon.Doc{}
	for k, v := range real {
		forged[k] = v
	}
	forged["body"] = "forged"
	srv := newSlotServer(t, string(canon.Compact(forged)), string(canon.Compact(real)))
	check(s.UpdateRelay(t.Context(), func(r *home.RelayFile) error {
		r.SetSelf([]home.Endpoint{{RelayURL: srv.URL, SlotID: "aa", SlotToken: identity.NewToken("t"), Scope: home.Local}})
		return nil
	}))
	w.pull(w.box("web"))
	w.wantInbox("web", "api", "real")
}

// TestPullHiddenEvent: what somebody wrote into the inbox under an event's id does not pass for the event, which
// comes and is then known, also in a page with others and when it is written with other spaces.
func TestPullHiddenEvent(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("web", "api")
	path := must(w.session("web").Inbox("api"))
	first, real, last := w.event("api", "first"), w.event("api", "real"), w.event("api", "last")
	forged := canon.Doc{}
	for k, v := range real {
		forged[k] = v
	}
	forged["body"] = "forged"
	spaced := strings.Replace(string(canon.Compact(last)), `,"`, ` , "`, 3)
	check(os.WriteFile(path, []byte(string(canon.Compact(forged))+"\n"+spaced), 0o600)) // and no line end
	web := w.box("web")
	w.post("web", first, real, last)
	res := w.pull(web)
	if len(res.Written) != 2 || !slices.Equal(refusals(res.Rejected), []string{duplicate}) {
		t.Errorf("%+v", res)
	}
	w.wantInbox("web", "api", "forged", "last", "first", "real")
	for _, b := range []*Box{web, w.box("web")} {
		w.slot("web")
		w.post("web", last, real, first)
		if res := w.pull(b); len(res.Written) != 0 || !slices.Equal(refusals(res.Rejected), []string{duplicate, duplicate, duplicate}) {
			t.Errorf("again: %+v", res)
		}
	}
	w.wantInbox("web", "api", "forged", "last", "first", "real")
}

// TestPullIndexForgets: the index gives memory back, and finds what it forgot in the files.
func TestPullIndexForgets(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("web", "api")
	web := w.box("web")
	one := w.event("api", "one")
	w.post("web", one)
	w.pull(web)
	f := must(web.in.file("api"))
	for i := range keepKeys {
		f.keys[key{1, byte(i), byte(i >> 8), byte(i >> 16)}] = struct{}{}
	}
	web.in.trim(map[string]bool{"api": true})
	if web.in.files["api"] == nil {
		t.Error("forgot what was just used")
	}
	web.in.trim(nil)
	if web.in.files["api"] != nil {
		t.Error("kept more than it may")
	}
	w.slot("web")
	w.post("web", one)
	if res := w.pull(web); !slices.Equal(refusals(res.Rejected), []string{duplicate}) {
		t.Errorf("%+v", res)
	}
}
