package actuators

import (
	"context"
	"encoding/json"
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
	"wirefleet.dev/wire/internal/mailbox"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// machine is a converged fleet of three without daemons, for a case to break.
type machine struct {
	Site
	t *testing.T
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{newSite(t), t}
	m.want("api", "web", "docs")
	m.converge()
	return m
}

// want makes the file list these sessions, in a full mesh.
func (m *machine) want(names ...string) {
	m.Desired.Sessions, m.Desired.Edges = nil, nil
	for i, n := range names {
		m.Desired.Sessions = append(m.Desired.Sessions, spec.Session{Name: n, Reach: spec.ReachLocal, Interval: 5 * time.Second})
		for _, o := range names[:i] {
			m.Desired.Edges = append(m.Desired.Edges, [2]string{min(n, o), max(n, o)})
		}
	}
}

func (m *machine) observe() reconcile.Observed {
	m.t.Helper()
	o, err := reconcile.Observer{Machine: m.Machine, Client: m.Client, Desired: m.Desired}.Observe(m.t.Context())
	m.ok(err)
	return o
}

func (m *machine) plan() reconcile.Plan {
	return reconcile.Diff(m.Desired, m.observe(), reconcile.Options{})
}

// lines is a plan in codes: a line for each change, edge and report.
func lines(p reconcile.Plan) []string {
	out := []string{}
	for _, c := range p.Changes {
		for _, pair := range c.Pairs {
			out = append(out, fmt.Sprintf("%s %s-%s: %s", c.Kind, pair.A, pair.B, pair.Reason.Code))
		}
		if len(c.Pairs) == 0 {
			out = append(out, fmt.Sprintf("%s %s: %s", c.Kind, c.Subjects[0], c.Reason.Code))
		}
	}
	for _, r := range slices.Concat(p.Blocked, p.Notes) {
		out = append(out, fmt.Sprintf("! %s: %s", r.Subject, r.Reason.Code))
	}
	slices.Sort(out)
	return out
}

// converge applies the file and wants the next plan to be empty.
func (m *machine) converge() {
	m.t.Helper()
	s, err := reconcile.Runner{
		Observe: func(ctx context.Context) (reconcile.Observed, error) {
			return reconcile.Observer{Machine: m.Machine, Client: m.Client, Desired: m.Desired}.Observe(ctx)
		},
		Diff:      func(o reconcile.Observed) reconcile.Plan { return reconcile.Diff(m.Desired, o, reconcile.Options{}) },
		Actuators: All(m.Site),
	}.Run(m.t.Context())
	m.ok(err)
	for _, r := range s.Results {
		if r.Err != nil {
			m.t.Errorf("%s: %v", r.Change.ID(), r.Err)
		}
	}
	if p := m.plan(); !p.Converged() {
		m.t.Fatalf("the next plan is not empty: %q", lines(p))
	}
}

func (m *machine) ok(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) box(name string) *mailbox.Box {
	return mailbox.Open(m.Machine.Session(name), m.Client)
}

// send queues and posts a message.
func (m *machine) send(from, to, text string) {
	m.t.Helper()
	_, err := m.box(from).Send(m.t.Context(), mailbox.Outgoing{Peer: to, Kind: "claim", Body: text}, time.Now())
	m.ok(err)
	m.push(from)
}

func (m *machine) push(from string) {
	m.t.Helper()
	_, err := m.box(from).Push(m.t.Context(), mailbox.PushOptions{})
	m.ok(err)
}

// heard lets a session pull and is what it has ever received from a handle, in order.
func (m *machine) heard(name, from string) []string {
	m.t.Helper()
	_, err := m.box(name).Pull(m.t.Context())
	m.ok(err)
	path, err := m.Machine.Session(name).Inbox(from)
	m.ok(err)
	data, err := os.ReadFile(path)
	m.ok(err)
	var out []string
	for line := range strings.Lines(string(data)) {
		var e struct{ Body string }
		m.ok(json.Unmarshal([]byte(line), &e))
		out = append(out, e.Body)
	}
	return out
}

// rewrite changes one of a session's files as the reference writes: in place and without a lock.
func (m *machine) rewrite(path string, change func(doc map[string]any)) {
	m.t.Helper()
	data, err := os.ReadFile(path)
	m.ok(err)
	doc := map[string]any{}
	m.ok(json.Unmarshal(data, &doc))
	change(doc)
	data, err = json.MarshalIndent(doc, "", "  ")
	m.ok(err)
	m.ok(os.WriteFile(path, data, 0o600))
}

// at walks into a document: keys of objects, indices of lists.
func at(doc any, path ...any) map[string]any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			doc = doc.(map[string]any)[p]
		case int:
			doc = doc.([]any)[p]
		}
	}
	return doc.(map[string]any)
}

