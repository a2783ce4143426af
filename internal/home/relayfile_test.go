package home

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

var at = time.Date(2026, 11, 22, 20, 7, 44, 72842373, time.UTC)

func local(url, slot, token string) Endpoint {
	return Endpoint{url, slot, identity.NewToken(token), Local}
}

func federation(url, slot, token string) Endpoint {
	return Endpoint{url, slot, identity.NewToken(token), Federation}
}

func parse(t testing.TB, text string) *RelayFile {
	t.Helper()
	r, err := ParseRelay([]byte(text))
	must(t, err)
	return r
}

// TestRoutingVectors sets up what the steps of routing.json name and wants the endpoints that the reference
// posted to, in its order.
func TestRoutingVectors(t *testing.T) {
	const here, fed = "http://127.0.0.1:8771", "http://127.0.0.1:8790"
	self := `"self":{"endpoints":[` +
		`{"relay_url":"` + fed + `","scope":"federation","slot_id":"sf","slot_token":"t"},` +
		`{"relay_url":"` + here + `","scope":"local","slot_id":"sl","slot_token":"t"}],` +
		`"relay_url":"` + fed + `","slot_id":"sf","slot_token":"t"}`
	away := strings.ReplaceAll(self, here, "http://127.0.0.1:8779")
	fedOnly := `"self":{"relay_url":"` + here + `","slot_id":"sf","slot_token":"t"}`
	both := `"endpoints":[` +
		`{"relay_url":"` + fed + `","scope":"federation","slot_id":"pf","slot_token":"t"},` +
		`{"relay_url":"` + here + `","scope":"local","slot_id":"pl","slot_token":"t"}],`
	flat := `"relay_url":"` + fed + `","slot_id":"pf","slot_token":"t"`
	odd := `"endpoints":[{"relay_url":"` + here + `","scope":"lan","slot_id":"x","slot_token":"t"},` +
		`{"relay_url":"` + here + `","scope":"local","slot_id":"x"},7],`
	onlyLocal := `"endpoints":[{"relay_url":"` + here + `","scope":"local","slot_id":"pl","slot_token":"t"}],` +
		`"relay_url":"` + here + `","slot_id":"pl","slot_token":"t"`
	// The first endpoint of the reference in each step is the first of our routes, unless its relay was down.
	setups := map[string]struct {
		self, peer string
		down       string
	}{
		"local first":                  {self, both + flat, ""},
		"local relay down: federation": {self, both + flat, here},
		"own local relay differs from the one of the peer":     {away, both + flat, ""},
		"peer has only a local endpoint, self only federation": {fedOnly, onlyLocal, ""},
		"only elements of unknown scope: flat fields used":     {self, odd + flat, ""},
		"flat token empty": {self, `"relay_url":"` + fed + `","slot_id":"pf","slot_token":""`, ""},
	}
	for _, s := range load[vector](t, "routing.json").Steps {
		setup, ok := setups[s.Note]
		if !strings.HasPrefix(s.Do, "wire push") || !ok {
			continue
		}
		delete(setups, s.Note)
		r := parse(t, `{"peers":{"beth":{`+setup.peer+`}},`+setup.self+`}`)
		routes := r.Routes("beth")
		for len(routes) > 0 && routes[0].RelayURL == setup.down {
			routes = routes[1:]
		}
		var want struct {
			Pushed, Skipped []struct {
				Endpoint string
				Scope    Scope
			}
		}
		must(t, json.Unmarshal(s.Stdout, &want))
		first := append(want.Pushed, want.Skipped...)[0]
		if first.Endpoint == "" {
			if routes != nil {
				t.Errorf("%s: routes %+v, reference: unreachable", s.Note, routes)
			}
			continue
		}
		if len(routes) == 0 || routes[0].RelayURL != first.Endpoint || routes[0].Scope != first.Scope {
			t.Errorf("%s: routes %+v, reference: %+v", s.Note, routes, first)
		}
	}
	if len(setups) != 0 {
		t.Errorf("the vector lacks %v", setups)
	}
}

