package mailbox

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/relay/client"
)

// How long a relay that let us wait in vain is not asked again.
const (
	firstPause = 5 * time.Second
	longPause  = time.Minute
)

// mute knows the relays that did not answer in time. A refusal costs nothing and is tried in every cycle; a
// relay behind a dead line costs the whole deadline, and with it every message to the others that is queued
// meanwhile. A command has a Box of its own and always asks.
type mute struct {
	mu     sync.Mutex
	relays map[string]pause
}

type pause struct {
	until time.Time
	wait  time.Duration
	err   error
}

// closed is why a relay is not asked now, nil if it is.
func (m *mute) closed(url string, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.relays[url]
	if !ok || !now.Before(p.until) {
		return nil
	}
	return fmt.Errorf("%w; not asked again for %s", p.err, p.wait)
}

// heard notes how a call ended.
func (m *mute) heard(url string, err error, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !errors.Is(err, client.ErrTimeout) {
		delete(m.relays, url)
		return
	}
	if m.relays == nil {
		m.relays = map[string]pause{}
	}
	wait := min(max(2*m.relays[url].wait, firstPause), longPause)
	m.relays[url] = pause{until: now.Add(wait), wait: wait, err: err}
}
