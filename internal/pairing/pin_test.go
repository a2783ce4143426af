package pairing

import (
	"errors"
	"io/fs"
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
	"wirefleet.dev/wire/internal/relay/relaytest"
)

// card is that of an identity that follows from seed.
func card(t testing.TB, handle, seed string) canon.Doc {
	t.Helper()
	key := keyOf(t, seed)
	return identity.SignCard(identity.NewCard(handle, "", key.Public()), key)
}

// outsider is a home that is no session, so nobody is its sister.
func outsider(t *testing.T, handle string) home.Session {
	t.Helper()
	s := home.At(filepath.Join(t.TempDir(), "h", handle))
	if err := s.Ensure(); err != nil {
		t.Fatal(err)
	}
	identify(t, s, handle, handle)
	bind(t, s, endpoint(relayURL, home.Federation, handle))
	return s
}

// TestPinCard: what is pinned, and what is refused and writes nothing.
func TestPinCard(t *testing.T) {
	s := outsider(t, "me")
	ctx := t.Context()
	bob := card(t, "bob", "bob")
	info, err := PinCard(ctx, s, bob, someTime)
	if err != nil || info.Handle != "bob" {
		t.Fatalf("%+v, %v", info, err)
	}
	trust, err := s.ReadTrustDoc()
	if err != nil {
		t.Fatal(err)
	}
	_, want, _ := identity.PinRecord(bob, identity.TierVerified, someTime, nil)
	if d := cmp.Diff(want, trust["agents"].(canon.Doc)["bob"]); d != "" {
		t.Errorf("pinned (-want +got):\n%s", d)
	}

	forged := card(t, "bob", "bob")
	forged["name"] = "Mallory"
	renamed := identity.NewCard("carl", "", keyOf(t, "carl").Public())
	renamed["handle"] = "bob"
	odd := identity.NewCard("../x", "", keyOf(t, "odd").Public())
	nameless := identity.NewCard("", "", keyOf(t, "nameless").Public())
	other := identity.NewCard("dora", "", keyOf(t, "dora").Public())
	other["did"] = "did:wire:dora-00000000"
	sameKey := identity.NewCard("alias", "", keyOf(t, "me").Public())
	legacy := identity.NewCard("emma", "", keyOf(t, "emma").Public())
	legacy["did"] = "did:wire:emma"
	impostor := identity.NewCard("emma", "", keyOf(t, "mallory").Public())
	impostor["did"] = "did:wire:emma"
	sign := func(c canon.Doc, seed string) canon.Doc { return identity.SignCard(c, keyOf(t, seed)) }
	if _, err := PinCard(ctx, s, sign(legacy, "emma"), someTime); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		what string
		card any
		says string
	}{
		{"no card", []any{}, "peer card signature invalid: missing field: signature"},
		{"a forged name", forged, "peer card signature invalid: signature did not verify"},
		{"handle and DID of two", sign(renamed, "carl"), "peer card refused: "},
		{"a path for a handle", sign(odd, "odd"), "peer card refused: "},
		{"no handle", sign(nameless, "nameless"), "peer card refused: "},
		{"a DID of another key", sign(other, "dora"), "peer card refused: "},
		{"oneself", card(t, "me", "me"), "refusing to add self"},
		{"one's own key under another handle", sign(sameKey, "me"), "refusing to add self"},
		{"one's own handle", card(t, "me", "stranger"), `"me" is this session's own handle`},
		{"another key under a pinned handle", card(t, "bob", "mallory"), `"bob" is pinned as did:wire:bob-`},
		{"another key under a pinned legacy DID", sign(impostor, "mallory"), `"emma" is pinned as did:wire:emma `},
	} {
		before := snapshot(t, s.Dir)
		if _, err := PinCard(ctx, s, tc.card, someTime); err == nil || !strings.HasPrefix(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.what, err)
		}
		if d := cmp.Diff(before, snapshot(t, s.Dir)); d != "" {
			t.Errorf("%s wrote:\n%s", tc.what, d)
		}
	}
	if _, err := PinCard(ctx, home.At(t.TempDir()), bob, someTime); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "writing ") {
		t.Errorf("no home: %v", err)
	}
}

