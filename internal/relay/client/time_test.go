package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"wirefleet.dev/wire/internal/identity"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// pipes is a network inside the process, so that the minutes of these tests pass in a synctest bubble's own time.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.conns) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// bubble runs f with a client whose every connection ends at handler. handler serves one connection.
func bubble(t *testing.T, handler func(net.Conn), f func(t *testing.T, c *Client, s Slot)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := New(30 * time.Second)
		var servers sync.WaitGroup
		c.http.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			servers.Go(func() { handler(far) })
			return near, nil
		}
		defer servers.Wait()
		defer c.Close()
		f(t, c, Slot{URL: "http://127.0.0.1:1", ID: "11", Token: identity.NewToken("t")})
	})
}

// served is a connection handler of net/http.
func served(h http.HandlerFunc) func(net.Conn) {
	return func(conn net.Conn) {
		p := &pipes{conns: make(chan net.Conn, 1)}
		p.conns <- conn
		srv := &http.Server{Handler: h, ErrorLog: quiet(), ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed || s == http.StateHijacked {
				p.Close()
			}
		}}
		_ = srv.Serve(p)
	}
}

// spoken reads one request and then writes the parts, each after its pause; nothing is closed until the
// client goes.
func spoken(parts ...any) func(net.Conn) {
	return func(conn net.Conn) {
		defer conn.Close()
		r := bufio.NewReader(conn)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		for _, p := range parts {
			switch p := p.(type) {
			case time.Duration:
				time.Sleep(p)
			case string:
				if _, err := io.WriteString(conn, p); err != nil {
					return
				}
			}
		}
		_, _ = io.Copy(io.Discard, r)
	}
}

// dripped is text written one byte per interval.
func dripped(text string, every time.Duration) []any {
	var out []any
	for _, b := range []byte(text) {
		out = append(out, every, string(b))
	}
	return out
}

func TestDeadlineVectors(t *testing.T) {
	head := "HTTP/1.1 201 Created\r\ncontent-length: 34\r\n\r\n"
	const s = time.Second
	answers := map[string]func(net.Conn){
		"request read, never answered":                      spoken(),
		"two events, each never answered":                   spoken(),
		"head after 20 s, body after another 20 s":          spoken(20*s, head, 20*s, stored),
		"head after 10 s, body never completed":             spoken(10*s, head, stored[:5]),
		"body trickles, one byte every 1.5 s (52 s in all)": spoken(append([]any{head}, dripped(stored, 1500*time.Millisecond)...)...),
		"head trickles, one byte a second (43 s)":           spoken(dripped(head+stored, s)...),
		"error status, body never completed":                spoken("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 10\r\n\r\nx"),
	}
	for _, v := range group(t, "deadlines") {
		answer, ok := answers[v.Name]
		if !ok {
			continue // pull and health check are the same code; dropped packets are the dialer's
		}
		delete(answers, v.Name)
		t.Run(v.Name, func(t *testing.T) {
			bubble(t, answer, func(t *testing.T, c *Client, slot Slot) {
				start := time.Now()
				_, err := c.Post(t.Context(), slot, []byte(`{}`))
				want := v.reason(t)
				if (err == nil) != (want == "") || class(Describe(err)) != class(want) {
					t.Errorf("got %q, want %q", Describe(err), want)
				}
				if strings.HasPrefix(want, "post_event failed") && Describe(err) != want {
					t.Errorf("got %q, want %q", Describe(err), want)
				}
				if err != nil && class(want) != "" && !errors.Is(err, ErrTimeout) {
					t.Errorf("%v is no ErrTimeout", err)
				}
				if took := time.Since(start); took > time.Minute {
					t.Errorf("took %v", took)
				}
			})
		})
	}
	for name := range answers {
		t.Errorf("no vector %q", name)
	}
}

func TestContextDeadline(t *testing.T) {
	bubble(t, spoken(), func(t *testing.T, c *Client, slot Slot) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := c.State(ctx, slot)
		if !errors.Is(err, ErrTimeout) || time.Since(start) != 300*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestPatience(t *testing.T) {
	for _, header := range []string{"Retry-After", "X-Ratelimit-After"} {
		calls := 0
		limited := served(func(w http.ResponseWriter, r *http.Request) {
			if calls++; calls < 4 {
				w.Header().Set(header, "9")
				says(429, "Too Many Requests! Wait for 9s")(w, r)
				return
			}
			says(201, `{"slot_id":"a","slot_token":"b","status":"stored","event_id":null}`)(w, r)
		})
		bubble(t, limited, func(t *testing.T, c *Client, slot Slot) {
			start := time.Now()
			if _, err := c.Allocate(t.Context(), slot.URL, "x"); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took < 27*time.Second || took > 40*time.Second {
				t.Errorf("%s: took %v for three waits of 9 s", header, took)
			}
			calls = 0
			if _, err := c.Post(t.Context(), slot, []byte(`{}`)); err != nil || calls != 4 {
				t.Errorf("post: %v after %d calls", err, calls)
			}
			calls = 0
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			start = time.Now()
			_, err := c.Allocate(ctx, slot.URL, "x")
			if !errors.Is(err, ErrRateLimited) || calls != 2 || time.Since(start) > 12*time.Second {
				t.Errorf("deadline: %v after %d calls and %v: the wait that cannot end in time is not begun", err, calls, time.Since(start))
			}
		})
	}
}

func TestStream(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
	long := "data: " + strings.Repeat("x data: ", 2000) + "\n\n"
	cases := []struct {
		name  string
		parts []any
		wakes int
		err   error // nil: the relay closed
		class string
		ends  bool
	}{
		{"events and comments", []any{head, "data: {}\n\n: data:\n\ndata:x\nid: 5\n data: y\n", "da", "ta: z\n\n"}, 3, nil, "", true},
		{"long lines are one event each", []any{head, long, long}, 2, nil, "", true},
		{"keepalives hold it open", []any{head, 80 * time.Second, ": k\n\n", 80 * time.Second, ": k\n\n", 80 * time.Second, "data: 1\n\n"}, 1, nil, "", true},
		{"silence", []any{head, "data: 1\n\n"}, 1, ErrTimeout, "timeout: ", false},
		{"no head", nil, 0, ErrTimeout, "timeout: ", false},
		{"refused", []any{"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"}, 0, ErrNotFound, "", false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			serve := spoken(tc.parts...)
			if tc.ends {
				inner := serve
				serve = func(conn net.Conn) { inner(eofAfterRequest{conn}) }
			}
			bubble(t, serve, func(t *testing.T, c *Client, slot Slot) {
				opened, wakes := 0, 0
				err := c.Stream(t.Context(), slot, func() { opened++ }, func() { wakes++ })
				if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) || class(Describe(err)) != tc.class {
					t.Errorf("got %q, want %v", Describe(err), tc.err)
				}
				if wakes != tc.wakes || opened != min(1, len(tc.parts)) && tc.err != ErrNotFound {
					t.Errorf("%d wakes, opened %d times; want %d wakes", wakes, opened, tc.wakes)
				}
			})
		})
	}
}

// eofAfterRequest makes spoken close the connection once it has said everything.
type eofAfterRequest struct{ net.Conn }

func (e eofAfterRequest) Read(b []byte) (int, error) {
	_ = e.SetReadDeadline(time.Now().Add(time.Millisecond))
	return e.Conn.Read(b)
}

func TestStreamStops(t *testing.T) {
	bubble(t, spoken("HTTP/1.1 200 OK\r\n\r\n"), func(t *testing.T, c *Client, slot Slot) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := c.Stream(ctx, slot, cancel, func() {})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}
