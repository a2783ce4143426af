package relay

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// quota.json: a slot filled to exactly 64 MiB, before and after a restart.
func TestQuota(t *testing.T) {
	var v struct{ Groups []exchangeGroup }
	readJSON(t, "testdata/quota.json", &v)
	docs, texts := fixtures(t)
	r := &replay{t: t, relay: start(t, stateDir(t)), texts: texts, docs: docs}
	for _, e := range v.Groups[0].Exchanges {
		if e.Action == "restart" {
			r.relay = r.relay.again()
			continue
		}
		if e.Name == "list everything: one response" {
			r.walkPages(t, e)
			continue
		}
		if strings.HasPrefix(e.Name, "state") {
			// Ours says that the slot is full: its owner never posts there and cannot learn of it otherwise.
			doc := strings.TrimSuffix(string(e.Response.Body["json"]), "}")
			e.Response.Body["json"] = json.RawMessage(doc + `,"slot_bytes_max":67108864,"slot_bytes_used":67108864}`)
		}
		if e.Name == "state after a restart" { // of which ours still knows when the slot was pulled (TestPullTimes)
			e.Response.Volatile = map[string]string{"/last_pull_at_unix": "unix_seconds"}
		}
		if problem := r.check(t, e, r.exchange(t, e, r.relay)); problem != "" {
			t.Errorf("%d %s: %s", e.N, e.Name, problem)
		}
		if e.Name == "claim" {
			r.fillSlot()
		}
	}
}

// fillSlot posts what the setup of quota.json describes.
func (r *replay) fillSlot() {
	for n := range 256 {
		head := fmt.Sprintf(`{"event_id":"f%d","pad":"`, n)
		event := head + strings.Repeat("x", maxEvent-len(head)-2) + `"}`
		if a := r.relay.post(box{r.texts["slot_a"], r.texts["token_a"]}, event); a.StatusCode != http.StatusCreated {
			r.t.Fatalf("post %d: %d %s", n, a.StatusCode, a.body)
		}
	}
}

// walkPages is where ours differs: the reference answers with all 64 MiB at once, ours with pages of a few
// MiB (relay.md Q30). The cursor reaches every event all the same.
func (r *replay) walkPages(t *testing.T, e exchange) {
	var want int
	if err := json.Unmarshal(e.Response.Body["array_of"], &want); err != nil {
		t.Fatal(err)
	}
	path, query, _ := strings.Cut(r.fill(e.Request.Path), "?")
	since, got, pages := "", 0, 0
	for got < want {
		a := r.relay.do(path+"?"+query+"&since="+since, r.texts["token_a"], "")
		events := mustParse(t, a.body).([]any)
		if len(a.body) > maxPageBytes+maxEvent || len(events) == 0 {
			t.Fatalf("page %d: %d bytes, %d events", pages, len(a.body), len(events))
		}
		for _, event := range events {
			id := event.(map[string]any)["event_id"]
			if wanted := fmt.Sprintf("f%d", got); id != wanted {
				t.Fatalf("event %v, want %s", id, wanted)
			}
			got++
			since, _ = id.(string)
		}
		pages++
	}
	if pages < 2 {
		t.Errorf("%d page for %d events of 256 KiB", pages, want)
	}
}

// Strangers cannot fill the last quarter of a slot: who holds its token can still write.
func TestIntrosLeaveRoom(t *testing.T) {
	_, texts := fixtures(t)
	s := unserved(t)
	slot, err := s.store.allocate()
	if err != nil {
		t.Fatal(err)
	}
	claim := `{"nick":"bobby","slot_id":"` + slot.id + `","card":` + texts["card_bob"] + `}`
	if w := ask(s, "/v1/handle/claim", slot.token, claim); w.Code != http.StatusCreated {
		t.Fatalf("claim: %d %s", w.Code, w.Body)
	}
	intro := `{"event":` + texts["intro_alice"] + `}`
	if _, err := slot.view(); err != nil {
		t.Fatal(err)
	}
	slot.used = maxIntros - int64(len(texts["intro_alice"])) + 1
	if w := ask(s, "/v1/handle/intro/bobby", "", intro); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("intro: %d %s, want 413", w.Code, w.Body)
	}
	slot.used--
	if w := ask(s, "/v1/handle/intro/bobby", "", intro); w.Code != http.StatusCreated {
		t.Errorf("intro: %d %s, want 201", w.Code, w.Body)
	}
	if w := ask(s, "/v1/events/"+slot.id, slot.token, `{"event":{}}`); w.Code != http.StatusCreated {
		t.Errorf("post: %d %s, want 201", w.Code, w.Body)
	}
}
