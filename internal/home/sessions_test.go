package home

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// TestSessionNewVectors reads every state of the session-new files with our readers and compares what they
// find with what the reference's commands then printed.
func TestSessionNewVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/session-new-*.json")
	if err != nil || len(files) != 8 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range append(files, "testdata/session-destroy.json") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			root, looked := root(t), 0
			for _, s := range load[vector](t, filepath.Base(file)).Steps {
				s.apply(t, root)
				if s.Exit != 0 || s.Stdout == nil {
					continue
				}
				env := s.environment(root)
				words := strings.Fields(s.Do)
				switch {
				case strings.HasPrefix(s.Do, "wire session list "):
					wantSessions(t, env, s.Stdout)
				case strings.HasPrefix(s.Do, "wire session list-local "):
					wantLocal(t, env, s.Stdout)
				case strings.HasPrefix(s.Do, "wire session current "):
					wantCurrent(t, env, s.Stdout)
				case strings.HasPrefix(s.Do, "wire session env "):
					wantHomeDir(t, env, words[3], s.Stdout)
				case strings.HasPrefix(s.Do, "wire session new "), strings.HasPrefix(s.Do, "wire session destroy "):
					wantHomeDir(t, env, words[3], s.Stdout)
				case s.Do == "wire status --json":
					wantSelf(t, env, s.Stdout)
				case s.Do == "wire whoami --json":
					wantIdentity(t, root, env, s.Stdout)
				default:
					t.Fatalf("no replay for %q", s.Do)
				}
				looked++
			}
			if looked == 0 {
				t.Fatal("nothing was compared")
			}
		})
	}
}

func decode[T any](t *testing.T, raw json.RawMessage) (v T) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func machine(t *testing.T, env Env) Machine {
	t.Helper()
	m, err := env.Machine()
	must(t, err)
	return m
}

// listed is an element of `session list --json` as far as files say it.
type listed struct {
	Name    string  `json:"name"`
	Cwd     *string `json:"cwd"`
	HomeDir string  `json:"home_dir"`
	DID     string  `json:"did"`
	Handle  string  `json:"handle"`
}

func list(t *testing.T, env Env) []listed {
	t.Helper()
	m := machine(t, env)
	sessions, err := m.Sessions()
	must(t, err)
	reg, err := m.Registry()
	must(t, err)
	out := []listed{}
	for _, s := range sessions {
		l := listed{Name: s.Name, HomeDir: s.Dir}
		if cwd, ok := reg.CwdOf(s.Name); ok {
			l.Cwd = &cwd
		}
		if card, err := s.ReadCard(); err == nil {
			l.DID, _ = card["did"].(string)
			l.Handle, _ = card["handle"].(string)
		}
		out = append(out, l)
	}
	return out
}

func wantSessions(t *testing.T, env Env, raw json.RawMessage) {
	t.Helper()
	want := decode[[]listed](t, raw)
	for i := range want {
		want[i].HomeDir = under(env.Home, want[i].HomeDir)
		if want[i].Cwd != nil {
			*want[i].Cwd = under(env.Home, *want[i].Cwd)
		}
	}
	if d := cmp.Diff(want, list(t, env)); d != "" {
		t.Errorf("session list (-reference +here):\n%s", d)
	}
}

func wantLocal(t *testing.T, env Env, raw json.RawMessage) {
	t.Helper()
	type slot struct {
		RelayURL string `json:"relay_url"`
		SlotID   string `json:"slot_id"`
	}
	want := decode[struct {
		Local map[string][]struct {
			Name      string `json:"name"`
			Endpoints []slot `json:"local_endpoints"`
		} `json:"local"`
	}](t, raw)
	got, wanted := map[string][]slot{}, map[string][]slot{}
	for url, sessions := range want.Local {
		for _, s := range sessions {
			wanted[url+" "+s.Name] = s.Endpoints
		}
	}
	sessions, err := machine(t, env).Sessions()
	must(t, err)
	for _, s := range sessions {
		r, err := s.ReadRelay()
		must(t, err)
		for _, e := range r.Self() {
			if e.Scope == Local {
				got[e.RelayURL+" "+s.Name] = append(got[e.RelayURL+" "+s.Name], slot{e.RelayURL, e.SlotID})
			}
		}
	}
	if d := cmp.Diff(wanted, got); d != "" {
		t.Errorf("list-local (-reference +here):\n%s", d)
	}
}

func wantCurrent(t *testing.T, env Env, raw json.RawMessage) {
	t.Helper()
	want := decode[struct{ Session *string }](t, raw)
	reg, err := machine(t, env).Registry()
	must(t, err)
	name, ok := reg.Lookup(env.Cwd)
	if ok != (want.Session != nil) || ok && name != *want.Session {
		t.Errorf("%s is registered to %q (%v), reference: %s", env.Cwd, name, ok, raw)
	}
}