func TestRoutes(t *testing.T) {
	f1, f2 := federation("https://a", "1", "t"), federation("https://b", "2", "t")
	l1, l2 := local("http://127.0.0.1:1", "3", "t"), local("http://127.0.0.1:2", "4", "t")
	l1slash := local("http://127.0.0.1:1/", "3", "t")
	for _, tc := range []struct {
		name             string
		self, peer, want []Endpoint
	}{
		{"stable", []Endpoint{f1, l1}, []Endpoint{f2, l1, f1}, []Endpoint{l1, f2, f1}},
		{"the first local relay counts", []Endpoint{l2, l1}, []Endpoint{l1, l2, f1}, []Endpoint{l2, f1}},
		{"byte-equal", []Endpoint{l1}, []Endpoint{l1slash, f1}, []Endpoint{f1}},
		{"no own local", []Endpoint{f1}, []Endpoint{l1, f2}, []Endpoint{f2}},
		{"unreachable", []Endpoint{l2}, []Endpoint{l1}, nil},
	} {
		r := parse(t, emptyRelay)
		r.SetSelf(tc.self)
		r.SetPeer("beth", tc.peer)
		if got := r.Routes("beth"); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %+v", tc.name, got)
		}
		if got := r.Peer("beth"); !slices.Equal(got, tc.peer) {
			t.Errorf("%s: all endpoints: %+v", tc.name, got)
		}
		if r.Routes("nobody") != nil {
			t.Errorf("%s: an unknown peer has routes", tc.name)
		}
	}
	r := parse(t, `{"peers":{"a":null,"b":7,"c":{"endpoints":{}},"d":{"endpoints":[],"relay_url":"http://127.0.0.1:1","slot_id":"s","slot_token":"t"}}}`)
	for peer, want := range map[string][]Endpoint{
		"a": nil, "b": nil, "c": nil,
		"d": {federation("http://127.0.0.1:1", "s", "t")}, // loopback, and still federation
	} {
		if got := r.Routes(peer); !slices.Equal(got, want) {
			t.Errorf("%s: %+v", peer, got)
		}
	}
}

// TestSisterEdgeVector edits the two files of both sessions as pairing does and wants the bytes that the
// reference accepted as a finished handshake (pairing.md 10).
func TestSisterEdgeVector(t *testing.T) {
	v := load[struct {
		Before  []entry `json:"before"`
		ByFiles change  `json:"by_files"`
	}](t, "sister-edge.json")
	root := root(t)
	plant(t, root, v.Before)
	m := Machine{Root: filepath.Join(root, "wh/sessions")}
	a, b := m.Session("alpha"), m.Session("beth")
	for _, pair := range [][2]Session{{a, b}, {b, a}} {
		s, sister := pair[0], pair[1]
		card, err := sister.ReadCard()
		must(t, err)
		hers, err := sister.ReadRelay()
		must(t, err)
		// pinned_at is the only thing that the vector could not know.
		var pinned struct {
			Agents map[string]struct {
				At time.Time `json:"pinned_at"`
			}
		}
		wantTrust := text(t, v.ByFiles.Changed, made+"/wh/sessions/"+s.Name+"/config/wire/trust.json")
		must(t, json.Unmarshal([]byte(wantTrust), &pinned))
		handle, rec, err := identity.PinRecord(card, identity.TierVerified, pinned.Agents[sister.Name].At, nil)
		must(t, err)
		must(t, s.UpdateTrust(t.Context(), func(trust *canon.Spans) error {
			trust.Set(canon.AppendPretty(nil, rec, 2), "agents", handle)
			return nil
		}))
		must(t, s.UpdateRelay(t.Context(), func(r *RelayFile) error {
			r.SetPeer(handle, hers.Self())
			return nil
		}))
		if d := cmp.Diff(wantTrust, read(t, s.TrustFile())); d != "" {
			t.Errorf("trust.json of %s (-reference +here):\n%s", s.Name, d)
		}
		wantRelay := text(t, v.ByFiles.Changed, made+"/wh/sessions/"+s.Name+"/config/wire/relay.json")
		if d := cmp.Diff(wantRelay, read(t, s.RelayFile())); d != "" {
			t.Errorf("relay.json of %s (-reference +here):\n%s", s.Name, d)
		}
		if perm(t, s.RelayFile()) != 0o600 || perm(t, s.TrustFile()) != 0o600 {
			t.Errorf("modes of %s: %v, %v", s.Name, perm(t, s.RelayFile()), perm(t, s.TrustFile()))
		}
		trust, err := s.ReadTrustDoc()
		must(t, err)
		if len(trust["agents"].(canon.Doc)) != 2 {
			t.Errorf("trust of %s: %v", s.Name, trust)
		}
	}
}

