package health

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/enroll"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
)

func TestMailIn(t *testing.T) {
	dir := t.TempDir()
	if m, err := mailIn(filepath.Join(dir, "none")); err != nil || m != (Mail{}) {
		t.Errorf("%+v, %v", m, err)
	}
	for name, text := range map[string]string{
		"api.jsonl":       "{}\n\n  \r\n{}",                                                          // blank lines are none, a torn one is
		"web.jsonl":       strings.Repeat("x", 200<<10) + "\n" + strings.Repeat(" ", 200<<10) + "\n", // longer than any buffer
		"a@b.jsonl":       "{}\n",                                                                    // the reference counts it, too
		"empty.jsonl":     "",
		"api.jsonl.1":     "{}\n",
		"registry.json":   "{}\n",
		"dir.jsonl/x.txt": "{}\n",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := mailIn(dir); err != nil || m != (Mail{Files: 4, Events: 4}) {
		t.Errorf("%+v, %v", m, err)
	}
}

// A slot without pulls is a finding only where somebody should have pulled it by now.
func TestSilent(t *testing.T) {
	now := time.Unix(1795378028, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	local := home.Endpoint{RelayURL: "http://127.0.0.1:8771", Scope: home.Local, SlotID: "l"}
	flat := home.Endpoint{RelayURL: "https://r.example", Scope: home.Federation, SlotID: "f"}
	old := census.Daemon{PID: 9, Started: ago(time.Hour)}
	slow := census.Daemon{PID: 9, Started: ago(time.Hour), Interval: 60}
	young := census.Daemon{PID: 9, Started: ago(time.Minute)}
	for _, c := range []struct {
		name    string
		serving census.Serving
		slot    home.Endpoint
		pulled  *time.Duration
		want    time.Duration
	}{
		{"nobody serves it", census.Serving{}, local, span(time.Hour), 0},
		{"never pulled", census.Serving{Ours: &old}, local, nil, 0},
		{"pulled just now", census.Serving{Ours: &old}, local, span(50 * time.Second), 0},
		{"silent", census.Serving{Ours: &old}, local, span(100 * time.Second), 100 * time.Second},
		{"a long interval", census.Serving{Ours: &slow}, local, span(100 * time.Second), 0},
		{"just started", census.Serving{Ours: &young}, local, span(time.Hour), 0},
		{"the reference pulls its flat slot", census.Serving{Others: []census.Daemon{old}}, flat, span(time.Hour), time.Hour},
		{"and no other", census.Serving{Others: []census.Daemon{old}}, local, span(time.Hour), 0},
	} {
		e := exam{daemons: census.Daemons{Serving: c.serving}, relay: relaySeen{flat: flat}}
		st := SlotState{Fact: SlotGood}
		if c.pulled != nil {
			at := ago(*c.pulled)
			st.LastPull = &at
		}
		if _, got := e.silent(c.slot, st, now); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func span(d time.Duration) *time.Duration { return &d }

// What others chose as a name gets into no command line that people may paste.
func TestWord(t *testing.T) {
	for name, want := range map[string]string{"web": "web", "a_b-9": "a_b-9", "": "<peer>", "x; rm -rf ~": "<peer>", "$(id)": "<peer>", "../x": "<peer>"} {
		if got := word(name, "<peer>"); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestShown(t *testing.T) {
	for text, want := range map[string]string{
		"https://relay.example/x":          "https://relay.example/x",
		"https://ada:secret@relay.example": "https://ada:xxxxx@relay.example",
		"http://ada:secret@%zz":            "<a URL that does not parse>",
	} {
		if got := shown(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// session is one with a peer called bob whose slot is at url.
func session(t *testing.T, url string) home.Session {
	t.Helper()
	s := home.At(t.TempDir())
	if err := s.Ensure(); err != nil {
		t.Fatal(err)
	}
	err := s.UpdateRelay(t.Context(), func(r *home.RelayFile) error {
		r.SetPeer("bob", []home.Endpoint{{RelayURL: url, SlotID: "sid", SlotToken: identity.NewToken("tok"), Scope: home.Federation}})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPeerOf(t *testing.T) {
	status, body := 200, ""
	relay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer relay.Close()
	s, c := session(t, relay.URL), client.New(0)
	now := func() time.Time { return time.Unix(1000, 7e8) }
	for _, step := range []struct {
		pulled string
		want   Attention
		age    time.Duration
	}{{"null", AttentionNever, 0}, {"1000", AttentionOK, 0}, {"1001", AttentionOK, 0}, {"700", AttentionOK, 5 * time.Minute}, {"699", AttentionStale, 301 * time.Second}} {
		body = `{"event_count":7,"last_pull_at_unix":` + step.pulled + `,"responder_health":null,"slot_id":"sid"}`
		st, err := PeerOf(t.Context(), c, s, "bob", now)
		if err != nil || st.Attention != step.want || st.Age != step.age || st.EventCount != 7 || st.RelayURL != relay.URL || st.Unanswered != nil {
			t.Errorf("pulled at %s: %+v, %v", step.pulled, st, err)
		}
	}
	status, body = 403, `{"error":"bad token"}`
	if _, err := PeerOf(t.Context(), c, s, "bob", now); err == nil || err.Error() != `responder_health_get failed: 403 Forbidden: {"error":"bad token"}` {
		t.Error(err)
	}
	var unknown *enroll.UnknownPeerError
	if _, err := PeerOf(t.Context(), c, s, "zed", now); !errors.As(err, &unknown) {
		t.Error(err)
	}
	relay.Close()
	st, err := PeerOf(t.Context(), c, s, "bob", now)
	if err != nil || st.Attention != AttentionUnknown || !errors.Is(st.Unanswered, client.ErrRefused) {
		t.Errorf("%+v, %v", st, err)
	}
}

// Examining makes nothing, and a finding without a way to repair it is none.
func TestExamineNobody(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nobody")
	env := home.Env{WireHome: dir, WireHomeSet: true, Home: t.TempDir(), Cwd: "/"}
	m, err := env.Machine()
	if err != nil {
		t.Fatal(err)
	}
	checks := Doctor{Machine: m, Session: home.At(dir), Client: client.New(0), Rejections: 5}.Examine(t.Context())
	for i, id := range []string{"daemon", "daemon_pid_consistency", "relay", "pair_rejections", "cursor", "slots", "blocked_events", "stray_mail", "identity", "trust", "stale_pins"} {
		if i >= len(checks) || checks[i].ID != id {
			t.Fatalf("%+v", checks)
		}
	}
	for _, c := range checks {
		if (c.Verdict == Pass) != (c.Fix == "") || c.Detail == "" {
			t.Errorf("%+v", c)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("it made the home")
	}
	if st, err := StatusOf(m, home.At(dir)); err != nil || st.Initialized {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestStatusOfWhatDoesNotParse(t *testing.T) {
	s := session(t, "https://r.example")
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	card := identity.SignCard(identity.NewCard("ada", "", key.Public()), key)
	if err := errors.Join(s.CreateKey(key), s.WriteCard(card)); err != nil {
		t.Fatal(err)
	}
	m, err := home.Env{WireHome: s.Dir, WireHomeSet: true, Home: t.TempDir(), Cwd: "/"}.Machine()
	if err != nil {
		t.Fatal(err)
	}
	st, err := StatusOf(m, s)
	if err != nil || string(canon.Compact(st.Capabilities)) != `["wire/v3.1"]` || st.PeerSlots != 1 || st.Self != nil {
		t.Fatalf("%+v, %v", st, err)
	}
	for _, path := range []string{s.RelayFile(), s.TrustFile(), s.CardFile()} {
		before, _ := os.ReadFile(path)
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		var broken *home.FileError
		if _, err := StatusOf(m, s); !errors.As(err, &broken) || broken.Path != path {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
		if before == nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, before, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
