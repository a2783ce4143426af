package mailbox

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// held is the bodies in a session's quarantine, in order.
func (w *world) held(name string) (bodies []string) {
	w.t.Helper()
	for _, rec := range w.lines(w.session(name).Quarantine()) {
		body, _ := rec["event"].(canon.Doc)["body"].(string)
		bodies = append(bodies, body)
	}
	return bodies
}

// TestRejudge: what waits is judged again when trust changes, once, and goes where it belongs.
func TestRejudge(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("web", "api")
	web := w.box("web")
	future := w.sign("api", canon.Doc{"type": "x", "kind": uint64(9999), "body": "unknown kind"})
	forged := w.sign("api", canon.Doc{"type": "x", "kind": uint64(9999), "body": "forged"})
	forged["signature"] = future["signature"]
	wrong := w.event("carol", "wrong signature")
	wrong["signature"] = future["signature"]
	w.post("web", future, forged, w.event("carol", "from carol"), wrong, w.event("dave", "from dave"))
	res := w.pull(web)
	if len(res.Written) != 0 || len(res.Rejected) != 5 {
		t.Fatalf("%+v", res)
	}
	want := []string{"unknown kind", "from carol", "wrong signature", "from dave"}
	if got := w.held("web"); !slices.Equal(got, want) {
		t.Errorf("held %q, want %q", got, want)
	}

	blocked, err := BlockedEvents(w.session("web"))
	if err != nil {
		t.Fatal(err)
	}
	bySigner := map[string]int{}
	for _, b := range blocked {
		if b.Reason == "" || b.Events < 1 {
			t.Errorf("%+v", b)
		}
		bySigner[identity.DID(b.From).Handle()] += b.Events
	}
	if want := map[string]int{"api": 1, "carol": 2, "dave": 1}; !maps.Equal(bySigner, want) {
		t.Errorf("blocked by signer: %v, want %v", bySigner, want)
	}

	w.trust("web", "carol", time.Now())
	for _, b := range []*Box{web, w.box("web")} { // the daemon that saw it come, and one that starts
		written, err := b.Rejudge(t.Context())
		if err != nil || b == web && (len(written) != 1 || written[0].From != "carol") || b != web && len(written) != 0 {
			t.Errorf("%+v, %v", written, err)
		}
	}
	w.wantInbox("web", "carol", "from carol")
	if got, want := w.held("web"), []string{"unknown kind", "from dave"}; !slices.Equal(got, want) {
		t.Errorf("held %q, want %q", got, want)
	}
	info := must(os.Stat(w.session("web").Quarantine()))
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

// TestRejudgeCrash: a kill between the inbox line and the quarantine leaves the event in both, once.
func TestRejudgeCrash(t *testing.T) {
	w := newWorld(t, "api", "web")
	web := w.box("web")
	w.post("web", w.event("api", "one"))
	w.pull(web)
	before := must(os.ReadFile(w.session("web").Quarantine()))
	w.pin("web", "api")
	if written := must(web.Rejudge(t.Context())); len(written) != 1 {
		t.Fatalf("%+v", written)
	}
	check(os.WriteFile(w.session("web").Quarantine(), before, 0o600))
	if written := must(w.box("web").Rejudge(t.Context())); len(written) != 0 {
		t.Errorf("%+v", written)
	}
	w.wantInbox("web", "api", "one")
	if got := w.held("web"); len(got) != 0 {
		t.Errorf("held %q", got)
	}
}

// TestQuarantineOnce: an event that comes again is held once, also by another process.
func TestQuarantineOnce(t *testing.T) {
	w := newWorld(t, "web")
	e := w.event("mallory", "hi")
	for range 2 {
		w.slot("web")
		w.post("web", e)
		w.pull(w.box("web"))
	}
	if got := w.held("web"); !slices.Equal(got, []string{"hi"}) {
		t.Errorf("%q", got)
	}
}

// TestQuarantineBounds: strangers drive each other out, oldest first, but never a sister nor a pinned peer.
func TestQuarantineBounds(t *testing.T) {
	w := newWorld(t, "api", "web")
	future := w.sign("api", canon.Doc{"type": "x", "kind": uint64(9999), "body": "of a sister, not pinned yet"})
	w.post("web", w.event("api", "sister"), future)
	w.pull(w.box("web"))

	// One stranger: his own newest stay.
	var flood []string
	for i := range 3 * signerEvents {
		flood = append(flood, string(canon.Compact(w.event("mallory", fmt.Sprint("spam ", i)))))
	}
	srv := newSlotServer(t, flood...)
	check(w.session("web").UpdateRelay(t.Context(), func(r *home.RelayFile) error {
		r.SetSelf([]home.Endpoint{{RelayURL: srv.URL, SlotID: "aa", Scope: home.Local}})
		return nil
	}))
	web := w.box("web")
	w.pull(web)
	got := w.held("web")
	if len(got) > signerEvents+2 || !slices.Equal(got[:2], []string{"sister", "of a sister, not pinned yet"}) || got[len(got)-1] != fmt.Sprint("spam ", 3*signerEvents-1) {
		t.Errorf("%d held: %q ...", len(got), got[:3])
	}
	for i := 3; i < len(got); i++ {
		if strings.Compare(got[i-1], got[i]) >= 0 {
			t.Fatalf("out of order: %q %q", got[i-1], got[i])
		}
	}

	// Many strangers, and one who says that he is the sister.
	for i := range 40 {
		from := fmt.Sprint("m", i)
		for j := range 40 {
			srv.add(string(canon.Compact(w.event(from, fmt.Sprint(i, " ", j)))))
		}
	}
	srv.add(string(canon.Compact(w.signAs("impostor", "api", "I am api"))))
	w.pull(web)
	got = w.held("web")
	if len(got) > heldEvents || !slices.Contains(got, "sister") || !slices.Contains(got, "of a sister, not pinned yet") || !slices.Contains(got, "39 39") || slices.Contains(got, "spam 299") {
		t.Errorf("%d held", len(got))
	}
	var proven []string
	for _, rec := range w.lines(w.session("web").Quarantine()) {
		if body, _ := rec["event"].(canon.Doc)["body"].(string); rec["proven"] == true {
			proven = append(proven, body)
		}
	}
	if !slices.Equal(proven, []string{"sister", "of a sister, not pinned yet"}) {
		t.Errorf("proven: %q", proven)
	}

	// And size counts as well as number.
	for i := range 60 {
		from := fmt.Sprint("big", i)
		for range 3 {
			srv.add(string(canon.Compact(w.event(from, strings.Repeat("x", 150<<10)))))
		}
	}
	w.pull(web)
	if size := fileSize(w.session("web").Quarantine()); size > heldBytes+(1<<20) {
		t.Errorf("%d bytes", size)
	}
	if got := w.held("web"); !slices.Contains(got, "sister") {
		t.Error("the sister is gone")
	}
	w.pin("web", "api")
	w.pull(web)
	w.wantInbox("web", "api", "sister")
}

// TestSistersGoLast: stepped over is not lost, however much a sister wrote before she was pinned, and whatever
// strangers add. When her pin is there it all comes, in order, before what is newer (field failure G10).
func TestSistersGoLast(t *testing.T) {
	w := newWorld(t, "api", "web")
	srv := newSlotServer(t)
	check(w.session("web").UpdateRelay(t.Context(), func(r *home.RelayFile) error {
		r.SetSelf([]home.Endpoint{{RelayURL: srv.URL, SlotID: "aa", Scope: home.Local}})
		return nil
	}))
	web := w.box("web")
	const early = 1001
	for i, body := range bodies(early) {
		srv.add(string(canon.Compact(w.event("api", body))))
		if i%10 == 0 {
			srv.add(string(canon.Compact(w.event(fmt.Sprint("stranger", i%70), fmt.Sprint("spam ", i)))))
		}
	}
	w.pull(web)
	srv.add(string(canon.Compact(w.event("api", "in time"))))
	w.pin("web", "api")
	if res := w.pull(web); len(res.Written) != early+1 {
		t.Errorf("%d written", len(res.Written))
	}
	w.wantInbox("web", "api", append(bodies(early), "in time")...)
}

// TestEvict: who goes when there is too much, and in what order.
func TestEvict(t *testing.T) {
	n := byte(0)
	var all []heldEvent
	put := func(count int, signer uint64, proven bool, size int) {
		for range count {
			n++
			all = append(all, heldEvent{id: key{n, byte(len(all)), byte(len(all) >> 8)}, signer: signer, size: size, proven: proven})
		}
	}
	left := func() (sisters, strangers int) {
		gone := evict(all)
		for _, e := range all {
			switch {
			case gone[e.id]:
			case e.proven:
				sisters++
			default:
				strangers++
			}
		}
		return sisters, strangers
	}
	for _, tc := range []struct {
		what               string
		fill               func()
		sisters, strangers int
	}{
		{"all fits", func() { put(roomEvents-signerEvents, 1, true, 1); put(signerEvents, 2, false, 1) }, roomEvents - signerEvents, signerEvents},
		{"one stranger", func() { put(2, 1, true, 1); put(signerEvents+1, 2, false, 1) }, 2, spare(signerEvents)},
		{"one stranger under a sister's name", func() { put(signerEvents, 1, true, 1); put(signerEvents+1, 1, false, 1) }, signerEvents, spare(signerEvents)},
		{"a stranger's long events", func() { put(3, 2, false, signerBytes/2) }, 0, 1},
		{"many strangers", func() {
			for i := range 11 {
				put(signerEvents, uint64(i), false, 1)
			}
			put(1, 99, true, 1)
		}, 1, spare(heldEvents)},
		{"a sister and strangers", func() { put(100, 2, false, 1); put(roomEvents-50, 1, true, 1) }, roomEvents - 50, 0},
		{"a sister alone", func() { put(roomEvents+1, 1, true, 1) }, spare(roomEvents), 0},
		{"a sister's long events", func() { put(33, 1, true, 1<<20) }, 28, 0},
	} {
		all = nil
		tc.fill()
		if sisters, strangers := left(); sisters != tc.sisters || strangers != tc.strangers {
			t.Errorf("%s: %d and %d left, want %d and %d", tc.what, sisters, strangers, tc.sisters, tc.strangers)
		}
	}
}

// TestQuarantineOfForeignLines: what is no line of ours harms nothing.
func TestQuarantineOfForeignLines(t *testing.T) {
	w := newWorld(t, "api", "web")
	check(os.WriteFile(w.session("web").Quarantine(), []byte("no JSON\n{\"event\":5}\n{}\n\n{\"torn"), 0o600))
	w.post("web", w.event("api", "one"))
	web := w.box("web")
	w.pull(web)
	w.pin("web", "api")
	if written, err := web.Rejudge(context.WithoutCancel(t.Context())); err != nil || len(written) != 1 {
		t.Errorf("%+v, %v", written, err)
	}
}
