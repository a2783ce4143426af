package pairing

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/internal/relay/relaytest"
)

// scenario is one of testdata/steps below a directory of the test, on real relays that have its slots.
type scenario struct {
	t     *testing.T
	root  string
	local string // URLs of the relays
	fed   string
	steps []struct {
		State  string  `json:"state"`
		Tree   []entry `json:"tree"`
		Change struct {
			Added   []entry  `json:"added"`
			Changed []entry  `json:"changed"`
			Removed []string `json:"removed"`
		} `json:"change"`
	}
	client *client.Client
}

var slotRecord = regexp.MustCompile(`\\"slot_id\\": \\"([0-9a-f]{32})\\",\\n *\\"slot_token\\": \\"([0-9a-f]{64})\\"`)

func newScenario(t *testing.T, name string) *scenario {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "steps", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{}
	for _, m := range slotRecord.FindAllStringSubmatch(string(data), -1) {
		tokens[m[1]] = m[2]
	}
	sc := &scenario{t: t, root: t.TempDir(), client: client.New(0)}
	t.Cleanup(sc.client.Close)
	sc.local, sc.fed = relaytest.Start(t, relaytest.Config{Tokens: tokens}).URL(), relaytest.Start(t, relaytest.Config{Federation: true, Tokens: tokens}).URL()
	text := strings.NewReplacer("http://127.0.0.1:8771", sc.local, "http://127.0.0.1:8790", sc.fed).Replace(string(data))
	var doc struct {
		Steps json.RawMessage `json:"steps"`
	}
	if err := errors.Join(json.Unmarshal([]byte(text), &doc), json.Unmarshal(doc.Steps, &sc.steps)); err != nil {
		t.Fatal(err)
	}
	return sc
}

// reach materialises everything up to a state: the tree, and what was added, changed and removed.
func (sc *scenario) reach(state string) {
	sc.t.Helper()
	for _, s := range sc.steps {
		if s.State == "" {
			continue
		}
		materialise(sc.t, sc.root, s.Tree)
		materialise(sc.t, sc.root, s.Change.Added)
		materialise(sc.t, sc.root, s.Change.Changed)
		for _, path := range s.Change.Removed {
			if err := os.Remove(sc.root + strings.TrimPrefix(path, made)); err != nil {
				sc.t.Fatal(err)
			}
		}
		if s.State == state {
			return
		}
	}
	sc.t.Fatalf("no state %q", state)
}

// wantChange holds the files of CFG that changed with the reference to what is there now, but for times and
// what only our pulls do.
func (sc *scenario) wantChange(state string) {
	sc.t.Helper()
	for _, s := range sc.steps {
		if s.State != state {
			continue
		}
		compared := 0
		for _, e := range s.Change.Changed {
			name := filepath.Base(e.Path)
			if name != "trust.json" && name != "relay.json" {
				continue
			}
			got, err := os.ReadFile(sc.root + strings.TrimPrefix(e.Path, made))
			if err != nil {
				sc.t.Error(err)
			}
			if d := cmp.Diff(timeless(e.Text), timeless(string(got))); d != "" {
				sc.t.Errorf("%s: %s (-reference +ours):\n%s", state, e.Path, d)
			}
			compared++
		}
		if compared == 0 {
			sc.t.Errorf("%s changes no file of CFG", state)
		}
		return
	}
	sc.t.Fatalf("no state %q", state)
}

func (sc *scenario) sister(name string) home.Session {
	s := home.At(filepath.Join(sc.root, "wh", "sessions", name))
	s.Name = name
	return s
}

func (sc *scenario) plain(name string) home.Session {
	return home.At(filepath.Join(sc.root, "h", name))
}

func (sc *scenario) machine() home.Machine {
	return home.Machine{Root: filepath.Join(sc.root, "wh", "sessions")}
}

func (sc *scenario) open(s home.Session) Self {
	sc.t.Helper()
	p, err := Open(s)
	if err != nil {
		sc.t.Fatal(err)
	}
	return p
}

// claim gives a session a nick at the federation relay.
func (sc *scenario) claim(s home.Session, nick string) {
	sc.t.Helper()
	p := sc.open(s)
	_, err := sc.client.Claim(sc.t.Context(), slotOf(p.Endpoints[0]), client.Claim{Nick: nick, Card: p.card, PublicURL: sc.fed})
	if err != nil {
		sc.t.Fatal(err)
	}
}