// TestKeyChange: the error shows both identities; an own sister that was made anew is pinned again, and her old
// key stays, off.
func TestKeyChange(t *testing.T) {
	s := outsider(t, "me")
	if _, err := PinCard(t.Context(), s, card(t, "bob", "bob"), someTime); err != nil {
		t.Fatal(err)
	}
	var change *KeyChangeError
	_, err := PinCard(t.Context(), s, card(t, "bob", "mallory"), someTime)
	old, fresh := identity.Fingerprint(keyOf(t, "bob").Public()), identity.Fingerprint(keyOf(t, "mallory").Public())
	if !errors.As(err, &change) || change.OldKey != old || change.NewKey != fresh || change.Old.Fingerprint() != old || change.New.Fingerprint() != fresh {
		t.Errorf("%+v", change)
	}

	root := t.TempDir()
	api, web := newSession(t, root, "api", "api"), newSession(t, root, "web", "web")
	if _, err := PinCard(t.Context(), api, card(t, "web", "web"), someTime); err != nil {
		t.Fatal(err)
	}
	identify(t, web, "web", "made anew")
	again, err := web.ReadCard()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := PinCard(t.Context(), api, again, someTime); err != nil {
		t.Fatal(err)
	}
	rec := recordsOf(t, api, "web").doc()
	keys := rec["public_keys"].([]any)
	if rec["did"] != string(didOf(t, web)) || len(keys) != 2 || keys[0].(canon.Doc)["active"] != true || keys[1].(canon.Doc)["active"] != false {
		t.Errorf("%v", rec)
	}
	if _, err := PinCard(t.Context(), api, card(t, "web", "mallory"), someTime); !errors.As(err, &change) {
		t.Errorf("a stranger with a sister's handle: %v", err)
	}
}

// TestSwitchedOff: a key that somebody switched off in trust.json stays off.
func TestSwitchedOff(t *testing.T) {
	s := outsider(t, "me")
	if _, err := PinCard(t.Context(), s, card(t, "bob", "bob"), someTime); err != nil {
		t.Fatal(err)
	}
	edit(t, s, "trust.json", func(doc canon.Doc) {
		rec := doc["agents"].(canon.Doc)["bob"].(canon.Doc)
		rec["public_keys"].([]any)[0].(canon.Doc)["active"] = false
	})
	before := snapshot(t, s.Dir)
	if _, err := PinCard(t.Context(), s, card(t, "bob", "bob"), someTime); err == nil || !strings.Contains(err.Error(), keyOff) {
		t.Error(err)
	}
	if d := cmp.Diff(before, snapshot(t, s.Dir)); d != "" {
		t.Errorf("it wrote:\n%s", d)
	}
}

// TestRepinKeepsTimeOfKey: a pin that is made again under the same key says nothing new of when the key came.
func TestRepinKeepsTimeOfKey(t *testing.T) {
	s := outsider(t, "me")
	bob, later := card(t, "bob", "bob"), someTime.Add(time.Hour)
	if _, err := PinCard(t.Context(), s, bob, someTime); err != nil {
		t.Fatal(err)
	}
	edit(t, s, "trust.json", func(doc canon.Doc) {
		doc["agents"].(canon.Doc)["bob"].(canon.Doc)["tier"] = identity.TierUntrusted
	})
	if _, err := PinCard(t.Context(), s, bob, later); err != nil {
		t.Fatal(err)
	}
	trust, err := s.ReadTrustDoc()
	if err != nil {
		t.Fatal(err)
	}
	rec := trust["agents"].(canon.Doc)["bob"].(canon.Doc)
	added := rec["public_keys"].([]any)[0].(canon.Doc)["added_at"]
	if rec["pinned_at"] != identity.FormatTime(later) || added != identity.FormatTime(someTime) {
		t.Errorf("pinned at %v, key of %v", rec["pinned_at"], added)
	}
}

