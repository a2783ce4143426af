package relay

import (
	"bytes"
	"net/http"
	"os"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// speaks is the program version that reference clients know.
const speaks = "0.6.10"

// gauges are what the relay holds now, and its totals (6.14).
func (s *server) gauges() canon.Doc {
	st := s.store
	doc := canon.Doc{}
	for i, c := range st.counters.all() {
		doc[counterNames[i]] = int(c.Load())
	}
	st.handles.mu.RLock()
	doc["handles_active"] = len(st.handles.byNick)
	st.handles.mu.RUnlock()
	s.pairs.mu.Lock()
	doc["pair_slots_open"] = len(s.pairs.byID)
	s.pairs.mu.Unlock()
	slots, streams := st.all(), 0
	for _, slot := range slots {
		slot.subsMu.Lock()
		streams += len(slot.subs)
		slot.subsMu.Unlock()
	}
	doc["slots_active"], doc["streams_active"] = len(slots), streams
	return doc
}

// stats is GET /stats and /stats.json.
func (s *server) stats(w http.ResponseWriter, _ *http.Request, _ string) {
	doc := s.gauges()
	doc["version"], doc["uptime_seconds"] = speaks, int(s.now().Sub(s.started).Seconds())
	replyDoc(w, http.StatusOK, doc)
}

// maxHours is how far /stats.history looks back.
const (
	defaultHours = 24
	maxHours     = 168
)

const historyFile = "stats-history.jsonl"

// history is GET /stats.history.
func (s *server) history(w http.ResponseWriter, r *http.Request, _ string) {
	q, err := readQuery(r.URL.RawQuery, "hours")
	hours := uint64(defaultHours)
	if err == nil && q["hours"] != nil {
		hours, err = readNumber("hours", *q["hours"])
	}
	if err != nil {
		refuse(w, err)
		return
	}
	hours = min(hours, maxHours)
	now := s.now().Unix()
	rows := s.store.historyRows(now - int64(hours)*3600)
	replyDoc(w, http.StatusOK, canon.Doc{"hours": hours, "now_unix": int(now), "count": len(rows), "entries": rows})
}

// historyRows are the rows since a time; a missing file has none, and bad lines are passed over.
func (st *store) historyRows(since int64) []any {
	rows := []any{}
	data, err := os.ReadFile(st.path(historyFile))
	if err != nil {
		return rows
	}
	for line := range bytes.Lines(data) {
		doc, err := canon.ParseObject(bytes.TrimSpace(line))
		if err != nil {
			continue
		}
		if ts, ok := doc["ts"].(uint64); ok && int64(ts) >= since {
			rows = append(rows, doc)
		}
	}
	return rows
}

// noteHistory appends a row of the gauges.
func (s *server) noteHistory(now time.Time) error {
	doc := s.gauges()
	doc["ts"] = int(now.Unix())
	return s.store.appendLine(historyFile, canon.Compact(doc))
}