// arrived is the last event in a slot of s, verified by the card of who sent it.
func (sc *scenario) arrived(s home.Session, from home.Session) canon.Doc {
	sc.t.Helper()
	file, err := s.ReadRelay()
	if err != nil {
		sc.t.Fatal(err)
	}
	list, err := sc.client.List(sc.t.Context(), slotOf(file.Self()[0]), "", 100)
	if err != nil || len(list) == 0 {
		sc.t.Fatalf("%d events, %v", len(list), err)
	}
	event, err := canon.ParseObject(list[len(list)-1])
	if err != nil {
		sc.t.Fatal(err)
	}
	card, err := from.ReadCard()
	if err != nil {
		sc.t.Fatal(err)
	}
	handle, rec, err := identity.PinRecord(card, identity.TierVerified, someTime, nil)
	if err == nil {
		err = identity.VerifyEvent(event, canon.Doc{"agents": canon.Doc{handle: rec}})
	}
	if err != nil {
		sc.t.Error(err)
	}
	return event
}

// wantEvent compares an event but for what differs from run to run.
func wantEvent(t *testing.T, event canon.Doc, want canon.Doc) {
	t.Helper()
	got := canon.Doc{}
	for _, key := range []string{"type", "kind", "from", "to", "schema_version"} {
		got[key] = event[key]
	}
	body, _ := event["body"].(canon.Doc)
	got["body"] = slices.Sorted(func(yield func(string) bool) {
		for k := range body {
			if !yield(k) {
				return
			}
		}
	})
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("event (-want +got):\n%s", d)
	}
}

