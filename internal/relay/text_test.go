package relay

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"wirefleet.dev/wire/internal/canon"
)

// texts are seeds for the two fuzz targets: spellings that are and are not the stored form.
var textSeeds = []string{
	`{"event":{"event_id":"a","kind":1}}`, `{"event":null}`, `{"event":{}}`, `{}`, `[{"event":1}]`, `null`, ` {"event" : [1 , 2]} `,
	`{"event":1,"event":2}`, `{"\u0065vent":{"b":1,"a":2}}`, `{"Event":1}`, `{"event":{"event_id":"x","event_id":"y"}}`,
	`{"event":{"n":[0,-0,0.0,1e2,100000000000000000000,18446744073709551615,-9223372036854775808,999999999999999999,1.5e-300]}}`,
	`{"event":"\u00e9\/\ud83e\udd80\u0000\u001f\u001F\u0008\b\u000A\n\u007f\u2028"}`, `{"event":{"":1,"a b":2,"é":3,"Z":4}}`,
	`{"event":{"a":{"b":[{"c":{}}]}},"x":"}]"}`, `{"event":"\ud800"}`, `{"event":01}`, `{"event":tru}`, "{\"event\":\"\xff\"}", `{"event":{"event_id":5}}`,
	`{"event":{"a\"b":1,"event_id":"q\"\\"}}`, `{"event":[` + strings.Repeat("[", 120) + strings.Repeat("]", 120) + `]}`,
}

// FuzzStoredForm holds readEvent, members and skipValue against canon's tree.
func FuzzStoredForm(f *testing.F) {
	for _, s := range textSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := canon.Parse(text)
		if err != nil {
			return
		}
		raw := bytes.Trim(text, " \t\r\n")
		e := readEvent(raw)
		if want := canon.Compact(v); !bytes.Equal(e.text, want) {
			t.Fatalf("stored form %q, want %q", e.text, want)
		}
		doc, _ := v.(canon.Doc)
		if id, ok := doc["event_id"].(string); ok != e.hasID || id != e.id {
			t.Fatalf("event_id %q %v, want %q %v", e.id, e.hasID, id, ok)
		}
		if doc == nil {
			return
		}
		got := canon.Doc{}
		if err := members(text, func(key string, raw []byte) error {
			v, err := canon.Parse(raw)
			got[key] = v
			return err
		}); err != nil {
			t.Fatalf("members: %v", err)
		}
		if !bytes.Equal(canon.Compact(got), canon.Compact(v)) {
			t.Fatalf("members %q, want %q", canon.Compact(got), canon.Compact(v))
		}
	})
}

// FuzzRequestBody posts any bytes to every route that takes a body: the answer is one that relay.md 2.2
// names, and what is stored is the event in its stored form.
func FuzzRequestBody(f *testing.F) {
	for _, s := range textSeeds {
		f.Add([]byte(s))
	}
	for _, s := range []string{
		`{"handle":"x"}`, `{"code_hash":"c","msg":"m","role":"host"}`, `{"role":"host","sealed":"s"}`, `{"status":"s","set_at":"t","reason":null}`,
		`{"nick":"bobby","slot_id":"x","card":{},"relay_url":null,"discoverable":true}`, `{"event":{"kind":1100,"body":{"card":{}}}}`,
	} {
		f.Add([]byte(s))
	}
	s := unserved(f)
	s.store.disk.sync = func(*os.File) error { return nil } // not what this is about
	slot, err := s.store.allocate()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 {
			return
		}
		valid := canon.Valid(body) == nil
		for _, path := range []string{
			"/v1/events/" + slot.id, "/v1/slot/allocate", "/v1/slot/" + slot.id + "/responder-health", "/v1/pair",
			"/v1/pair/x/bootstrap", "/v1/pair/abandon", "/v1/handle/claim", "/v1/handle/intro/bobby",
		} {
			if path == "/v1/slot/allocate" && valid {
				continue // would fill the table
			}
			before := len(slot.lines)
			w := ask(s, path, slot.token, string(body))
			if !valid != (w.Code == http.StatusBadRequest && strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain")) {
				t.Fatalf("%s: %d %s for valid %v", path, w.Code, w.Body, valid)
			}
			if w.Code >= 500 {
				t.Fatalf("%s: %d %s", path, w.Code, w.Body)
			}
			if len(slot.lines) == before {
				continue
			}
			doc, err := canon.ParseObject(body)
			if err != nil {
				t.Fatalf("%s: stored from %q", path, body)
			}
			text, err := slot.text(before)
			if want := canon.Compact(doc["event"]); err != nil || !bytes.Equal(text, want) {
				t.Fatalf("stored %q (%v), want %q", text, err, want)
			}
		}
	})
}

