package pairing

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// entry is a file or directory of a vector (testdata/README.md).
type entry struct {
	Path   string `json:"path"`
	Mode   string `json:"mode"`
	Dir    bool   `json:"dir"`
	Text   string `json:"text"`
	Base64 string `json:"base64"`
}

// vector is a cut scenario: the trees before, and what changed.
type vector struct {
	About   string   `json:"about"`
	Names   []string `json:"names"`
	Before  []entry  `json:"before"`
	ByFiles struct {
		Changed []entry `json:"changed"`
	} `json:"by_files"`
	Broken       []entry             `json:"broken"`
	PairAllLocal []entry             `json:"after_pair_all_local"`
	RelayPeers   map[string][]string `json:"relay_peers"`
}

func readVector(t testing.TB, name string) vector {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var v vector
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// made is where the vectors were made; it becomes a directory of the test.
const made = "/home/dev"

// materialise writes a tree below root, modes included.
func materialise(t testing.TB, root string, tree []entry) {
	t.Helper()
	for _, e := range tree {
		path := root + strings.TrimPrefix(e.Path, made)
		mode, err := strconv.ParseUint(e.Mode, 8, 32)
		if err != nil {
			t.Fatal(err)
		}
		if e.Dir {
			err = os.MkdirAll(path, 0o755)
		} else {
			data := []byte(e.Text)
			if e.Base64 != "" {
				data, _ = base64.StdEncoding.DecodeString(e.Base64)
			}
			if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
				err = os.WriteFile(path, data, 0o600)
			}
		}
		if err == nil {
			err = os.Chmod(path, fs.FileMode(mode))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// sessionsBelow are the sessions of a materialised vector, sorted by name.
func sessionsBelow(t testing.TB, root string) []home.Session {
	t.Helper()
	m, err := home.Env{WireHome: root + "/wh", WireHomeSet: true, Home: root}.Machine()
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := m.Sessions()
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// all are the edges of the full mesh of n.
func all(n int) []Edge {
	var edges []Edge
	for a := range n {
		for b := a + 1; b < n; b++ {
			edges = append(edges, Edge{a, b})
		}
	}
	return edges
}

var someTime = time.Date(2027, 3, 4, 5, 6, 7, 891000000, time.UTC)

func mustWeave(t testing.TB, sessions []home.Session, edges []Edge) []Result {
	t.Helper()
	results, err := Weave(context.Background(), sessions, edges, someTime, 3)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func mustLook(t testing.TB, sessions []home.Session) *Survey {
	t.Helper()
	s, err := Look(context.Background(), sessions, 3)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// file is one file or directory as a snapshot has it: two equal ones were not written in between.
type file struct {
	Mode    fs.FileMode
	ModTime time.Time
	Inode   uint64
	Text    string
}

// snapshot is everything below root, by path relative to it. Locks are left out: taking one touches nothing
// that anybody reads.
func snapshot(t testing.TB, root string) map[string]file {
	t.Helper()
	tree := map[string]file{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) == ".lock" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := file{Mode: info.Mode()}
		if !d.IsDir() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			f.Text, f.ModTime, f.Inode = string(data), info.ModTime(), inode(info)
		}
		tree[strings.TrimPrefix(path, root)] = f
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

var times = regexp.MustCompile(`"(pinned_at|added_at)": "[^"]*"`)

func timeless(text string) string { return times.ReplaceAllString(text, `"$1": "T"`) }

// TestSisterVectors expects of each mesh that the reference's files came of, by the smallest change, the same
// bytes but for the times, and that doing it again writes nothing.
func TestSisterVectors(t *testing.T) {
	for _, name := range []string{"sister-edge", "sister-edge-dual", "sister-edge-mixed", "sister-mesh-4"} {
		t.Run(name, func(t *testing.T) {
			v := readVector(t, name)
			root := t.TempDir()
			materialise(t, root, v.Before)
			sessions := sessionsBelow(t, root)
			before := snapshot(t, root)
			for _, r := range mustWeave(t, sessions, all(len(sessions))) {
				if r.Err != nil || !r.Changed {
					t.Errorf("edge %v: changed %v, %v", r.Edge, r.Changed, r.Err)
				}
			}
			after := snapshot(t, root)

			want := map[string]string{}
			for path, f := range before {
				want[path] = f.Text
			}
			for _, e := range v.ByFiles.Changed {
				want[strings.TrimPrefix(e.Path, made)] = timeless(e.Text)
			}
			got := map[string]string{}
			for path, f := range after {
				got[path] = f.Text
				if f.Text == before[path].Text {
					continue
				}
				got[path] = timeless(f.Text)
				pins := 2 * (len(sessions) - 1)
				if strings.HasSuffix(path, "trust.json") && strings.Count(f.Text, identity.FormatTime(someTime)) != pins {
					t.Errorf("%s does not have the time of the weave %d times:\n%s", path, pins, f.Text)
				}
				if f.Mode.Perm()&^0o600 != 0 && strings.HasSuffix(path, "relay.json") {
					t.Errorf("%s has mode %v", path, f.Mode)
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("files (-by_files +ours):\n%s", d)
			}

			for _, r := range mustWeave(t, sessions, all(len(sessions))) {
				if r.Err != nil || r.Changed {
					t.Errorf("again, edge %v: changed %v, %v", r.Edge, r.Changed, r.Err)
				}
			}
			if d := cmp.Diff(after, snapshot(t, root)); d != "" {
				t.Errorf("weaving a woven mesh wrote:\n%s", d)
			}
		})
	}
}

// records are the members of agents or peers of a file, without their times.
func records(t *testing.T, text, member string) map[string]string {
	t.Helper()
	doc, err := canon.ParseObject([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	inner, _ := doc[member].(canon.Doc)
	for handle, rec := range inner {
		out[handle] = timeless(string(canon.Pretty(rec)))
	}
	return out
}

// TestBrokenStates looks at the states of pairing.md 3.5 as the reference left them, and makes the pins that its
// pair-all-local would have made, or should have.
func TestBrokenStates(t *testing.T) {
	tests := []struct {
		vector   string
		ab, ba   Pin // alpha's pin of beth and the other way round
		why      string
		deviates string // from after_pair_all_local, and why
	}{
		{vector: "half-paired", ab: PinGood, ba: PinAbsent},
		{vector: "half-paired-forgotten", ab: PinAbsent, ba: PinGood},
		{
			vector: "stale-pin", ab: PinStale, ba: PinAbsent, why: "pinned is did:wire:beth-5deaeda3, the sister is did:wire:beth-0446406c",
			deviates: "beth's former key stays with active:false (Q12)",
		},
		{
			vector: "trust-lost", ab: PinHalf, ba: PinGood, why: "a route, but no trust",
			deviates: "the reference says already_paired and leaves alpha deaf",
		},
	}
	for _, tt := range tests {
		t.Run(tt.vector, func(t *testing.T) {
			v := readVector(t, tt.vector)
			root := t.TempDir()
			materialise(t, root, v.Broken)
			sessions := sessionsBelow(t, root)
			survey := mustLook(t, sessions)
			ab, ba := survey.Pin(0, 1), survey.Pin(1, 0)
			if ab.State != tt.ab || ba.State != tt.ba || !strings.Contains(ab.Why, tt.why) {
				t.Errorf("alpha's pin is %s (%s), beth's %s (%s); want %s (%s), %s", ab.State, ab.Why, ba.State, ba.Why, tt.ab, tt.why, tt.ba)
			}
			if r := mustWeave(t, sessions, all(2))[0]; r.Err != nil || !r.Changed {
				t.Fatalf("weave: %+v", r)
			}
			survey = mustLook(t, sessions)
			if ab, ba := survey.Pin(0, 1), survey.Pin(1, 0); ab.State != PinGood || ba.State != PinGood {
				t.Errorf("after weaving: %+v, %+v", ab, ba)
			}
			tree := snapshot(t, root)
			switch tt.vector {
			case "stale-pin":
				beth := records(t, tree["/wh/sessions/alpha/config/wire/trust.json"].Text, "agents")["beth"]
				var rec struct {
					DID        string `json:"did"`
					PublicKeys []struct {
						KeyID  string `json:"key_id"`
						Active bool   `json:"active"`
					} `json:"public_keys"`
				}
				if err := json.Unmarshal([]byte(beth), &rec); err != nil {
					t.Fatal(err)
				}
				if rec.DID != "did:wire:beth-0446406c" || len(rec.PublicKeys) != 2 ||
					rec.PublicKeys[0].KeyID != "beth:0446406c" || !rec.PublicKeys[0].Active ||
					rec.PublicKeys[1].KeyID != "beth:5deaeda3" || rec.PublicKeys[1].Active {
					t.Errorf("alpha's pin of the new beth: %s", beth)
				}
			case "trust-lost":
				agents := records(t, tree["/wh/sessions/alpha/config/wire/trust.json"].Text, "agents")
				if !strings.Contains(agents["alpha"], identity.TierAttested) || !strings.Contains(agents["beth"], identity.TierVerified) || len(agents) != 2 {
					t.Errorf("alpha's trust.json is not itself and beth: %v", agents)
				}
			}
			for _, e := range v.PairAllLocal {
				member := "agents"
				if strings.HasSuffix(e.Path, "relay.json") {
					member = "peers"
				}
				want := records(t, e.Text, member)
				got := records(t, tree[strings.TrimPrefix(e.Path, made)].Text, member)
				if tt.vector == "stale-pin" && member == "agents" {
					delete(want, "beth") // checked above
					delete(got, "beth")
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s of %s (-reference +ours):\n%s", member, e.Path, d)
				}
			}
			if (len(v.PairAllLocal) == 0) != (tt.vector == "trust-lost") {
				t.Errorf("the vector has %d files after pair-all-local", len(v.PairAllLocal))
			}
		})
	}
}

// TestPairAllLocal3 compares the pins of three sessions with those of the reference's handshakes.
func TestPairAllLocal3(t *testing.T) {
	v := readVector(t, "pair-all-local-3")
	root := t.TempDir()
	materialise(t, root, v.Before)
	sessions := sessionsBelow(t, root)
	for _, r := range mustWeave(t, sessions, all(3)) {
		if r.Err != nil {
			t.Error(r.Err)
		}
	}
	tree := snapshot(t, root)
	if len(v.PairAllLocal) != 6 {
		t.Fatalf("the vector has %d files", len(v.PairAllLocal))
	}
	for _, e := range v.PairAllLocal {
		text := tree[strings.TrimPrefix(e.Path, made)].Text
		member := "agents"
		if strings.HasSuffix(e.Path, "relay.json") {
			member = "peers"
		}
		if d := cmp.Diff(records(t, e.Text, member), records(t, text, member)); d != "" {
			t.Errorf("%s (-reference +ours):\n%s", e.Path, d)
		}
	}
}

// TestBrokenFiles: what does not parse keeps its session out, byte for byte, and nobody else.
func TestBrokenFiles(t *testing.T) {
	for _, name := range []string{"trust-json-empty", "relay-json-torn"} {
		t.Run(name, func(t *testing.T) {
			v := readVector(t, name)
			root := t.TempDir()
			materialise(t, root, v.Broken)
			sessions := append(sessionsBelow(t, root), newSession(t, root, "cora", "cora"))
			before := snapshot(t, filepath.Join(root, "wh/sessions/alpha"))

			survey := mustLook(t, sessions)
			var broken *home.FileError
			if !errors.As(survey.Members[0].Err, &broken) {
				t.Errorf("alpha: %v", survey.Members[0].Err)
			}
			if survey.Members[1].Err != nil {
				t.Errorf("beth: %v", survey.Members[1].Err)
			}
			if p := survey.Pin(1, 0); p.State != PinUnknown || p.Why == "" {
				t.Errorf("beth's pin of alpha: %+v", p)
			}
			for _, r := range mustWeave(t, sessions, all(3)) {
				if r.Edge.A == 0 {
					if r.Err == nil || !errors.As(r.Err, &broken) || !strings.HasPrefix(r.Err.Error(), "alpha: ") {
						t.Errorf("edge %v: %v", r.Edge, r.Err)
					}
				} else if r.Err != nil || !r.Changed {
					t.Errorf("edge %v: %+v", r.Edge, r)
				}
			}
			if d := cmp.Diff(before, snapshot(t, filepath.Join(root, "wh/sessions/alpha"))); d != "" {
				t.Errorf("alpha was touched:\n%s", d)
			}
		})
	}
}

// TestHandleDiffersFromDirectory: peers are kept by handle, and that counts as paired, which the reference
// never sees (Q11).
func TestHandleDiffersFromDirectory(t *testing.T) {
	v := readVector(t, "handle-differs-from-directory")
	root := t.TempDir()
	var sessions []home.Session
	for dir, peers := range v.RelayPeers {
		for other := range v.RelayPeers {
			if other == dir {
				continue
			}
			sessions = append(sessions, newSession(t, root, other, peers[0]))
		}
	}
	if r := mustWeave(t, sessions, all(2))[0]; r.Err != nil || !r.Changed {
		t.Fatalf("%+v", r)
	}
	for _, s := range sessions {
		relay, err := s.ReadRelay()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(v.RelayPeers[s.Name], relay.Peers()); d != "" {
			t.Errorf("peers of %s (-reference +ours):\n%s", s.Name, d)
		}
	}
	if r := mustWeave(t, sessions, all(2))[0]; r.Err != nil || r.Changed {
		t.Errorf("again: %+v", r)
	}
}

// TestUnknownKeys marks every level of the files, as the vector did, and adds cora: every mark stays. Pinning
// beth again keeps those that the reference keeps, and those in her records too.
func TestUnknownKeys(t *testing.T) {
	data, err := os.ReadFile("testdata/unknown-keys.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Kept map[string]json.RawMessage `json:"kept"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	var marks []string
	if err := json.Unmarshal(v.Kept["(after marking)"], &marks); err != nil {
		t.Fatal(err)
	}
	places := map[string][]any{ // mark -> file and path
		"relay root":              {"relay.json"},
		"relay self":              {"relay.json", "self"},
		"relay self.endpoints[0]": {"relay.json", "self", "endpoints", 0},
		"relay peer":              {"relay.json", "peers", "beth"},
		"relay peer.endpoints[0]": {"relay.json", "peers", "beth", "endpoints", 0},
		"trust root":              {"trust.json"},
		"trust peer":              {"trust.json", "agents", "beth"},
		"trust self":              {"trust.json", "agents", "alpha"},
	}
	if d := cmp.Diff(slices.Sorted(slices.Values(marks)), slices.Sorted(maps.Keys(places))); d != "" {
		t.Fatalf("marks of the vector and of the test differ:\n%s", d)
	}
	root := t.TempDir()
	sessions := []home.Session{
		newSession(t, root, "alpha", "alpha"), newSession(t, root, "beth", "beth"), newSession(t, root, "cora", "cora"),
	}
	mustWeave(t, sessions[:2], all(2))
	at := func(place []any, edit func(canon.Doc)) {
		path := filepath.Join(sessions[0].ConfigDir(), place[0].(string))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		root, err := canon.ParseObject(text)
		if err != nil {
			t.Fatal(err)
		}
		var v any = root
		for _, step := range place[1:] {
			switch step := step.(type) {
			case string:
				v = v.(canon.Doc)[step]
			case int:
				v = v.([]any)[step]
			}
		}
		edit(v.(canon.Doc))
		if err := os.WriteFile(path, canon.Pretty(root), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(when string) {
		t.Helper()
		for mark, place := range places {
			at(place, func(d canon.Doc) {
				if d["x_mark"] != mark {
					t.Errorf("%s: %s is lost", when, mark)
				}
			})
		}
	}
	for mark, place := range places {
		at(place, func(d canon.Doc) { d["x_mark"] = mark })
	}
	if s := mustLook(t, sessions); s.Pin(0, 1).State != PinGood {
		t.Errorf("marks alone made the pin %+v", s.Pin(0, 1))
	}
	mustWeave(t, sessions, []Edge{{0, 2}})
	kept("cora added")

	at(places["trust peer"], func(d canon.Doc) { d["tier"] = identity.TierUntrusted })
	at(places["relay peer"], func(d canon.Doc) { d["slot_token"] = "other" })
	if s := mustLook(t, sessions); s.Pin(0, 1).State != PinStale {
		t.Errorf("the spoilt pin is %+v", s.Pin(0, 1))
	}
	if r := mustWeave(t, sessions, []Edge{{0, 1}})[0]; r.Err != nil || !r.Changed {
		t.Errorf("%+v", r)
	}
	kept("beth pinned again")
	if s := mustLook(t, sessions); s.Pin(0, 1).State != PinGood {
		t.Errorf("the mended pin is %+v", s.Pin(0, 1))
	}
}