// TestSisterAddSteps: the handshake by hand, file by file as the reference's.
func TestSisterAddSteps(t *testing.T) {
	sc := newScenario(t, "sister-add-steps")
	sc.reach("before")
	alpha, beth := sc.sister("alpha"), sc.sister("beth")
	added, err := AddSister(t.Context(), sc.client, sc.machine(), alpha, "beth", someTime)
	if err != nil || added.Handle != "beth" || added.Via.Scope != home.Local || added.DID != didOf(t, beth) {
		t.Fatalf("%+v, %v", added, err)
	}
	sc.wantChange("after 1 add")
	drop := sc.arrived(beth, alpha)
	wantEvent(t, drop, canon.Doc{
		"type": "pair_drop", "kind": uint64(1100), "from": string(didOf(t, alpha)), "to": string(didOf(t, beth)),
		"schema_version": "v3.1", "body": []string{"card", "endpoints", "relay_url", "slot_id", "slot_token"},
	})
	if drop["event_id"] != added.EventID {
		t.Errorf("%v is not %s", drop["event_id"], added.EventID)
	}

	sc.reach("after 3 repeated")
	request, err := Request(beth, "alpha@anything")
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := Accept(t.Context(), sc.client, sc.open(beth), request, someTime)
	if err != nil || accepted.Handle != "alpha" || accepted.Relay != sc.local || !accepted.Accepted {
		t.Fatalf("%+v, %v", accepted, err)
	}
	sc.wantChange("after 4 pair-accept")
	wantEvent(t, sc.arrived(alpha, beth), canon.Doc{
		"type": "pair_drop_ack", "kind": uint64(1101), "from": string(didOf(t, beth)), "to": "did:wire:alpha",
		"schema_version": "v3.1", "body": []string{"endpoints", "relay_url", "slot_id", "slot_token"},
	})
	var none *NoRequestError
	if _, err := Request(beth, "alpha"); !errors.As(err, &none) {
		t.Errorf("the request still waits: %v", err)
	}

	before := snapshot(t, sc.root)
	if _, err := AddSister(t.Context(), sc.client, sc.machine(), alpha, "beth", someTime); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff(before, snapshot(t, sc.root)); d != "" {
		t.Errorf("adding who is pinned wrote:\n%s", d)
	}
	for name, want := range map[string]string{
		"nobody": "no sister session named `nobody` (run `wire session list` to",
		"BETH":   "no sister session named `BETH`",
		"alpha":  "refusing to add self (`alpha` is this very session)",
	} {
		if _, err := AddSister(t.Context(), sc.client, sc.machine(), alpha, name, someTime); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFederatedAddAccept: by handle, file by file as the reference's. Until the peer answers there is no token.
func TestFederatedAddAccept(t *testing.T) {
	sc := newScenario(t, "federated-add-accept")
	sc.reach("after init")
	ada, bob := sc.plain("ada"), sc.plain("bob")
	sc.claim(bob, "bob")
	address := Address{Nick: "bob", Domain: "127.0.0.1", Relay: sc.fed}
	added, err := Add(t.Context(), sc.client, sc.open(ada), address, someTime)
	if err != nil || added.Handle != "bob" || added.DID != didOf(t, bob) || added.Relay != sc.fed || added.Accepted {
		t.Fatalf("%+v, %v", added, err)
	}
	sc.wantChange("after add by ada")
	wantEvent(t, sc.arrived(bob, ada), canon.Doc{
		"type": "pair_drop", "kind": uint64(1100), "from": string(didOf(t, ada)), "to": string(didOf(t, bob)),
		"schema_version": "v3.1", "body": []string{"card", "endpoints", "relay_url", "slot_id", "slot_token"},
	})
	peers, err := Peers(ada)
	if err != nil || len(peers.List) != 1 || peers.List[0].Tier != "PENDING_ACK" {
		t.Errorf("%+v, %v", peers, err)
	}
	if added, err = Add(t.Context(), sc.client, sc.open(ada), address, someTime); err != nil || added.EventID == "" {
		t.Errorf("add again: %+v, %v", added, err)
	}

	sc.reach("after pull by bob")
	request, err := Request(bob, "ada@anything")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Accept(t.Context(), sc.client, sc.open(bob), request, someTime); err != nil {
		t.Fatal(err)
	}
	sc.wantChange("after accept")

	// Her slot moves: what we hold is the token of the old one.
	ack := sc.arrived(ada, bob)["body"].(canon.Doc)
	token, _ := ack["slot_token"].(string)
	if err := ada.UpdateRelay(t.Context(), func(r *home.RelayFile) error {
		fed := r.PeerFlat("bob")
		fed.SlotToken = identity.NewToken(token)
		r.SetPeer("bob", []home.Endpoint{fed, endpoint("http://127.0.0.1:1", home.Local, "bob")})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	peer := func() []home.Endpoint {
		t.Helper()
		file, err := ada.ReadRelay()
		if err != nil {
			t.Fatal(err)
		}
		return file.Peer("bob")
	}
	before := peer()
	if _, err := Add(t.Context(), sc.client, sc.open(ada), address, someTime); err != nil || !slices.Equal(peer(), before) {
		t.Errorf("the same slot: %v, %v", peer(), err)
	}
	moved, err := sc.client.Allocate(t.Context(), sc.fed, "bob")
	if err != nil {
		t.Fatal(err)
	}
	bind(t, bob, home.Endpoint{RelayURL: sc.fed, SlotID: moved.ID, SlotToken: moved.Token, Scope: home.Federation})
	sc.claim(bob, "bob")
	if _, err := Add(t.Context(), sc.client, sc.open(ada), address, someTime); err != nil {
		t.Fatal(err)
	}
	want := []home.Endpoint{{RelayURL: sc.fed, SlotID: moved.ID, Scope: home.Federation}, before[1]}
	if got := peer(); !slices.Equal(got, want) {
		t.Errorf("another slot: %+v", got)
	}
}

// TestAcceptByAdd: add answers a request only where the directory names the same identity, and nobody adds
// himself. The reference does both (federated-accept-by-add.json).
func TestAcceptByAdd(t *testing.T) {
	sc := newScenario(t, "federated-accept-by-add")
	sc.reach("before")
	ada, bob := sc.plain("ada"), sc.plain("bob")
	sc.claim(ada, "ada")
	sc.claim(bob, "bob")
	of := func(nick string) Address { return Address{Nick: nick, Domain: "127.0.0.1", Relay: sc.fed} }
	if _, err := Add(t.Context(), sc.client, sc.open(ada), of("bob"), someTime); err != nil {
		t.Fatal(err)
	}
	waits := func(from home.Session, as string) {
		t.Helper()
		p := sc.open(from)
		err := bob.StoreInbound(home.Inbound{
			Handle: as, DID: p.Info.DID, Card: p.card, Trio: p.Endpoints[0], Endpoints: p.Endpoints, EventID: "e-" + as,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	waits(ada, "ada")
	elsewhere := Address{Nick: "ada", Domain: "elsewhere.invalid", Relay: "http://127.0.0.1:1"}
	var pending *RequestPendingError
	if _, err := Add(t.Context(), sc.client, sc.open(bob), elsewhere, someTime); !errors.As(err, &pending) || pending.DID != didOf(t, ada) {
		t.Errorf("nothing proves who asks: %v", err)
	}
	if peers, err := Peers(bob); err != nil || len(peers.List) != 0 {
		t.Errorf("%+v, %v", peers, err)
	}
	got, err := Add(t.Context(), sc.client, sc.open(bob), of("ada"), someTime)
	if err != nil || !got.Accepted || got.DID != didOf(t, ada) {
		t.Fatalf("%+v, %v", got, err)
	}
	sc.wantChange("after add by bob")

	// Somebody else under the nick of ada: her own identity is added, the request is not touched.
	eve := sc.plain("eve")
	if err := eve.Ensure(); err != nil {
		t.Fatal(err)
	}
	identify(t, eve, "ada", "eve")
	bind(t, eve, endpoint(sc.fed, home.Federation, "eve"))
	if _, err := Forget(t.Context(), bob, "ada", false); err != nil {
		t.Fatal(err)
	}
	waits(eve, "ada")
	got, err = Add(t.Context(), sc.client, sc.open(bob), of("ada"), someTime)
	if err != nil || got.Accepted || got.DID != didOf(t, ada) {
		t.Errorf("%+v, %v", got, err)
	}
	if r, err := bob.InboundRequest("ada"); err != nil || r.DID != didOf(t, eve) {
		t.Errorf("%+v, %v", r, err)
	}

	before := snapshot(t, sc.root)
	var self *SelfError
	if _, err := Add(t.Context(), sc.client, sc.open(ada), of("ada"), someTime); !errors.As(err, &self) {
		t.Errorf("oneself: %v", err)
	}
	var missing *client.StatusError
	if _, err := Add(t.Context(), sc.client, sc.open(ada), of("nobody"), someTime); !errors.As(err, &missing) || missing.Code != 404 {
		t.Errorf("nobody: %v", err)
	}
	if d := cmp.Diff(before, snapshot(t, sc.root)); d != "" {
		t.Errorf("what was refused wrote:\n%s", d)
	}
}

// TestForgetVector: both files as the reference leaves them; one's own record stays.
func TestForgetVector(t *testing.T) {
	sc := newScenario(t, "forget-peer")
	sc.reach("before")
	alpha, beth := sc.sister("alpha"), sc.sister("beth")
	for _, handle := range []string{"nobody", "beth@x"} {
		before := snapshot(t, sc.root)
		if f, err := Forget(t.Context(), alpha, handle, true); err != nil || f.Any() {
			t.Errorf("%s: %+v, %v", handle, f, err)
		}
		if d := cmp.Diff(before, snapshot(t, sc.root)); d != "" {
			t.Errorf("%s: forgetting nobody wrote:\n%s", handle, d)
		}
	}
	if f, err := Forget(t.Context(), alpha, "beth", false); err != nil || !f.Trust || !f.Route || len(f.Purged) != 0 {
		t.Errorf("%+v, %v", f, err)
	}
	sc.wantChange("after forget")
	f, err := Forget(t.Context(), beth, "alpha", true)
	want := []string{filepath.Join(beth.InboxDir(), "alpha.jsonl"), filepath.Join(beth.OutboxDir(), "alpha.jsonl")}
	if err != nil || !slices.Equal(f.Purged, want) {
		t.Errorf("%+v, %v", f, err)
	}
	sc.wantChange("after forget --purge by beth")
	before := snapshot(t, sc.root)
	if f, err := Forget(t.Context(), alpha, "alpha", true); err == nil || !strings.HasPrefix(err.Error(), "refusing to forget self") || f.Any() {
		t.Errorf("oneself: %+v, %v", f, err)
	}
	if d := cmp.Diff(before, snapshot(t, sc.root)); d != "" {
		t.Errorf("forgetting oneself wrote:\n%s", d)
	}
}