// A slot whose lines are in no stored form is listed in it, wherever they stand.
func TestOddLines(t *testing.T) {
	s := unserved(t)
	slot, err := s.store.allocate()
	if err != nil {
		t.Fatal(err)
	}
	var file, want []string
	for i := range 20 {
		line := fmt.Sprintf(`{"event_id":"%d","n":1.0}`, i)
		want = append(want, line)
		switch i % 4 {
		case 1:
			line = fmt.Sprintf(` {"n":1e0, "event_id":"%d"}`, i)
		case 3:
			line = "junk\n\n" + line
		}
		file = append(file, line)
	}
	if err := os.WriteFile(slot.path(), []byte(strings.Join(file, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	all := "[" + strings.Join(want, ",") + "]"
	if page, err := slot.page(nil, 100); err != nil || string(page) != all {
		t.Errorf("list %s, %v, want %s", page, err, all)
	}
	for i := range want {
		since := fmt.Sprint(i)
		tail := "[" + strings.Join(want[i+1:], ",") + "]"
		if page, err := slot.page(&since, 100); err != nil || string(page) != tail {
			t.Errorf("since %d: %s, %v, want %s", i, page, err, tail)
		}
	}
	// Odd lines are duplicates of what they mean.
	for i := range want {
		if p := slot.post(readEvent([]byte(want[i])), maxSlot); p.outcome != duplicate {
			t.Errorf("event %d: outcome %d, want a duplicate", i, p.outcome)
		}
	}
}

// Lines that another program appends are found, and ours stay whole.
func TestForeignAppend(t *testing.T) {
	s := unserved(t)
	slot, err := s.store.allocate()
	if err != nil {
		t.Fatal(err)
	}
	post := func(id string, want outcome) {
		t.Helper()
		if p := slot.post(readEvent([]byte(`{"event_id":"`+id+`"}`)), maxSlot); p.outcome != want {
			t.Errorf("post %s: outcome %d (%v), want %d", id, p.outcome, p.err, want)
		}
	}
	foreign := func(id string) {
		f, err := os.OpenFile(slot.path(), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(`{"event_id":"` + id + `"}` + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	post("a", stored)
	foreign("x")
	post("b", stored)
	post("x", duplicate)
	slot.close() // as when it was quiet for a while
	foreign("y")
	post("c", stored)
	post("y", duplicate)
	const want = `[{"event_id":"a"},{"event_id":"x"},{"event_id":"b"},{"event_id":"y"},{"event_id":"c"}]`
	if page, err := slot.page(nil, 10); err != nil || string(page) != want {
		t.Errorf("list %s, %v, want %s", page, err, want)
	}
	if err := s.store.failure(); err != nil {
		t.Errorf("failure: %v", err)
	}
}

// A quiet slot's file is let go and taken up again.
func TestRest(t *testing.T) {
	s := unserved(t)
	slot, err := s.store.allocate()
	if err != nil {
		t.Fatal(err)
	}
	event := readEvent([]byte(`{"event_id":"a"}`))
	if p := slot.post(event, maxSlot); p.outcome != stored {
		t.Fatalf("post: %+v", p)
	}
	s.store.rest()
	if slot.file == nil {
		t.Error("the file of a busy slot was closed")
	}
	slot.active = slot.active.Add(-2 * quietAfter)
	s.store.rest()
	if slot.file != nil {
		t.Error("the file of a quiet slot is open")
	}
	if p := slot.post(event, maxSlot); p.outcome != duplicate {
		t.Errorf("again: %+v", p)
	}
	if p := slot.post(readEvent([]byte(`{"event_id":"b"}`)), maxSlot); p.outcome != stored {
		t.Errorf("post: %+v", p)
	}
	if page, err := slot.page(nil, 10); err != nil || string(page) != `[{"event_id":"a"},{"event_id":"b"}]` {
		t.Errorf("list %s, %v", page, err)
	}
}
