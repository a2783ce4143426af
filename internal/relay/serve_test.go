package relay

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/process"
)

// unserved is a server on a fresh directory without a socket, for what needs no network.
func unserved(t testing.TB) *server {
	t.Helper()
	dir := stateDir(t)
	if err := makeStateDir(dir); err != nil {
		t.Fatal(err)
	}
	st, err := openStore(dir, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.close)
	return newServer(st, Config{Bind: "127.0.0.1:0", LocalOnly: true, Stderr: t.Output()})
}

func TestSecondRelayOnOneDirectory(t *testing.T) {
	first := start(t, stateDir(t))
	b := first.allocate()
	_, err := tryStart(t, Config{Bind: "127.0.0.1:0", LocalOnly: true, StateDir: first.dir})
	held := new(process.HeldError)
	if !errors.As(err, &held) {
		t.Fatalf("error %v, want a HeldError", err)
	}
	if held.Life.PID != os.Getpid() || held.Life.Bind != "127.0.0.1:0" {
		t.Errorf("held by pid %d on %q, want this process on 127.0.0.1:0", held.Life.PID, held.Life.Bind)
	}
	if a := first.post(b, `{}`); a.StatusCode != http.StatusCreated {
		t.Errorf("the first one answers %d %s", a.StatusCode, a.body)
	}
}