// TestUnknownKeysVector marks the places that unknown-keys.json marked and wants all of them to survive each
// change that we make; where the reference drops some (its rotate-slot replaces self), ours does not.
func TestUnknownKeysVector(t *testing.T) {
	v := load[struct {
		Kept map[string]json.RawMessage
	}](t, "unknown-keys.json")
	marks := decode[[]string](t, v.Kept["(after marking)"])
	if len(marks) != 8 {
		t.Fatalf("marks: %v", marks)
	}
	relay := `{"x":"relay root","self":{"x":"relay self","endpoints":[{"x":"relay self.endpoints[0]",` +
		`"relay_url":"http://127.0.0.1:1","scope":"local","slot_id":"s","slot_token":"t"},` +
		`{"scope":"uds","path":"/run/x","x":"a scope of later versions"}],` +
		`"relay_url":"http://127.0.0.1:1","slot_id":"s","slot_token":"t"},"peers":{"beth":{"x":"relay peer",` +
		`"endpoints":[{"x":"relay peer.endpoints[0]","relay_url":"http://127.0.0.1:1","scope":"local","slot_id":"p","slot_token":"t"}]}}}`
	trust := `{"x":"trust root","agents":{"beth":{"x":"trust peer"},"me":{"x":"trust self"}},"version":1}`
	changes := map[string]func(*RelayFile){
		"a cursor":        func(r *RelayFile) { r.SetCursor(r.Self()[0], strings.Repeat("a", 64)) },
		"a second slot":   func(r *RelayFile) { r.SetSelf(append(r.Self(), federation("https://f", "f", "t"))) },
		"a new token":     func(r *RelayFile) { r.SetSelf([]Endpoint{local("http://127.0.0.1:1", "s", "new")}) },
		"another peer":    func(r *RelayFile) { r.SetPeer("cora", []Endpoint{local("http://127.0.0.1:1", "c", "t")}) },
		"a peer less":     func(r *RelayFile) { r.SetPeer("q", nil); r.RemovePeer("q") },
		"nothing at all":  func(*RelayFile) {},
		"what was so yet": func(r *RelayFile) { r.SetSelf(r.Self()) },
	}
	for name, change := range changes {
		s := At(root(t))
		write(t, s.RelayFile(), relay)
		write(t, s.TrustFile(), trust)
		must(t, s.UpdateRelay(t.Context(), func(r *RelayFile) error { change(r); return nil }))
		must(t, s.UpdateTrust(t.Context(), func(trust *canon.Spans) error {
			trust.Set([]byte(`{"tier":"VERIFIED"}`), "agents", "cora")
			return nil
		}))
		left := read(t, s.RelayFile()) + read(t, s.TrustFile())
		for _, mark := range append(marks, "a scope of later versions") {
			if !strings.Contains(left, `"`+mark+`"`) {
				t.Errorf("%s: %q is gone", name, mark)
			}
		}
		if strings.HasPrefix(name, "nothing") || strings.HasPrefix(name, "what was") {
			if read(t, s.RelayFile()) != relay {
				t.Errorf("%s: rewritten", name)
			}
		}
	}
}

