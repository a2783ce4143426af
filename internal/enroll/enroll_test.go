package enroll

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/internal/relay/relaytest"
)

var ada = Person{Handle: "ada"}

func mustInit(t *testing.T, s home.Session, p Person) identity.CardInfo {
	t.Helper()
	info, err := Init(t.Context(), s, p)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// TestInit: once, and what it made belongs together.
func TestInit(t *testing.T) {
	s := newHome(t, "ada")
	info := mustInit(t, s, Person{Handle: "ada", Name: "Ada L."})
	key, card, same, err := Owner(s)
	if err != nil || same.DID != info.DID || card["name"] != "Ada L." || info.DID != identity.NewDID("ada", key.Public()) {
		t.Errorf("%+v, %v", info, err)
	}
	trust, err := s.ReadTrustDoc()
	if err != nil || identity.Tier(trust["agents"].(canon.Doc)["ada"]) != identity.TierAttested {
		t.Errorf("%v, %v", trust, err)
	}
	var there *InitializedError
	if _, err := Init(t.Context(), s, ada); !errors.As(err, &there) || there.Handle != "ada" || !strings.HasPrefix(err.Error(), "already initialized") {
		t.Error(err)
	}
	for _, bad := range []string{"", "a b", "a/b", "ü", strings.Repeat("x", 201)} {
		s := newHome(t, "bad")
		if _, err := Init(t.Context(), s, Person{Handle: bad}); err == nil || s.Exists() {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestComplete: whatever an init that died has left is completed, and its key is never replaced.
func TestComplete(t *testing.T) {
	whole := newHome(t, "ada")
	info := mustInit(t, whole, ada)
	files := func(s home.Session) []string { return []string{s.KeyFile(), s.CardFile(), s.TrustFile()} }
	for n := range files(whole) { // died after n files
		s := newHome(t, "ada")
		if err := s.Ensure(); err != nil {
			t.Fatal(err)
		}
		for i, path := range files(whole)[:n] {
			data, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(files(s)[i], data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		changed, err := Complete(t.Context(), s, ada)
		_, _, got, owned := Owner(s)
		if err != nil || !changed || owned != nil || n > 0 && got.DID != info.DID {
			t.Errorf("after %d files: %v, %v, %v", n, changed, err, owned)
		}
		if changed, err := Complete(t.Context(), s, ada); changed || err != nil {
			t.Errorf("a second time: %v, %v", changed, err)
		}
	}

	lost := newHome(t, "ada")
	if err := errors.Join(lost.Ensure(), lost.WriteCard(canon.Doc{})); err != nil {
		t.Fatal(err)
	}
	for _, do := range []func() error{
		func() error { _, err := Init(t.Context(), lost, ada); return err },
		func() error { _, err := Complete(t.Context(), lost, ada); return err },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), "without its private.key") {
			t.Error(err)
		}
	}
}

// TestOldTrust: a new identity keeps the pins of the one that was lost, and takes the place of its own record.
func TestOldTrust(t *testing.T) {
	s := newHome(t, "ada")
	old := mustInit(t, s, ada)
	err := errors.Join(s.UpdateTrust(t.Context(), func(trust *canon.Spans) error {
		trust.Set([]byte(`{"did":"did:wire:bob-00000001","tier":"VERIFIED"}`), "agents", "bob")
		return nil
	}), os.Remove(s.KeyFile()), os.Remove(s.CardFile()))
	if err != nil {
		t.Fatal(err)
	}
	fresh := mustInit(t, s, ada)
	trust, err := s.ReadTrustDoc()
	if err != nil {
		t.Fatal(err)
	}
	agents := trust["agents"].(canon.Doc)
	if got := agents["ada"].(canon.Doc)["did"]; got != string(fresh.DID) || fresh.DID == old.DID || agents["bob"] == nil {
		t.Errorf("%v", agents)
	}
}

// TestInitAtOnce: of several at once one makes the identity, and all that succeed have the same.
func TestInitAtOnce(t *testing.T) {
	s := newHome(t, "ada")
	if err := s.Ensure(); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		all.Go(func() { _, errs[i] = Complete(t.Context(), s, ada) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := Owner(s); err != nil {
		t.Fatal(err)
	}
}

// TestStrangersKey: nothing is signed where key and card are of two identities.
func TestStrangersKey(t *testing.T) {
	s, other := newHome(t, "ada"), newHome(t, "eve")
	mustInit(t, s, ada)
	mustInit(t, other, Person{Handle: "eve"})
	data, err := os.ReadFile(other.KeyFile())
	if err == nil {
		err = os.WriteFile(s.KeyFile(), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t)
	for what, do := range map[string]func() error{
		"profile": func() error { _, err := SetProfile(t.Context(), s, "motto", "x"); return err },
		"bind":    func() error { _, err := Bind(t.Context(), c, s, nobody, BindOptions{}); return err },
		"rotate":  func() error { _, err := Rotate(t.Context(), c, s, RotateOptions{}); return err },
		"ensure":  func() error { _, err := Ensure(t.Context(), c, s, nobody); return err },
	} {
		var file *home.FileError
		if err := do(); !errors.As(err, &file) || file.Path != s.CardFile() {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestPlace: a new slot takes the place of the one that it is for, and of no other.
func TestPlace(t *testing.T) {
	end := func(url, id string, scope home.Scope) home.Endpoint {
		return home.Endpoint{RelayURL: url, SlotID: id, Scope: scope}
	}
	fed, local := end("https://f", "f", home.Federation), end("http://127.0.0.1:1", "l", home.Local)
	for _, tc := range []struct {
		what     string
		have     []home.Endpoint
		relay    string
		want     []home.Endpoint
		replaces bool
	}{
		{"none", nil, "https://f/", []home.Endpoint{end("https://f/", "new", home.Federation)}, false},
		{"the same relay", []home.Endpoint{fed}, "https://f/", []home.Endpoint{end("https://f/", "new", home.Federation)}, true},
		{"another relay", []home.Endpoint{fed}, "https://g", []home.Endpoint{end("https://g", "new", home.Federation)}, true},
		{"dual, the local relay", []home.Endpoint{fed, local}, "http://127.0.0.1:1/", []home.Endpoint{fed, end("http://127.0.0.1:1", "new", home.Local)}, true},
		{"dual, another relay", []home.Endpoint{fed, local}, "https://g", []home.Endpoint{end("https://g", "new", home.Federation), local}, true},
		{"local only, a federation relay", []home.Endpoint{local}, "https://g", []home.Endpoint{end("https://g", "new", home.Federation), local}, false},
	} {
		before := slices.Clone(tc.have)
		got, replaces := place(tc.have, end(tc.relay, "new", home.Federation))
		if !slices.Equal(got, tc.want) || replaces != tc.replaces {
			t.Errorf("%s: %v, %v", tc.what, got, replaces)
		}
		if !slices.Equal(tc.have, before) {
			t.Errorf("%s: its argument changed", tc.what)
		}
	}
	if got := withEndpoint([]home.Endpoint{fed, local}, end("http://127.0.0.1:2", "m", home.Local)); !slices.Equal(got, []home.Endpoint{fed, end("http://127.0.0.1:2", "m", home.Local)}) {
		t.Errorf("a new local slot: %v", got)
	}
}

// TestSlot: one that answers stays, one that the relay has lost is replaced, and a relay that is away changes
// nothing.
func TestSlot(t *testing.T) {
	s, c := newHome(t, "ada"), newClient(t)
	mustInit(t, s, ada)
	relay := relaytest.Start(t, relaytest.Config{}).URL()
	at := Place{Relay: relay, Scope: home.Local, Handle: "ada"}
	slot := func() home.Endpoint {
		t.Helper()
		file, err := s.ReadRelay()
		if err != nil || len(file.Self()) != 1 {
			t.Fatalf("%v, %v", file, err)
		}
		return file.Self()[0]
	}
	if changed, err := Slot(t.Context(), c, s, at); !changed || err != nil {
		t.Fatalf("%v, %v", changed, err)
	}
	first := slot()
	if changed, err := Slot(t.Context(), c, s, at); changed || err != nil || slot() != first {
		t.Errorf("again: %v, %v", changed, err)
	}
	lost := first
	lost.SlotID = strings.Repeat("0", 32)
	if err := s.UpdateRelay(t.Context(), func(r *home.RelayFile) error { r.SetSelf([]home.Endpoint{lost}); return nil }); err != nil {
		t.Fatal(err)
	}
	if changed, err := Slot(t.Context(), c, s, at); !changed || err != nil || slot() == lost {
		t.Errorf("lost: %v, %v", changed, err)
	}
	away := Place{Relay: nobody, Scope: home.Local}
	before := slot()
	if changed, err := Slot(t.Context(), c, s, away); changed || !errors.Is(err, client.ErrRefused) || slot() != before {
		t.Errorf("away: %v, %v", changed, err)
	}
}

// TestRotateVector: of a local-only session with a peer the reference leaves a flat trio that looks like a
// federation slot; here it stays what it was, with the new slot, and the peer is told without the token.
func TestRotateVector(t *testing.T) {
	v, c := readVector(t, "rotate-slot"), newClient(t)
	alpha, beth := v.session("alpha"), v.session("beth")
	before, err := alpha.ReadRelay()
	if err != nil {
		t.Fatal(err)
	}
	old := before.Self()[0]
	drained := 0
	r, err := Rotate(t.Context(), c, alpha, RotateOptions{Announce: true, Before: func(context.Context) {
		file, err := alpha.ReadRelay()
		if err != nil || file.Self()[0] != old {
			t.Errorf("the slot was given up before it was drained: %v", err)
		}
		drained++
	}})
	if err != nil || drained != 1 {
		t.Fatalf("%v, drained %d times", err, drained)
	}
	want := v.steps[1].JSON
	if r.Relay != want["relay_url"] || r.Old != want["old_slot_id"] || !slices.Equal(r.Announced, []string{"beth"}) || len(r.Failed) != 0 {
		t.Errorf("%+v, the reference says %v", r, want)
	}
	file, err := alpha.ReadRelay()
	if err != nil {
		t.Fatal(err)
	}
	fresh := file.Self()[0]
	if len(file.Self()) != 1 || fresh.Scope != home.Local || fresh.RelayURL != v.local || fresh.SlotID != r.New || file.SelfFlat() != fresh {
		t.Errorf("%+v", file.Self())
	}
	if file.Cursor(fresh) != "" || !slices.Equal(file.Peers(), []string{"beth"}) {
		t.Errorf("cursor %q, peers %v", file.Cursor(fresh), file.Peers())
	}
	hers, err := beth.ReadRelay()
	if err != nil {
		t.Fatal(err)
	}
	got := events(t, c, hers.Self()[0])
	if len(got) != 1 {
		t.Fatalf("%d events in beth's slot", len(got))
	}
	text, _ := json.Marshal(got[0])
	event, err := canon.ParseObject(text)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := beth.ReadTrustDoc()
	if err != nil {
		t.Fatal(err)
	}
	if err := identity.VerifyEvent(event, trust); err != nil {
		t.Error(err)
	}
	body := got[0]["body"].(map[string]any)
	if got[0]["type"] != "wire_close" || body["new_slot_id"] != r.New || body["new_relay_url"] != v.local ||
		body["reason"] != "operator-initiated slot rotation" || len(body) != 3 || strings.Contains(string(text), fresh.SlotToken.Reveal()) {
		t.Errorf("%s", text)
	}

	if r, err := Rotate(t.Context(), c, alpha, RotateOptions{}); err != nil || len(r.Announced) != 0 || len(events(t, c, hers.Self()[0])) != 1 {
		t.Errorf("without announcing: %+v, %v", r, err)
	}
}

// TestRotateDualVector: the other slot of a session with two stays, in rotate-slot and in bind-relay, which
// moves the slot that is on that relay.
func TestRotateDualVector(t *testing.T) {
	v, c := readVector(t, "rotate-slot-dual"), newClient(t)
	alpha, beth := v.session("alpha"), v.session("beth")
	self := func(s home.Session) []home.Endpoint {
		t.Helper()
		file, err := s.ReadRelay()
		if err != nil {
			t.Fatal(err)
		}
		return file.Self()
	}
	before := self(alpha)
	r, err := Rotate(t.Context(), c, alpha, RotateOptions{Announce: true})
	if err != nil || r.Relay != v.fed || !slices.Equal(r.Announced, []string{"beth"}) {
		t.Fatalf("%+v, %v", r, err)
	}
	after := self(alpha)
	if len(after) != 2 || after[0].SlotID != r.New || after[0].RelayURL != v.fed || after[1] != before[1] {
		t.Errorf("%+v", after)
	}

	before = self(beth)
	typed := v.local + "/"
	var pinned *PinnedError
	if _, err := Bind(t.Context(), c, beth, typed, BindOptions{}); !errors.As(err, &pinned) || !slices.Equal(pinned.Handles, []string{"alpha"}) {
		t.Errorf("%v", err)
	}
	bound, err := Bind(t.Context(), c, beth, typed, BindOptions{Migrate: true})
	if err != nil || !slices.Equal(bound.Peers, []string{"alpha"}) {
		t.Fatalf("%+v, %v", bound, err)
	}
	after = self(beth)
	want := home.Endpoint{RelayURL: v.local, SlotID: bound.Endpoint.SlotID, SlotToken: bound.Endpoint.SlotToken, Scope: home.Local}
	if len(after) != 2 || after[0] != before[0] || after[1] != want {
		t.Errorf("%+v", after)
	}
}

// TestRotateFails: a relay that is away or full leaves the slot as it is, and the error says so.
func TestRotateFails(t *testing.T) {
	s, c := newHome(t, "ada"), newClient(t)
	mustInit(t, s, ada)
	if _, err := Rotate(t.Context(), c, s, RotateOptions{}); !errors.Is(err, ErrUnbound) {
		t.Error(err)
	}
	away := home.Endpoint{RelayURL: nobody, SlotID: "s", SlotToken: identity.NewToken("very-secret"), Scope: home.Federation}
	if err := s.UpdateRelay(t.Context(), func(r *home.RelayFile) error { r.SetSelf([]home.Endpoint{away}); return nil }); err != nil {
		t.Fatal(err)
	}
	_, err := Rotate(t.Context(), c, s, RotateOptions{})
	var silent *SilentError
	if !errors.As(err, &silent) || !strings.HasPrefix(err.Error(), "aborting rotation; old slot still valid: phyllis: silent line — couldn't reach "+away.RelayURL+"/healthz: ") {
		t.Error(err)
	}
	if file, err := s.ReadRelay(); err != nil || file.Self()[0] != away {
		t.Errorf("%v, %v", file, err)
	}
}

// TestRotateMeanwhile: a slot that somebody else replaced while the new one was made is not given up unseen.
func TestRotateMeanwhile(t *testing.T) {
	s, c := newHome(t, "ada"), newClient(t)
	mustInit(t, s, ada)
	relay := relaytest.Start(t, relaytest.Config{Federation: true}).URL()
	if err := First(t.Context(), c, s, relay); err != nil {
		t.Fatal(err)
	}
	var other home.Endpoint
	_, err := Rotate(t.Context(), c, s, RotateOptions{Before: func(ctx context.Context) {
		b, err := Bind(ctx, c, s, relay, BindOptions{})
		if err != nil {
			t.Error(err)
		}
		other = b.Endpoint
	}})
	if err == nil || !strings.Contains(err.Error(), "replaced by another program") {
		t.Error(err)
	}
	if file, err := s.ReadRelay(); err != nil || file.Self()[0] != other {
		t.Errorf("%v, %v", file, err)
	}
}

// TestAnnounceFails: one peer that cannot be told costs the others nothing.
func TestAnnounceFails(t *testing.T) {
	s, c := newHome(t, "ada"), newClient(t)
	mustInit(t, s, ada)
	relay := relaytest.Start(t, relaytest.Config{Federation: true}).URL()
	if err := First(t.Context(), c, s, relay); err != nil {
		t.Fatal(err)
	}
	slot, err := c.Allocate(t.Context(), relay, "bob")
	if err != nil {
		t.Fatal(err)
	}
	good := home.Endpoint{RelayURL: relay, SlotID: slot.ID, SlotToken: slot.Token, Scope: home.Federation}
	dead := home.Endpoint{RelayURL: nobody, SlotID: "x", SlotToken: identity.NewToken("very-secret"), Scope: home.Federation}
	pending := home.Endpoint{RelayURL: relay, SlotID: "y", Scope: home.Federation}
	err = s.UpdateRelay(t.Context(), func(r *home.RelayFile) error {
		r.SetPeer("bob", []home.Endpoint{good})
		r.SetPeer("carl", []home.Endpoint{dead})
		r.SetPeer("dora", []home.Endpoint{pending})
		r.SetPeer("emma", []home.Endpoint{dead, good})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Rotate(t.Context(), c, s, RotateOptions{Announce: true})
	if err != nil || !slices.Equal(r.Announced, []string{"bob", "emma"}) || len(r.Failed) != 1 ||
		!strings.HasPrefix(r.Failed[0], "announce to carl failed: POST "+dead.RelayURL) || strings.Contains(r.Failed[0], "very-secret") {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestEnsure: an identity named after the machine and a slot, once; a session that has a slot stays there.
func TestEnsure(t *testing.T) {
	s, c := newHome(t, "x"), newClient(t)
	relay := relaytest.Start(t, relaytest.Config{Federation: true}).URL()
	away := nobody
	_, err := Ensure(t.Context(), c, s, away)
	name := hostHandle()
	var silent *SilentError
	if !errors.As(err, &silent) || !strings.HasPrefix(err.Error(), "auto-init as did:wire:"+name+": phyllis: silent line — ") {
		t.Errorf("%v", err)
	}
	if !s.Initialized() {
		t.Error("the identity did not stay")
	}
	if _, err := Ensure(t.Context(), c, s, away); !errors.As(err, &silent) || strings.Contains(err.Error(), "auto-init") {
		t.Errorf("a second time: %v", err)
	}
	own, err := Ensure(t.Context(), c, s, relay+"/")
	if err != nil || own.Info.Handle != name || own.Endpoint.RelayURL != relay || own.Endpoint.Scope != home.Federation {
		t.Fatalf("%+v, %v", own, err)
	}
	again, err := Ensure(t.Context(), c, s, away)
	if err != nil || again.Endpoint != own.Endpoint {
		t.Errorf("%+v, %v", again, err)
	}
}

// TestClaim: what no directory would list is refused before any network; the relay's own no is told.
func TestClaim(t *testing.T) {
	s, other, c := newHome(t, "ada"), newHome(t, "eve"), newClient(t)
	for _, nick := range []string{"", "x", "Ada", "wire", "a.b", strings.Repeat("n", 33)} {
		if _, err := Claim(t.Context(), c, s, ClaimOptions{Nick: nick, Relay: nobody}); err == nil || !strings.Contains(err.Error(), "won't fit in the books") || s.Exists() {
			t.Errorf("%q: %v", nick, err)
		}
	}
	relay := relaytest.Start(t, relaytest.Config{Federation: true}).URL()
	mustInit(t, s, ada)
	mustInit(t, other, Person{Handle: "eve"})
	got, err := Claim(t.Context(), c, s, ClaimOptions{Nick: "ada", Relay: relay, PublicURL: relay})
	if err != nil || got.Relay != relay || got.Elsewhere {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err = Claim(t.Context(), c, s, ClaimOptions{Nick: "ada", Relay: "http://127.0.0.1:1"}); err != nil || !got.Elsewhere || got.Relay != relay {
		t.Errorf("%+v, %v", got, err)
	}
	found, err := c.Resolve(t.Context(), relay, "ada")
	if err != nil || found.SlotID == "" {
		t.Errorf("%+v, %v", found, err)
	}
	var taken *client.StatusError
	if _, err := Claim(t.Context(), c, other, ClaimOptions{Nick: "ada", Relay: relay}); !errors.As(err, &taken) || taken.Code != 409 {
		t.Errorf("%v", err)
	}
	if _, err := Claim(t.Context(), c, s, ClaimOptions{Nick: "ada", PublicURL: "http://u:secret@h"}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

// TestDirectoryFollows: who looks the handle up finds the slot that is read, after a rotation and after a bind;
// a nick of somebody else stays his.
func TestDirectoryFollows(t *testing.T) {
	s, c := newHome(t, "ada"), newClient(t)
	mustInit(t, s, ada)
	relay := relaytest.Start(t, relaytest.Config{Federation: true}).URL()
	if _, err := Claim(t.Context(), c, s, ClaimOptions{Nick: "ada", Relay: relay, PublicURL: relay + "/"}); err != nil {
		t.Fatal(err)
	}
	named := func() string {
		t.Helper()
		found, err := c.Resolve(t.Context(), relay, "ada")
		if err != nil || found.RelayURL != relay+"/" {
			t.Fatalf("%+v, %v", found, err)
		}
		return found.SlotID
	}
	r, err := Rotate(t.Context(), c, s, RotateOptions{})
	if err != nil || len(r.Failed) != 0 || named() != r.New {
		t.Errorf("%+v, %v; the directory names %s", r, err, named())
	}
	b, err := Bind(t.Context(), c, s, relay, BindOptions{})
	if err != nil || b.Stale != nil || named() != b.Endpoint.SlotID {
		t.Errorf("%+v, %v; the directory names %s", b, err, named())
	}

	namesake := newHome(t, "ada")
	mustInit(t, namesake, ada)
	if err := First(t.Context(), c, namesake, relay); err != nil {
		t.Fatal(err)
	}
	if r, err := Rotate(t.Context(), c, namesake, RotateOptions{}); err != nil || len(r.Failed) != 0 || named() != b.Endpoint.SlotID {
		t.Errorf("%+v, %v; the directory names %s", r, err, named())
	}
}

// TestResponder: what is told is what is read, by oneself and by a peer at the flat slot.
func TestResponder(t *testing.T) {
	s, c := newHome(t, "ada"), newClient(t)
	now := time.Date(2026, 3, 4, 5, 6, 7, 800000000, time.UTC)
	if _, err := SetResponder(t.Context(), c, s, "away", "", now); err == nil || !strings.HasPrefix(err.Error(), "status must be one of: online, offline, ") {
		t.Error(err)
	}
	if _, err := SetResponder(t.Context(), c, s, "online", "", now); !errors.Is(err, ErrUnbound) {
		t.Error(err)
	}
	if _, err := Responder(t.Context(), c, s, ""); !errors.Is(err, ErrUnbound) {
		t.Error(err)
	}
	mustInit(t, s, ada)
	if err := First(t.Context(), c, s, relaytest.Start(t, relaytest.Config{Federation: true}).URL()); err != nil {
		t.Fatal(err)
	}
	if health, err := Responder(t.Context(), c, s, ""); health != nil || err != nil {
		t.Errorf("%s, %v", health, err)
	}
	for _, tc := range [][3]string{
		{"online", "", `{"last_success_at":"2026-03-04T05:06:07.8Z","set_at":"2026-03-04T05:06:07.8Z","status":"online"}`},
		{"degraded", "slow", `{"reason":"slow","set_at":"2026-03-04T05:06:07.8Z","status":"degraded"}`},
	} {
		echo, err := SetResponder(t.Context(), c, s, tc[0], tc[1], now)
		health, err2 := Responder(t.Context(), c, s, "")
		if err := errors.Join(err, err2); err != nil || string(health) != tc[2] {
			t.Errorf("%s, %s, %v", echo, health, err)
		}
	}
	file, err := s.ReadRelay()
	if err != nil {
		t.Fatal(err)
	}
	slot := file.SelfFlat()
	wrong := slot
	wrong.SlotToken = identity.NewToken(strings.Repeat("0", 64))
	err = s.UpdateRelay(t.Context(), func(r *home.RelayFile) error {
		r.SetPeer("same", []home.Endpoint{slot})
		r.SetPeer("wrong", []home.Endpoint{wrong})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if health, err := Responder(t.Context(), c, s, "same"); err != nil || !strings.Contains(string(health), "degraded") {
		t.Errorf("%s, %v", health, err)
	}
	if _, err := Responder(t.Context(), c, s, "wrong"); err == nil || !strings.HasPrefix(err.Error(), "responder_health_get failed: 403 Forbidden: ") {
		t.Error(err)
	}
	var unknown *UnknownPeerError
	if _, err := Responder(t.Context(), c, s, "ghost"); !errors.As(err, &unknown) {
		t.Error(err)
	}
}

// TestProfile: a field set and cleared, the card signed anew each time.
func TestProfile(t *testing.T) {
	s := newHome(t, "ada")
	mustInit(t, s, ada)
	for _, tc := range []struct {
		value any
		want  string
	}{{"hi", `{"motto":"hi","schema_version":"v0.5"}`}, {nil, `{"schema_version":"v0.5"}`}} {
		profile, err := SetProfile(t.Context(), s, "motto", tc.value)
		if err != nil || string(canon.Compact(profile)) != tc.want {
			t.Errorf("%v, %v", profile, err)
		}
		if _, _, _, err := Owner(s); err != nil {
			t.Error(err)
		}
	}
	if _, err := SetProfile(t.Context(), s, "color", "red"); err == nil || !strings.HasPrefix(err.Error(), `unknown profile field "color"; allowed: display_name`) {
		t.Error(err)
	}
}

// TestCheckRelay: a password never comes back in the error.
func TestCheckRelay(t *testing.T) {
	for _, bad := range []string{"http://u:secret@h", "http://u:secret@h:x y", "\x7f"} {
		if err := CheckRelay(bad); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, good := range []string{"", "https://wireup.net", "http://127.0.0.1:8771/", "nonsense"} {
		if err := CheckRelay(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}
