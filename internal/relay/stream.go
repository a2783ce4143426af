package relay

import (
	"net/http"
	"sync"
	"time"
)

// keepaliveEvery beats the reference daemon, which gives a stream up after 30 s without a byte
// (relay.md Q28).
const keepaliveEvery = 15 * time.Second

var keepaliveFrame = []byte(": phyllis: still on the line\n\n")

// maxQueued bounds what waits for one subscriber. A line on a stream is only a wake-up, the events come by
// list, so a slow reader gets the newest ones.
const maxQueued = 1 << 20

// subscriber is one open stream.
type subscriber struct {
	wake chan struct{} // something is queued

	mu     sync.Mutex
	frames [][]byte
	bytes  int
}

// offer queues a frame; where too much waits, what waited goes.
func (sub *subscriber) offer(frame []byte) {
	sub.mu.Lock()
	if sub.bytes+len(frame) > maxQueued {
		clear(sub.frames)
		sub.frames, sub.bytes = sub.frames[:0], 0
	}
	sub.frames = append(sub.frames, frame)
	sub.bytes += len(frame)
	sub.mu.Unlock()
	select {
	case sub.wake <- struct{}{}:
	default:
	}
}

// take empties the queue.
func (sub *subscriber) take() [][]byte {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	frames := sub.frames
	sub.frames, sub.bytes = nil, 0
	return frames
}

func (s *slot) subscribe() *subscriber {
	sub := &subscriber{wake: make(chan struct{}, 1)}
	s.subsMu.Lock()
	defer s.subsMu.Unlock()
	if s.subs == nil {
		s.subs = map[*subscriber]struct{}{}
	}
	s.subs[sub] = struct{}{}
	return sub
}

func (s *slot) unsubscribe(sub *subscriber) {
	s.subsMu.Lock()
	defer s.subsMu.Unlock()
	delete(s.subs, sub)
}

// publish hands stored events to the slot's streams.
func (s *slot) publish(fresh []*posting) {
	s.subsMu.Lock()
	defer s.subsMu.Unlock()
	if len(s.subs) == 0 {
		return
	}
	for _, p := range fresh {
		frame := make([]byte, 0, len(p.event.text)+8)
		frame = append(append(append(frame, "data: "...), p.event.text...), "\n\n"...)
		for sub := range s.subs {
			sub.offer(frame)
		}
	}
}

// stream is GET /v1/events/{slot_id}/stream (6.5).
func (s *server) stream(w http.ResponseWriter, r *http.Request, id string) {
	slot := s.authorize(w, r, id)
	if slot == nil || !s.inPlace(w) {
		return
	}
	h := w.Header()
	h["Content-Type"], h["Cache-Control"] = streamType, noCache
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return
	}
	sub := slot.subscribe()
	defer slot.unsubscribe(sub)
	w.WriteHeader(http.StatusOK)
	conn := http.NewResponseController(w)
	if conn.Flush() != nil {
		return
	}
	quiet := time.NewTimer(s.keepalive)
	defer quiet.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-s.closing:
			return
		case <-quiet.C:
			if !sendFrame(w, conn, keepaliveFrame) {
				return
			}
		case <-sub.wake:
			for _, frame := range sub.take() {
				if !sendFrame(w, conn, frame) {
					return
				}
			}
		}
		quiet.Reset(s.keepalive)
	}
}

// sendFrame writes one frame as one chunk.
func sendFrame(w http.ResponseWriter, conn *http.ResponseController, frame []byte) bool {
	_, err := w.Write(frame)
	return err == nil && conn.Flush() == nil
}
