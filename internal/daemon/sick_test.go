package daemon

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/identity"
)

// sick is a relay that counts what comes.
type sick struct {
	addr string

	mu      sync.Mutex
	dialled int         // connections
	streams []time.Time // when one was asked for
}

func (s *sick) count() (dialled int, streams []time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dialled, s.streams
}

// dropping takes each connection and drops it at once.
func dropping(t *testing.T) *sick {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &sick{addr: l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.dialled++
			s.mu.Unlock()
			c.Close()
		}
	}()
	return s
}

// answering answers as it is told to, on a new connection each time.
func answering(t *testing.T, answer func(w http.ResponseWriter, stream bool)) *sick {
	s := &sick{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stream := strings.HasSuffix(r.URL.Path, "/stream")
		s.mu.Lock()
		s.dialled++
		if stream {
			s.streams = append(s.streams, time.Now())
		}
		s.mu.Unlock()
		w.Header().Set("Connection", "close")
		answer(w, stream)
	}))
	t.Cleanup(server.Close)
	s.addr = server.Listener.Addr().String()
	return s
}

// TestSickRelayIsNotHammered: whatever way a relay is sick, a daemon comes back to it no more often than it would look
// at a healthy one, and to its stream less and less often (field-failures A19, A20). What is counted are connections,
// over the time that it takes until the streams have been tried three times.
func TestSickRelayIsNotHammered(t *testing.T) {
	names := []string{"drops", "ends", "refuses"}
	w := newWorld(t, names...)
	w.weave(names...)
	sicks := map[string]*sick{
		"drops": dropping(t),
		"ends": answering(t, func(w http.ResponseWriter, stream bool) {
			if stream {
				w.Header().Set("Content-Type", "text/event-stream")
				return // and that was it
			}
			_, _ = w.Write([]byte("[]"))
		}),
		"refuses": answering(t, func(w http.ResponseWriter, _ bool) { w.WriteHeader(http.StatusServiceUnavailable) }),
	}
	began := time.Now()
	for _, name := range names {
		e := nowhere(sicks[name].addr)
		e.SlotToken = identity.NewToken(strings.Repeat("1", 64))
		w.bind(name, e)
		w.daemon(name, "1s")
	}
	const tries = 3
	for _, name := range names[1:] {
		var streams []time.Time
		eventually(t, func() bool { _, streams = sicks[name].count(); return len(streams) >= tries }, w.logs)
		if got, least := streams[tries-1].Sub(streams[0]), firstPause+2*firstPause; got < least {
			t.Errorf("%s: %d streams within %v, want %v at least", name, tries, got, least)
		}
	}
	for _, name := range names {
		dialled, _ := sicks[name].count()
		seconds := int(time.Since(began)/time.Second) + 1
		// A pull a second, one for each stream that opens, the streams, and all of that at the start.
		if most := 4 * seconds; dialled < tries || dialled > most {
			t.Errorf("%s: %d connections in %d s, want %d at most", name, dialled, seconds, most)
		}
	}
}