// TestPinOverNothing: a record that names neither DID nor key is nobody's.
func TestPinOverNothing(t *testing.T) {
	for _, record := range []string{`{}`, `{"tier":"VERIFIED"}`, `null`, `7`} {
		s := outsider(t, "me")
		if err := s.UpdateTrust(t.Context(), func(trust *canon.Spans) error {
			trust.Set([]byte(record), "agents", "bob")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := PinCard(t.Context(), s, card(t, "bob", "bob"), someTime); err != nil {
			t.Errorf("%s: %v", record, err)
		}
	}
}

// waiting is a request of somebody whose identity and slots follow from name.
func waiting(t *testing.T, name string, endpoints ...home.Endpoint) home.Inbound {
	t.Helper()
	c := card(t, name, name)
	return home.Inbound{
		Handle: name, DID: identity.DID(c["did"].(string)), Card: c, Trio: endpoints[0], Endpoints: endpoints, EventID: "e-" + name,
	}
}

// TestAcceptRefuses: a record is checked when it is accepted, for it may be of a reference.
func TestAcceptRefuses(t *testing.T) {
	s := outsider(t, "me")
	good := func() home.Inbound { return waiting(t, "bob", endpoint("http://127.0.0.1:1", home.Federation, "bob")) }
	if _, err := PinCard(t.Context(), s, card(t, "pinned", "pinned"), someTime); err != nil {
		t.Fatal(err)
	}
	c := client.New(0)
	t.Cleanup(c.Close)
	p, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(*home.Inbound){
		"no card":                func(r *home.Inbound) { r.Card = nil },
		"a card with only a did": func(r *home.Inbound) { r.Card = canon.Doc{"did": string(r.DID)} },
		"a card of another":      func(r *home.Inbound) { r.Card = card(t, "bob", "mallory") },
		"another handle":         func(r *home.Inbound) { r.Handle = "carl" },
		"another key, pinned": func(r *home.Inbound) {
			*r = waiting(t, "pinned", r.Trio)
			r.Card = card(t, "pinned", "mallory")
			r.DID = identity.DID(r.Card.(canon.Doc)["did"].(string))
		},
		"our own handle": func(r *home.Inbound) {
			*r = waiting(t, "me", r.Trio)
			r.Card = card(t, "me", "x")
			r.DID = identity.DID(r.Card.(canon.Doc)["did"].(string))
		},
		"ourselves":              func(r *home.Inbound) { *r = waiting(t, "me", r.Trio) },
		"a slot without a token": func(r *home.Inbound) { r.Trio.SlotToken = identity.Token{}; r.Endpoints = nil },
		"no relay":               func(r *home.Inbound) { r.Trio.RelayURL = ""; r.Endpoints = []home.Endpoint{} },
	} {
		r := good()
		spoil(&r)
		before := snapshot(t, s.Dir)
		if _, err := Accept(t.Context(), c, p, r, someTime); err == nil {
			t.Errorf("%s: accepted", what)
		}
		if d := cmp.Diff(before, snapshot(t, s.Dir)); d != "" {
			t.Errorf("%s wrote:\n%s", what, d)
		}
	}

	slotless := p
	slotless.Endpoints = nil
	if _, err := Accept(t.Context(), c, slotless, good(), someTime); !errors.Is(err, ErrNoSlot) {
		t.Errorf("without a slot: %v", err)
	}
}

// TestAckFindsAWay: an ack that cannot reach the flat slot goes to another one; if none takes it, the pins stand
// and the request waits on.
func TestAckFindsAWay(t *testing.T) {
	s := outsider(t, "me")
	c := client.New(0)
	t.Cleanup(c.Close)
	here := relaytest.Start(t, relaytest.Config{}).URL()
	slot, err := c.Allocate(t.Context(), here, "bob")
	if err != nil {
		t.Fatal(err)
	}
	away := endpoint("http://127.0.0.1:1", home.Federation, "bob")
	near := home.Endpoint{RelayURL: here, SlotID: slot.ID, SlotToken: slot.Token, Scope: home.Local}
	p, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	request := waiting(t, "bob", away)
	if err := s.StoreInbound(request); err != nil {
		t.Fatal(err)
	}
	_, err = Accept(t.Context(), c, p, request, someTime)
	says := "pair_drop_ack send to bob @ " + away.RelayURL + " slot " + away.SlotID + ": "
	if !errors.Is(err, client.ErrRefused) || !strings.HasPrefix(err.Error(), says) || strings.Contains(err.Error(), away.SlotToken.Reveal()) {
		t.Errorf("%v", err)
	}
	if peers, err := Peers(s); err != nil || len(peers.List) != 1 || peers.List[0].Tier != identity.TierVerified {
		t.Errorf("%+v, %v", peers, err)
	}
	if _, err := Request(s, "bob"); err != nil {
		t.Errorf("the request went: %v", err)
	}

	request.Endpoints = []home.Endpoint{away, near}
	if _, err := Accept(t.Context(), c, p, request, someTime); err != nil {
		t.Fatal(err)
	}
	if list, err := c.List(t.Context(), slot, "", 10); err != nil || len(list) != 1 {
		t.Errorf("%d events, %v", len(list), err)
	}
	if _, err := Request(s, "bob"); err == nil {
		t.Error("the request still waits")
	}
	file, err := s.ReadRelay()
	if err != nil || !slices.Equal(file.Peer("bob"), request.Endpoints) {
		t.Errorf("%v, %v", file, err)
	}
}

// TestForgetOdd: what a reference left under our own handle can be removed, our own record cannot; a request of
// the same identity goes with its pin, one of another stays.
func TestForgetOdd(t *testing.T) {
	ctx := t.Context()
	s := outsider(t, "me")
	if err := s.UpdateRelay(ctx, func(r *home.RelayFile) error {
		r.SetPeer("me", []home.Endpoint{endpoint(relayURL, home.Federation, "me")})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if f, err := Forget(ctx, s, "me", false); err != nil || f.Trust || !f.Route {
		t.Errorf("a route to oneself: %+v, %v", f, err)
	}
	if err := s.UpdateTrust(ctx, func(trust *canon.Spans) error {
		_, rec, err := identity.PinRecord(card(t, "me", "mallory"), identity.TierVerified, someTime, nil)
		trust.Set(canon.AppendPretty(nil, rec, 2), "agents", "me")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if f, err := Forget(ctx, s, "me", false); err != nil || !f.Trust {
		t.Errorf("a stranger in place of oneself: %+v, %v", f, err)
	}

	for _, name := range []string{"bob", "carl"} {
		if _, err := PinCard(ctx, s, card(t, name, name), someTime); err != nil {
			t.Fatal(err)
		}
		r := waiting(t, name, endpoint(relayURL, home.Federation, name))
		if name == "carl" {
			r.DID = "did:wire:carl-00000000"
		}
		if err := s.StoreInbound(r); err != nil {
			t.Fatal(err)
		}
		if f, err := Forget(ctx, s, name, false); err != nil || !f.Trust {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
		if _, err := Request(s, name); (err == nil) != (name == "carl") {
			t.Errorf("%s: %v", name, err)
		}
	}

	outbox, err := s.Outbox("gone")
	if err == nil {
		err = os.WriteFile(outbox, []byte("{}\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if f, err := Forget(ctx, s, "gone", true); err != nil || f.Trust || f.Route || !slices.Equal(f.Purged, []string{outbox}) || !f.Any() {
		t.Errorf("messages of nobody: %+v, %v", f, err)
	}
	if _, err := Forget(ctx, home.At(t.TempDir()), "x", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no home: %v", err)
	}
}

// TestAddSlot: an address takes the place of the one on its relay, else of the federation one; the rest stays.
func TestAddSlot(t *testing.T) {
	fed := func(url, id string) home.Endpoint { return endpoint(url, home.Federation, id) }
	local := endpoint("http://127.0.0.1:1", home.Local, "l")
	for _, tc := range []struct {
		what string
		have []home.Endpoint
		add  home.Endpoint
		want []home.Endpoint
	}{
		{"nobody", nil, fed("http://x/", "n"), []home.Endpoint{fed("http://x/", "n")}},
		{"the same relay", []home.Endpoint{fed("http://x", "o")}, fed("http://x/", "n"), []home.Endpoint{fed("http://x/", "n")}},
		{"another relay", []home.Endpoint{fed("http://x", "o")}, fed("http://y", "n"), []home.Endpoint{fed("http://y", "n")}},
		{"dual", []home.Endpoint{fed("http://x", "o"), local}, fed("http://y", "n"), []home.Endpoint{fed("http://y", "n"), local}},
		{"dual, the local relay", []home.Endpoint{fed("http://x", "o"), local}, fed("http://127.0.0.1:1/", "n"), []home.Endpoint{fed("http://x", "o"), endpoint("http://127.0.0.1:1", home.Local, "n")}},
		{"local only", []home.Endpoint{local}, fed("http://y", "n"), []home.Endpoint{fed("http://y", "n"), local}},
	} {
		s := outsider(t, "me")
		if tc.have != nil {
			if err := s.UpdateRelay(t.Context(), func(r *home.RelayFile) error { r.SetPeer("bob", tc.have); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if err := AddSlot(t.Context(), s, "bob", tc.add); err != nil {
			t.Errorf("%s: %v", tc.what, err)
		}
		file, err := s.ReadRelay()
		if err != nil || !slices.Equal(file.Peer("bob"), tc.want) {
			t.Errorf("%s: %+v, %v", tc.what, file.Peer("bob"), err)
		}
		raw, _ := file.PeerRaw("bob")
		if listed := strings.Contains(string(raw), "endpoints"); listed != (tc.have != nil) {
			t.Errorf("%s: %s", tc.what, raw)
		}
	}

	s := outsider(t, "me")
	for handle, e := range map[string]home.Endpoint{
		"bob@x": fed("http://x", "n"), "../x": fed("http://x", "n"), "": fed("http://x", "n"), "me": fed("http://x", "n"),
		"bob": {RelayURL: "http://x", SlotID: "", SlotToken: identity.NewToken("t")},
	} {
		if err := AddSlot(t.Context(), s, handle, e); err == nil {
			t.Errorf("%q, %+v", handle, e)
		}
	}
	if err := AddSlot(t.Context(), home.At(t.TempDir()), "bob", fed("http://x", "n")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no home: %v", err)
	}
}

// TestUnknownKeysOfPeers: what others wrote into a record stays while it is about the same peer.
func TestUnknownKeysOfPeers(t *testing.T) {
	s := outsider(t, "me")
	put(t, s, "relay.json", []byte(`{"peers":{"bob":{"relay_url":"http://x","slot_id":"s","slot_token":"t","mark":1,
		"endpoints":[{"relay_url":"http://x","slot_id":"s","slot_token":"t","scope":"federation"},
		{"relay_url":"q","slot_id":"s","slot_token":"t","scope":"quantum"}]}},"self":null,"root":true}`))
	if err := AddSlot(t.Context(), s, "bob", endpoint("http://x", home.Federation, "n")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(s.RelayFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range []string{`"mark": 1`, `"quantum"`, `"root":true`} {
		if !strings.Contains(string(data), kept) {
			t.Errorf("%s is gone:\n%s", kept, data)
		}
	}
}

// TestInFlight: what a daemon of the reference has in hand, for an hour.
func TestInFlight(t *testing.T) {
	s, now := outsider(t, "me"), time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC)
	if p, err := InFlight(s, now); p != nil || err != nil {
		t.Errorf("without a directory: %+v, %v", p, err)
	}
	if err := os.MkdirAll(s.Detached(), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		status, at string
		want       bool
	}{
		{"request_host", "2026-05-20T11:59:59Z", true},
		{"request_guest", "2026-05-20t11:00:00.0000000001z", true},
		{"polling", "2026-05-20T13:30:00+02:00", true},
		{"sas_ready", "2026-05-20T11:30:00Z", true},
		{"confirmed", "2026-05-20T12:00:01Z", true},
		{"aborted", "2026-05-20T11:59:59Z", false},
		{"aborted_restart", "2026-05-20T11:59:59Z", false},
		{"polling", "2026-05-20T10:59:59Z", false},
		{"polling", "2036-05-20T12:00:00Z", false},
		{"polling", "yesterday", false},
	} {
		put := `{"code":"c","code_hash":"h","role":"host","relay_url":"u","status":"` + tc.status + `","created_at":"` + tc.at + `"}`
		if err := os.WriteFile(filepath.Join(s.Detached(), "c.json"), []byte(put), 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := InFlight(s, now); err != nil || (p != nil) != tc.want {
			t.Errorf("%s of %s: %+v, %v", tc.status, tc.at, p, err)
		}
	}
}

// TestPending: the records of the reference, oldest first, without their secrets.
func TestPending(t *testing.T) {
	s := outsider(t, "me")
	if err := os.MkdirAll(s.Detached(), 0o700); err != nil {
		t.Fatal(err)
	}
	record := func(code, at, sas string) string {
		return `{"code":"` + code + `","code_hash":"h","role":"host","relay_url":"u","status":"sas_ready","sas":` + sas +
			`,"created_at":"` + at + `","our_slot_token":"very-secret","spake2_seed_b64":"very-secret"}`
	}
	for name, text := range map[string]string{
		"a.json": record("late", "2026-02-01T00:00:00Z", `"966113"`), "b.json": record("early", "2026-01-01T00:00:00Z", "null"),
		"c.json": `{"code":"half"}`, "d.json": record("odd", "2026-01-01T00:00:00Z", "7"),
	} {
		if err := os.WriteFile(filepath.Join(s.Detached(), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := Pending(s)
	if err != nil || len(list) != 2 || list[0].Code != "early" || list[1].Code != "late" {
		t.Fatalf("%+v, %v", list, err)
	}
	if list[0].Digits() != "—" || list[1].Digits() != "966-113" || list[1].SlotToken != nil || list[1].Seed != nil {
		t.Errorf("%+v", list)
	}
	if list[0].Equal(list[1]) || !list[0].Equal(list[0]) {
		t.Error("Equal")
	}
}