// Positions of a slot (design.md section 8).
func TestCursors(t *testing.T) {
	id := func(c string) string { return strings.Repeat(c, 64) }
	l, f := local("http://127.0.0.1:1", "l", "t"), federation("https://f", "f", "t")
	cursors := func(r *RelayFile) [2]string {
		return [2]string{r.text("self", cursorPlain), r.text("self", cursorLocal)}
	}
	expect := func(what string, r *RelayFile, plain, loc string) {
		t.Helper()
		if got := cursors(r); got != [2]string{plain, loc} {
			t.Errorf("%s: plain %.4s, local %.4s; want %.4s, %.4s", what, got[0], got[1], plain, loc)
		}
	}
	only := func() *RelayFile { r := parse(t, emptyRelay); r.SetSelf([]Endpoint{l}); return r }
	dual := func() *RelayFile { r := parse(t, emptyRelay); r.SetSelf([]Endpoint{f, l}); return r }

	r := only()
	if r.Cursor(l) != "" {
		t.Error("a fresh slot has a position")
	}
	r.SetCursor(l, id("a"))
	expect("local-only: one slot, one position", r, id("a"), id("a"))

	r = dual()
	r.SetCursor(l, id("a"))
	expect("dual, local", r, "", id("a"))
	if r.Cursor(f) != "" {
		t.Error("the local position counts for the federation slot")
	}
	r.SetCursor(f, id("b"))
	expect("dual, federation", r, id("b"), id("a"))

	r = only()
	r.setSelfMember(cursorPlain, id("c")) // a reference daemon was here
	if got := r.Cursor(l); got != id("c") {
		t.Errorf("local-only: position of the reference's daemon: %.4s", got)
	}
	before := string(r.Bytes())
	r.SetCursor(l, id("c"))
	if string(r.Bytes()) != before {
		t.Error("a position that did not move was written")
	}
	r.SetCursor(l, id("d"))
	expect("local-only, moved on", r, id("d"), id("d"))
	r = dual()
	r.setSelfMember(cursorPlain, id("c"))
	if r.Cursor(l) != "" {
		t.Error("dual: the federation position counts for the local slot")
	}

	for _, bad := range []string{"", "x", id("g"), id("A"), id("a")[:63], id("a") + "a", "../" + id("a")[3:]} {
		r := only()
		r.SetCursor(l, bad)
		expect("id "+bad, r, "", "")
	}
	r = only()
	r.setSelfMember(cursorLocal, "odd string")
	if r.Cursor(l) != "odd string" {
		t.Error("a stored string of another kind is not tolerated")
	}
	r.setSelfMember(cursorLocal, 7)
	if r.Cursor(l) != "" {
		t.Error("a number is a position")
	}
	for _, self := range []string{`{}`, `{"self":null}`, `{"self":[]}`, `{"self":"x"}`} {
		r := parse(t, self)
		r.SetCursor(l, id("a"))
		if string(r.Bytes()) != self {
			t.Errorf("%s became %s", self, r.Bytes())
		}
	}

	// A new slot drops its position and no other.
	full := func() *RelayFile { r := dual(); r.SetCursor(l, id("a")); r.SetCursor(f, id("b")); return r }
	for _, tc := range []struct {
		name       string
		from       *RelayFile
		to         []Endpoint
		plain, loc string
	}{
		{"new tokens", full(), []Endpoint{federation("https://f", "f", "u"), local("http://127.0.0.1:1/", "l", "u")}, id("b"), id("a")},
		{"new local slot", full(), []Endpoint{f, local("http://127.0.0.1:1", "l2", "t")}, id("b"), ""},
		{"other local relay", full(), []Endpoint{f, local("http://127.0.0.1:2", "l", "t")}, id("b"), ""},
		{"new federation slot", full(), []Endpoint{federation("https://f", "f2", "t"), l}, "", id("a")},
		{"local gone", full(), []Endpoint{f}, id("b"), ""},
		{"federation gone", full(), []Endpoint{l}, "", id("a")},
		{"all gone", full(), nil, "", ""},
		{"federation added", func() *RelayFile { r := only(); r.SetCursor(l, id("a")); return r }(), []Endpoint{f, l}, "", id("a")},
		{"federation added where only the reference's daemon had pulled", func() *RelayFile {
			r := only()
			r.setSelfMember(cursorPlain, id("c"))
			return r
		}(), []Endpoint{f, l}, "", id("c")},
		{"a flat-only self gets its list", parse(t, `{"self":{"last_pulled_event_id":"`+id("b")+`","relay_url":"https://f","slot_id":"f","slot_token":"t"}}`), []Endpoint{f, l}, id("b"), ""},
	} {
		tc.from.SetSelf(tc.to)
		expect(tc.name, tc.from, tc.plain, tc.loc)
		if got := tc.from.Self(); !slices.Equal(got, tc.to) {
			t.Errorf("%s: endpoints %+v", tc.name, got)
		}
		if flat, ok := Flat(tc.to); tc.from.SelfFlat() != flat {
			t.Errorf("%s: flat %+v, want %+v (%v)", tc.name, tc.from.SelfFlat(), flat, ok)
		}
	}
}

