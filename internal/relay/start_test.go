package relay

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"wirefleet.dev/wire/internal/canon"
)

// running is a relay of a test, served by Serve on a loopback port of its own.
type running struct {
	t      testing.TB
	addr   string
	dir    string
	stderr *lockedBuffer
	config Config
	cancel context.CancelFunc
	done   chan error
}

// start serves dir; the relay ends with the test.
func start(t testing.TB, dir string) *running {
	t.Helper()
	r, err := tryStart(t, Config{Bind: "127.0.0.1:0", LocalOnly: true, StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryStart(t testing.TB, c Config) (*running, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, dir: c.StateDir, stderr: new(lockedBuffer), config: c, cancel: cancel, done: make(chan error, 1)}
	ready := make(chan string, 1)
	c.Stderr = r.stderr
	c.Ready = func(addr string) error { ready <- addr; return nil }
	go func() { r.done <- Serve(ctx, c) }()
	select {
	case r.addr = <-ready:
	case err := <-r.done:
		cancel()
		if err == nil {
			err = errors.New("Serve returned nil before it was ready")
		}
		return nil, err
	}
	t.Cleanup(func() {
		cancel()
		<-r.done
	})
	return r, nil
}

// stop ends the relay as SIGTERM does and returns what Serve returned.
func (r *running) stop() error {
	r.cancel()
	err := <-r.done
	r.done <- err
	return err
}

// again is the relay started anew on the same directory.
func (r *running) again() *running {
	r.t.Helper()
	if err := r.stop(); err != nil {
		r.t.Fatalf("Serve: %v", err)
	}
	return r.twin(r.dir)
}

// twin is another relay with the same configuration on another directory.
func (r *running) twin(dir string) *running {
	r.t.Helper()
	c := r.config
	c.StateDir = dir
	other, err := tryStart(r.t, c)
	if err != nil {
		r.t.Fatal(err)
	}
	return other
}

// lockedBuffer is what Serve wrote to stderr.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// stateDir is a fresh place for a state directory.
func stateDir(t testing.TB) string { return filepath.Join(t.TempDir(), "wire-relay", "local") }

// answer is a response with its body read.
type answer struct {
	*http.Response
	body []byte
}

func (a answer) doc(t testing.TB) canon.Doc {
	t.Helper()
	doc, err := canon.ParseObject(a.body)
	if err != nil {
		t.Fatalf("answer %d %q: %v", a.StatusCode, a.body, err)
	}
	return doc
}

// do sends one request; a body makes it a POST of JSON.
func (r *running) do(path, token, body string) answer {
	r.t.Helper()
	a, err := r.try(path, token, body)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *running) try(path, token, body string) (answer, error) {
	method := "GET"
	if body != "" {
		method = "POST"
	}
	req, err := http.NewRequest(method, "http://"+r.addr+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := testClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answer{resp, data}, err
}

// testClient follows nothing: the relay must never redirect.
var testClient = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// box is an allocated slot.
type box struct{ id, token string }

func (r *running) allocate() box {
	r.t.Helper()
	a := r.do("/v1/slot/allocate", "", "{}")
	if a.StatusCode != http.StatusCreated {
		r.t.Fatalf("allocate: %d %s", a.StatusCode, a.body)
	}
	doc := a.doc(r.t)
	return box{doc["slot_id"].(string), doc["slot_token"].(string)}
}

// post posts an event given as JSON.
func (r *running) post(b box, event string) answer {
	r.t.Helper()
	return r.do("/v1/events/"+b.id, b.token, `{"event":`+event+`}`)
}

// list is the slot's events as JSON text.
func (r *running) list(b box) string {
	r.t.Helper()
	return string(r.do("/v1/events/"+b.id+"?limit=1000", b.token, "").body)
}

// wire is one raw connection.
type wire struct {
	net.Conn
	r *bufio.Reader
}

func (r *running) dial() *wire {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return &wire{c, bufio.NewReader(c)}
}

func (w *wire) send(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

// subscribe opens a stream and waits until the relay has accepted it.
func (r *running) subscribe(b box) *wire {
	r.t.Helper()
	w := r.dial()
	w.send(r.t, "GET /v1/events/"+b.id+"/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+b.token+"\r\n\r\n")
	w.head(r.t, "HTTP/1.1 200 OK")
	return w
}

// head reads a response head and returns its lines but for the date, sorted by the sender.
func (w *wire) head(t testing.TB, status string) []string {
	t.Helper()
	var lines []string
	for {
		line, err := w.r.ReadString('\n')
		if err != nil {
			t.Fatalf("response head: %v after %q", err, lines)
		}
		if line == "\r\n" {
			break
		}
		if line = strings.TrimSuffix(line, "\r\n"); !strings.HasPrefix(line, "Date: ") {
			lines = append(lines, line)
		}
	}
	if lines[0] != status {
		t.Fatalf("got %q, want %q", lines[0], status)
	}
	return lines[1:]
}

// next reads exactly want from the connection.
func (w *wire) next(t testing.TB, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(w.r, got); err != nil || string(got) != want {
		t.Fatalf("read %q (%v), want %q", got[:n], err, want)
	}
}

// copyTree copies a state directory as it is at this moment.
func copyTree(t testing.TB, from string) string {
	t.Helper()
	to := stateDir(t)
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}