func (m *machine) relayFile(name string) string { return m.Machine.Session(name).RelayFile() }

// moved gives a session another slot, and tells nobody.
func (m *machine) moved(name string) {
	m.t.Helper()
	got, err := m.Client.Allocate(m.t.Context(), m.Desired.LocalRelay.URL, name)
	m.ok(err)
	m.rewrite(m.relayFile(name), func(doc map[string]any) {
		doc["self"] = map[string]any{
			"relay_url": got.URL, "slot_id": got.ID, "slot_token": got.Token.Reveal(),
			"endpoints": []any{map[string]any{
				"relay_url": got.URL, "slot_id": got.ID, "slot_token": got.Token.Reveal(), "scope": "local",
			}},
		}
	})
}

func (m *machine) card(name string) (canon.Doc, identity.CardInfo) {
	m.t.Helper()
	card, err := m.Machine.Session(name).ReadCard()
	m.ok(err)
	info, err := identity.ReadCard(card)
	m.ok(err)
	return card, info
}

// drift is what is made for real, named by the plan, removed by apply, and gone from the next plan. Ids are those
// of docs/field-failures.md.
var drift = []struct {
	name  string
	spoil func(m *machine)
	plan  []string
	then  func(m *machine) // after apply
}{
	{
		// The sisters know another slot, which still takes everything (C4, C10, C11, D11).
		name: "moved slot",
		spoil: func(m *machine) {
			m.send("api", "web", "one")
			if got := m.heard("web", "api"); !slices.Equal(got, []string{"one"}) {
				m.t.Fatal(got)
			}
			m.send("api", "web", "two") // which web does not read before it moves
			m.moved("web")
			m.send("api", "web", "three")
		},
		plan: []string{"pair mesh api-web: edge-stale", "pair mesh docs-web: edge-stale"},
		then: func(m *machine) {
			m.push("api")
			if got := m.heard("web", "api"); !slices.Equal(got, []string{"one", "two", "three"}) {
				m.t.Errorf("web has %q", got)
			}
		},
	},
	{
		// 403 (C13).
		name: "refused token",
		spoil: func(m *machine) {
			m.rewrite(m.relayFile("web"), func(doc map[string]any) {
				at(doc, "self")["slot_token"] = strings.Repeat("5", 64)
				at(doc, "self", "endpoints", 0)["slot_token"] = strings.Repeat("5", 64)
			})
		},
		plan: []string{"allocate slot web: slot-lost", "pair mesh api-web: edge-moved", "pair mesh docs-web: edge-moved"},
	},
	{
		// Of relays, own and pinned (C15).
		name: "user names in URLs",
		spoil: func(m *machine) {
			userinfo := func(doc map[string]any) {
				doc["relay_url"] = strings.Replace(doc["relay_url"].(string), "http://", "http://web:hunter2@", 1)
			}
			m.rewrite(m.relayFile("web"), func(doc map[string]any) { userinfo(at(doc, "self")); userinfo(at(doc, "self", "endpoints", 0)) })
			m.rewrite(m.relayFile("docs"), func(doc map[string]any) {
				userinfo(at(doc, "peers", "api"))
				userinfo(at(doc, "peers", "api", "endpoints", 0))
			})
			for _, l := range texts(m.plan()) {
				if strings.Contains(l, "hunter2") {
					m.t.Errorf("the plan shows a password: %s", l)
				}
			}
		},
		plan: []string{
			"allocate slot web: slot-elsewhere", "pair mesh api-docs: edge-stale", "pair mesh api-web: edge-moved",
			"pair mesh docs-web: edge-moved",
		},
	},
	{
		// Half of the flat trio, and none of it (B19, C6).
		name: "halved record",
		spoil: func(m *machine) {
			m.rewrite(m.relayFile("api"), func(doc map[string]any) {
				delete(at(doc, "self"), "slot_id")
				delete(at(doc, "self"), "slot_token")
			})
			m.rewrite(m.relayFile("docs"), func(doc map[string]any) {
				for _, key := range []string{"relay_url", "slot_id", "slot_token"} {
					delete(at(doc, "self"), key)
				}
			})
		},
		plan: []string{"mend record api: record-halved", "mend record docs: record-halved"},
		then: func(m *machine) {
			for _, n := range []string{"api", "docs"} {
				rf, err := m.Machine.Session(n).ReadRelay()
				m.ok(err)
				if flat := rf.SelfFlat(); flat != rf.Self()[0] {
					m.t.Errorf("%s: flat %+v, listed %+v", n, flat, rf.Self())
				}
			}
		},
	},
	{
		// The flat trio alone, and the list alone (C6).
		name: "short peer records",
		spoil: func(m *machine) {
			m.rewrite(m.relayFile("api"), func(doc map[string]any) { delete(at(doc, "peers", "web"), "endpoints") })
			m.rewrite(m.relayFile("web"), func(doc map[string]any) {
				for _, key := range []string{"relay_url", "slot_id", "slot_token"} {
					delete(at(doc, "peers", "docs"), key)
				}
			})
		},
		plan: []string{"pair mesh api-web: edge-stale", "pair mesh docs-web: edge-stale"},
	},
	{
		// Pinned, VERIFIED, and nothing can be sent (D2).
		name: "no token",
		spoil: func(m *machine) {
			m.rewrite(m.relayFile("api"), func(doc map[string]any) {
				at(doc, "peers", "web")["slot_token"] = ""
				delete(at(doc, "peers", "web"), "endpoints")
			})
		},
		plan: []string{"pair mesh api-web: edge-pending"},
		then: func(m *machine) {
			m.send("api", "web", "here")
			if got := m.heard("web", "api"); !slices.Equal(got, []string{"here"}) {
				m.t.Errorf("web has %q", got)
			}
		},
	},
	{
		// Each names the other (D3).
		name: "other DID, slot or token",
		spoil: func(m *machine) {
			m.rewrite(m.Machine.Session("api").TrustFile(), func(doc map[string]any) {
				at(doc, "agents", "web")["did"] = "did:wire:web-00000000"
			})
			m.rewrite(m.relayFile("web"), func(doc map[string]any) {
				at(doc, "peers", "docs")["slot_id"] = strings.Repeat("0", 32)
				at(doc, "peers", "docs", "endpoints", 0)["slot_id"] = strings.Repeat("0", 32)
			})
			m.rewrite(m.relayFile("docs"), func(doc map[string]any) {
				at(doc, "peers", "api")["slot_token"] = strings.Repeat("0", 64)
				at(doc, "peers", "api", "endpoints", 0)["slot_token"] = strings.Repeat("0", 64)
			})
		},
		plan: []string{"pair mesh api-docs: edge-stale", "pair mesh api-web: edge-stale", "pair mesh docs-web: edge-stale"},
	},
	{
		// D4.
		name:  "one more session",
		spoil: func(m *machine) { m.want("api", "web", "docs", "shop") },
		plan: []string{
			"allocate slot shop: slot-absent", "create session shop: absent", "pair mesh api-shop: edge-new",
			"pair mesh docs-shop: edge-new", "pair mesh shop-web: edge-new",
		},
	},
	{
		// D5.
		name: "loopback slot called federation",
		spoil: func(m *machine) {
			m.rewrite(m.relayFile("web"), func(doc map[string]any) {
				delete(at(doc, "self"), "endpoints") // as bind-relay leaves it
			})
		},
		plan: []string{"allocate slot web: slot-absent", "pair mesh api-web: edge-moved", "pair mesh docs-web: edge-moved"},
		then: func(m *machine) {
			m.send("api", "web", "here")
			if got := m.heard("web", "api"); !slices.Equal(got, []string{"here"}) {
				m.t.Errorf("web has %q", got)
			}
		},
	},
	{
		// It waits although its sender is pinned; a stranger's stays (D6).
		name: "answered request",
		spoil: func(m *machine) {
			card, info := m.card("web")
			request := home.Inbound{
				Handle: info.Handle, DID: info.DID, Card: card, EventID: strings.Repeat("a", 64),
				Timestamp: "2026-05-20T10:11:12Z", ReceivedAt: "2026-05-20T10:11:12Z",
				Trio: home.Endpoint{RelayURL: m.Desired.LocalRelay.URL, SlotID: strings.Repeat("1", 32), SlotToken: identity.NewToken("t")},
			}
			m.ok(m.Machine.Session("api").StoreInbound(request))
			request.Handle, request.DID = "stranger", "did:wire:stranger-00000000"
			m.ok(m.Machine.Session("api").StoreInbound(request))
		},
		plan: []string{"drop requests api: request-answered"},
		then: func(m *machine) {
			left, err := m.Machine.Session("api").InboundRequests()
			m.ok(err)
			if len(left) != 1 || left[0].Handle != "stranger" {
				m.t.Errorf("left are %+v", left)
			}
		},
	},
	{
		// One from trust.json, another from relay.json (D7).
		name: "lost pins",
		spoil: func(m *machine) {
			m.rewrite(m.Machine.Session("api").TrustFile(), func(doc map[string]any) { delete(at(doc, "agents"), "web") })
			m.rewrite(m.relayFile("docs"), func(doc map[string]any) { delete(at(doc, "peers"), "web") })
		},
		plan: []string{"pair mesh api-web: edge-half", "pair mesh docs-web: edge-half"},
	},
	{
		// B12.
		name: "directory unlike handle",
		spoil: func(m *machine) {
			m.ok(os.Rename(m.Machine.Session("web").Dir, m.Machine.Session("loom").Dir))
			m.want("api", "loom", "docs")
			m.rewrite(m.relayFile("docs"), func(doc map[string]any) { delete(at(doc, "peers"), "web") })
		},
		plan: []string{"pair mesh docs-loom: edge-half"},
		then: func(m *machine) {
			m.send("docs", "web", "by handle")
			if got := m.heard("loom", "docs"); !slices.Equal(got, []string{"by handle"}) {
				m.t.Errorf("loom has %q", got)
			}
		},
	},
	{
		// 413 (C21).
		name: "full slot",
		spoil: func(m *machine) {
			m.send("api", "web", "one")
			if got := m.heard("web", "api"); !slices.Equal(got, []string{"one"}) {
				m.t.Fatal(got)
			}
			m.send("api", "web", "two")
			m.fill("web")
			m.send("api", "web", "three")
			m.send("docs", "web", "four")
		},
		plan: []string{"allocate slot web: slot-lost", "pair mesh api-web: edge-moved", "pair mesh docs-web: edge-moved"},
		then: func(m *machine) {
			if n := m.events("web"); n != 0 {
				m.t.Fatalf("%d events in the new slot", n)
			}
			m.push("api")
			m.push("docs")
			// What the owner read in the old slot is not posted again, or the new one would soon be as full.
			if n := m.events("web"); n != 2 {
				m.t.Errorf("%d events in the new slot, want the two that the old one refused", n)
			}
			if got := m.heard("web", "api"); !slices.Equal(got, []string{"one", "two", "three"}) {
				m.t.Errorf("web has %q", got)
			}
			if got := m.heard("web", "docs"); !slices.Equal(got, []string{"four"}) {
				m.t.Errorf("web has %q", got)
			}
		},
	},
}