func TestSelf(t *testing.T) {
	for _, tc := range []struct {
		text  string
		bound bool
		self  []Endpoint
		flat  Endpoint
	}{
		{`{}`, false, nil, Endpoint{}},
		{`{"self":null}`, false, nil, Endpoint{}},
		{`{"self":{}}`, true, nil, Endpoint{}},
		{`{"self":7}`, true, nil, Endpoint{}},
		{`{"self":{"relay_url":"https://f","slot_id":"s"}}`, true, []Endpoint{federation("https://f", "s", "")}, federation("https://f", "s", "")},
		{`{"self":{"relay_url":"https://f","slot_token":"t"}}`, true, nil, federation("https://f", "", "t")},
		{`{"self":{"relay_url":"https://f","slot_id":"s","slot_token":7,"endpoints":[]}}`, true, []Endpoint{federation("https://f", "s", "")}, federation("https://f", "s", "")},
		{
			`{"self":{"endpoints":[null,{"scope":"local"},{"relay_url":"u","scope":"local","slot_id":"s","slot_token":"t","x":1},` +
				`{"relay_url":"u","scope":"Local","slot_id":"s","slot_token":"t"}],"relay_url":"u/","slot_id":"s","slot_token":"t"}}`,
			true,
			[]Endpoint{local("u", "s", "t")},
			local("u/", "s", "t"),
		},
	} {
		r := parse(t, tc.text)
		if r.Bound() != tc.bound || !slices.Equal(r.Self(), tc.self) || r.SelfFlat() != tc.flat {
			t.Errorf("%s: bound %v, self %+v, flat %+v", tc.text, r.Bound(), r.Self(), r.SelfFlat())
		}
	}
	r := parse(t, `{"self":7}`)
	r.SetSelf([]Endpoint{local("u", "s", "t")})
	if r.err == nil || string(r.Bytes()) != `{"self":7}` {
		t.Errorf("a self that is a number was replaced: %s", r.Bytes())
	}
}

