package relay

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// An event is nowhere to be seen before it is on disk: no answer, no list, no stream.
func TestNothingIsAcknowledgedBeforeSync(t *testing.T) {
	s := unserved(t)
	slot, err := s.store.allocate()
	if err != nil {
		t.Fatal(err)
	}
	sub := slot.subscribe()
	entered, release := make(chan struct{}), make(chan struct{})
	s.store.disk.sync = func(f *os.File) error {
		entered <- struct{}{}
		<-release
		return syncData(f)
	}
	answered := make(chan *posting, 1)
	go func() { answered <- slot.post(readEvent([]byte(`{"event_id":"a"}`)), maxSlot) }()
	<-entered
	if page, err := slot.page(nil, 10); err != nil || string(page) != "[]" {
		t.Errorf("listed before the sync: %s, %v", page, err)
	}
	if frames := sub.take(); len(frames) > 0 {
		t.Errorf("streamed before the sync: %q", frames)
	}
	select {
	case p := <-answered:
		t.Errorf("answered before the sync: %+v", p)
	default:
	}
	close(release)
	if p := <-answered; p.outcome != stored {
		t.Fatalf("post: %+v", p)
	}
	if page, err := slot.page(nil, 10); err != nil || string(page) != `[{"event_id":"a"}]` {
		t.Errorf("listed after the sync: %s, %v", page, err)
	}
	if frames := sub.take(); len(frames) != 1 {
		t.Errorf("streamed after the sync: %q", frames)
	}
}

// Posts that come while a sync is under way share the next one.
func TestPostsShareASync(t *testing.T) {
	s := unserved(t)
	slot, err := s.store.allocate()
	if err != nil {
		t.Fatal(err)
	}
	syncs := 0
	first, release := make(chan struct{}), make(chan struct{})
	s.store.disk.sync = func(f *os.File) error {
		if syncs++; syncs == 1 {
			close(first)
			<-release
		}
		return syncData(f)
	}
	const posters = 20
	var wg sync.WaitGroup
	post := func(i int) {
		if p := slot.post(readEvent(fmt.Appendf(nil, `{"event_id":"%d"}`, i)), maxSlot); p.outcome != stored {
			t.Errorf("post %d: %+v", i, p)
		}
	}
	wg.Go(func() { post(0) })
	<-first
	for i := 1; i < posters; i++ {
		wg.Go(func() { post(i) })
	}
	waitFor(t, "the queue", func() bool {
		slot.writes.mu.Lock()
		defer slot.writes.mu.Unlock()
		return len(slot.writes.queue) == posters-1
	})
	close(release)
	wg.Wait()
	if syncs != 2 {
		t.Errorf("%d syncs for %d posts, want 2", syncs, posters)
	}
}

// A leader on a slow disk waits for those that it just released, at most a quarter of a sync.
func TestGatheringOnASlowDisk(t *testing.T) {
	var batches [][]int
	var g group[int]
	g.commit = func(batch []int) { batches = append(batches, bytesOf(batch)) }
	g.took(time.Hour) // the pause is a quarter of that: only company ends it
	g.expected = 2
	var wg sync.WaitGroup
	wg.Go(func() { g.do(1) })
	waitFor(t, "the first to wait", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.arrived != nil
	})
	wg.Go(func() { g.do(2) })
	wg.Wait()
	if len(batches) != 1 || len(batches[0]) != 2 {
		t.Errorf("batches %v, want both in one", batches)
	}
	g.took(100 * time.Microsecond) // a fast disk: nobody waits
	g.expected = 9
	g.do(3)
	if len(batches) != 2 {
		t.Errorf("batches %v", batches)
	}
}

func bytesOf(batch []int) []int { return append([]int(nil), batch...) }

// After a failed sync nobody knows what is on disk: 500, not listed, and the relay ends.
func TestFailedSync(t *testing.T) {
	s := unserved(t)
	slot, err := s.store.allocate()
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken disk")
	s.store.disk.sync = func(*os.File) error { return broken }
	w := ask(s, "/v1/events/"+slot.id, slot.token, `{"event":{"event_id":"x"}}`)
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "persist failed: ") {
		t.Errorf("post: %d %s", w.Code, w.Body)
	}
	if page, err := slot.page(nil, 10); err != nil || string(page) != "[]" {
		t.Errorf("listed: %s, %v", page, err)
	}
	if err := s.store.failure(); !errors.Is(err, broken) {
		t.Errorf("failure %v, want %v", err, broken)
	}
	if w := ask(s, "/v1/slot/allocate", "", "{}"); w.Code != http.StatusInternalServerError {
		t.Errorf("allocate: %d", w.Code)
	}
}

