package relay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The slots of state/tree.json, the directory that a reference relay left.
var (
	slotA = box{"97e2e8effc151f9e84c400a9d2c8a23c", "2657b94cf1da557f062eca76c828027f03e518aaffbc023a9163281672be0e40"}
	slotB = box{"c85c2ecc04ae4335a5cb8c8ef80044c4", "26122cd9b9a1cf04aae2792ec30906ea1ac7009b263fd782b8449dcaab9f0990"}
	slotC = box{"b8d34c4f7ccc0c3314d4da0007cee6db", "8d706215d269e7227f62929e36b55f3e36c7ad75794e9f109cebb4e97f8ca7c4"}
)

// referenceTree writes the directory of tree.json, modes included.
func referenceTree(t testing.TB) string {
	t.Helper()
	var v struct {
		Tree []struct{ Path, Mode, Text string } `json:"tree_after_the_first_tick"`
	}
	readJSON(t, "testdata/state-tree.json", &v)
	dir := stateDir(t)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range v.Tree {
		path := filepath.Join(dir, f.Path)
		var err error
		if strings.HasSuffix(f.Path, "/") {
			err = os.Mkdir(path, 0o755)
		} else if f.Path != "." {
			err = os.WriteFile(path, []byte(f.Text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A directory of the reference is served whole, and what ours writes back is what was in it.
func TestReferenceDirectory(t *testing.T) {
	dir := referenceTree(t)
	slotFile := filepath.Join(dir, "slots", slotA.id+".jsonl")
	events, err := os.ReadFile(slotFile)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, dir)
	want := "[" + strings.ReplaceAll(strings.TrimSpace(string(events)), "\n", ",") + "]"
	if got := r.list(slotA); got != want {
		t.Errorf("list %s, want %s", got, want)
	}
	state := r.do("/v1/slot/"+slotA.id+"/state", slotA.token, "").doc(t)
	health := fmt.Sprint(map[string]any{"last_success_at": "2026-01-02T03:04:04Z", "reason": "r", "set_at": "2026-01-02T03:04:05Z", "status": "online"})
	if state["event_count"] != uint64(4) || fmt.Sprint(state["responder_health"]) != health {
		t.Errorf("state %v", state)
	}
	if got := r.list(slotC); got != "[]" {
		t.Errorf("never used slot: %s", got)
	}
	// The held nick stays with its DID, and a new event goes behind the old ones.
	_, texts := fixtures(t)
	a := r.do("/v1/handle/claim", slotC.token, `{"nick":"bobby","slot_id":"`+slotC.id+`","card":`+texts["card_carol"]+`}`)
	if a.StatusCode != http.StatusConflict {
		t.Errorf("claim of a held nick: %d %s", a.StatusCode, a.body)
	}
	if a := r.post(slotA, `{"event_id":"new"}`); a.StatusCode != http.StatusCreated {
		t.Errorf("post: %d %s", a.StatusCode, a.body)
	}
	fresh := r.allocate()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(slotFile)
	if err != nil || string(after) != string(events)+"{\"event_id\":\"new\"}\n" {
		t.Errorf("slot file %s, %v", after, err)
	}
	var tokens, totals map[string]any
	readJSON(t, filepath.Join(dir, "tokens.json"), &tokens)
	wantTokens := map[string]any{slotA.id: slotA.token, slotB.id: slotB.token, slotC.id: slotC.token, fresh.id: fresh.token}
	if d := cmp.Diff(wantTokens, tokens); d != "" {
		t.Error("tokens.json differs (tokens not shown):", len(d))
	}
	readJSON(t, filepath.Join(dir, "counters.json"), &totals)
	if totals["events_posted_total"] != 5.0 || totals["slot_allocations_total"] != 4.0 || totals["handle_claims_total"] != 4.0 {
		t.Errorf("counters %v go not on from the old ones", totals)
	}
}

type takeoverCase struct {
	Name, Start, Stderr string
	Checks              []takeoverCheck
}

type takeoverCheck struct {
	Ask, Request, Action string
	Status               int
	Answer               json.RawMessage
	EventIDs             json.RawMessage `json:"event_ids"`
	Exists               map[string]bool `json:"file_exists"`
}

// Reasons for which a case of takeover.json, or one check of it ("case/number"), comes out otherwise.
const (
	refusesTokens = "a damaged tokens.json is refused, untouched: going on would cost every slot (relay.md Q3)"
	keepsLine     = "a torn last line is ended, so the next event outlives the restart (relay.md Q5)"
	skipsLine     = "only the line that is not UTF-8 is passed over, not the whole file"
	noPhantom     = "what is not on disk is not listed and no duplicate (relay.md Q1)"
	honest        = "a slot file that cannot be read is an error, not an empty slot"
	endsWithState = "the relay ends when its state is gone; TestStateGone"
	historyTest   = "TestHistory"
	countersTest  = "TestCounters"
	lockTest      = "TestSecondRelayOnOneDirectory: the second one is refused"
)

var refusedAtStart = map[string]string{
	"tokens.json: empty":                 refusesTokens,
	"tokens.json: cut short":             refusesTokens,
	"tokens.json: an array":              refusesTokens,
	"tokens.json: null":                  refusesTokens,
	"tokens.json: one value is a number": refusesTokens,
	"tokens.json: byte order mark":       refusesTokens,
}

const anyLength = "an invite token may have any length (relay.md 6.13)"

var otherAnswer = map[string]struct {
	why    string
	status int
	body   string
}{
	"tokens.json: hand-made slot ids/2":                       {noPhantom, 200, `[]`},
	"tokens.json: hand-made slot ids/3":                       {noPhantom, 500, `persist failed: `},
	"slot file: last line torn/4":                             {keepsLine, 200, `"after-torn"`},
	"slot file: last line torn/7":                             {keepsLine, 200, `"after-torn"`},
	"slot file: only the last newline missing/3":              {keepsLine, 200, `"after"`},
	"slot file: one line that is not UTF-8 among good ones/0": {skipsLine, 200, `"event_id":"good-2"`},
	"slot file: one line that is not UTF-8 among good ones/2": {skipsLine, 200, `"event_id":"new"`},
	"slot file: one line that is not UTF-8 among good ones/4": {skipsLine, 200, `"event_id":"new"`},
	"stray files/0": {allSlots, 200, `"slots_active":3`},
	"invites.jsonl: later line wins, expired, torn, odd tokens/5":           {anyLength, 200, `seven`},
	"slot file is a directory: a failing append/0":                          {honest, 500, `read failed: `},
	"slot file is a directory: a failing append/2":                          {honest, 500, `read failed: `},
	"slot file is a directory: a failing append/3":                          {noPhantom, 500, `persist failed: `},
	"slot file is a directory: a failing append/6":                          {honest, 500, `read failed: `},
	"slot file: over the quota, events over the event limit (68 of 1 MB)/0": {"pages are cut at a few MiB (relay.md Q30)", 200, `"event_id":"b0"`},
}

var notPlayed = map[string]string{
	"stats-history.jsonl: bad and old lines":  historyTest,
	"stats-history.jsonl: one line not UTF-8": historyTest,
	"counters.json: one key missing":          countersTest,
	"counters.json: extra key":                countersTest,
	"counters.json: negative":                 countersTest,
	"counters.json: float":                    countersTest,
	"counters.json: torn":                     countersTest,
	"counters.json: empty":                    countersTest,
	"directories removed while running":       endsWithState,
	"two relays on one directory":             lockTest,
}

// edits are what the cases of takeover.json did to the directory of tree.json.
func edits(t *testing.T) map[string]func(dir string) {
	set := func(name, text string) func(string) {
		return func(dir string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	change := func(name string, f func([]byte) []byte) func(string) {
		return func(dir string) {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			set(name, string(f(data)))(dir)
		}
	}
	instead := func(name string) func(string) {
		return func(dir string) {
			path := filepath.Join(dir, name)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	slot := "slots/" + slotA.id + ".jsonl"
	handle := func(extra string) string {
		return fmt.Sprintf(`{"did":"did:wire:bob-727fb040","card":{},"slot_id":%q%s}`, slotB.id, extra)
	}
	return map[string]func(string){
		"tokens.json: empty":                 set("tokens.json", ""),
		"tokens.json: cut short":             change("tokens.json", func(b []byte) []byte { return b[:len(b)/2] }),
		"tokens.json: an array":              set("tokens.json", "[]"),
		"tokens.json: null":                  set("tokens.json", "null"),
		"tokens.json: one value is a number": change("tokens.json", func(b []byte) []byte { return bytes.Replace(b, []byte(`"`+slotC.token+`"`), []byte("5"), 1) }),
		"tokens.json: repeated key":          set("tokens.json", fmt.Sprintf(`{%q:"first",%q:%q}`, slotA.id, slotA.id, slotA.token)),
		"tokens.json: byte order mark":       change("tokens.json", func(b []byte) []byte { return append([]byte("\uFEFF"), b...) }),
		"tokens.json: compact, other key order": set("tokens.json", fmt.Sprintf(`{%q:%q,%q:%q,%q:%q}`,
			slotC.id, slotC.token, slotA.id, slotA.token, slotB.id, slotB.token)),
		"tokens.json: not UTF-8":   set("tokens.json", "{\"a\":\"\xff\"}"),
		"tokens.json: a directory": instead("tokens.json"),
		"tokens.json: missing": func(dir string) {
			if err := os.Remove(filepath.Join(dir, "tokens.json")); err != nil {
				t.Fatal(err)
			}
		},
		"tokens.json: hand-made slot ids":          set("tokens.json", `{"not-hex":"t","":"t"}`),
		"slot file: last line torn":                change(slot, func(b []byte) []byte { return b[:len(b)-10] }),
		"slot file: only the last newline missing": change(slot, func(b []byte) []byte { return b[:len(b)-1] }),
		"slot file: junk and blank lines, CR LF, repeated ids, odd values, indented line": set(slot,
			"{\"event_id\":\"one\"}\r\n\njunk\n   \n{\"event_id\":\"one\",\"again\":true}\n7\n{\"event_id\":[1]}\n{\"event_id\":\n\"no\"}\n\t {\"event_id\" : \"s\"} \n{\"event_id\":\"two\"}\n"),
		"slot file: one line that is not UTF-8 among good ones": set(slot,
			"{\"event_id\":\"good-1\"}\n{\"event_id\":\"\xff\"}\n{\"event_id\":\"good-2\"}\n"),
		"slot file: empty":                         set(slot, ""),
		"slot file: byte order mark":               set(slot, "\uFEFF{\"event_id\":\"one\"}\n{\"event_id\":\"two\"}\n"),
		"slot file: two values on one line":        set(slot, "{\"event_id\":\"one\"}{\"event_id\":\"two\"}\n"),
		"slot file: key order and number spelling": set(slot, `{"z":1, "n":1e2, "event_id":"k"}`+"\n"),
		"slot file: over the quota, events over the event limit (68 of 1 MB)": func(dir string) {
			var b bytes.Buffer
			for i := range 68 {
				head := fmt.Sprintf(`{"event_id":"b%d","pad":"`, i)
				b.WriteString(head + strings.Repeat("x", 1_000_000) + "\"}\n")
			}
			set(slot, b.String())(dir)
		},
		"stray files": func(dir string) {
			set("slots/.hidden", "x")(dir)
			set("slots/x.jsonl.tmp", "x")(dir)
			set("slots/not-hex.jsonl", "{}\n")(dir)
			set("handles/x.txt", "x")(dir)
			set("stray", "x")(dir)
		},
		"slot file is a directory: a failing append": instead(slot),
		"handles: file name differs from the nick inside; nick that no claim would allow; extra and missing keys; bad files": func(dir string) {
			const claimed = `,"claimed_at":"2026-11-22T19:55:40Z"`
			for name, extra := range map[string]string{
				"filename":  `,"nick":"inside","relay_url":null` + claimed,
				"admin":     `,"nick":"Admin","relay_url":null,"extra":1` + claimed,
				"noclaimed": `,"nick":"noclaimed","relay_url":null`,
				"norelay":   `,"nick":"norelay"` + claimed,
				"badsig":    `,"nick":"badsig"` + claimed,
				"disc":      `,"nick":"disc","discoverable":"yes"` + claimed,
				"discnull":  `,"nick":"discnull","discoverable":null` + claimed,
			} {
				set("handles/"+name+".json", handle(extra))(dir)
			}
			set("handles/bad.json", "{")(dir)
			set("handles/nullcard.json", strings.Replace(handle(`,"nick":"nullcard"`+claimed), `"card":{}`, `"card":null`, 1))(dir)
			set("handles/noslot.json", strings.Replace(handle(`,"nick":"noslot"`+claimed), slotB.id, strings.Repeat("f", 32), 1))(dir)
		},
		"responder-health: edited files": func(dir string) {
			set("responder-health/"+slotA.id+".json", `{"set_at":"t","status":"s","extra":1}`)(dir)
			set("responder-health/"+slotB.id+".json", `{"status":"s"}`)(dir)
			set("responder-health/"+slotC.id+".json", `{"set_at":"t","status":"s","reason":null}`)(dir)
		},
		"invites.jsonl: later line wins, expired, torn, odd tokens": set("invites.jsonl",
			inviteLine("aaaaaa", "first", 1)+inviteLine("aaaaaa", "second", 1)+
				inviteLine("bbbbbb", "alive then expired line", 1)+inviteLine("bbbbbb", "expired line", -1)+inviteLine("cccccc", "expired", -1)+
				`{"token":"dddddd","invite_url":"no uses key","expires_unix":1795400001,"created_unix":1}`+"\n"+
				inviteLine("ABCDEF", "upper", 1)+inviteLine("abcdef0", "seven", 1)+
				strings.Replace(inviteLine("eeeeee", "extra key", 1), "{", `{"extra":1,`, 1)+
				strings.TrimSuffix(inviteLine("ffffff", "torn", 1), "}\n")),
		"no subdirectories": func(dir string) {
			for _, sub := range []string{"slots", "handles", "responder-health"} {
				if err := os.RemoveAll(filepath.Join(dir, sub)); err != nil {
					t.Fatal(err)
				}
			}
		},
		"slots is a file": func(dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "slots")); err != nil {
				t.Fatal(err)
			}
			set("slots", "")(dir)
		},
	}
}

func inviteLine(token, url string, left int64) string {
	return fmt.Sprintf(`{"token":%q,"invite_url":%q,"expires_unix":%d,"uses_remaining":null,"created_unix":1}`+"\n", token, url, takeoverNow().Unix()+left)
}

// takeover.json: damaged and hand-edited directories.
func TestTakeover(t *testing.T) {
	var v struct{ Cases []takeoverCase }
	readJSON(t, "testdata/state-takeover.json", &v)
	if len(v.Cases) != 38 {
		t.Fatalf("%d cases, want 38", len(v.Cases))
	}
	edit := edits(t)
	seen := map[string]bool{}
	for _, c := range v.Cases {
		if notPlayed[c.Name] != "" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			if edit[c.Name] == nil {
				t.Fatal("no edit for this case")
			}
			dir := referenceTree(t)
			edit[c.Name](dir)
			if c.Start != "ok" || refusedAtStart[c.Name] != "" {
				refusedUntouched(t, dir)
				return
			}
			// tree.json was left by a federation relay.
			r, err := tryStart(t, Config{Bind: "127.0.0.1:0", StateDir: dir, now: takeoverNow})
			if err != nil {
				t.Fatal(err)
			}
			for i, check := range c.Checks {
				if check.Action == "restart" {
					r = r.again()
					continue
				}
				key := fmt.Sprintf("%s/%d", c.Name, i)
				seen[key] = true
				r.takeoverCheck(t, key, check)
			}
		})
	}
	for key := range otherAnswer {
		if !seen[key] {
			t.Errorf("deviation %q names no check", key)
		}
	}
}

// refusedUntouched expects an error at the start that leaves every file as it was.
func refusedUntouched(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "tokens.json")
	before, _ := os.ReadFile(path)
	_, err := tryStart(t, Config{Bind: "127.0.0.1:0", LocalOnly: true, StateDir: dir})
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v, want one that names the file", err)
	}
	for _, b := range []box{slotA, slotB, slotC} {
		if strings.Contains(err.Error(), b.token) {
			t.Errorf("the error shows a token: %v", err)
		}
	}
	after, _ := os.ReadFile(path)
	if !bytes.Equal(before, after) {
		t.Errorf("tokens.json changed from %d to %d bytes", len(before), len(after))
	}
}

func (r *running) takeoverCheck(t *testing.T, key string, check takeoverCheck) {
	t.Helper()
	for name, want := range check.Exists {
		if _, err := os.Stat(filepath.Join(r.dir, name)); (err == nil) != want {
			t.Errorf("%s exists: %v, want %v", name, err == nil, want)
		}
	}
	method, path, _ := strings.Cut(check.Request, " ")
	if method == "" {
		return
	}
	token := "t"
	for _, b := range []box{slotA, slotB, slotC} {
		if strings.Contains(path, b.id) {
			token = b.token
		}
	}
	body := ""
	if method == "POST" {
		body = takeoverBody(t, path, check)
	}
	a := r.do(path, token, body)
	if d, ok := otherAnswer[key]; ok {
		if a.StatusCode != d.status || !bytes.Contains(a.body, []byte(d.body)) {
			t.Errorf("%s: %d %.200s, want %d with %s (%s)", check.Ask, a.StatusCode, a.body, d.status, d.body, d.why)
		}
		return
	}
	if a.StatusCode != check.Status {
		t.Errorf("%s: %d %.200s, want %d", check.Ask, a.StatusCode, a.body, check.Status)
		return
	}
	if check.EventIDs != nil {
		r.takeoverIDs(t, check, a)
		return
	}
	if len(check.Answer) == 0 || bytes.Contains(check.Answer, []byte("error_prefix")) {
		return
	}
	want := mustParse(t, check.Answer)
	if text, ok := want.(string); ok && strings.HasPrefix(path, "/i/") {
		if string(a.body) != text {
			t.Errorf("%s: %q, want %q", check.Ask, a.body, text)
		}
		return
	}
	got := mustParse(t, a.body)
	switch {
	case strings.HasPrefix(check.Ask, "state ") && len(path) > len("/v1/slot//state"):
		got = got.(map[string]any)["responder_health"]
	case path == "/v1/handles":
		nicks := []any{}
		for _, h := range got.(map[string]any)["handles"].([]any) {
			nicks = append(nicks, h.(map[string]any)["nick"])
		}
		got = nicks
	case strings.HasPrefix(path, "/.well-known/"), strings.HasPrefix(path, "/stats"):
		got = onlyKeysOf(want, got)
	}
	if d := cmp.Diff(freeText(want, want), freeText(got, want)); d != "" {
		t.Errorf("%s: %s", check.Ask, d)
	}
}

// onlyKeysOf leaves out what the vector leaves out; true and "<404 document>" stand for any answer.
func onlyKeysOf(want, got any) any {
	if _, ok := want.(uint64); ok {
		return got.(map[string]any)["events_posted_total"]
	}
	keys, ok := want.(map[string]any)
	if !ok {
		return want
	}
	out := map[string]any{}
	for k := range keys {
		out[k] = got.(map[string]any)[k]
	}
	return out
}

// takeoverNow is a day on which the invites of the case have and have not expired.
func takeoverNow() time.Time { return time.Unix(1_795_400_000, 0) }

func (r *running) takeoverIDs(t *testing.T, check takeoverCheck, a answer) {
	t.Helper()
	want := mustParse(t, check.EventIDs)
	if _, refused := want.(map[string]any); refused {
		if d := cmp.Diff(want, mustParse(t, a.body)); d != "" {
			t.Errorf("%s: %s", check.Ask, d)
		}
		return
	}
	ids := []any{}
	for _, e := range mustParse(t, a.body).([]any) {
		doc, _ := e.(map[string]any)
		ids = append(ids, doc["event_id"])
	}
	if d := cmp.Diff(want, any(ids)); d != "" {
		t.Errorf("%s: %s", check.Ask, d)
	}
}

// takeoverBody is the request that the answer of a check tells of.
func takeoverBody(t *testing.T, path string, check takeoverCheck) string {
	t.Helper()
	_, texts := fixtures(t)
	var answer struct {
		ID string `json:"event_id"`
	}
	if len(check.Answer) > 0 && check.Answer[0] == '{' {
		if err := json.Unmarshal(check.Answer, &answer); err != nil {
			t.Fatal(err)
		}
	}
	switch {
	case strings.Contains(path, "/intro/"):
		return fmt.Sprintf(`{"event":{"event_id":%q,"kind":1100,"body":{"card":%s}}}`, answer.ID, texts["card_bob"])
	case strings.HasSuffix(path, "/responder-health"):
		return `{"status":"s","set_at":"t"}`
	case strings.HasSuffix(path, "/register"):
		return `{"invite_url":"x"}`
	case strings.HasSuffix(path, "/allocate"):
		return `{}`
	}
	if answer.ID == "" {
		answer.ID = "q"
		if strings.Contains(check.Request, slotA.id) {
			answer.ID = "lost"
		}
	}
	return fmt.Sprintf(`{"event":{"event_id":%q}}`, answer.ID)
}

// Totals go on only from a file that is exactly as expected.
func TestCounters(t *testing.T) {
	const whole = `"handle_claims_total":4,"handle_first_claims_total":3,"slot_allocations_total":3,"pair_opens_total":1`
	for text, want := range map[string]int64{
		"{" + whole + `,"events_posted_total":7}`:             7,
		"{" + whole + `,"events_posted_total":7,"extra":"x"}`: 7,
		"{" + whole + `}`:                           0,
		"{" + whole + `,"events_posted_total":-7}`:  0,
		"{" + whole + `,"events_posted_total":7.0}`: 0,
		"{" + whole + `,"events_posted_total":7`:    0,
		"":                                          0,
	} {
		dir := stateDir(t)
		if err := makeStateDir(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "counters.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		st, err := openStore(dir, t.Output())
		if err != nil {
			t.Fatal(err)
		}
		if got := st.counters.posts.Load(); got != want {
			t.Errorf("%s: %d events, want %d", text, got, want)
		}
		if got := st.counters.claims.Load(); (got == 4) != (want == 7) {
			t.Errorf("%s: %d claims", text, got)
		}
	}
}
