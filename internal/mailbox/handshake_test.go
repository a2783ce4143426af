package mailbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
)

func newImpatientClient(t *testing.T) *client.Client {
	c := client.New(time.Second)
	t.Cleanup(c.Close)
	return c
}

// ack is a pair_drop_ack that says where its sender is.
func (w *world) ack(from string, at time.Time, slot string) canon.Doc {
	return w.sign(from, canon.Doc{
		"type": "pair_drop_ack", "kind": uint64(1101), "timestamp": identity.FormatTime(at),
		"body": canon.Doc{"relay_url": "http://127.0.0.1:9", "slot_id": slot, "slot_token": "t"},
	})
}

// TestAckOrder: an ack moves a pinned peer, unless the pin is newer; an old one that comes again moves nobody.
func TestAckOrder(t *testing.T) {
	w := newWorld(t, "api", "web")
	pinned := time.Now()
	w.trust("web", "api", pinned)
	w.route("web", "api")
	web := w.box("web")
	at := func() string {
		t.Helper()
		return must(w.session("web").ReadRelay()).Peer("api")[0].SlotID
	}
	start := at()

	older := w.ack("api", pinned.Add(-time.Minute), "older")
	w.post("web", older)
	if res := w.pull(web); len(res.Written) != 1 || at() != start {
		t.Errorf("an ack from before the pin: %+v, slot %s", res, at())
	}
	first, second := w.ack("api", pinned.Add(time.Minute), "first"), w.ack("api", pinned.Add(2*time.Minute), "second")
	w.post("web", first)
	w.pull(web)
	if at() != "first" {
		t.Errorf("slot %s", at())
	}
	w.post("web", second)
	w.pull(web)
	w.slot("web") // a new slot: all of it may come again
	w.post("web", first)
	if res := w.pull(web); !slices.Equal(refusals(res.Rejected), []string{duplicate}) || at() != "second" {
		t.Errorf("an ack that came again: %+v, slot %s", res, at())
	}
}

// TestAckOfPending: a peer whose token was still missing is taken at its word whatever its clock says.
func TestAckOfPending(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.trust("web", "api", time.Now())
	check(w.session("web").UpdateRelay(t.Context(), func(r *home.RelayFile) error {
		r.SetPeerRaw("api", canon.AppendPretty(nil, canon.Doc{"relay_url": "http://127.0.0.1:9", "slot_id": "x", "slot_token": ""}, 2))
		return nil
	}))
	w.post("web", w.ack("api", time.Now().Add(-time.Hour), "acked"))
	w.pull(w.box("web"))
	want := []home.Endpoint{{RelayURL: "http://127.0.0.1:9", SlotID: "acked", SlotToken: identity.NewToken("t"), Scope: home.Federation}}
	if diff := cmp.Diff(want, must(w.session("web").ReadRelay()).Peer("api")); diff != "" {
		t.Error(diff)
	}
}

// TestAckFromQuarantine: an ack that came before its sender was pinned works when he is.
func TestAckFromQuarantine(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.post("web", w.ack("api", time.Now().Add(time.Minute), "early"))
	web := w.box("web")
	w.pull(web)
	if got := must(w.session("web").ReadRelay()).Peers(); len(got) != 0 {
		t.Fatalf("a stranger's ack made a peer: %v", got)
	}
	w.trust("web", "api", time.Now())
	must(web.Rejudge(t.Context()))
	if got := must(w.session("web").ReadRelay()).Peer("api"); len(got) != 1 || got[0].SlotID != "early" {
		t.Errorf("%v", got)
	}
}

