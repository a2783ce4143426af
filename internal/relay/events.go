package relay

import (
	"crypto/subtle"
	"net/http"
	"strings"

	"wirefleet.dev/wire/internal/canon"
)

// authorize is the bearer check of relay.md section 3; nil means that it has answered.
func (s *server) authorize(w http.ResponseWriter, r *http.Request, id string) *slot {
	token := bearer(r)
	if token == "" {
		replyError(w, http.StatusUnauthorized, "missing Bearer token")
		return nil
	}
	found := s.store.slot(id)
	if found == nil {
		replyError(w, http.StatusNotFound, "unknown slot")
		return nil
	}
	if subtle.ConstantTimeCompare([]byte(token), []byte(found.token)) != 1 {
		replyError(w, http.StatusForbidden, "bad token")
		return nil
	}
	return found
}

// bearer is the token of the first Authorization header, "" where there is none to speak of.
func bearer(r *http.Request) string {
	lines := r.Header["Authorization"]
	if len(lines) == 0 {
		return ""
	}
	token, ok := strings.CutPrefix(strings.TrimRight(lines[0], " \t"), "Bearer ")
	if !ok {
		return ""
	}
	for _, c := range []byte(token) {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return token
}

// allocate is POST /v1/slot/allocate (6.2). It is not rate limited: the reference's 50, then 6 a minute,
// stop the 51st session of a machine, and whoever reaches a loopback relay may fill the disk anyway.
func (s *server) allocate(w http.ResponseWriter, r *http.Request, _ string) {
	body, done, err := readBody(w, r)
	if err != nil {
		refuse(w, err)
		return
	}
	defer done()
	f, err := readFields(body, "handle")
	if err == nil {
		_, _, err = f.optional("handle")
	}
	if err != nil {
		refuse(w, err)
		return
	}
	slot, err := s.store.allocate()
	if err != nil {
		replyPersist(w, err)
		return
	}
	replyDoc(w, http.StatusCreated, canon.Doc{"slot_id": slot.id, "slot_token": slot.token})
}

// post is POST /v1/events/{slot_id} (6.3).
func (s *server) post(w http.ResponseWriter, r *http.Request, id string) {
	body, done, err := readBody(w, r)
	if err != nil {
		refuse(w, err)
		return
	}
	defer done()
	raw, err := readEventField(body)
	if err != nil {
		refuse(w, err)
		return
	}
	slot := s.authorize(w, r, id)
	if slot == nil {
		return
	}
	e := readEvent(raw)
	if len(e.text) > maxEvent {
		replyTooLarge(w, "event")
		return
	}
	p := slot.post(e, maxSlot)
	switch p.outcome {
	case stored:
		s.store.counters.posts.Add(1)
		replyPosted(w, http.StatusCreated, e, "stored")
	case duplicate:
		replyPosted(w, http.StatusOK, e, "duplicate")
	case overQuota:
		replyDoc(w, http.StatusRequestEntityTooLarge, canon.Doc{
			"error": "slot quota exceeded", "slot_bytes_used": p.used, "slot_bytes_max": maxSlot,
			"remediation": "the slot is full for ever; its owner gets a new one with `wire rotate-slot`",
		})
	case notPersisted:
		replyPersist(w, p.err)
	}
}

// readEventField is the raw text of the member event of a request body.
func readEventField(body []byte) ([]byte, error) {
	var raw []byte
	err := members(body, func(key string, text []byte) error {
		if key != "event" {
			return nil
		}
		if raw != nil {
			return wrongShape("duplicate field `event`")
		}
		raw = text
		return nil
	})
	if err == nil && raw == nil {
		err = wrongShape("missing field `event`")
	}
	return raw, err
}

func replyTooLarge(w http.ResponseWriter, what string) {
	replyDoc(w, http.StatusRequestEntityTooLarge, canon.Doc{"error": what + " exceeds 256 KiB", "max_bytes": maxEvent})
}

func replyPosted(w http.ResponseWriter, code int, e event, status string) {
	b := make([]byte, 0, 128)
	b = append(b, `{"event_id":`...)
	b = e.appendID(b)
	b = append(b, `,"status":"`...)
	b = append(b, status...)
	replyJSON(w, code, append(b, `"}`...))
}

// appendID appends the event_id as JSON: null where it is no string.
func (e event) appendID(b []byte) []byte {
	if !e.hasID {
		return append(b, "null"...)
	}
	return canon.Append(b, e.id)
}

// Limits of a list page. The reference has none in bytes and sends 64 MiB at once (relay.md Q30).
const (
	defaultPage  = 100
	maxPage      = 1000
	maxPageBytes = 4 << 20
)

// list is GET /v1/events/{slot_id} (6.4).
func (s *server) list(w http.ResponseWriter, r *http.Request, id string) {
	since, limit, err := readPage(r.URL.RawQuery)
	if err != nil {
		refuse(w, err)
		return
	}
	slot := s.authorize(w, r, id)
	if slot == nil || !s.inPlace(w) {
		return
	}
	slot.lastPull.Store(s.now().Unix())
	page, err := slot.page(since, limit)
	if err != nil {
		replyError(w, http.StatusInternalServerError, "read failed: "+err.Error())
		return
	}
	if r.Header[runHeader] != nil {
		w.Header()[runHeader] = s.runID
	}
	replyJSON(w, http.StatusOK, page)
}

// inPlace answers 500 and is false if the state directory is gone.
func (s *server) inPlace(w http.ResponseWriter) bool {
	err := s.store.recently(s.now())
	if err != nil {
		replyError(w, http.StatusInternalServerError, err.Error())
	}
	return err == nil
}

// page is the JSON array of at most limit events behind since, nil: from the start.
func (s *slot) page(since *string, limit int) ([]byte, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.done()
	from := 0
	if since != nil {
		from = v.after(*since)
	}
	to, size := from, 0
	for to < len(v.lines) && to-from < limit {
		size += int(v.lines[to].len) + 1
		if size > maxPageBytes && to > from {
			break
		}
		to++
	}
	out := make([]byte, 0, size+2)
	out, err = v.append(append(out, '['), from, to, ',')
	return append(out, ']'), err
}

// state is GET /v1/slot/{slot_id}/state (6.6).
func (s *server) state(w http.ResponseWriter, r *http.Request, id string) {
	slot := s.authorize(w, r, id)
	if slot == nil || !s.inPlace(w) {
		return
	}
	v, err := slot.view()
	if err != nil {
		replyError(w, http.StatusInternalServerError, "read failed: "+err.Error())
		return
	}
	defer v.done()
	doc := canon.Doc{
		"slot_id": slot.id, "event_count": len(v.lines), "last_pull_at_unix": nil, "responder_health": nil,
	}
	if record := s.store.health(slot); record != nil {
		doc["responder_health"] = record
	}
	if at := slot.lastPull.Load(); at != 0 {
		doc["last_pull_at_unix"] = int(at)
	}
	if v.used+maxEvent > maxSlot {
		// It may refuse the next event, with 413 and these keys. The owner never posts there: only here can it
		// learn of that. The reference has no such keys, so an ordinary slot has none.
		doc["slot_bytes_used"], doc["slot_bytes_max"] = int(v.used), maxSlot
	}
	replyDoc(w, http.StatusOK, doc)
}