func wantHomeDir(t *testing.T, env Env, name string, raw json.RawMessage) {
	t.Helper()
	want := decode[struct {
		Name    string `json:"name"`
		HomeDir string `json:"home_dir"`
	}](t, raw)
	s := machine(t, env).Session(name)
	if want.HomeDir != "" && s.Dir != under(env.Home, want.HomeDir) {
		t.Errorf("home of %s is %s, reference: %s", name, s.Dir, want.HomeDir)
	}
	if s.Name != want.Name {
		t.Errorf("%s is called %s, reference: %s", name, s.Name, want.Name)
	}
}

func wantSelf(t *testing.T, env Env, raw json.RawMessage) {
	t.Helper()
	want := decode[struct {
		Self struct {
			RelayURL  string `json:"relay_url"`
			SlotID    string `json:"slot_id"`
			Endpoints []struct {
				RelayURL string `json:"relay_url"`
				SlotID   string `json:"slot_id"`
				Token    string `json:"slot_token"`
				Scope    Scope  `json:"scope"`
			} `json:"endpoints"`
		} `json:"self_relay"`
	}](t, raw).Self
	s, err := env.Session()
	must(t, err)
	r, err := s.ReadRelay()
	must(t, err)
	if flat := r.SelfFlat(); flat.RelayURL != want.RelayURL || flat.SlotID != want.SlotID {
		t.Errorf("flat slot %s %s, reference: %s %s", flat.RelayURL, flat.SlotID, want.RelayURL, want.SlotID)
	}
	var eps []Endpoint
	for _, e := range want.Endpoints {
		eps = append(eps, Endpoint{e.RelayURL, e.SlotID, identity.NewToken(e.Token), e.Scope})
	}
	if eps == nil {
		eps = []Endpoint{r.SelfFlat()}
	}
	if got := r.Self(); !slices.Equal(got, eps) {
		t.Errorf("own endpoints %+v, reference: %s", got, raw)
	}
}

func wantIdentity(t *testing.T, root string, env Env, raw json.RawMessage) {
	t.Helper()
	want := decode[struct {
		ConfigDir string `json:"config_dir"`
		DID       string `json:"did"`
	}](t, raw)
	s, err := env.Session()
	must(t, err)
	if got := s.ConfigDir(); got != under(root, want.ConfigDir) {
		t.Errorf("config directory %s, reference: %s", got, want.ConfigDir)
	}
	key, card, err := s.Identity()
	must(t, err)
	if card["did"] != want.DID || !strings.HasSuffix(want.DID, identity.Fingerprint(key.Public())) {
		t.Errorf("DID %v of key %s, reference: %s", card["did"], identity.Fingerprint(key.Public()), want.DID)
	}
}

// TestRelayFileVectors writes the relay.json of every recorded session anew, through SetSelf, and wants the
// reference's bytes. One difference is intended: the reference leaves "peers" out of a fresh local-only
// file; ours has it empty, as its other files do.
func TestRelayFileVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	must(t, err)
	seen := 0
	for _, file := range files {
		if !strings.Contains(file, "session-new") && !strings.Contains(file, "adoption") {
			continue
		}
		for _, s := range load[vector](t, filepath.Base(file)).Steps {
			tree := s.Tree
			if s.Change != nil {
				tree = append(s.Change.Added, s.Change.Changed...)
			}
			for _, e := range tree {
				if filepath.Base(e.Path) != "relay.json" {
					continue
				}
				seen++
				theirs, err := ParseRelay([]byte(*e.Text))
				must(t, err)
				ours, err := ParseRelay([]byte(emptyRelay))
				must(t, err)
				ours.SetSelf(theirs.Self())
				want := *e.Text
				if _, ok := theirs.spans.Raw("peers"); !ok {
					doc, err := canon.ParseObject([]byte(want))
					must(t, err)
					doc["peers"] = canon.Doc{}
					want = string(canon.Pretty(doc))
				}
				if d := cmp.Diff(want, string(ours.Bytes())); d != "" {
					t.Errorf("%s in %s (-reference +here):\n%s", e.Path, file, d)
				}
			}
		}
	}
	if seen < 8 {
		t.Fatalf("only %d relay files seen", seen)
	}
}