// TestRequestRecord is the file of a stranger's request in the reference's form and order of keys
// (vectors/home/odd-events.json, "drop without nonce"), private from creation.
func TestRequestRecord(t *testing.T) {
	w := newWorld(t, "web")
	w.event("mallory", "")
	drop := w.sign("mallory", canon.Doc{
		"type": "pair_drop", "kind": uint64(1100), "timestamp": "2026-11-22T20:08:46.091474726Z",
		"body": canon.Doc{
			"card": w.card["mallory"], "relay_url": "http://127.0.0.1:8771", "slot_id": "aa", "slot_token": "bb",
			"endpoints": []any{
				canon.Doc{"relay_url": "http://127.0.0.1:8771", "slot_id": "aa", "slot_token": "bb", "scope": "federation"},
				canon.Doc{"relay_url": "http://127.0.0.1:8772", "slot_id": "cc", "slot_token": "dd", "scope": "local"},
			},
		},
	})
	w.post("web", drop)
	res := w.pull(w.box("web"))
	did := w.card["mallory"]["did"].(string)
	if len(res.Requests) != 1 || res.Requests[0].Handle != "mallory" || string(res.Requests[0].DID) != did {
		t.Errorf("%+v", res)
	}
	path := filepath.Join(w.session("web").Inbound(), "mallory.json")
	got := string(must(os.ReadFile(path)))
	card := strings.ReplaceAll(string(canon.Pretty(w.card["mallory"])), "\n", "\n  ")
	want := `{
  "peer_handle": "mallory",
  "peer_did": "` + did + `",
  "peer_card": ` + card + `,
  "peer_relay_url": "http://127.0.0.1:8771",
  "peer_slot_id": "aa",
  "peer_slot_token": "bb",
  "peer_endpoints": [
    {
      "relay_url": "http://127.0.0.1:8771",
      "slot_id": "aa",
      "slot_token": "bb",
      "scope": "federation"
    },
    {
      "relay_url": "http://127.0.0.1:8772",
      "slot_id": "cc",
      "slot_token": "dd",
      "scope": "local"
    }
  ],
  "event_id": "` + drop["event_id"].(string) + `",
  "event_timestamp": "2026-11-22T20:08:46.091474726Z",
  "received_at": "`
	if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "Z\"\n}") {
		t.Errorf("%s", cmp.Diff(want, got))
	}
	if m := must(os.Stat(path)).Mode().Perm(); m != 0o600 {
		t.Errorf("mode %v", m)
	}
}

// TestRequestsBounded: strangers cannot fill the disk with requests, and those that wait stay.
func TestRequestsBounded(t *testing.T) {
	w := newWorld(t, "web")
	dir := w.session("web").Inbound()
	check(os.MkdirAll(dir, 0o700))
	for i := range home.MaxInbound - 1 {
		check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("r%d.json", i)), []byte("{}"), 0o600))
	}
	for _, from := range []string{"one", "two", "one"} {
		w.event(from, "")
		w.post("web", w.sign(from, canon.Doc{"type": "pair_drop", "kind": uint64(1100), "body": canon.Doc{
			"card": w.card[from], "relay_url": "http://127.0.0.1:9", "slot_id": "aa", "slot_token": "bb",
		}}))
	}
	w.pull(w.box("web"))
	names := must(os.ReadDir(dir))
	if len(names) != home.MaxInbound || !slices.ContainsFunc(names, func(e os.DirEntry) bool { return e.Name() == "one.json" }) {
		t.Errorf("%d files", len(names))
	}
}

// TestRefusedStays: a request that was refused is not made again by the same event, nor by an older one of the
// same sender that comes up once more; a new one is (pairing.md Q2).
func TestRefusedStays(t *testing.T) {
	w := newWorld(t, "web")
	w.event("mallory", "")
	drop := func(at string) canon.Doc {
		return w.sign("mallory", canon.Doc{
			"type": "pair_drop", "kind": uint64(1100), "timestamp": at, "body": canon.Doc{
				"card": w.card["mallory"], "relay_url": "http://127.0.0.1:9", "slot_id": "aa", "slot_token": "bb",
			},
		})
	}
	first, second := drop("2026-11-22T20:08:46Z"), drop("2026-11-22T20:08:47Z")
	w.post("web", first, second)
	if res := w.pull(w.box("web")); len(res.Requests) != 2 {
		t.Fatalf("%+v", res)
	}
	web := w.session("web")
	if had := must(web.RefuseInbound(t.Context(), "mallory", time.Now())); !had {
		t.Fatal("no request to refuse")
	}
	w.slot("web") // a new slot: all of it comes again
	w.post("web", first, second)
	res := w.pull(w.box("web"))
	const again = `signer "mallory" not in trust: pair request refused before`
	if !slices.Equal(refusals(res.Rejected), []string{again, again}) || len(res.Requests) != 0 {
		t.Errorf("%+v", res)
	}
	if list := must(web.InboundRequests()); len(list) != 0 {
		t.Errorf("%d requests wait", len(list))
	}
	w.post("web", drop("2026-11-22T20:09:00Z"))
	if res := w.pull(w.box("web")); len(res.Requests) != 1 {
		t.Errorf("a new request: %+v", res)
	}
}
