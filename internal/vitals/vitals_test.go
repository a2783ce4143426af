package vitals

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var words = Words{
	Version:  `0.1.0-"dev"\n`,
	Triggers: []string{"start", "death"}, Kinds: []string{"start daemon", "pair mesh"}, Results: []string{"done", "failed"},
	SessionStates: []string{"whole", "broken"}, DaemonStates: []string{"running", "down"}, PinStates: []string{"good", "half"},
}

var noon = time.Date(2026, 5, 20, 12, 0, 0, 250e6, time.UTC)

// read is what Prometheus makes of the exposition.
func read(t *testing.T, v *Vitals) map[string]*dto.MetricFamily {
	t.Helper()
	var b bytes.Buffer
	if err := v.Write(&b); err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(bytes.NewReader(b.Bytes())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(&b)
	if err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	return families
}

// series is one family as label values to value.
func series(f *dto.MetricFamily) map[string]float64 {
	out := map[string]float64{}
	for _, m := range f.GetMetric() {
		var key []string
		for _, l := range m.GetLabel() {
			key = append(key, l.GetName()+"="+l.GetValue())
		}
		value := m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		out[strings.Join(key, ",")] = value
	}
	return out
}

// The names are promised, and every value that a label can have is there before anything has happened.
func TestStartsAtZero(t *testing.T) {
	families := read(t, New(words, []string{"api", "web"}))
	want := map[string][]string{
		"wire_build_info":                    nil,
		"wire_converged":                     {""},
		"wire_sessions":                      {"state=whole", "state=broken"},
		"wire_daemons":                       {"state=running", "state=down"},
		"wire_edges":                         {"state=good", "state=half"},
		"wire_relay_up":                      {""},
		"wire_drift":                         {"kind=none", "kind=start daemon", "kind=pair mesh"},
		"wire_changes_total":                 {"kind=start daemon,result=done", "kind=start daemon,result=failed", "kind=pair mesh,result=done", "kind=pair mesh,result=failed"},
		"wire_passes_total":                  {"trigger=start", "trigger=death"},
		"wire_pass_duration_seconds":         {""},
		"wire_config_last_reload_successful": {""},
		"wire_daemon_restarts_total":         {"session=api", "session=web"},

		"wire_slot_last_pull_timestamp_seconds": {"session=api", "session=web"},
	}
	for name, f := range families {
		keys, ok := want[name]
		if !ok {
			t.Errorf("%s is not promised", name)
			continue
		}
		got := series(f)
		if name == "wire_build_info" {
			continue
		}
		if len(got) != len(keys) {
			t.Errorf("%s has %v", name, got)
		}
		for _, k := range keys {
			if v, ok := got[k]; !ok || v != 0 && name != "wire_config_last_reload_successful" {
				t.Errorf("%s{%s} is %v, there: %v", name, k, v, ok)
			}
		}
	}
	for name := range want {
		if families[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	build := series(families["wire_build_info"])
	if len(build) != 1 || !slices.ContainsFunc(valuesOf(families["wire_build_info"]), func(s string) bool { return s == words.Version }) {
		t.Errorf("wire_build_info: %v", build)
	}
}

// valuesOf are the label values of the only series.
func valuesOf(f *dto.MetricFamily) (values []string) {
	for _, l := range f.GetMetric()[0].GetLabel() {
		values = append(values, l.GetValue())
	}
	return values
}

func TestFigures(t *testing.T) {
	v := New(words, nil)
	v.Changed("start daemon", "done")
	v.Changed("start daemon", "done")
	v.Restarted("api")
	v.Reloaded(false)
	state := State{
		Converged: true, RelayUp: true, Sessions: map[string]int{"whole": 2}, Daemons: map[string]int{"running": 1, "down": 1},
		Edges: map[string]int{"half": 1}, Drift: map[string]int{Unrepairable: 3},
		LastPull: map[string]time.Time{"api": noon, "web": {}},
	}
	v.Passed(noon, 30*time.Millisecond, []string{"start", "death"}, nil, state)
	v.Passed(noon, time.Hour, []string{"death"}, errors.New("no"), State{}) // what it was stays
	families := read(t, v)
	for _, c := range []struct {
		name, key string
		want      float64
	}{
		{"wire_converged", "", 1},
		{"wire_relay_up", "", 1},
		{"wire_sessions", "state=whole", 2},
		{"wire_daemons", "state=down", 1},
		{"wire_edges", "state=good", 0},
		{"wire_edges", "state=half", 1},
		{"wire_drift", "kind=none", 3},
		{"wire_drift", "kind=pair mesh", 0},
		{"wire_changes_total", "kind=start daemon,result=done", 2},
		{"wire_passes_total", "trigger=death", 2},
		{"wire_passes_total", "trigger=start", 1},
		{"wire_daemon_restarts_total", "session=api", 1},
		{"wire_daemon_restarts_total", "session=web", 0},
		{"wire_slot_last_pull_timestamp_seconds", "session=api", float64(noon.Unix()) + 0.25},
		{"wire_slot_last_pull_timestamp_seconds", "session=web", 0},
		{"wire_config_last_reload_successful", "", 0},
		{"wire_pass_duration_seconds", "", 2},
	} {
		got, ok := series(families[c.name])[c.key]
		if !ok || got != c.want {
			t.Errorf("%s{%s} is %v (there: %v), want %v", c.name, c.key, got, ok, c.want)
		}
	}
	h := families["wire_pass_duration_seconds"].GetMetric()[0].GetHistogram()
	for _, b := range h.GetBucket() {
		want := uint64(0)
		if b.GetUpperBound() >= 0.03 {
			want = 1
		}
		if b.GetUpperBound() > 3600 {
			want = 2
		}
		if b.GetCumulativeCount() != want {
			t.Errorf("up to %v s: %d passes, want %d", b.GetUpperBound(), b.GetCumulativeCount(), want)
		}
	}

	// Who left the file leaves the figures; who is new has them from the start.
	state.LastPull = map[string]time.Time{"docs": {}}
	v.Passed(noon, 0, nil, nil, state)
	families = read(t, v)
	for _, name := range []string{"wire_daemon_restarts_total", "wire_slot_last_pull_timestamp_seconds"} {
		if got := series(families[name]); len(got) != 1 || got["session=docs"] != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Edges are counted, not named: the exposition grows with sessions only.
func TestGrowsWithSessionsOnly(t *testing.T) {
	size := func(sessions, edges int) int {
		v := New(words, nil)
		s := State{Edges: map[string]int{"good": edges}, LastPull: map[string]time.Time{}}
		for i := range sessions {
			s.LastPull[string(rune('a'+i))] = time.Time{}
		}
		v.Passed(noon, 0, nil, nil, s)
		var b bytes.Buffer
		if err := v.Write(&b); err != nil {
			t.Fatal(err)
		}
		return strings.Count(b.String(), "\n")
	}
	if size(3, 3) != size(3, 3000) {
		t.Error("edges have lines of their own")
	}
	if grown := size(20, 190) - size(3, 3); grown != 2*17 {
		t.Errorf("17 sessions more are %d lines more", grown)
	}
}

func TestCheckAddress(t *testing.T) {
	for addr, good := range map[string]bool{
		"127.0.0.1:0": true, "127.1.2.3:80": true, "localhost:9100": true, "[::1]:9100": true, "[::ffff:127.0.0.1]:1": true,
		"0.0.0.0:80": false, ":80": false, "192.168.1.1:80": false, "example.org:80": false, "127.0.0.1": false, "80": false, "127.0.0.1:": false,
		"[::]:80": false, "127.0.0.1:65536": false, "127.0.0.1:http": false, "127.0.0.1:-1": false, "localhost.example.org:80": false,
	} {
		if err := CheckAddress(addr); (err == nil) != good {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// serve answers on a real listener.
func serve(t *testing.T, v *Vitals, observed func(context.Context) ([]byte, error)) (url string) {
	t.Helper()
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := v.Server(Health{Stale: 3 * time.Minute}, observed)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

func ask(t *testing.T, method, url, host string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestServer(t *testing.T) {
	v := New(words, nil)
	var looks atomic.Int32
	url := serve(t, v, func(context.Context) ([]byte, error) {
		if looks.Add(1) == 1 {
			return nil, errors.New("cannot look")
		}
		return []byte("{}\n"), nil
	})
	v.Passed(time.Now(), 0, nil, nil, State{})
	for _, c := range []struct {
		method, path, host string
		status             int
		body               string
	}{
		{"GET", "/healthz", "", 200, "ok\n"},
		{"HEAD", "/healthz", "", 200, ""},
		{"POST", "/healthz", "", 405, "Method Not Allowed\n"},
		{"GET", "/", "", 404, "404 page not found\n"},
		{"GET", "/healthz", "localhost", 200, "ok\n"},
		{"GET", "/healthz", "[::1]:80", 200, "ok\n"},
		{"GET", "/healthz", "127.0.0.2:9100", 200, "ok\n"},
		{"GET", "/healthz", "LocalHost:9100", 200, "ok\n"},
		{"GET", "/healthz", "localhost.", 200, "ok\n"},
		{"GET", "/healthz", "LOCALHOST.:80", 200, "ok\n"},
		{"GET", "/healthz", "localhost..", 403, "not a name of this machine's loopback\n"},
		{"GET", "/healthz", "localhost.evil.example", 403, "not a name of this machine's loopback\n"},
		{"GET", "/healthz", "evil.localhost", 403, "not a name of this machine's loopback\n"},
		{"GET", "/healthz", "evil.example", 403, "not a name of this machine's loopback\n"},
		{"GET", "/metrics", "evil.example:80", 403, "not a name of this machine's loopback\n"},
		{"GET", "/v1/observed", "127.0.0.1.evil.example", 403, "not a name of this machine's loopback\n"},
		{"GET", "/healthz", "10.0.0.1", 403, "not a name of this machine's loopback\n"},
		{"GET", "/v1/observed", "", 503, "cannot look\n"},
		{"GET", "/v1/observed", "", 200, "{}\n"},
		{"GET", "/v1/observed", "", 200, "{}\n"},
	} {
		status, body := ask(t, c.method, url+c.path, c.host)
		if status != c.status || body != c.body {
			t.Errorf("%s %s as %q: %d %q, want %d %q", c.method, c.path, c.host, status, body, c.status, c.body)
		}
	}
	if looks.Load() > 3 { // two of the same second are one; where a second passes between, three
		t.Errorf("%d looks", looks.Load())
	}
	if status, body := ask(t, "GET", url+"/metrics", ""); status != 200 || !strings.Contains(body, "wire_passes_total") {
		t.Errorf("%d %s", status, body)
	}
}

// A request without a Host, as HTTP/1.0 allows, is nobody we know.
func TestNoHost(t *testing.T) {
	url := serve(t, New(words, nil), nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /healthz HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.0 403 ") {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestHealth(t *testing.T) {
	v := New(words, nil)
	status := func() (int, string) {
		t.Helper()
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), "GET", "http://localhost/healthz", nil)
		v.Server(Health{Stale: 3 * time.Minute}, nil).Handler.ServeHTTP(w, r)
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	check := func(what string, wantStatus int, want string) {
		t.Helper()
		if got, body := status(); got != wantStatus || body != want {
			t.Errorf("%s: %d %q, want %d %q", what, got, body, wantStatus, want)
		}
	}
	check("at first", 503, "no pass is over yet")
	v.Passed(time.Now(), 0, nil, nil, State{})
	check("after a pass", 200, "ok")
	v.Passed(time.Now(), 0, nil, errors.New("the disk is gone"), State{})
	check("after a failed one", 503, "the last pass failed: the disk is gone")
	v.Passed(time.Now().Add(-3*time.Minute-time.Second), 0, nil, nil, State{})
	check("long after one", 503, "the last pass was 3m1s ago")
	v.Passed(time.Now().Add(-2*time.Minute), 0, nil, nil, State{})
	check("a while after one", 200, "ok")
}