func TestSessionPaths(t *testing.T) {
	s := At("/x/sessions/api")
	if s.Name != "api" || At("/x/sessions/api/").Name != "api" || At("/x/api").Name != "" {
		t.Error("a session is named by its directory below sessions, and only there")
	}
	// Every path that the reference touched in 22 traced commands is one that we build.
	traced := load[struct {
		Commands map[string]struct{ Ops []string }
	}](t, "file-operations.json")
	known := map[string]bool{}
	m := Machine{Root: "sessions"}
	known[m.RegistryFile()], known[m.Root] = true, true
	for _, name := range []string{"alpha", "beth"} {
		s := m.Session(name)
		inbox, err := s.Inbox(map[string]string{"alpha": "beth", "beth": "alpha"}[name])
		must(t, err)
		outbox, err := s.Outbox(map[string]string{"alpha": "beth", "beth": "alpha"}[name])
		must(t, err)
		for _, path := range []string{
			s.Dir, filepath.Dir(s.ConfigDir()), s.ConfigDir(), filepath.Dir(s.StateDir()), s.StateDir(),
			s.KeyFile(), s.CardFile(), s.TrustFile(), s.RelayFile(), s.relayLock(),
			s.InboxDir(), s.OutboxDir(), inbox, outbox, s.DaemonPID(), s.NotifyCursor(),
			s.DiagEnabled(), s.Diag(), s.Inbound(), s.Invites(), s.Detached(),
		} {
			known[path] = true
		}
	}
	ops := 0
	for _, command := range traced.Commands {
		for _, op := range command.Ops {
			words := strings.Fields(op)
			if len(words) < 2 {
				continue // "kill"
			}
			ops++
			path := words[1]
			if dir := filepath.Dir(path); strings.HasPrefix(filepath.Base(dir), "pending-") {
				path = dir
			}
			if !known[path] {
				t.Errorf("the reference touches %s, which nothing here builds", path)
			}
		}
	}
	if ops < 100 {
		t.Fatalf("only %d operations in the trace", ops)
	}
	for _, handle := range []string{"", "..", "../x", "a/b", "a.b", "é", strings.Repeat("a", 201)} {
		if path, err := s.Inbox(handle); err == nil {
			t.Errorf("Inbox(%q) is %s", handle, path)
		}
		if path, err := s.Outbox(handle); err == nil {
			t.Errorf("Outbox(%q) is %s", handle, path)
		}
	}
}

// The names that no trace shows: those of the reference (section 3) must not change for it, ours (design.md
// section 8) not between two of our versions.
func TestFileNames(t *testing.T) {
	s := At("/x")
	for path, want := range map[string]string{
		s.DaemonLog():       "daemon.log",
		s.NotifyPID():       "notify.pid",
		s.ReactorCursor():   "reactor.cursor",
		s.ReactorEmitted():  "reactor-emitted.log",
		s.MeshRouteCursor(): "mesh-route-cursor.json",
		s.Rejections():      "pair-rejected.jsonl",
		s.DaemonLife():      "daemon.lock",
		s.NotifyLife():      "notify.lock",
		s.NotifyLog():       "notify.log",
		s.PullLock():        "pull.lock",
		s.PushLock():        "push.lock",
		s.SentFile():        "outbox-sent.json",
		s.Quarantine():      "quarantine.jsonl",
		s.Managed():         "managed.json",
	} {
		if path != "/x/state/wire/"+want {
			t.Errorf("%s, want %s", path, want)
		}
	}
	if s.PolicyFile() != "/x/config/wire/policy.json" {
		t.Error(s.PolicyFile())
	}
}

func TestRelayChanged(t *testing.T) {
	s := At(root(t))
	if when := s.RelayChanged(); !when.IsZero() {
		t.Errorf("no file, changed %v", when)
	}
	write(t, s.RelayFile(), "{}")
	must(t, os.Chtimes(s.RelayFile(), at, at))
	if when := s.RelayChanged(); !when.Equal(at) {
		t.Errorf("changed %v, want %v", when, at)
	}
}

func TestPeersOfOutbox(t *testing.T) {
	s := At(root(t))
	if peers, err := s.OutboxPeers(); err != nil || peers != nil {
		t.Fatalf("missing directory: %v, %v", peers, err)
	}
	must(t, s.Ensure())
	for _, name := range []string{
		"beth.jsonl", "a.jsonl", "a-b.jsonl", "beth@relay.example.jsonl", "beth.pushed.jsonl", "note.txt", ".jsonl",
	} {
		write(t, filepath.Join(s.OutboxDir(), name), "")
	}
	must(t, AppendLines(filepath.Join(s.InboxDir(), "cora.jsonl"), [][]byte{[]byte("{}")}, false))
	out, err := s.OutboxPeers()
	must(t, err)
	in, err := s.InboxPeers()
	must(t, err)
	if d := cmp.Diff([][]string{{"a", "a-b", "beth"}, {"cora"}}, [][]string{out, in}); d != "" {
		t.Error(d)
	}
}
