package relay

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// freshConns are connections over which nothing has come yet. Clients open such ones to spare, and
// http.Server.Shutdown waits 5 s for each.
type freshConns struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// lastChance is how long a fresh connection may still deliver its first request at shutdown.
const lastChance = 100 * time.Millisecond

func (f *freshConns) track(c net.Conn, state http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if state == http.StateNew {
		if f.conns == nil {
			f.conns = map[net.Conn]struct{}{}
		}
		f.conns[c] = struct{}{}
	} else {
		delete(f.conns, c)
	}
}

// hurry ends the fresh connections soon.
func (f *freshConns) hurry() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		_ = c.SetReadDeadline(time.Now().Add(lastChance)) // fails only where it is closed already
	}
}
