package mailbox

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/relaytest"
)

func (w *world) broadcast(name, body, scope string, exclude ...string) Broadcast {
	w.t.Helper()
	got, err := w.box(name).Broadcast(w.t.Context(), BroadcastOptions{Body: body, Kind: "claim", Scope: scope, Exclude: exclude}, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

// outcomes are "peer via", or "peer -" where nobody took it.
func outcomes(list []Delivery) (out []string) {
	for _, d := range list {
		via := string(d.Via)
		if via == "" {
			via = "-"
		}
		out = append(out, d.Peer+" "+via)
	}
	return out
}

// TestBroadcast: one event for each, under one id; what was posted is not posted again, by whoever pushes.
func TestBroadcast(t *testing.T) {
	w := newWorld(t, "api", "doc", "ops", "web")
	for _, peer := range []string{"doc", "ops", "web"} {
		w.pin("api", peer)
		w.pin(peer, "api")
	}
	waiting := w.send("api", "web", "waits before it")
	got := w.broadcast("api", "hello", "local", "ops@relay.example", "nobody")
	if !slices.Equal(outcomes(got.Deliveries), []string{"doc local", "web local"}) || got.Delivered() != 2 ||
		!slices.Equal(got.Excluded, []string{"ops"}) || got.WrongScope != nil {
		t.Errorf("%+v", got)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`).MatchString(got.ID) {
		t.Errorf("id %q", got.ID)
	}
	for i, peer := range []string{"doc", "web"} {
		lines := w.lines(must(w.session("api").Outbox(peer)))
		e := lines[len(lines)-1]
		want := canon.Doc{"broadcast_id": got.ID, "broadcast_target_count": uint64(2), "content": "hello"}
		if string(canon.Compact(e["body"])) != string(canon.Compact(want)) || e["event_id"] != got.Deliveries[i].EventID ||
			e["to"] != "did:wire:"+peer || e["type"] != "claim" || e["kind"] != uint64(1001) || verifyWith(e, w.card["api"], time.Now()) != nil {
			t.Errorf("%s", canon.Compact(e))
		}
	}

	res, err := w.box("api").Push(t.Context(), PushOptions{Report: true})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ids(res.Pushed), []string{waiting}) {
		t.Errorf("pushed %+v", res.Pushed)
	}
	url := w.relay.URL()
	for i, s := range res.Skipped {
		if want := (PushItem{Peer: got.Deliveries[i].Peer, EventID: got.Deliveries[i].EventID, Endpoint: url, Scope: home.Local, Reason: "duplicate"}); s != want {
			t.Errorf("got %+v, want %+v", s, want)
		}
	}
	if len(res.Skipped) != 2 {
		t.Errorf("skipped %+v", res.Skipped)
	}
	w.pull(w.box("web"))
	if got := len(w.lines(must(w.session("web").Inbox("api")))); got != 2 {
		t.Errorf("web has %d messages", got)
	}
}

// TestBroadcastToADaemon: while a broadcast is on its way, whoever sees the outbox grow posts nothing of it.
func TestBroadcastToADaemon(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	daemon := w.box("api")
	var pushed []PushItem
	stop := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		for {
			res, err := daemon.Push(t.Context(), PushOptions{})
			if err != nil {
				t.Error(err)
			}
			pushed = append(pushed, slices.Concat(res.Pushed, res.Skipped)...)
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for range 20 {
		if got := w.broadcast("api", "hello", "local"); got.Delivered() != 1 {
			t.Errorf("%+v", got)
		}
	}
	close(stop)
	busy.Wait()
	if len(pushed) > 0 {
		t.Errorf("posted beside the broadcast: %+v", pushed)
	}
}

// TestBroadcastBesideAStuckPush: a push that waits for a silent relay has the lock; the broadcast goes out
// all the same, and the next push hears that it did.
func TestBroadcastBesideAStuckPush(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	unlock := must(home.Lock(t.Context(), w.session("api").PushLock()))
	got := w.broadcast("api", "hello", "local")
	unlock()
	if got.Delivered() != 1 {
		t.Errorf("%+v", got)
	}
	res := w.push(w.box("api"))
	if len(res.Pushed) != 0 || !slices.Equal(reasons(res.Skipped), []string{"duplicate"}) {
		t.Errorf("%+v", res)
	}
}

// TestBroadcastScopes: endpoints of the scope only, after the routing rule; nobody of it is an error.
func TestBroadcastScopes(t *testing.T) {
	w := newWorld(t, "api", "both", "far", "near", "pending", "strange")
	for _, peer := range []string{"both", "far", "near", "pending", "strange"} {
		w.trust("api", peer, time.Now())
	}
	federation := relaytest.Start(t, relaytest.Config{})
	slotAt := func() home.Endpoint {
		s := must(w.client.Allocate(t.Context(), federation.URL(), "x"))
		return home.Endpoint{RelayURL: s.URL, SlotID: s.ID, SlotToken: s.Token, Scope: home.Federation}
	}
	w.route("api", "both", slotAt(), w.self("both")[0])
	w.route("api", "far", slotAt())
	w.route("api", "near")
	empty := w.self("pending")[0]
	empty.SlotToken = identity.NewToken("")
	w.route("api", "pending", empty)
	other := w.self("strange")[0]
	other.RelayURL = "http://127.0.0.1:1"
	w.route("api", "strange", other)

	for _, c := range []struct{ scope, want, wrong string }{
		{"local", "both local,near local", "far,pending,strange"},
		{"federation", "both federation,far federation", "near,pending,strange"},
		{"both", "both local,far federation,near local", "pending,strange"},
	} {
		got := w.broadcast("api", "x", c.scope)
		if strings.Join(outcomes(got.Deliveries), ",") != c.want || strings.Join(got.WrongScope, ",") != c.wrong {
			t.Errorf("%s: %+v", c.scope, got)
		}
	}
	for _, c := range []struct {
		o    BroadcastOptions
		want string
	}{
		{BroadcastOptions{Scope: "world"}, "unknown scope `world` — use local | federation | both"},
		{BroadcastOptions{Scope: "local", Exclude: []string{"both", "near"}}, "no peers matched scope=`local` after exclude filter (2 excluded, 3 wrong-scope)"},
		{BroadcastOptions{Scope: "both", Body: 3.73110762665466e+37}, "the number at body.content changes"},
	} {
		before := must(os.ReadDir(w.session("api").OutboxDir()))
		if _, err := w.box("api").Broadcast(t.Context(), c.o, time.Now()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.o, err)
		}
		if after := must(os.ReadDir(w.session("api").OutboxDir())); len(after) != len(before) {
			t.Errorf("%+v: queued", c.o)
		}
	}
	if _, err := w.box("near").Broadcast(t.Context(), BroadcastOptions{Scope: "both"}, time.Now()); err == nil || !strings.HasPrefix(err.Error(), "no peers pinned") {
		t.Errorf("%v", err)
	}
	if _, err := w.box("ghost").Broadcast(t.Context(), BroadcastOptions{Scope: "both"}, time.Now()); !errors.Is(err, home.ErrNotInitialized) {
		t.Errorf("%v", err)
	}
}

// TestBroadcastUndelivered waits in the outbox and goes out with the next push; so does one whose slot was
// lost before it was read.
func TestBroadcastUndelivered(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.pin("api", "web")
	w.pin("web", "api")
	w.relay.Stop()
	got := w.broadcast("api", "down", "local")
	if got.Delivered() != 0 || !strings.HasPrefix(got.Deliveries[0].Err.Error(), "POST "+w.relay.URL()+"/v1/events/") {
		t.Errorf("%+v", got)
	}
	w.relay.Start()
	late := w.broadcast("api", "up", "local")
	if res := w.push(w.box("api")); !slices.Equal(ids(res.Pushed), []string{got.Deliveries[0].EventID}) || len(res.Skipped) != 0 {
		t.Errorf("%+v", res)
	}

	again := w.broadcast("api", "before the slot went", "local")
	w.slot("web")
	w.route("api", "web")
	want := []string{got.Deliveries[0].EventID, late.Deliveries[0].EventID, again.Deliveries[0].EventID}
	if res := w.push(w.box("api")); !slices.Equal(ids(res.Pushed), want) {
		t.Errorf("after the slot was lost: %+v, want %q", res, want)
	}
}

// TestBroadcastToNewIdentity: what was queued for an earlier holder of the handle stays unsent, also after a
// broadcast has written down its own progress.
func TestBroadcastToNewIdentity(t *testing.T) {
	w := newWorld(t, "api", "web")
	w.send("api", "web", "for the old one")
	w.trust("api", "web", time.Now())
	w.create("web")
	// A pin that replaces another keeps its keys, inactive.
	check(w.session("api").UpdateTrust(t.Context(), func(sp *canon.Spans) error {
		raw, _ := sp.Raw("agents", "web")
		old := must(canon.Parse(raw)).(canon.Doc)["public_keys"].([]any)
		old[0].(canon.Doc)["active"] = false
		_, rec, err := identity.PinRecord(w.card["web"], identity.TierVerified, time.Now(), old)
		check(err)
		sp.Set(canon.AppendPretty(nil, rec, 2), "agents", "web")
		return nil
	}))
	w.route("api", "web")
	if got := w.broadcast("api", "for the new one", "local"); got.Delivered() != 1 {
		t.Errorf("%+v", got)
	}
	if res := w.push(w.box("api")); len(res.Pushed) != 0 {
		t.Errorf("%+v", res)
	}
}

// TestRoute goes round those who have the role, are pinned and not left out.
func TestRoute(t *testing.T) {
	w := newWorld(t, "api", "beth", "cora", "dora")
	for _, peer := range []string{"beth", "cora", "dora"} {
		w.pin("api", peer)
	}
	route := func(o RouteOptions) (Routed, error) {
		o.Role, o.Kind, o.Body = "reviewer", "claim", "job"
		if o.Sisters == nil {
			o.Sisters = []string{"dora", "cora", "beth", "stranger", "cora"}
		}
		return w.box("api").Route(t.Context(), o, time.Now())
	}
	var order []string
	for range 4 {
		got := must(route(RouteOptions{Strategy: "Round-Robin"}))
		if got.Err != nil || got.Strategy != "round-robin" || !slices.Equal(got.Candidates, []string{"beth", "cora", "dora"}) {
			t.Errorf("%+v", got)
		}
		order = append(order, got.Peer)
	}
	if !slices.Equal(order, []string{"beth", "cora", "dora", "beth"}) {
		t.Errorf("%q", order)
	}
	cursor := w.session("api").MeshRouteCursor()
	if got := string(must(os.ReadFile(cursor))); got != "{\n  \"reviewer\": \"beth\"\n}" {
		t.Errorf("%s", got)
	}
	// It goes on behind whoever was last, also one who is no longer there.
	if got := must(route(RouteOptions{Strategy: "round-robin", Exclude: []string{"beth"}})); got.Peer != "cora" {
		t.Errorf("%+v", got)
	}
	check(os.WriteFile(cursor, []byte(`{"coder":"x","reviewer":"carl"}`), 0o600))
	if got := must(route(RouteOptions{Strategy: "round-robin"})); got.Peer != "cora" {
		t.Errorf("%+v", got)
	}
	if got := string(must(os.ReadFile(cursor))); got != "{\n  \"coder\": \"x\",\n  \"reviewer\": \"cora\"\n}" {
		t.Errorf("%s", got)
	}
	check(os.WriteFile(cursor, []byte("{"), 0o600))
	if got := must(route(RouteOptions{Strategy: "round-robin"})); got.Peer != "beth" {
		t.Errorf("%+v", got)
	}
	if got := must(route(RouteOptions{Strategy: "FIRST"})); got.Peer != "beth" || got.Strategy != "first" {
		t.Errorf("%+v", got)
	}
	met := map[string]bool{}
	for len(met) < 3 {
		met[must(route(RouteOptions{Strategy: "random"})).Peer] = true
	}
	e := w.lines(must(w.session("api").Outbox("cora")))[0]
	if got := string(canon.Compact(e["body"])); got != `{"content":"job","routed_via":{"role":"reviewer","strategy":"round-robin"}}` {
		t.Errorf("%s", got)
	}

	before := must(os.ReadFile(cursor))
	for _, c := range []struct {
		o    RouteOptions
		want string
	}{
		{RouteOptions{Strategy: "best"}, "unknown strategy `best` — use round-robin | first | random"},
		{RouteOptions{Strategy: "first", Sisters: []string{"stranger"}}, "no pinned sister with role=`reviewer` — `wire mesh role list`"},
		{RouteOptions{Strategy: "first", Exclude: []string{"beth", "cora", "dora"}}, "no pinned sister"},
	} {
		if _, err := route(c.o); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
	if string(must(os.ReadFile(cursor))) != string(before) {
		t.Error("a refused route has moved the cursor")
	}
	w.relay.Stop()
	if got := must(route(RouteOptions{Strategy: "round-robin"})); got.Err == nil || got.Peer != "cora" || got.Via != "" {
		t.Errorf("%+v", got)
	}
}

// TestRoutesAtOnce take all of them, none twice before the others had a turn.
func TestRoutesAtOnce(t *testing.T) {
	w := newWorld(t, "api", "beth", "cora", "dora")
	for _, peer := range []string{"beth", "cora", "dora"} {
		w.pin("api", peer)
	}
	var mu sync.Mutex
	turns := map[string]int{}
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			got, err := w.box("api").Route(context.Background(), RouteOptions{
				Role: "r", Sisters: []string{"beth", "cora", "dora"}, Body: "x", Kind: "claim", Strategy: "round-robin",
			}, time.Now())
			mu.Lock()
			defer mu.Unlock()
			if err != nil || got.Err != nil {
				t.Errorf("%+v, %v", got, err)
			}
			turns[got.Peer]++
		})
	}
	all.Wait()
	if turns["beth"] != 4 || turns["cora"] != 4 || turns["dora"] != 4 {
		t.Errorf("%v", turns)
	}
}