func texts(p reconcile.Plan) []string {
	var out []string
	for _, c := range p.Changes {
		out = append(out, c.Reason.Text)
		for _, pair := range c.Pairs {
			out = append(out, pair.Reason.Text)
		}
	}
	for _, r := range slices.Concat(p.Blocked, p.Notes) {
		out = append(out, r.Reason.Text)
	}
	return out
}

// slot is the first own slot of a session.
func (m *machine) slot(name string) client.Slot {
	m.t.Helper()
	return slotOf(slots(m.t, m.Machine.Session(name))[0])
}

func (m *machine) events(name string) int {
	m.t.Helper()
	st, err := m.Client.State(m.t.Context(), m.slot(name))
	m.ok(err)
	return st.EventCount
}

// fill posts to a session's slot until it refuses everything.
func (m *machine) fill(name string) {
	m.t.Helper()
	slot := m.slot(name)
	pad := strings.Repeat("x", 262_000)
	for n, size := 0, len(pad); size > 0; n++ {
		event := fmt.Sprintf(`{"event_id":"%064x","pad":"%s"}`, n, pad[:size])
		if _, err := m.Client.Post(m.t.Context(), slot, []byte(event)); err != nil {
			size /= 2 // what is left is smaller
		}
	}
}

func TestDrift(t *testing.T) {
	for _, c := range drift {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			keys := map[string][]byte{}
			for _, n := range []string{"api", "web", "docs"} {
				keys[n] = seed(t, m.Machine.Session(n))
			}
			c.spoil(m)
			before := m.tree()
			if diff := cmp.Diff(c.plan, lines(m.plan())); diff != "" {
				t.Errorf("plan:\n%s", diff)
			}
			if diff := cmp.Diff(before, m.tree()); diff != "" {
				t.Errorf("planning wrote:\n%s", diff)
			}
			m.converge()
			for n, key := range keys {
				if s := m.Machine.Session(n); s.Exists() && !slices.Equal(key, seed(t, s)) {
					t.Errorf("%s has another key", n)
				}
			}
			if c.then != nil {
				c.then(m)
			}
		})
	}
}

// tree is what lies below the sessions root: names, sizes and times.
func (m *machine) tree() map[string]string {
	m.t.Helper()
	out := map[string]string{}
	m.ok(filepath.WalkDir(m.Machine.Root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			out[path] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime())
		}
		return err
	}))
	return out
}
