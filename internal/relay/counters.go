package relay

import (
	"os"
	"sync"
	"sync/atomic"

	"wirefleet.dev/wire/internal/canon"
)

// counters are the totals that survive restarts (relay.md 6.14, section 7).
type counters struct {
	claims, firstClaims, allocations, opens, posts atomic.Int64

	mu    sync.Mutex
	saved [5]int64
}

var counterNames = [5]string{
	"handle_claims_total", "handle_first_claims_total", "slot_allocations_total", "pair_opens_total", "events_posted_total",
}

func (c *counters) all() [5]*atomic.Int64 {
	return [5]*atomic.Int64{&c.claims, &c.firstClaims, &c.allocations, &c.opens, &c.posts}
}

// loadCounters starts from zero where the file is not exactly as expected, as the reference does.
func (st *store) loadCounters() {
	data, err := os.ReadFile(st.path("counters.json"))
	if err != nil {
		return
	}
	doc, err := canon.ParseObject(data)
	if err != nil {
		return
	}
	var values [5]int64
	for i, name := range counterNames {
		n, ok := doc[name].(uint64)
		if !ok || n > 1<<62 {
			return
		}
		values[i] = int64(n)
	}
	for i, c := range st.counters.all() {
		c.Store(values[i])
	}
	st.counters.saved = values
}

// saveCounters writes the totals if they moved.
func (st *store) saveCounters() error {
	st.counters.mu.Lock()
	defer st.counters.mu.Unlock()
	var values [5]int64
	doc := canon.Doc{}
	for i, c := range st.counters.all() {
		values[i] = c.Load()
		doc[counterNames[i]] = uint64(values[i])
	}
	if values == st.counters.saved {
		return nil
	}
	if err := st.replace("counters.json", canon.Pretty(doc)); err != nil {
		return err
	}
	st.counters.saved = values
	return nil
}
