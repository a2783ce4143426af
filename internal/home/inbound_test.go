package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// waiting is a session with a directory for requests.
func waiting(t *testing.T) Session {
	t.Helper()
	s := At(filepath.Join(t.TempDir(), "sessions", "bob"))
	if err := errors.Join(s.Ensure(), os.MkdirAll(s.Inbound(), 0o700)); err != nil {
		t.Fatal(err)
	}
	return s
}

func putRequest(t *testing.T, s Session, handle, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.Inbound(), handle+".json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestInboundOfTheReference: what a pull of the reference wrote reads, and would be written again to the byte.
func TestInboundOfTheReference(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "federated-request.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := waiting(t)
	putRequest(t, s, "ada", string(data))
	r, err := s.InboundRequest("ada")
	if err != nil {
		t.Fatal(err)
	}
	if r.Handle != "ada" || r.DID.Handle() != "ada" || r.Trio.SlotToken.Zero() || len(r.Endpoints) != 1 || r.Endpoints[0] != r.Trio {
		t.Errorf("%+v", r)
	}
	if err := s.StoreInbound(r); err != nil {
		t.Fatal(err)
	}
	again, err := os.ReadFile(filepath.Join(s.Inbound(), "ada.json"))
	if err != nil || string(again) != string(data) {
		t.Errorf("%v\n%s", err, cmp.Diff(string(data), string(again)))
	}
}

// TestInboundList: oldest first, whatever is in them, and nothing of what does not parse (pairing.md 4.3).
func TestInboundList(t *testing.T) {
	s := waiting(t)
	record := func(handle, at string) string {
		return fmt.Sprintf(`{"peer_handle":%q,"peer_did":"did:wire:x","peer_card":{"did":"x"},"peer_relay_url":"","peer_slot_id":"slot-xyz",`+
			`"peer_slot_token":"","event_id":"evt-1","event_timestamp":"","received_at":%q}`, handle, at)
	}
	putRequest(t, s, "a", record("late", "2026-02-01T00:00:00Z"))
	putRequest(t, s, "b", record("early", "2026-01-01T00:00:00Z"))
	putRequest(t, s, "c", `{"peer_handle":"half"}`)
	putRequest(t, s, "d", `{`)
	putRequest(t, s, "e.bak", record("no", "2025-01-01T00:00:00Z"))
	if err := os.Rename(filepath.Join(s.Inbound(), "e.bak.json"), filepath.Join(s.Inbound(), "e.bak")); err != nil {
		t.Fatal(err)
	}
	list, err := s.InboundRequests()
	if err != nil || len(list) != 2 || list[0].Handle != "early" || list[1].Handle != "late" {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := s.InboundRequest("../a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a path for a handle: %v", err)
	}
	var broken *FileError
	if _, err := s.InboundRequest("c"); !errors.As(err, &broken) {
		t.Errorf("half a record: %v", err)
	}
	if list, err := At(t.TempDir()).InboundRequests(); err != nil || list != nil {
		t.Errorf("without a directory: %v, %v", list, err)
	}
}

// TestRemoveInbound: a request that took the place of the one that was accepted stays.
func TestRemoveInbound(t *testing.T) {
	s := waiting(t)
	r := Inbound{Handle: "ada", DID: "did:wire:ada-00000001", Card: canon.Doc{}, EventID: "later"}
	if err := s.StoreInbound(r); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveInbound(t.Context(), "ada", "earlier"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.InboundRequest("ada"); err != nil {
		t.Fatalf("somebody else's request went: %v", err)
	}
	if err := s.RemoveInbound(t.Context(), "ada", "later"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.InboundRequest("ada"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if err := s.RemoveInbound(t.Context(), "ada", "later"); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// TestRefusals: what was refused stays so, what is asked anew is heard, and the memory is bounded.
func TestRefusals(t *testing.T) {
	s := waiting(t)
	const did = identity.DID("did:wire:mallory-00000001")
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	r := Inbound{
		Handle: "mallory", DID: did, Card: canon.Doc{}, EventID: "second", Timestamp: "2026-03-04T05:00:00.5Z",
	}
	if err := s.StoreInbound(r); err != nil {
		t.Fatal(err)
	}
	if had, err := s.RefuseInbound(t.Context(), "mallory", now); !had || err != nil {
		t.Fatalf("%v, %v", had, err)
	}
	if had, err := s.RefuseInbound(t.Context(), "mallory", now); had || err != nil {
		t.Fatalf("again: %v, %v", had, err)
	}
	l, err := s.Refusals()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		what          string
		did           identity.DID
		id, timestamp string
		covered       bool
	}{
		{"the same event", did, "second", "2026-03-04T05:00:00.5Z", true},
		{"the same event under another name", "did:wire:eve-1", "second", "2027-01-01T00:00:00Z", true},
		{"an older one that was overwritten", did, "first", "2026-03-04T04:59:59Z", true},
		{"one without a time", did, "third", "", true},
		{"a new one", did, "third", "2026-03-04T05:00:01Z", false},
		{"somebody else's", "did:wire:eve-1", "other", "2026-01-01T00:00:00Z", false},
	} {
		if got := l.Cover(tc.did, tc.id, tc.timestamp); got != tc.covered {
			t.Errorf("%s: %v", tc.what, got)
		}
	}

	for i := range maxRefusals + 5 {
		r.EventID = fmt.Sprintf("event-%d", i)
		if err := s.StoreInbound(r); err != nil {
			t.Fatal(err)
		}
		if _, err := s.RefuseInbound(t.Context(), "mallory", now); err != nil {
			t.Fatal(err)
		}
	}
	if l, err = s.Refusals(); err != nil || len(l) != maxRefusals {
		t.Errorf("%d refusals, %v", len(l), err)
	}
	last := fmt.Sprintf("event-%d", maxRefusals+4)
	if !l.Cover("did:wire:x-1", last, "") || l.Cover("did:wire:x-1", "event-0", "") {
		t.Error("it forgot the newest, not the oldest")
	}
}

// TestRefuseBroken: a record that nobody can read is removed all the same.
func TestRefuseBroken(t *testing.T) {
	s := waiting(t)
	putRequest(t, s, "ada", "{")
	if had, err := s.RefuseInbound(t.Context(), "ada", time.Now()); !had || err != nil {
		t.Fatalf("%v, %v", had, err)
	}
	if _, err := s.InboundRequest("ada"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if l, err := s.Refusals(); err != nil || len(l) != 0 {
		t.Errorf("%v, %v", l, err)
	}
}

// TestUpdateCard: two who change the card at once both win.
func TestUpdateCard(t *testing.T) {
	s := waiting(t)
	if err := s.WriteCard(canon.Doc{"did": "did:wire:bob"}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for i := range 8 {
		go func() {
			done <- s.UpdateCard(t.Context(), func(card canon.Doc) (canon.Doc, error) {
				changed := canon.Doc{fmt.Sprintf("key%d", i): true}
				for k, v := range card {
					changed[k] = v
				}
				return changed, nil
			})
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	card, err := s.ReadCard()
	if err != nil || len(card) != 9 {
		t.Errorf("%v, %v", card, err)
	}
	refused := errors.New("no")
	if err := s.UpdateCard(t.Context(), func(canon.Doc) (canon.Doc, error) { return nil, refused }); !errors.Is(err, refused) {
		t.Error(err)
	}
}

// TestPeerFlat: all that a daemon of the reference knows of a peer.
func TestPeerFlat(t *testing.T) {
	r, err := ParseRelay([]byte(`{"peers":{"a":{"relay_url":"u","slot_id":"s"},"b":7,"c":{"endpoints":[]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.PeerFlat("a"); got.RelayURL != "u" || got.SlotID != "s" || !got.SlotToken.Zero() {
		t.Errorf("%+v", got)
	}
	for _, handle := range []string{"b", "c", "none"} {
		if got := r.PeerFlat(handle); got.RelayURL != "" || got.SlotID != "" {
			t.Errorf("%s: %+v", handle, got)
		}
	}
}

// TestPendingPairs: objects only, by name.
func TestPendingPairs(t *testing.T) {
	s := waiting(t)
	if err := os.MkdirAll(s.Detached(), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"b.json": `{"code":"2"}`, "a.json": `{"code":"1"}`, "c.json": `[]`, "d.txt": `{"code":"3"}`} {
		if err := os.WriteFile(filepath.Join(s.Detached(), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	docs, err := s.PendingPairs()
	var codes []any
	for _, d := range docs {
		codes = append(codes, d["code"])
	}
	if err != nil || !slices.Equal(codes, []any{"1", "2"}) {
		t.Errorf("%v, %v", codes, err)
	}
	// One that is being written in place is read again.
	d := pendingPair(filepath.Join(s.Detached(), "e.json"))
	write(t, d.path, "")
	d.parse = func(data []byte) (canon.Doc, error) {
		write(t, d.path, `{"code":"4"}`)
		return canon.ParseObject(data)
	}
	if doc, _, err := d.read(); err != nil || doc["code"] != "4" {
		t.Errorf("%v, %v", doc, err)
	}
}

// FuzzInbound: whatever a stranger's record holds, reading it again after writing gives the same.
func FuzzInbound(f *testing.F) {
	data, err := os.ReadFile(filepath.Join("testdata", "federated-request.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"peer_handle":"","peer_did":"","peer_card":[1e3],"peer_relay_url":"","peer_slot_id":"","peer_slot_token":"",` +
		`"peer_endpoints":[{"scope":"x"},7],"event_id":"\u0000","event_timestamp":"","received_at":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseInbound(data)
		if err != nil {
			return
		}
		again, err := parseInbound(r.pretty())
		if err != nil {
			t.Fatalf("%v in\n%s", err, r.pretty())
		}
		if string(again.pretty()) != string(r.pretty()) {
			t.Errorf("%s", cmp.Diff(string(r.pretty()), string(again.pretty())))
		}
	})
}
