package relay

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// Rows of the last hours, bad ones passed over (takeover.json: bad and old lines, a line that is not UTF-8);
// a new row goes behind a torn one.
func TestHistory(t *testing.T) {
	dir := stateDir(t)
	if err := makeStateDir(dir); err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	row := func(age time.Duration, what string) string {
		return fmt.Sprintf(`{"ts":%d,%s}`, now.Add(-age).Unix(), what)
	}
	lines := []string{
		row(200*time.Hour, `"too old":1`), row(100*time.Hour, `"old":1`), "junk", "", `{"ts":"no"}`, "{\"ts\":1,\"x\":\"\xff\"}",
		row(24*time.Hour, `"anything":[1]`), row(-time.Hour, `"future":1`), `{"ts":18000`,
	}
	if err := os.WriteFile(dir+"/"+historyFile, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	st, err := openStore(dir, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.close)
	s := newServer(st, Config{Bind: "127.0.0.1:0", Stderr: t.Output(), now: func() time.Time { return now }})
	for query, want := range map[string]int{"": 2, "?hours=168": 3, "?hours=1": 1} {
		doc := answerOf(t, ask(s, "/stats.history"+query, "", "").Body.Bytes())
		if doc["count"] != uint64(want) || len(doc["entries"].([]any)) != want {
			t.Errorf("history%s: %v, want %d rows", query, doc, want)
		}
	}
	if err := s.noteHistory(now); err != nil {
		t.Fatal(err)
	}
	doc := answerOf(t, ask(s, "/stats.history?hours=0", "", "").Body.Bytes())
	rows := doc["entries"].([]any)
	if len(rows) != 2 {
		t.Fatalf("%d rows, want 2: %v", len(rows), rows)
	}
	last := rows[1].(map[string]any)
	if len(last) != 10 || last["ts"] != uint64(now.Unix()) || last["slots_active"] != uint64(0) {
		t.Errorf("row %v", last)
	}
}
