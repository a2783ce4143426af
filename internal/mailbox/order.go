package mailbox

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
)

// order knows which slots may not be in the order any more in which they were read. One that lost what it had
// gets it again from whoever sent it, in any order: the event at the cursor comes after some that were never
// read, and to go on from it would step over them. So a slot is read from its start once in each run of its relay;
// what the inbox has is dropped. Until something was there to read, the cursor leads nowhere. A relay that does not
// tell its runs is doubted when it was seen to go. Elsewhere a stream ends for many reasons, and a slot may be long:
// there the cursor is believed.
type order struct {
	path string // inbox-read.json: {"version": 1, "runs": {slot id: run}}

	mu     sync.Mutex
	loaded bool
	stale  bool              // runs differs from the file
	runs   map[string]string // of the relay, in which each slot was read from its start, by slot
	doubts map[string]int    // of each relay, by URL
	read   map[slotAt]int    // with how many doubts a slot was read from its start
}

func (o *order) doubt(url string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.doubts == nil {
		o.doubts = map[string]int{}
	}
	o.doubts[url]++
}

func (o *order) doubted(e home.Endpoint) (doubts int, yes bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.load()
	doubts = o.doubts[e.RelayURL]
	return doubts, e.Scope == home.Local && o.runs[e.SlotID] == "" && o.read[at(e)] < doubts
}

// another says that the slot was not read from its start in this run of its relay.
func (o *order) another(e home.Endpoint, run string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.load()
	return e.Scope == home.Local && run != "" && o.runs[e.SlotID] != run
}

// trust says that the cursor is an event of the slot as it was after so many doubts and in that run.
func (o *order) trust(e home.Endpoint, doubts int, run string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.read == nil {
		o.read = map[slotAt]int{}
	}
	o.read[at(e)] = max(doubts, o.read[at(e)])
	if e.Scope == home.Local && o.runs[e.SlotID] != run {
		o.runs[e.SlotID], o.stale = run, true
	}
}

// load reads the file once. One that cannot be read is as good as none: the slots are read from their start again.
func (o *order) load() {
	if o.loaded {
		return
	}
	o.loaded, o.runs = true, map[string]string{}
	data, err := os.ReadFile(o.path)
	if err != nil {
		return
	}
	doc, err := canon.ParseObject(data)
	if err != nil {
		return
	}
	runs, _ := doc["runs"].(canon.Doc)
	for slot, v := range runs {
		o.runs[slot], _ = v.(string)
	}
}

// keep writes the file if something of it is new, without the slots that are no longer ours.
func (o *order) keep(own []home.Endpoint) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.stale {
		return nil
	}
	maps.DeleteFunc(o.runs, func(slot, run string) bool {
		return run == "" || !slices.ContainsFunc(own, func(e home.Endpoint) bool { return e.SlotID == slot })
	})
	runs := canon.Doc{}
	for slot, run := range o.runs {
		runs[slot] = run
	}
	err := home.WriteFile(o.path, canon.Pretty(canon.Doc{"version": uint64(1), "runs": runs}), 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the session is being deleted
	}
	o.stale = err != nil
	return err
}