func TestPeers(t *testing.T) {
	r := parse(t, `{"peers":{"b":{"x":1},"a":null}}`)
	if got := r.Peers(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("peers: %v", got)
	}
	if raw, ok := r.PeerRaw("b"); !ok || string(raw) != `{"x":1}` {
		t.Errorf("raw: %s", raw)
	}
	r.RemovePeer("nobody")
	if r.spans.Changed() {
		t.Error("removing nobody changed something")
	}
	r.RemovePeer("a")
	if got := r.Peers(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("after removing a: %v", got)
	}
	if got := string(canon.Compact(PeerRecord(nil))); got != `{"endpoints":[]}` {
		t.Errorf("record without endpoints: %s", got)
	}
	f := federation("https://f", "2", "u")
	if got := PeerRecord([]Endpoint{local("l", "1", "t"), f}); got["slot_id"] != "2" || got["slot_token"] != "u" {
		t.Errorf("flat fields: %v", got)
	}
	s := At(root(t))
	must(t, s.Ensure())
	// small-readers.json, "peers is an array": readers read on, who would change it refuses.
	write(t, s.RelayFile(), `{"peers":[],"self":null}`)
	r, err := s.ReadRelay()
	must(t, err)
	if r.Peers() != nil {
		t.Errorf("peers of an array: %v", r.Peers())
	}
	for name, change := range map[string]func(*RelayFile){
		"peers is no object": func(r *RelayFile) { r.SetPeer("q", nil) },
		`peer "../q"`:        func(r *RelayFile) { r.SetPeer("../q", nil) },
	} {
		err = s.UpdateRelay(t.Context(), func(r *RelayFile) error { change(r); return nil })
		var broken *FileError
		if !errors.As(err, &broken) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if read(t, s.RelayFile()) != `{"peers":[],"self":null}` {
		t.Error("a refused change was written")
	}
}

func TestMissingFiles(t *testing.T) {
	s := At(root(t))
	r, err := s.ReadRelay()
	must(t, err)
	if string(canon.Compact(tree(t, r.Bytes()))) != `{"peers":{},"self":null}` || r.Bound() || r.Peers() != nil {
		t.Errorf("missing relay.json: %s", r.Bytes())
	}
	trust, err := s.ReadTrust()
	must(t, err)
	doc, err := s.ReadTrustDoc()
	must(t, err)
	if d := cmp.Diff(doc, tree(t, trust.Bytes())); d != "" || !cmp.Equal(doc, identity.EmptyTrust()) {
		t.Errorf("missing trust.json: %v %s", doc, d)
	}
	for _, err := range []error{second(s.ReadKey()), second(s.ReadCard())} {
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("missing: %v", err)
		}
	}
	if _, _, err := s.Identity(); !errors.Is(err, ErrNotInitialized) {
		t.Errorf("identity of nothing: %v", err)
	}
	// A session that was destroyed under us does not come back.
	err = s.UpdateRelay(t.Context(), func(r *RelayFile) error { r.SetPeer("q", nil); return nil })
	if !errors.Is(err, os.ErrNotExist) || s.Initialized() || exists(s.ConfigDir()) {
		t.Errorf("updating a session that is not there: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func tree(t testing.TB, data []byte) canon.Doc {
	t.Helper()
	doc, err := canon.ParseObject(data)
	must(t, err)
	return doc
}

// What does not parse is an error that names the file, and stays.
func TestBrokenFiles(t *testing.T) {
	for _, content := range []string{"", "{", `{"self":`, "[]", "null", "{}{}", "{\"a\":\"\xff\"}"} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			s := At(root(t))
			must(t, s.Ensure())
			for _, file := range []string{s.CardFile(), s.TrustFile(), s.RelayFile(), s.Managed()} {
				write(t, file, content)
			}
			var wg sync.WaitGroup
			for name, err := range map[string]func() error{
				s.CardFile():        func() error { return second(s.ReadCard()) },
				s.TrustFile():       func() error { return second(s.ReadTrust()) },
				s.RelayFile():       func() error { return second(s.ReadRelay()) },
				s.Managed():         func() error { return second(s.ReadManaged()) },
				s.TrustFile() + " ": func() error { return second(s.ReadTrustDoc()) },
				s.Managed() + " ":   func() error { return s.WriteManaged(Managed{}) },
				s.RelayFile() + " ": func() error {
					return s.UpdateRelay(context.Background(), func(r *RelayFile) error { r.SetPeer("q", nil); return nil })
				},
			} {
				wg.Go(func() {
					path := strings.TrimSpace(name)
					var broken *FileError
					if got := err(); !errors.As(got, &broken) || broken.Path != path {
						t.Errorf("%q in %s: %v", content, path, got)
					}
					if data, err := os.ReadFile(path); err != nil || string(data) != content {
						t.Errorf("%q in %s was touched: %q", content, path, data)
					}
				})
			}
			wg.Wait()
		})
	}
	s := At(root(t))
	write(t, s.TrustFile(), `{"agents":[]}`)
	if _, err := s.ReadTrust(); err == nil {
		t.Error("agents may be an array")
	}
}

// The reference truncates and writes in place; who looks in between looks again.
func TestTornFileIsReadAgain(t *testing.T) {
	s := At(root(t))
	whole := `{"peers":{},"self":null}`
	write(t, s.RelayFile(), "")
	looks := 0
	r, seen, err := document[*RelayFile]{s.RelayFile(), emptyRelay, func(data []byte) (*RelayFile, error) {
		looks++
		switch looks {
		case 1:
			write(t, s.RelayFile(), whole[:7])
		case 2:
			write(t, s.RelayFile(), whole)
		}
		return ParseRelay(data)
	}}.read()
	if err != nil || string(r.Bytes()) != whole || looks != 3 || string(seen.data) != whole || !seen.holds() {
		t.Errorf("after %d looks: %v, %v", looks, r, err)
	}
}

