package relay

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"wirefleet.dev/wire/internal/canon"
)

// healthRecord is a slot's responder health; read from disk when it is first asked for.
type healthRecord struct {
	mu     sync.Mutex
	loaded bool
	doc    canon.Doc // nil: none; replaced, never changed
}

// healthOf keeps the known keys of a record, nil if it is none (6.7).
func healthOf(doc canon.Doc) canon.Doc {
	out := canon.Doc{}
	for _, key := range []string{"status", "set_at", "reason", "last_success_at"} {
		switch v := doc[key].(type) {
		case string:
			out[key] = v
		case nil:
			if key == "status" || key == "set_at" {
				return nil
			}
		default:
			return nil
		}
	}
	return out
}

// health is the record of a slot, nil if there is none or its file is damaged.
func (st *store) health(s *slot) canon.Doc {
	s.responder.mu.Lock()
	defer s.responder.mu.Unlock()
	if s.responder.loaded {
		return s.responder.doc
	}
	s.responder.loaded = true
	name, ok := healthFile(s.id)
	if !ok {
		return nil
	}
	data, err := os.ReadFile(st.path(name))
	if err != nil {
		return nil
	}
	if doc, err := canon.ParseObject(data); err == nil {
		s.responder.doc = healthOf(doc)
	}
	return s.responder.doc
}

// healthFile is where a slot's record goes; hand-made ids in tokens.json may be no file names.
func healthFile(id string) (name string, ok bool) {
	if id == "" || strings.ContainsAny(id, "/\\\x00") {
		return "", false
	}
	return filepath.Join("responder-health", id+".json"), true
}

// setHealth is POST /v1/slot/{slot_id}/responder-health (6.7).
func (s *server) setHealth(w http.ResponseWriter, r *http.Request, id string) {
	doc, err := readHealth(w, r)
	if err != nil {
		refuse(w, err)
		return
	}
	slot := s.authorize(w, r, id)
	if slot == nil {
		return
	}
	name, ok := healthFile(id)
	if !ok {
		replyError(w, http.StatusInternalServerError, "persist failed: the slot id is no file name")
		return
	}
	slot.responder.mu.Lock()
	defer slot.responder.mu.Unlock()
	if err := s.store.replace(name, canon.Pretty(doc)); err != nil {
		replyPersist(w, err)
		return
	}
	slot.responder.loaded, slot.responder.doc = true, doc
	replyDoc(w, http.StatusOK, doc)
}

func readHealth(w http.ResponseWriter, r *http.Request) (canon.Doc, error) {
	body, done, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	defer done()
	f, err := readFields(body, "status", "reason", "last_success_at", "set_at")
	if err != nil {
		return nil, err
	}
	doc := canon.Doc{}
	for _, key := range []string{"status", "set_at"} {
		if doc[key], err = f.text(key); err != nil {
			return nil, err
		}
	}
	for _, key := range []string{"reason", "last_success_at"} {
		text, ok, err := f.optional(key)
		if err != nil {
			return nil, err
		}
		if ok {
			doc[key] = text
		}
	}
	return doc, nil
}
