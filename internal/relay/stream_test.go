package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// streamVectors is stream.json, as far as ours is to do the same: Q16 (dead subscribers), Q21 (a shutdown
// that waits for streams) and Q28 (keepalives every 30 s) are not for us.
type streamVectors struct {
	Frames []struct {
		What   string
		OnHTTP []string        `json:"on_http_1_1"`
		On10   []string        `json:"on_http_1_0"`
		Status int             `json:"post_status"`
		Answer json.RawMessage `json:"post_response"`
	}
	Head struct {
		Received []struct{ Bytes string }
	}
	Keepalive struct {
		Received []struct{ Bytes string }
	}
	SlowReader struct {
		Frames int `json:"frames_received_when_it_reads_again"`
	} `json:"slow_reader"`
	TwoPosts []string `json:"two_posts_back_to_back"`
	Refused  []struct{ Bytes string }
	HTTP10   []struct{ Bytes string } `json:"http_1_0_head"`
	HeadOnly struct {
		Received []struct{ Bytes string }
	} `json:"head_request"`
}

// framePosts are the requests behind the frames of stream.json, by what they are called there.
func framePosts(texts map[string]string) map[string]func(r *running, b, other box) answer {
	event := func(text string) func(*running, box, box) answer {
		return func(r *running, b, _ box) answer { return r.post(b, text) }
	}
	return map[string]func(r *running, b, other box) answer{
		"a signed event":             event(texts["event_2"]),
		"the same again (duplicate)": event(texts["event_2"]),
		"event {}":                   event(`{}`),
		"event null":                 event(`null`),
		`event "text"`:               event(`"text"`),
		"newlines, separators, non-ASCII": event(
			"{ \"z\": 1,\n\"event_id\":\"nl\", \"body\":\"a\\nb\\r\\nc\\u2028d\\u0085 \\u00fc <&> 🦀\", \"a\":2}"),
		"a refused event (over 262,144 bytes)": event(`"` + strings.Repeat("x", maxEvent) + `"`),
		"an event in another slot": func(r *running, _, other box) answer {
			return r.post(other, `{"event_id":"elsewhere"}`)
		},
		"an intro to the slot's handle": func(r *running, _, _ box) answer {
			return r.do("/v1/handle/intro/bobby", "", `{"event":`+texts["intro_alice"]+`}`)
		},
		"responder health set": func(r *running, b, _ box) answer {
			return r.do("/v1/slot/"+b.id+"/responder-health", b.token, `{"status":"s","set_at":"t"}`)
		},
		"a list request": func(r *running, b, _ box) answer {
			return r.do("/v1/events/"+b.id, b.token, "")
		},
	}
}

func TestStreamBytes(t *testing.T) {
	var v streamVectors
	readJSON(t, "testdata/stream.json", &v)
	_, texts := fixtures(t)
	r := start(t, stateDir(t))
	b, other := r.allocate(), r.allocate()
	r.do("/v1/handle/claim", b.token, `{"nick":"bobby","slot_id":"`+b.id+`","card":`+texts["card_bob"]+`}`)
	r.post(b, texts["event_1"])

	now := r.dial()
	now.send(t, "GET /v1/events/"+b.id+"/stream HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 0\r\nAuthorization: Bearer "+b.token+"\r\n\r\n")
	sameHead(t, now.head(t, "HTTP/1.1 200 OK"), v.Head.Received[0].Bytes)
	old := r.dial()
	old.send(t, "GET /v1/events/"+b.id+"/stream HTTP/1.0\r\nAuthorization: Bearer "+b.token+"\r\n\r\n")
	sameHead(t, old.head(t, "HTTP/1.0 200 OK"), v.HTTP10[0].Bytes)

	posts := framePosts(texts)
	for _, f := range v.Frames {
		post := posts[f.What]
		if post == nil {
			t.Fatalf("no request for %q", f.What)
		}
		if a := post(r, b, other); a.StatusCode != f.Status {
			t.Fatalf("%s: %d %.100s, want %d", f.What, a.StatusCode, a.body, f.Status)
		}
		want := f.On10
		if f.What == "an intro to the slot's handle" {
			// The reference leaves a pairing to the next poll (relay.md Q11); ours streams it.
			want = []string{"data: " + texts["intro_alice"] + "\n\n"}
		}
		for i, frame := range want {
			chunk := fmt.Sprintf("%x\r\n%s\r\n", len(frame), frame)
			if f.OnHTTP != nil && len(f.OnHTTP) > i && !strings.EqualFold(f.OnHTTP[i][:4], chunk[:4]) {
				t.Fatalf("%s: chunk %q, the reference's is %q", f.What, chunk, f.OnHTTP[i])
			}
			now.next(t, chunk)
			old.next(t, frame)
		}
	}
	r.post(b, `{"event_id":"q1"}`)
	r.post(b, `{"event_id":"q2"}`)
	now.next(t, v.TwoPosts[0])
	// Nothing else came between: what follows is the end of the stream.
	if err := r.stop(); err != nil {
		t.Fatalf("Serve: %v", err)
	}
	now.next(t, "0\r\n\r\n")
	old.next(t, "data: {\"event_id\":\"q1\"}\n\ndata: {\"event_id\":\"q2\"}\n\n")
	if rest, err := io.ReadAll(old.r); err != nil || len(rest) > 0 {
		t.Errorf("after the end: %q, %v", rest, err)
	}
}