// A write that fails, as on a full disk, leaves no half line behind and the event unknown: a retry stores it.
func TestFailedWrite(t *testing.T) {
	s := unserved(t)
	slot, err := s.store.allocate()
	if err != nil {
		t.Fatal(err)
	}
	post := func(event string) *posting { return slot.post(readEvent([]byte(event)), maxSlot) }
	if p := post(`{"event_id":"a"}`); p.outcome != stored {
		t.Fatalf("post: %+v", p)
	}
	full := errors.New("disk full")
	half := func(f *os.File, b []byte) (int, error) {
		n, err := f.Write(b[:len(b)/2])
		return n, errors.Join(err, full)
	}
	s.store.disk.write = half
	if p := post(`{"event_id":"b"}`); p.outcome != notPersisted || !errors.Is(p.err, full) {
		t.Fatalf("post: %+v", p)
	}
	const want = "{\"event_id\":\"a\"}\n"
	if data, err := os.ReadFile(slot.path()); err != nil || string(data) != want {
		t.Errorf("slot file %q, %v, want %q", data, err, want)
	}
	s.store.disk.write = (*os.File).Write
	if p := post(`{"event_id":"b"}`); p.outcome != stored {
		t.Fatalf("retry: %+v", p)
	}

	// Where the half line cannot be taken back, the relay ends: the next start ends the line.
	s.store.disk.write = func(f *os.File, b []byte) (int, error) {
		n, err := half(f, b)
		return n, errors.Join(err, f.Close())
	}
	if p := post(`{"event_id":"c"}`); p.outcome != notPersisted {
		t.Fatalf("post: %+v", p)
	}
	if err := s.store.failure(); !errors.Is(err, full) {
		t.Errorf("failure %v, want %v", err, full)
	}
	slot.file = nil
	r := start(t, s.store.dir)
	b := box{slot.id, slot.token}
	if a := r.post(b, `{"event_id":"c"}`); a.StatusCode != http.StatusCreated {
		t.Errorf("post: %d %s", a.StatusCode, a.body)
	}
	for range 2 {
		if got, want := r.list(b), `[{"event_id":"a"},{"event_id":"b"},{"event_id":"c"}]`; got != want {
			t.Errorf("list %s, want %s", got, want)
		}
		r = r.again()
	}
}

// Order on disk is list order, and survives a restart (relay.md Q5: the reference's does not).
func TestOrderOfConcurrentPosts(t *testing.T) {
	r := start(t, stateDir(t))
	b := r.allocate()
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for i := range 60 {
				if a, err := r.try("/v1/events/"+b.id, b.token, fmt.Sprintf(`{"event":{"event_id":"%d-%d"}}`, c, i)); err != nil || a.StatusCode != http.StatusCreated {
					t.Errorf("post: %v %v", a.Response, err)
				}
			}
		})
	}
	wg.Wait()
	before := r.list(b)
	if n := strings.Count(before, "event_id"); n != 480 {
		t.Fatalf("%d events, want 480", n)
	}
	data, err := os.ReadFile(r.dir + "/slots/" + b.id + ".jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if onDisk := "[" + strings.ReplaceAll(strings.TrimSuffix(string(data), "\n"), "\n", ",") + "]"; onDisk != before {
		t.Error("the file has another order than the list")
	}
	if after := r.again().list(b); after != before {
		t.Error("the list has another order after a restart")
	}
}

// The races of state/restart.json, which the reference loses: slots that vanish, two holders of one nick,
// one event stored twice.
func TestRaces(t *testing.T) {
	var v struct {
		Races struct {
			Allocate struct {
				Slots int `json:"acknowledged_slots"`
			}
		}
	}
	readJSON(t, "testdata/state-restart.json", &v)
	r := start(t, stateDir(t))
	var mu sync.Mutex
	var boxes []box
	var wg sync.WaitGroup
	for range v.Races.Allocate.Slots {
		wg.Go(func() {
			a, err := r.try("/v1/slot/allocate", "", "{}")
			if err != nil || a.StatusCode != http.StatusCreated {
				t.Errorf("allocate: %v %v", a.Response, err)
				return
			}
			doc := mustParse(t, a.body).(map[string]any)
			mu.Lock()
			defer mu.Unlock()
			boxes = append(boxes, box{doc["slot_id"].(string), doc["slot_token"].(string)})
		})
	}
	wg.Wait()
	r = r.again()
	for _, b := range boxes {
		if a := r.do("/v1/slot/"+b.id+"/state", b.token, ""); a.StatusCode != http.StatusOK {
			t.Errorf("slot %s after the restart: %d %s", b.id, a.StatusCode, a.body)
		}
	}

	_, texts := fixtures(t)
	for i := range 20 {
		b := boxes[i]
		won := r.race(8, func(k int) (string, string, string) {
			card := texts[[]string{"card_bob", "card_carol"}[k%2]]
			return "/v1/handle/claim", b.token, fmt.Sprintf(`{"nick":"n%d","slot_id":%q,"card":%s}`, i, b.id, card)
		})
		if won["did:wire:bob-727fb040"] > 0 && won["did:wire:carol-ab524dc2"] > 0 || len(won) == 0 {
			t.Errorf("round %d: claimed by %v", i, won)
		}
		stored := r.race(8, func(int) (string, string, string) {
			return "/v1/events/" + b.id, b.token, `{"event":{"event_id":"same"}}`
		})
		if stored["same"] != 1 {
			t.Errorf("round %d: stored %v", i, stored)
		}
	}
}

