package relay

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// pair-ttl.json on a clock of our own: seven pair slots A to G, what refreshes them and when they go.
func TestPairTTL(t *testing.T) {
	var v struct {
		Log []struct {
			T      float64
			What   string
			Status int
			Body   json.RawMessage
			Value  *int
		}
	}
	readJSON(t, "testdata/pair-ttl.json", &v)
	s := unserved(t)
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := began
	s.now = func() time.Time { return clock }
	ids := map[string]string{}
	played := 0
	for _, step := range v.Log {
		at := began.Add(time.Duration(step.T * float64(time.Second)))
		for minute := clock.Sub(began).Truncate(time.Minute) + time.Minute; !began.Add(minute).After(at); minute += time.Minute {
			s.pairs.sweep(began.Add(minute)) // the reference sweeps every 60 s
		}
		clock = at
		name := ""
		if f := strings.Fields(step.What); len(f) > 1 {
			name = f[1]
		}
		open := fmt.Sprintf(`{"code_hash":%q,"msg":"m","role":"host"}`, name)
		var path, body string
		switch {
		case strings.HasPrefix(step.What, "stats-history"):
			continue
		case strings.HasPrefix(step.What, "stats"):
			s.checkPairStats(t, step.What, step.Body, step.Value)
			played++
			continue
		case strings.HasPrefix(step.What, "open") && step.Status == 400:
			path, body = "/v1/pair", strings.Replace(open, "host", "nobody", 1)
		case strings.HasPrefix(step.What, "open"), strings.HasPrefix(step.What, "re-open"):
			path, body = "/v1/pair", open
		case strings.Contains(step.What, "bad as_role"):
			path = "/v1/pair/" + ids[name] + "?as_role=nobody"
		case strings.Contains(step.What, "without as_role"):
			path = "/v1/pair/" + ids[name]
		case strings.HasPrefix(step.What, "get"):
			path = "/v1/pair/" + ids[name] + "?as_role=guest"
		case strings.HasPrefix(step.What, "bootstrap"):
			path, body = "/v1/pair/"+ids[name]+"/bootstrap", `{"role":"nobody","sealed":"x"}`
		default:
			t.Fatalf("what is %q", step.What)
		}
		played++
		got := ask(s, path, "", body)
		if got.Code != step.Status {
			t.Errorf("t=%v %s: %d %s, want %d", step.T, step.What, got.Code, got.Body, step.Status)
		}
		if step.Status == 201 {
			ids[name] = answerOf(t, got.Body.Bytes())["pair_id"].(string)
		} else if want := strings.TrimSpace(string(step.Body)); want[0] == '{' {
			if got, want := fmt.Sprint(answerOf(t, got.Body.Bytes())), fmt.Sprint(answerOf(t, []byte(want))); got != want {
				t.Errorf("t=%v %s: %s, want %s", step.T, step.What, got, want)
			}
		}
	}
	if played != 27 {
		t.Errorf("%d steps played, want 27", played)
	}
}

func (s *server) checkPairStats(t *testing.T, what string, body json.RawMessage, value *int) {
	t.Helper()
	want := struct {
		Opens int64 `json:"pair_opens_total"`
		Open  int   `json:"pair_slots_open"`
	}{Opens: s.store.counters.opens.Load()}
	if value != nil {
		want.Open = *value
	} else if err := json.Unmarshal(body, &want); err != nil {
		t.Fatal(err)
	}
	if got := s.store.counters.opens.Load(); got != want.Opens {
		t.Errorf("%s: %d opened, want %d", what, got, want.Opens)
	}
	if n := len(s.pairs.byID); n != want.Open || n != len(s.pairs.byCode) {
		t.Errorf("%s: %d pair slots under %d codes, want %d", what, n, len(s.pairs.byCode), want.Open)
	}
}

func answerOf(t *testing.T, body []byte) map[string]any {
	t.Helper()
	doc, ok := mustParse(t, body).(map[string]any)
	if !ok {
		t.Fatalf("no object: %q", body)
	}
	return doc
}