// sameHead compares response heads but for case, order and what HTTP/1.0 says of the connection.
func sameHead(t *testing.T, got []string, want string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(want, "\r\n\r\n"), "\r\n")[1:]
	for i, line := range got {
		got[i] = strings.ToLower(line)
	}
	got = slices.DeleteFunc(got, func(l string) bool { return l == "connection: close" })
	slices.Sort(got)
	slices.Sort(lines)
	if !slices.Equal(got, lines) {
		t.Errorf("head %q, want %q", got, lines)
	}
}

func TestStreamRefusedAndHead(t *testing.T) {
	var v streamVectors
	readJSON(t, "testdata/stream.json", &v)
	r := start(t, stateDir(t))
	b := r.allocate()
	a := r.do("/v1/events/"+b.id+"/stream", "wrong", "")
	if want := v.Refused[0].Bytes; a.StatusCode != http.StatusForbidden || !strings.HasSuffix(want, string(a.body)) {
		t.Errorf("wrong token: %d %s, want the end of %q", a.StatusCode, a.body, want)
	}
	w := r.dial()
	w.send(t, "HEAD /v1/events/"+b.id+"/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+b.token+"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	got := slices.DeleteFunc(w.head(t, "HTTP/1.1 200 OK"), func(l string) bool { return l == "Transfer-Encoding: chunked" })
	sameHead(t, got, v.HeadOnly.Received[0].Bytes)
	w.head(t, "HTTP/1.1 200 OK")
	w.next(t, "ok\n")
}

// A reference daemon gives a stream up after 30 s without a byte, so ours says something sooner; each event
// starts the wait again.
func TestKeepalive(t *testing.T) {
	if keepaliveEvery > 20*time.Second {
		t.Errorf("keepalive every %s is too late (relay.md 6.5)", keepaliveEvery)
	}
	var v streamVectors
	readJSON(t, "testdata/stream.json", &v)
	r, err := tryStart(t, Config{Bind: "127.0.0.1:0", LocalOnly: true, StateDir: stateDir(t), keepalive: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	b := r.allocate()
	w := r.subscribe(b)
	for range 2 {
		w.next(t, strings.ToLower(v.Keepalive.Received[1].Bytes[:2])+v.Keepalive.Received[1].Bytes[2:])
	}
}

// A subscriber that left is forgotten at once, not at the next post (relay.md Q16).
func TestSubscriberLeaves(t *testing.T) {
	s := unserved(t)
	slot, err := s.store.allocate()
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan *httptest.ResponseRecorder)
	go func() {
		req := httptest.NewRequestWithContext(ctx, "GET", "/v1/events/"+slot.id+"/stream", nil)
		req.Host = "localhost"
		req.Header.Set("Authorization", "Bearer "+slot.token)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		done <- w
	}()
	waitFor(t, "the subscription", func() bool { return slot.subscribers() == 1 })
	leave()
	if w := <-done; w.Code != http.StatusOK {
		t.Fatalf("stream: %d", w.Code)
	}
	if n := slot.subscribers(); n != 0 {
		t.Errorf("%d subscribers left", n)
	}
}

func (s *slot) subscribers() int {
	s.subsMu.Lock()
	defer s.subsMu.Unlock()
	return len(s.subs)
}

// waitFor polls a condition that another goroutine brings about.
func waitFor(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s did not come about", what)
		}
	}
}

