package mailbox

import (
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
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/internal/relay/relaytest"
)

// world is some sessions under one root, not pinned to each other yet.
type world struct {
	t      testing.TB
	root   string
	relay  *relaytest.Relay
	client *client.Client
	key    map[string]identity.Key
	card   map[string]canon.Doc
}

func newWorld(t testing.TB, names ...string) *world {
	t.Helper()
	w := &world{
		t: t, root: filepath.Join(t.TempDir(), "sessions"), relay: relaytest.Start(t, relaytest.Config{}), client: client.New(5 * time.Second),
		key: map[string]identity.Key{}, card: map[string]canon.Doc{},
	}
	t.Cleanup(w.client.Close)
	for _, name := range names {
		w.create(name)
	}
	return w
}

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

func (w *world) session(name string) home.Session { return home.At(filepath.Join(w.root, name)) }
func (w *world) box(name string) *Box             { return Open(w.session(name), w.client) }

// create makes a session with a new key and a slot; an older one under the name is replaced, sisters know
// nothing of it.
func (w *world) create(name string) {
	w.t.Helper()
	check(os.RemoveAll(filepath.Join(w.root, name)))
	s := w.session(name)
	check(s.Ensure())
	w.key[name] = must(identity.NewKey())
	w.card[name] = identity.SignCard(identity.NewCard(name, "", w.key[name].Public()), w.key[name])
	check(s.CreateKey(w.key[name]))
	check(s.WriteCard(w.card[name]))
	info := must(identity.ReadCard(w.card[name]))
	check(s.UpdateTrust(w.t.Context(), func(sp *canon.Spans) error {
		sp.Set(canon.AppendPretty(nil, identity.SelfRecord(info, time.Now()), 2), "agents", name)
		return nil
	}))
	w.slot(name)
}

// slot gives a session a new slot in place of those it has.
func (w *world) slot(name string) home.Endpoint {
	w.t.Helper()
	got := must(w.client.Allocate(w.t.Context(), w.relay.URL(), name))
	e := home.Endpoint{RelayURL: got.URL, SlotID: got.ID, SlotToken: got.Token, Scope: home.Local}
	check(w.session(name).UpdateRelay(w.t.Context(), func(r *home.RelayFile) error {
		r.SetSelf([]home.Endpoint{e})
		return nil
	}))
	return e
}

func (w *world) self(name string) []home.Endpoint { return must(w.session(name).ReadRelay()).Self() }

// trust and route are the two halves of a pin; pin is both.
func (w *world) trust(from, to string, at time.Time) {
	w.t.Helper()
	check(w.session(from).UpdateTrust(w.t.Context(), func(sp *canon.Spans) error {
		_, rec, err := identity.PinRecord(w.card[to], identity.TierVerified, at, nil)
		check(err)
		sp.Set(canon.AppendPretty(nil, rec, 2), "agents", to)
		return nil
	}))
}

func (w *world) route(from, to string, endpoints ...home.Endpoint) {
	w.t.Helper()
	if endpoints == nil {
		endpoints = w.self(to)
	}
	check(w.session(from).UpdateRelay(w.t.Context(), func(r *home.RelayFile) error {
		r.SetPeer(to, endpoints)
		return nil
	}))
}

func (w *world) pin(from, to string) {
	w.trust(from, to, time.Now())
	w.route(from, to)
}

func (w *world) send(from, to, body string) string {
	w.t.Helper()
	return w.sendAt(from, to, body, time.Now())
}

func (w *world) sendAt(from, to, body string, at time.Time) string {
	w.t.Helper()
	q, err := w.box(from).Send(w.t.Context(), Outgoing{Peer: to, Kind: "claim", Body: body}, at)
	if err != nil {
		w.t.Fatal(err)
	}
	return q.EventID
}

func (w *world) push(b *Box) PushResult {
	w.t.Helper()
	res, err := b.Push(w.t.Context(), PushOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

func (w *world) pull(b *Box) PullResult {
	w.t.Helper()
	res, err := b.Pull(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

// inbox is the bodies in a session's inbox of a sender, in order.
func (w *world) inbox(name, from string) (bodies []string) {
	w.t.Helper()
	for _, e := range w.lines(must(w.session(name).Inbox(from))) {
		body, _ := e["body"].(string)
		bodies = append(bodies, body)
	}
	return bodies
}

func (w *world) lines(path string) (events []canon.Doc) {
	w.t.Helper()
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	check(err)
	for l := range strings.Lines(string(data)) {
		events = append(events, must(canon.ParseObject([]byte(strings.TrimSuffix(l, "\n")))))
	}
	return events
}

func (w *world) wantInbox(name, from string, want ...string) {
	w.t.Helper()
	if got := w.inbox(name, from); !slices.Equal(got, want) {
		w.t.Errorf("inbox of %s from %s: %q, want %q", name, from, got, want)
	}
}

// post puts an event straight into a session's slot, as anybody who holds its token can.
func (w *world) post(to string, events ...canon.Doc) {
	w.t.Helper()
	for _, e := range events {
		must(w.client.Post(w.t.Context(), slotOf(w.self(to)[0]), canon.Compact(e)))
	}
}

func (w *world) postTo(e home.Endpoint, event canon.Doc) {
	w.t.Helper()
	must(w.client.Post(w.t.Context(), slotOf(e), canon.Compact(event)))
}

// signAs is an event that says it is from somebody else, signed with one's own key.
func (w *world) signAs(signer, from, body string) canon.Doc {
	w.t.Helper()
	w.event(signer, "")
	did, _ := w.card[from]["did"].(string)
	return identity.SignEvent(canon.Doc{
		"schema_version": "v3.1", "timestamp": identity.FormatTime(time.Now()), "from": did, "to": "did:wire:x",
		"type": "claim", "kind": uint64(1001), "body": body,
	}, w.key[signer], identity.DID(did))
}

// event is signed by a session, or by a stranger who has no home here.
func (w *world) event(from, body string) canon.Doc {
	w.t.Helper()
	if _, ok := w.key[from]; !ok {
		w.key[from] = must(identity.NewKey())
		w.card[from] = identity.SignCard(identity.NewCard(from, "", w.key[from].Public()), w.key[from])
	}
	return w.sign(from, canon.Doc{"type": "claim", "kind": uint64(1001), "body": body})
}

// sign completes and signs members of an event.
func (w *world) sign(from string, e canon.Doc) canon.Doc {
	did, _ := w.card[from]["did"].(string)
	full := canon.Doc{
		"schema_version": "v3.1", "timestamp": identity.FormatTime(time.Now()), "from": did, "to": "did:wire:x",
	}
	for k, v := range e {
		full[k] = v
	}
	return identity.SignEvent(full, w.key[from], identity.DID(did))
}

func reasons(items []PushItem) (out []string) {
	for _, i := range items {
		out = append(out, i.Reason)
	}
	return out
}

func refusals(items []Rejected) (out []string) {
	for _, i := range items {
		out = append(out, i.Reason)
	}
	return out
}

func bodies(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint("m", i))
	}
	return out
}
