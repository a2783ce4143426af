package pairing

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// TestWeaveProperty: from any pair of file states of any few sessions, weaving makes every edge good but those
// with a conflict, which it leaves alone byte for byte; it keeps what it does not know and who is no sister;
// and weaving again writes nothing.
func TestWeaveProperty(t *testing.T) {
	base := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		root := filepath.Join(base, fmt.Sprint(run))
		defer func() { _ = os.RemoveAll(root) }()
		names := []string{"alpha", "beth", "cora", "dora"}[:rapid.IntRange(2, 4).Draw(rt, "sessions")]
		sessions := make([]home.Session, len(names))
		for i, name := range names {
			sessions[i] = newSession(t, root, name, name)
			if rapid.Bool().Draw(rt, name+" is dual") {
				bind(t, sessions[i], endpoint("https://wireup.net", home.Federation, name), endpoint(relayURL, home.Local, name))
			}
		}
		secrets := generate(t, rt, sessions)

		before := mustLook(t, sessions)
		files := make([]sessionFiles, len(sessions))
		for i, s := range sessions {
			files[i] = readFiles(t, s)
		}
		conflict := map[Edge]bool{}
		for _, e := range all(len(sessions)) {
			for _, p := range []Directed{before.Pin(e.A, e.B), before.Pin(e.B, e.A)} {
				noSecret(rt, p.Why, secrets)
				conflict[e] = conflict[e] || p.State == PinConflict
			}
		}

		for from := range sessions { // one session's view is its row of the whole
			row, err := LookFrom(t.Context(), sessions, from, 1)
			if err != nil {
				rt.Fatal(err)
			}
			for to := range sessions {
				if a, b := before.Pin(from, to), row.Pin(from, to); to != from && a.State != b.State {
					rt.Errorf("%s's pin of %s: %s alone, %s among all", names[from], names[to], b.State, a.State)
				}
			}
		}

		results := mustWeave(t, sessions, all(len(sessions)))
		after := mustLook(t, sessions)
		for _, r := range results {
			ab, ba := after.Pin(r.Edge.A, r.Edge.B), after.Pin(r.Edge.B, r.Edge.A)
			was := before.Pin(r.Edge.A, r.Edge.B).State == PinGood && before.Pin(r.Edge.B, r.Edge.A).State == PinGood
			var ce *ConflictError
			switch {
			case conflict[r.Edge]:
				if !errors.As(r.Err, &ce) || r.Changed {
					rt.Errorf("edge %v has a conflict: %+v", r.Edge, r)
				} else {
					noSecret(rt, r.Err.Error(), secrets)
				}
			case r.Err != nil || ab.State != PinGood || ba.State != PinGood:
				rt.Errorf("edge %v: %v, pins %+v and %+v", r.Edge, r.Err, ab, ba)
			case r.Changed == was:
				rt.Errorf("edge %v: changed %v, was good before: %v", r.Edge, r.Changed, was)
			}
		}
		for i, s := range sessions {
			now := readFiles(t, s)
			for j := range sessions {
				e := Edge{min(i, j), max(i, j)}
				if i != j && !conflict[e] {
					for _, recs := range []map[string]string{files[i].agents, files[i].peers, now.agents, now.peers} {
						delete(recs, names[j])
					}
				}
			}
			if _, had := files[i].agents[names[i]]; !had {
				delete(now.agents, names[i]) // a self record that was lost may come back
			}
			if d := cmp.Diff(files[i], now, cmp.AllowUnexported(sessionFiles{})); d != "" {
				rt.Errorf("%s: what is not about its sisters changed:\n%s", names[i], d)
			}
		}

		tree := snapshot(t, root)
		for _, r := range mustWeave(t, sessions, all(len(sessions))) {
			if r.Changed {
				rt.Errorf("again: %+v", r)
			}
		}
		if d := cmp.Diff(tree, snapshot(t, root)); d != "" {
			rt.Errorf("weaving again wrote:\n%s", d)
		}
	})
}

func noSecret(rt *rapid.T, text string, secrets []string) {
	for _, s := range secrets {
		if strings.Contains(text, s) {
			rt.Errorf("%q tells a token", text)
		}
	}
}