// A writer of the reference takes no lock. Here it writes while our change is being made, and both stay.
func TestInPlaceWriterBesideUpdate(t *testing.T) {
	s := At(root(t))
	must(t, s.Ensure())
	calls := 0
	must(t, s.UpdateRelay(t.Context(), func(r *RelayFile) error {
		calls++
		if calls <= 2 {
			theirs, err := s.ReadRelay()
			must(t, err)
			theirs.SetPeer(fmt.Sprintf("theirs%d", calls), nil)
			write(t, s.RelayFile(), string(theirs.Bytes()))
		}
		r.SetPeer("ours", nil)
		return nil
	}))
	r, err := s.ReadRelay()
	must(t, err)
	if got := r.Peers(); calls != 3 || !slices.Equal(got, []string{"ours", "theirs1", "theirs2"}) {
		t.Errorf("after %d calls: %v", calls, got)
	}
	// One that never stops is named, and keeps what it wrote.
	n := 0
	err = s.UpdateRelay(t.Context(), func(r *RelayFile) error {
		n++
		write(t, s.RelayFile(), fmt.Sprintf(`{"n":%d}`, n))
		r.SetPeer("too", nil)
		return nil
	})
	if !errors.Is(err, errMoved) || read(t, s.RelayFile()) != fmt.Sprintf(`{"n":%d}`, n) {
		t.Errorf("after %d tries: %v, %s", n, err, read(t, s.RelayFile()))
	}
	left, err := filepath.Glob(filepath.Join(s.ConfigDir(), ".*"+tempMark+"*"))
	if err != nil || left != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestUpdatesConcurrently(t *testing.T) {
	s := At(root(t))
	must(t, s.Ensure())
	const n = 24
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			peer := fmt.Sprintf("peer%d", i)
			if err := s.UpdateRelay(context.Background(), func(r *RelayFile) error { r.SetPeer(peer, nil); return nil }); err != nil {
				t.Error(err)
			}
			err := s.UpdateTrust(context.Background(), func(trust *canon.Spans) error {
				trust.Set([]byte("{}"), "agents", peer)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r, err := s.ReadRelay()
	must(t, err)
	trust, err := s.ReadTrust()
	must(t, err)
	if len(r.Peers()) != n || len(trust.Keys("agents")) != n {
		t.Errorf("%d peers and %d pins of %d survived", len(r.Peers()), len(trust.Keys("agents")), n)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	e := local("http://127.0.0.1:1", "slot", "hunter2")
	s := At(root(t))
	write(t, s.RelayFile(), `{"self":{"slot_token":"hunter2"`)
	write(t, s.KeyFile(), "hunter2 hunter2 hunter2 hunter2 33")
	_, rerr := s.ReadRelay()
	_, kerr := s.ReadKey()
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s", e, e, e, e), fmt.Sprint(rerr, kerr), cmp.Diff(e, Endpoint{}),
	} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("a secret is printed: %s", text)
		}
	}
	if kerr == nil || !strings.Contains(kerr.Error(), "wrong length (34 != 32)") {
		t.Errorf("key of 34 bytes: %v", kerr)
	}
}

// mesh is relay.json and its peers as one of n sessions has them.
func mesh(t testing.TB, n int) []byte {
	t.Helper()
	r := parse(t, emptyRelay)
	r.SetSelf([]Endpoint{local("http://127.0.0.1:8771", strings.Repeat("5", 32), strings.Repeat("b", 64))})
	for i := range n {
		r.SetPeer(fmt.Sprintf("session-%d", i), []Endpoint{
			local("http://127.0.0.1:8771", fmt.Sprintf("%032x", i), fmt.Sprintf("%064x", i)),
		})
	}
	return r.Bytes()
}

// Reading 100 sessions of a full mesh, as every observation does.
func BenchmarkReadRelay100(b *testing.B) {
	root, text := root(b), mesh(b, 99)
	m := Machine{Root: root}
	var sessions []Session
	for i := range 100 {
		s := m.Session(fmt.Sprintf("session-%d", i))
		write(b, s.RelayFile(), string(text))
		sessions = append(sessions, s)
	}
	b.SetBytes(int64(100 * len(text)))
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range sessions {
			r, err := s.ReadRelay()
			if err != nil || len(r.Self()) != 1 {
				b.Fatal(err)
			}
		}
	}
}

// Moving a cursor in the file of one of 410, without the disk.
func BenchmarkSetCursor410(b *testing.B) {
	text := mesh(b, 409)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	id := strings.Repeat("a", 64)
	for b.Loop() {
		r := parse(b, string(text))
		r.SetCursor(r.Self()[0], id)
		if len(r.Bytes()) <= len(text) {
			b.Fatal("nothing was written")
		}
	}
}

// Pinning 409 sisters in one file, as one session of a mesh of 410 needs it.
func BenchmarkSetPeers409(b *testing.B) {
	rec := canon.AppendPretty(nil, PeerRecord([]Endpoint{local("http://127.0.0.1:8771", strings.Repeat("5", 32), strings.Repeat("b", 64))}), 2)
	b.ReportAllocs()
	for b.Loop() {
		r := parse(b, emptyRelay)
		for i := range 409 {
			r.SetPeerRaw(fmt.Sprintf("session-%d", i), rec)
		}
		if len(r.Bytes()) < 409*len(rec) {
			b.Fatal("peers are missing")
		}
	}
}