// Federation mode binds anything, behind any name.
func TestFederationMode(t *testing.T) {
	r, err := tryStart(t, Config{Bind: "0.0.0.0:0", StateDir: stateDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	if text := r.stderr.String(); !strings.HasPrefix(text, "wire relay-server listening on 0.0.0.0:0\n") {
		t.Errorf("stderr %q", text)
	}
	_, port, _ := strings.Cut(r.addr, "]:")
	if port == "" {
		_, port, _ = strings.Cut(r.addr, ":")
	}
	req, err := http.NewRequest("GET", "http://127.0.0.1:"+port+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "relay.example"
	req.Header.Set("Origin", "https://elsewhere.example")
	resp, err := testClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("foreign Host: %d", resp.StatusCode)
	}
	// A host that does not resolve fails after the directory was made (relay.md 1.1).
	dir := stateDir(t)
	_, err = tryStart(t, Config{Bind: ":0", StateDir: dir})
	if bad := new(BindError); !errors.As(err, &bad) {
		t.Errorf("empty host: %v, want a BindError", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "slots")); err != nil {
		t.Error(err)
	}
}

// In federation mode 50 requests pass at once, then ten a second; what is refused says when to come again,
// and a missing path costs nothing (relay.md Q6).
func TestRateLimit(t *testing.T) {
	dir := stateDir(t)
	if err := makeStateDir(dir); err != nil {
		t.Fatal(err)
	}
	st, err := openStore(dir, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.close)
	clock := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newServer(st, Config{Bind: "127.0.0.1:0", Stderr: t.Output(), now: func() time.Time { return clock }})
	// Which requests count is in rate-limit.json: all of these paths, whatever the method and body.
	count := 0
	spend := func() int {
		count++
		switch count % 5 {
		case 0:
			return ask(s, "/v1/slot/allocate", "", "").Code
		case 1:
			return ask(s, "/v1/slot/allocate", "", "{").Code
		case 2:
			return ask(s, "/v1/pair/x/bootstrap", "", "{}").Code
		case 3:
			return ask(s, "/v1/pair/abandon", "", "{}").Code
		}
		return ask(s, "/v1/pair", "", "{}").Code
	}
	for i := range limitedBurst {
		for _, free := range []string{"/healthz", "/nope", "/v1/pair/x?as_role=host", "/v1/handles"} {
			if code := ask(s, free, "", "").Code; code == http.StatusTooManyRequests {
				t.Fatalf("%s is limited", free)
			}
		}
		if code := spend(); code == http.StatusTooManyRequests {
			t.Fatalf("request %d is refused", i+1)
		}
	}
	w := ask(s, "/v1/slot/allocate", "", "{}")
	if w.Code != http.StatusTooManyRequests || w.Header().Get("X-Ratelimit-After") != "0" || w.Header().Get("Retry-After") != "1" {
		t.Errorf("request %d: %d %v", count+1, w.Code, w.Header())
	}
	clock = clock.Add(time.Second / limitedPerSecond)
	if code := spend(); code == http.StatusTooManyRequests {
		t.Error("still refused when its time has come")
	}
	if code := spend(); code != http.StatusTooManyRequests {
		t.Errorf("the next one: %d, want 429", code)
	}
}

func TestReadyErrorEndsServe(t *testing.T) {
	want := errors.New("nobody waits any more")
	err := Serve(t.Context(), Config{
		Bind: "127.0.0.1:0", LocalOnly: true, StateDir: stateDir(t), Stderr: io.Discard,
		Ready: func(string) error { return want },
	})
	if !errors.Is(err, want) {
		t.Errorf("Serve: %v, want %v", err, want)
	}
}

// Everything below the state directory is for its owner only, whatever the umask and whoever made it.
func TestModes(t *testing.T) {
	dir := stateDir(t)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r := start(t, dir)
	b := r.allocate()
	r.post(b, `{"event_id":"x"}`)
	r.do("/v1/slot/"+b.id+"/responder-health", b.token, `{"status":"s","set_at":"t"}`)
	docs, texts := fixtures(t)
	if docs["card_bob"] == nil {
		t.Fatal("no card_bob")
	}
	r.do("/v1/handle/claim", b.token, `{"nick":"bobby","slot_id":"`+b.id+`","card":`+texts["card_bob"]+`}`)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	var files int
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		} else {
			files++
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: mode %o, want %o", path, got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// tokens, slot, handle, health, counters, life lock
	if files != 6 {
		t.Errorf("%d files, want 6", files)
	}
}

// A relay that was killed between writing and renaming leaves a file that no relay may load.
func TestUnfinishedFilesAreCleared(t *testing.T) {
	r := start(t, stateDir(t))
	b := r.allocate()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, d := range []string{".", "slots", "handles", "responder-health"} {
		f, err := os.CreateTemp(filepath.Join(r.dir, d), tempPrefix+"*")
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if strings.HasSuffix(f.Name(), ".json") || strings.HasSuffix(f.Name(), ".jsonl") {
			t.Errorf("the reference would load %s", f.Name())
		}
		left = append(left, f.Name())
	}
	r = start(t, r.dir)
	for _, name := range left {
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want it gone", name, err)
		}
	}
	if a := r.post(b, `{}`); a.StatusCode != http.StatusCreated {
		t.Errorf("post: %d %s", a.StatusCode, a.body)
	}
}

// What happens to the directory under a running relay: nothing more is acknowledged and Serve says so.
func TestStateGone(t *testing.T) {
	remove := func(path string) func(*testing.T, *running, box) {
		return func(t *testing.T, r *running, b box) {
			if err := os.RemoveAll(filepath.Join(r.dir, strings.ReplaceAll(path, "SLOT", b.id))); err != nil {
				t.Fatal(err)
			}
		}
	}
	post := func(r *running, b box) (answer, error) {
		return r.try("/v1/events/"+b.id, b.token, `{"event":{"event_id":"lost"}}`)
	}
	allocate := func(r *running, b box) (answer, error) { return r.try("/v1/slot/allocate", "", "{}") }
	list := func(r *running, b box) (answer, error) { return r.try("/v1/events/"+b.id, b.token, "") }
	health := func(r *running, b box) (answer, error) {
		return r.try("/v1/slot/"+b.id+"/responder-health", b.token, `{"status":"s","set_at":"t"}`)
	}
	cases := []struct {
		name string
		do   func(*testing.T, *running, box)
		ask  func(*running, box) (answer, error)
	}{
		{"directory removed, post", remove("."), post},
		{"directory removed, allocate", remove("."), allocate},
		{"directory removed, responder health", remove("."), health},
		{"slots removed, post", remove("slots"), post},
		{"slot file removed, post", remove("slots/SLOT.jsonl"), post},
		{"slot file removed, list", remove("slots/SLOT.jsonl"), list},
		{"slot file cut, list", func(t *testing.T, r *running, b box) {
			if err := os.Truncate(filepath.Join(r.dir, "slots", b.id+".jsonl"), 3); err != nil {
				t.Fatal(err)
			}
		}, list},
		{"directory replaced by a copy, post", replaceByCopy, post},
		{"directory replaced by a copy, allocate", replaceByCopy, allocate},
		{"slot file replaced by a copy, post", func(t *testing.T, r *running, b box) {
			path := filepath.Join(r.dir, "slots", b.id+".jsonl")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path, path+".old"); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}, post},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, stateDir(t))
			b := r.allocate()
			if a := r.post(b, `{"event_id":"kept"}`); a.StatusCode != http.StatusCreated {
				t.Fatalf("post: %d %s", a.StatusCode, a.body)
			}
			c.do(t, r, b)
			if a, err := c.ask(r, b); err == nil && a.StatusCode != http.StatusInternalServerError {
				t.Errorf("answered %d %s, want 500", a.StatusCode, a.body)
			}
			if err := <-r.done; err == nil || !strings.Contains(err.Error(), "gone") {
				t.Errorf("Serve: %v, want it to say that the state is gone", err)
			} else {
				r.done <- err
			}
			if _, err := c.ask(r, b); err == nil {
				t.Error("still served")
			}
		})
	}
}