// race sends n requests at once and counts those answered 201, by the did or event_id in the answer.
func (r *running) race(n int, request func(k int) (path, token, body string)) map[string]int {
	got := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for k := range n {
		wg.Go(func() {
			a, err := r.try(request(k))
			if err != nil {
				r.t.Error(err)
				return
			}
			if a.StatusCode != http.StatusCreated {
				return
			}
			doc := mustParse(r.t, a.body).(map[string]any)
			mu.Lock()
			defer mu.Unlock()
			for _, key := range []string{"did", "event_id"} {
				if v, ok := doc[key].(string); ok {
					got[v]++
				}
			}
		})
	}
	wg.Wait()
	return got
}

// What a restart keeps and what it loses (state/restart.json). Ours also keeps when a slot was last pulled, for
// a slot that is read every few seconds must not look like one that nobody ever read (field failure G14).
func TestRestart(t *testing.T) {
	var v struct{ Kept, Lost []string }
	readJSON(t, "testdata/state-restart.json", &v)
	if len(v.Kept) != 7 || len(v.Lost) != 8 {
		t.Fatalf("vector changed: %d kept, %d lost", len(v.Kept), len(v.Lost))
	}
	_, texts := fixtures(t)
	r := start(t, stateDir(t))
	b := r.allocate()
	r.post(b, texts["event_1"])
	r.post(b, `{"n":1.0}`)
	r.do("/v1/slot/"+b.id+"/responder-health", b.token, `{"status":"online","set_at":"t","reason":"r","last_success_at":null}`)
	r.do("/v1/handle/claim", b.token, `{"nick":"quiet","slot_id":"`+b.id+`","card":`+texts["card_bob"]+`,"discoverable":false,"relay_url":"http://x"}`)
	pair := r.do("/v1/pair", "", `{"code_hash":"c","msg":"m","role":"host"}`).doc(t)["pair_id"].(string)
	listed := r.list(b)
	before := r.do("/v1/slot/"+b.id+"/state", b.token, "").doc(t)
	if before["last_pull_at_unix"] == nil {
		t.Error("no last pull after a list")
	}

	r = r.again()
	after := r.do("/v1/slot/"+b.id+"/state", b.token, "").doc(t)
	if got, want := fmt.Sprint(after), fmt.Sprint(before); got != want {
		t.Errorf("state %s, want %s", got, want)
	}
	if got := r.list(b); got != listed {
		t.Errorf("list %s, want %s", got, listed)
	}
	if a := r.do("/v1/pair/"+pair+"?as_role=guest", "", ""); a.StatusCode != http.StatusNotFound {
		t.Errorf("pair slot: %d, want 404", a.StatusCode)
	}
	a := r.do("/v1/handle/claim", b.token, `{"nick":"quiet","slot_id":"`+b.id+`","card":`+texts["card_bob"]+`}`)
	if !bytes.Contains(a.body, []byte("re-claimed")) {
		t.Errorf("claim: %d %s", a.StatusCode, a.body)
	}
	data, err := os.ReadFile(r.dir + "/handles/quiet.json")
	if err != nil {
		t.Fatal(err)
	}
	doc := mustParse(t, data).(map[string]any)
	// An older client that knows nothing of hiding must not bring a hidden handle to light.
	if doc["discoverable"] != false || doc["relay_url"] != nil {
		t.Errorf("re-claimed handle: discoverable %v, relay_url %v", doc["discoverable"], doc["relay_url"])
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	data, err = os.ReadFile(r.dir + "/counters.json")
	if err != nil {
		t.Fatal(err)
	}
	totals := fmt.Sprint(mustParse(t, data))
	want := fmt.Sprint(map[string]any{
		"handle_claims_total": 2, "handle_first_claims_total": 1, "slot_allocations_total": 1,
		"pair_opens_total": 1, "events_posted_total": 2,
	})
	if totals != want {
		t.Errorf("counters %s, want %s", totals, want)
	}
}