func BenchmarkUpdateCursor(b *testing.B) {
	s := At(root(b))
	must(b, s.Ensure())
	write(b, s.RelayFile(), string(mesh(b, 23)))
	ids := [2]string{strings.Repeat("a", 64), strings.Repeat("b", 64)}
	n := 0
	for b.Loop() {
		n++
		must(b, s.UpdateRelay(context.Background(), func(r *RelayFile) error {
			r.SetCursor(r.Self()[0], ids[n%2])
			return nil
		}))
	}
}

func FuzzRelayFile(f *testing.F) {
	v := load[struct {
		Before []entry `json:"before"`
		After  change  `json:"by_files"`
	}](f, "sister-edge.json")
	for _, e := range append(v.Before, v.After.Changed...) {
		if strings.HasSuffix(e.Path, "relay.json") {
			f.Add([]byte(*e.Text), "beth")
		}
	}
	for _, seed := range []string{
		`{}`, `{"self":7,"peers":[]}`, `{"peers":{"beth":{"endpoints":[{}]}},"peers":{"beth":null},"self":{"endpoints":{}}}`,
		`{"self":{"last_pulled_event_id":"x","slot_id":"s","relay_url":"u/"}}`,
	} {
		f.Add([]byte(seed), "a")
	}
	id := strings.Repeat("0", 64)
	f.Fuzz(func(t *testing.T, data []byte, handle string) {
		r, err := ParseRelay(data)
		if err != nil {
			return
		}
		for _, p := range append(r.Peers(), handle) {
			if routes := r.Routes(p); len(routes) > len(r.Peer(p)) {
				t.Errorf("%q has more routes than endpoints: %+v", p, routes)
			}
		}
		if r.spans.Changed() || string(r.Bytes()) != string(data) {
			t.Fatal("reading changes the file")
		}
		others := map[string]string{}
		for _, p := range r.Peers() {
			raw, _ := r.PeerRaw(p)
			others[p] = string(raw)
		}
		want := []Endpoint{federation("https://f", "1", "t"), local("http://l", "2", "u")}
		r.SetSelf(want)
		r.SetCursor(want[1], id)
		r.SetPeer(handle, want)
		again, err := ParseRelay(r.Bytes())
		if err != nil {
			t.Fatalf("what we write does not parse: %v", err)
		}
		delete(others, handle)
		for p, raw := range others {
			if now, _ := again.PeerRaw(p); string(now) != raw {
				t.Errorf("peer %q: %s became %s", p, raw, now)
			}
		}
		if r.err != nil {
			return
		}
		if !slices.Equal(again.Self(), want) || again.Cursor(want[1]) != id || again.SelfFlat() != want[0] {
			t.Errorf("self: %s", r.Bytes())
		}
		if !slices.Equal(again.Peer(handle), want) {
			t.Errorf("peer: %s", r.Bytes())
		}
	})
}

func TestSelfShown(t *testing.T) {
	const text = `{"peers":{"web":{"slot_token":"p"}},"self":{"endpoints":[{"relay_url":"http://127.0.0.1:8771",` +
		`"scope":"local","slot_id":"s","slot_token":"secret","later":{"slot_token":"secret"}}],"last_pulled_event_id":"c",` +
		`"relay_url":"http://127.0.0.1:8771","slot_id":"s","slot_token":"secret","x":1}}`
	const want = `{"endpoints":[{"later":{},"relay_url":"http://127.0.0.1:8771","scope":"local","slot_id":"s"}],` +
		`"last_pulled_event_id":"c","relay_url":"http://127.0.0.1:8771","slot_id":"s","x":1}`
	r, err := ParseRelay([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(canon.Compact(r.SelfShown())); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if string(r.Bytes()) != text {
		t.Errorf("showing it changed it: %s", r.Bytes())
	}
	for _, text := range []string{`{}`, `{"self":null}`, `{"self":7}`} {
		r, err := ParseRelay([]byte(text))
		if err != nil || r.SelfShown() != nil {
			t.Errorf("%s: %v, %v", text, r.SelfShown(), err)
		}
	}
}