// A subscriber that does not read costs at most its queue, and still gets the newest event.
func TestSlowReader(t *testing.T) {
	sub := &subscriber{wake: make(chan struct{}, 1)}
	frame := make([]byte, maxQueued/3)
	for i := range 10 {
		frame = append([]byte(nil), frame...)
		frame[0] = byte(i)
		sub.offer(frame)
		if sub.bytes > maxQueued {
			t.Fatalf("%d bytes queued", sub.bytes)
		}
	}
	frames := sub.take()
	if last := frames[len(frames)-1][0]; last != 9 {
		t.Errorf("the last frame is %d, want 9", last)
	}
	if len(sub.take()) != 0 {
		t.Error("taken twice")
	}
	sub.offer(make([]byte, 2*maxQueued))
	if frames := sub.take(); len(frames) != 1 {
		t.Errorf("an oversized frame: %d queued, want it alone", len(frames))
	}
}

// The same over a socket: posts are answered while the subscriber sleeps, and when it reads again it gets
// whole frames in order, up to the last one.
func TestSlowReaderOverHTTP(t *testing.T) {
	var v streamVectors
	readJSON(t, "testdata/stream.json", &v)
	r := start(t, stateDir(t))
	b := r.allocate()
	w := r.subscribe(b)
	n := v.SlowReader.Frames
	for i := range n {
		event := fmt.Sprintf(`{"event_id":"%02d","pad":"%s"}`, i, strings.Repeat("x", 200_000))
		if a := r.post(b, event); a.StatusCode != http.StatusCreated {
			t.Fatalf("post %d: %d", i, a.StatusCode)
		}
	}
	last := -1
	for last != n-1 {
		frame := w.frame(t)
		doc, err := canon.ParseObject([]byte(strings.TrimSuffix(strings.TrimPrefix(frame, "data: "), "\n\n")))
		if err != nil {
			t.Fatalf("frame %.60q: %v", frame, err)
		}
		i, err := strconv.Atoi(doc["event_id"].(string))
		if err != nil || i <= last {
			t.Fatalf("event %d after %d", i, last)
		}
		last = i
	}
}

// frame reads one chunk.
func (w *wire) frame(t testing.TB) string {
	t.Helper()
	line, err := w.r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(line), 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, n+2)
	if _, err := io.ReadFull(w.r, data); err != nil {
		t.Fatal(err)
	}
	return string(data[:n])
}

// Shutdown ends streams and idle connections at once, refuses new ones and returns nil (relay.md Q21).
func TestShutdown(t *testing.T) {
	r := start(t, stateDir(t))
	b := r.allocate()
	stream := r.subscribe(b)
	idle := r.dial()
	idle.send(t, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	idle.head(t, "HTTP/1.1 200 OK")
	idle.next(t, "ok\n")
	silent := r.dial()
	if err := r.stop(); err != nil {
		t.Fatalf("Serve: %v", err)
	}
	stream.next(t, "0\r\n\r\n")
	for _, w := range []*wire{stream, idle, silent} {
		if rest, err := io.ReadAll(w.r); err != nil || len(rest) > 0 {
			t.Errorf("after the end: %q, %v", rest, err)
		}
	}
	if _, err := r.try("/healthz", "", ""); err == nil {
		t.Error("still answers")
	}
	if text := r.stderr.String(); !strings.Contains(text, "\n\nwire relay-server shutting down — final counter snapshot\n") {
		t.Errorf("stderr %q", text)
	}
}