func replaceByCopy(t *testing.T, r *running, _ box) {
	copied := copyTree(t, r.dir)
	if err := os.Rename(r.dir, r.dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(copied, r.dir); err != nil {
		t.Fatal(err)
	}
}

// Reads notice it too: whoever probes a slot must not be told that all is well.
func TestStateGoneIsSeenByReads(t *testing.T) {
	s := unserved(t)
	slot, err := s.store.allocate()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(s.store.dir); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/slot/" + slot.id + "/state", "/v1/events/" + slot.id, "/v1/events/" + slot.id + "/stream"} {
		if code := ask(s, path, slot.token, "").Code; code != http.StatusInternalServerError {
			t.Errorf("%s: %d, want 500", path, code)
		}
	}
}

func TestForeignHostAndOrigin(t *testing.T) {
	r := start(t, stateDir(t))
	cases := []struct {
		host, origin string
		status       int
	}{
		{"localhost", "", 200},
		{"LOCALHOST:8771", "", 200},
		{"127.0.0.1:8771", "", 200},
		{"127.9.9.9", "", 200},
		{"[::1]:8771", "", 200},
		{"[::1]", "http://localhost:3000", 200},
		{"127.0.0.1", "http://127.0.0.1:8771", 200},
		{"evil.example", "", 403},
		{"127.0.0.1.evil.example", "", 403},
		{"localhost.evil.example:8771", "", 403},
		{"10.0.0.1:8771", "", 403},
		{"0.0.0.0:8771", "", 403},
		{"[::ffff:127.0.0.1]:8771", "", 403},
		{"127.0.0.1", "http://evil.example", 403},
		{"127.0.0.1", "null", 403},
		{"127.0.0.1", "http://127.0.0.1@evil.example", 403},
		{"127.0.0.1", "file://", 403},
	}
	for _, c := range cases {
		for _, path := range []string{"/healthz", "/v1/slot/allocate"} {
			req, err := http.NewRequest("GET", "http://"+r.addr+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = c.host
			if c.origin != "" {
				req.Header.Set("Origin", c.origin)
			}
			resp, err := testClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			want := c.status
			if want == 200 && path != "/healthz" {
				want = 405
			}
			if resp.StatusCode != want {
				t.Errorf("%s with Host %q, Origin %q: %d, want %d", path, c.host, c.origin, resp.StatusCode, want)
			}
		}
	}
}

// No number of requests is refused: rate-limit.json shows the reference stopping the 51st of a machine's
// sessions, and 50 probes of a missing path stopping everything (relay.md Q6). Its further figures are those
// of the limiter that ours does not have.
func TestNoRateLimit(t *testing.T) {
	var vectors struct {
		Burst struct {
			First int `json:"first_429_is_call"`
		} `json:"burst_after_start"`
	}
	readJSON(t, "testdata/rate-limit.json", &vectors)
	if vectors.Burst.First != 51 {
		t.Fatalf("first refusal of the reference: %d, want 51", vectors.Burst.First)
	}
	r := start(t, stateDir(t))
	for range 2 * vectors.Burst.First {
		if a := r.do("/v1/handles", "", ""); a.StatusCode != http.StatusNotFound {
			t.Fatalf("probe: %d", a.StatusCode)
		}
	}
	seen := map[string]bool{}
	for range 2 * vectors.Burst.First {
		seen[r.allocate().id] = true
	}
	if len(seen) != 2*vectors.Burst.First {
		t.Errorf("%d different slots, want %d", len(seen), 2*vectors.Burst.First)
	}
}

// A body that is refused unread must not leave the connection in the middle of it.
func TestConnectionClosesAfter413(t *testing.T) {
	r := start(t, stateDir(t))
	w := r.dial()
	w.send(t, "POST /v1/slot/allocate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2097153\r\n\r\n")
	w.send(t, strings.Repeat(" ", maxBody+1))
	lines := w.head(t, "HTTP/1.1 413 Request Entity Too Large")
	if !strings.Contains(strings.Join(lines, "\n"), "Connection: close") {
		t.Errorf("head %q lacks Connection: close", lines)
	}
	if _, err := io.Copy(io.Discard, w.r); err != nil {
		t.Errorf("the connection does not end: %v", err)
	}
}
