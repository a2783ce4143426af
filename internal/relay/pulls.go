package relay

import (
	"maps"
	"os"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// pullsFile holds the last pull of each slot. The reference has none: after its restart every slot looks as if
// nobody had ever read it (field failure G14). It ignores the file.
const pullsFile = "pulls.json"

// savePullsEvery is how old the file may be while the relay runs. It is more than exact enough to tell a slot
// that is read from one that nobody has read for hours, and lets the disk of an idle machine rest.
const savePullsEvery = 5 * time.Minute

// pulls is what pulls.json was last seen or written to say, by slot id.
type pulls struct {
	saved map[string]int64
	at    time.Time
}

// loadPulls begins with what an earlier run saw. What does not parse, or lies in the future, is not known.
func (st *store) loadPulls(now time.Time) {
	st.pulls.at = now
	data, err := os.ReadFile(st.path(pullsFile))
	if err != nil {
		return
	}
	doc, err := canon.ParseObject(data)
	if err != nil {
		return
	}
	st.pulls.saved = map[string]int64{}
	for id, v := range doc {
		at, ok := v.(uint64)
		if s := st.slots[id]; ok && s != nil && at <= uint64(now.Unix()) {
			s.lastPull.Store(int64(at))
			st.pulls.saved[id] = int64(at)
		}
	}
}

// savePulls writes them if they moved. Only the housekeeping calls it, and the end of Serve after that.
func (st *store) savePulls(now time.Time) error {
	at, doc := map[string]int64{}, canon.Doc{}
	for _, s := range st.all() {
		if t := s.lastPull.Load(); t != 0 {
			at[s.id], doc[s.id] = t, uint64(t)
		}
	}
	if maps.Equal(at, st.pulls.saved) {
		return nil
	}
	if err := st.replace(pullsFile, canon.Pretty(doc)); err != nil {
		return err
	}
	st.pulls = pulls{at, now}
	return nil
}