// sessionFiles is what a session's two files hold, member by member, as text.
type sessionFiles struct {
	trust, relay, agents, peers map[string]string
}

func readFiles(t testing.TB, s home.Session) sessionFiles {
	t.Helper()
	trust, err := s.ReadTrust()
	if err != nil {
		t.Fatal(err)
	}
	relay, err := s.ReadRelay()
	if err != nil {
		t.Fatal(err)
	}
	spans, err := canon.ReadSpans(relay.Bytes(), "peers")
	if err != nil {
		t.Fatal(err)
	}
	members := func(s *canon.Spans, path ...string) map[string]string {
		out := map[string]string{}
		for key, raw := range s.Members(path...) {
			if key != "agents" && key != "peers" {
				out[key] = string(raw)
			}
		}
		return out
	}
	return sessionFiles{members(trust), members(spans), members(trust, "agents"), members(spans, "peers")}
}

// generate fills the files of the sessions with any mixture of states, and returns all tokens in them.
func generate(t *testing.T, rt *rapid.T, sessions []home.Session) (secrets []string) {
	for _, from := range sessions {
		agents, peers := canon.Doc{}, canon.Doc{}
		for _, to := range sessions {
			if from.Name == to.Name {
				continue
			}
			label := from.Name + " of " + to.Name
			trust, route := wholePin(t, to), wholePin(t, to)
			rapid.SampledFrom(pinStates).Draw(rt, label+", trust").spoil(trust)
			rapid.SampledFrom(pinStates).Draw(rt, label+", route").spoil(route)
			set(agents, to.Name, trust.trust)
			set(peers, to.Name, route.route)
		}
		agents["zoe"], peers["zoe"] = pinOf(t, "zoe", "zoe"), home.PeerRecord([]home.Endpoint{far})
		write := func(name string, d canon.Doc) {
			if rapid.Bool().Draw(rt, name+" is compact") {
				put(t, from, name, canon.Compact(d))
			} else {
				put(t, from, name, canon.Pretty(d))
			}
		}
		switch rapid.IntRange(0, 4).Draw(rt, "trust.json of "+from.Name) {
		case 0:
			remove(t, from, "trust.json")
		case 1:
			write("trust.json", canon.Doc{"agents": agents, "x_root": "kept"}) // its own record is lost
		default:
			own, err := from.ReadTrustDoc()
			if err != nil {
				t.Fatal(err)
			}
			agents[from.Name] = own["agents"].(canon.Doc)[from.Name]
			write("trust.json", canon.Doc{"agents": agents, "version": uint64(1), "x_root": "kept"})
		}
		relay, err := from.ReadRelay()
		if err != nil {
			t.Fatal(err)
		}
		self := home.PeerRecord(relay.Self()) // self has the same members
		self["x_self"] = nil
		write("relay.json", canon.Doc{"peers": peers, "self": self, "x_root": []any{"kept"}})
		for _, e := range relay.Self() {
			secrets = append(secrets, e.SlotToken.Reveal())
		}
	}
	return append(secrets, far.SlotToken.Reveal())
}

// wholePin is a good pin of a session, and the other records under her handle that cases want.
func wholePin(t testing.TB, to home.Session) *pinFiles {
	t.Helper()
	card, err := to.ReadCard()
	if err != nil {
		t.Fatal(err)
	}
	_, rec, err := identity.PinRecord(card, identity.TierVerified, someTime, nil)
	if err != nil {
		t.Fatal(err)
	}
	relay, err := to.ReadRelay()
	if err != nil {
		t.Fatal(err)
	}
	return &pinFiles{
		trust: rec, route: home.PeerRecord(relay.Self()),
		former: pinOf(t, to.Name, "former "+to.Name), stranger: pinOf(t, to.Name, "a stranger"),
	}
}

// set puts a record, or the value of its text, into a document.
func set(d canon.Doc, key string, rec any) {
	switch rec := rec.(type) {
	case nil:
	case string:
		v, err := canon.Parse([]byte(rec))
		if err != nil {
			panic(err)
		}
		d[key] = v
	default:
		d[key] = rec
	}
}
