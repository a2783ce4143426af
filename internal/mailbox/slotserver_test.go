package mailbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// slotServer is a relay of one slot whose content is exactly what a test says, for what no honest relay
// stores: the same event twice, values that are no events.
type slotServer struct {
	*httptest.Server
	mu     sync.Mutex
	events []string
	lists  int
}

func newSlotServer(t testing.TB, events ...string) *slotServer {
	s := &slotServer{events: events}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *slotServer) add(events ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, events...)
}

func (s *slotServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	from := 0
	if since := r.URL.Query().Get("since"); since != "" {
		for i, e := range s.events {
			var head struct {
				EventID any `json:"event_id"`
			}
			if json.Unmarshal([]byte(e), &head) == nil && head.EventID == since {
				from = i + 1
				break
			}
		}
	}
	page := s.events[from:]
	var limit int
	_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &limit)
	page = page[:min(len(page), limit)]
	_, _ = fmt.Fprintf(w, "[%s]", strings.Join(page, ","))
}
