package relay

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// pairTTL is how long a pair slot may lie idle (relay.md 6.8).
const pairTTL = 300 * time.Second

// pairTable is the pair mailbox: two sides of one code leave each other opaque strings. It is in memory
// only; a restart forgets it.
type pairTable struct {
	mu     sync.Mutex
	byID   map[string]*pairSlot
	byCode map[string]*pairSlot
}

type pairSlot struct {
	id, code string
	used     time.Time
	sides    [2]pairSide // host, guest
}

// pairSide is what one role has left; nil: nothing yet.
type pairSide struct {
	msg, bootstrap *string
}

// side is the index of a role, -1 for another word.
func side(role string) int {
	switch role {
	case "host":
		return 0
	case "guest":
		return 1
	}
	return -1
}

// find returns a living pair slot and marks it as used now. mu is held.
func (t *pairTable) find(id string, now time.Time) *pairSlot {
	p := t.byID[id]
	if p == nil {
		return nil
	}
	if now.Sub(p.used) > pairTTL {
		t.forget(p)
		return nil
	}
	p.used = now
	return p
}

func (t *pairTable) forget(p *pairSlot) {
	delete(t.byID, p.id)
	delete(t.byCode, p.code)
}

// sweep forgets what has expired.
func (t *pairTable) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.byID {
		if now.Sub(p.used) > pairTTL {
			t.forget(p)
		}
	}
}

// open registers one side of a code; taken says that this side is registered already. made says that the
// slot is new.
func (t *pairTable) open(code, msg string, who int, now time.Time) (id string, made, taken bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var p *pairSlot
	if known := t.byCode[code]; known != nil {
		p = t.find(known.id, now)
	}
	if p == nil {
		var random [16]byte
		rand.Read(random[:])
		p = &pairSlot{id: hex.EncodeToString(random[:]), code: code, used: now}
		if t.byID == nil {
			t.byID, t.byCode = map[string]*pairSlot{}, map[string]*pairSlot{}
		}
		t.byID[p.id], t.byCode[code] = p, p
		made = true
	}
	if p.sides[who].msg != nil {
		return "", false, true
	}
	p.sides[who].msg = &msg
	return p.id, made, false
}

// pairOpen is POST /v1/pair.
func (s *server) pairOpen(w http.ResponseWriter, r *http.Request, _ string) {
	var code, msg, role string
	if !readTexts(w, r, want{"code_hash", &code}, want{"msg", &msg}, want{"role", &role}) {
		return
	}
	who := side(role)
	if who < 0 {
		replyError(w, http.StatusBadRequest, "role must be 'host' or 'guest'")
		return
	}
	id, made, taken := s.pairs.open(code, msg, who, s.now())
	if taken {
		replyError(w, http.StatusConflict, role+" already registered for this code")
		return
	}
	if made {
		s.store.counters.opens.Add(1)
	}
	replyDoc(w, http.StatusCreated, canon.Doc{"pair_id": id})
}

// pairGet is GET /v1/pair/{pair_id}.
func (s *server) pairGet(w http.ResponseWriter, r *http.Request, id string) {
	q, err := readQuery(r.URL.RawQuery, "as_role")
	if err == nil && q["as_role"] == nil {
		err = badQuery("missing field `as_role`")
	}
	if err != nil {
		refuse(w, err)
		return
	}
	s.pairs.mu.Lock()
	defer s.pairs.mu.Unlock()
	p := s.pairs.find(id, s.now())
	if p == nil {
		replyError(w, http.StatusNotFound, "unknown pair_id")
		return
	}
	who := side(*q["as_role"])
	if who < 0 {
		replyError(w, http.StatusBadRequest, "as_role must be 'host' or 'guest'")
		return
	}
	peer := p.sides[1-who]
	replyDoc(w, http.StatusOK, canon.Doc{"peer_msg": orNull(peer.msg), "peer_bootstrap": orNull(peer.bootstrap)})
}

func orNull(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

// pairBootstrap is POST /v1/pair/{pair_id}/bootstrap.
func (s *server) pairBootstrap(w http.ResponseWriter, r *http.Request, id string) {
	var role, sealed string
	if !readTexts(w, r, want{"role", &role}, want{"sealed", &sealed}) {
		return
	}
	s.pairs.mu.Lock()
	defer s.pairs.mu.Unlock()
	p := s.pairs.find(id, s.now())
	if p == nil {
		replyError(w, http.StatusNotFound, "unknown pair_id")
		return
	}
	who := side(role)
	if who < 0 {
		replyError(w, http.StatusBadRequest, "role must be 'host' or 'guest'")
		return
	}
	p.sides[who].bootstrap = &sealed
	replyDoc(w, http.StatusCreated, canon.Doc{"ok": true})
}

// pairAbandon is POST /v1/pair/abandon.
func (s *server) pairAbandon(w http.ResponseWriter, r *http.Request, _ string) {
	var code string
	if !readTexts(w, r, want{"code_hash", &code}) {
		return
	}
	s.pairs.mu.Lock()
	defer s.pairs.mu.Unlock()
	if p := s.pairs.byCode[code]; p != nil {
		s.pairs.forget(p)
	}
	w.WriteHeader(http.StatusNoContent)
}

// want is a required string of a request body.
type want struct {
	key string
	to  *string
}

// readTexts reads a body of required strings; false means that it has answered.
func readTexts(w http.ResponseWriter, r *http.Request, wants ...want) bool {
	body, done, err := readBody(w, r)
	if err != nil {
		refuse(w, err)
		return false
	}
	defer done()
	keys := make([]string, len(wants))
	for i := range wants {
		keys[i] = wants[i].key
	}
	f, err := readFields(body, keys...)
	for _, each := range wants {
		if err != nil {
			break
		}
		var text string
		text, err = f.text(each.key)
		*each.to = strings.Clone(text)
	}
	if err != nil {
		refuse(w, err)
		return false
	}
	return true
}
