package relay

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// directory is who holds which nick.
type directory struct {
	mu     sync.RWMutex
	byNick map[string]*handle

	claims sync.Mutex // one claim at a time from its check to its file
}

// handle is a claimed nick (6.9). It is replaced, never changed.
type handle struct {
	nick, did    string
	card         any
	slotID       string
	relayURL     *string
	claimedAt    string
	discoverable *bool // nil: never set
}

func (d *directory) get(nick string) *handle {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.byNick[nick]
}

func (d *directory) put(h *handle) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byNick == nil {
		d.byNick = map[string]*handle{}
	}
	d.byNick[h.nick] = h
}

// loadHandles reads handles/*.json; files that are no handle are passed over (relay.md section 7). The
// nick inside counts, and where two files hold the same one, the file that a claim would write.
func (st *store) loadHandles() error {
	entries, err := os.ReadDir(st.path("handles"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		data, err := os.ReadFile(st.path("handles", e.Name()))
		if err != nil {
			continue
		}
		doc, err := canon.ParseObject(data)
		if err != nil {
			continue
		}
		if h := handleOf(doc); h != nil && (h.nick == name || st.handles.get(h.nick) == nil) {
			st.handles.put(h)
		}
	}
	return nil
}

// handleOf reads a handle's document, nil if it is none.
func handleOf(doc canon.Doc) *handle {
	h := &handle{}
	for key, to := range map[string]*string{
		"nick": &h.nick, "did": &h.did, "slot_id": &h.slotID, "claimed_at": &h.claimedAt,
	} {
		text, ok := doc[key].(string)
		if !ok {
			return nil
		}
		*to = text
	}
	card, ok := doc["card"]
	if !ok {
		return nil
	}
	h.card = card
	switch url := doc["relay_url"].(type) {
	case nil:
	case string:
		h.relayURL = &url
	default:
		return nil
	}
	switch shown := doc["discoverable"].(type) {
	case nil:
	case bool:
		h.discoverable = &shown
	default:
		return nil
	}
	return h
}

// doc is the handle as its file holds it.
func (h *handle) doc() canon.Doc {
	doc := canon.Doc{
		"nick": h.nick, "did": h.did, "card": h.card, "slot_id": h.slotID,
		"relay_url": orNull(h.relayURL), "claimed_at": h.claimedAt,
	}
	if h.discoverable != nil {
		doc["discoverable"] = *h.discoverable
	}
	return doc
}

// errTaken is a claim of somebody else's nick.
var errTaken = errors.New("already taken")

// claim makes h the holder of its nick. Check and write are one step, so that of two DIDs one gets it
// (relay.md Q8).
func (st *store) claim(h *handle) (again bool, err error) {
	st.handles.claims.Lock()
	defer st.handles.claims.Unlock()
	held := st.handles.get(h.nick)
	if held != nil {
		if held.did != h.did || !shareKey(held.card, h.card) {
			return false, errTaken
		}
		if h.discoverable == nil {
			h.discoverable = held.discoverable
		}
	}
	if err := st.replace(filepath.Join("handles", h.nick+".json"), canon.Pretty(h.doc())); err != nil {
		return false, err
	}
	st.handles.put(h)
	st.counters.claims.Add(1)
	if held == nil {
		st.counters.firstClaims.Add(1)
	}
	return held != nil, nil
}

// shareKey says whether the key that signed the card is one of the holder's: the DID string alone proves
// nothing, for anybody can write it into a card of his own (relay.md Q22). A stored card without keys, as
// only an edited file has, binds nobody.
func shareKey(held, card any) bool {
	keys := keysOf(held)
	if len(keys) == 0 {
		return true
	}
	doc, _ := card.(canon.Doc)
	info, err := identity.ReadCard(doc)
	return err == nil && keys[string(info.Public)]
}

func keysOf(card any) map[string]bool {
	doc, _ := card.(canon.Doc)
	all, _ := doc["verify_keys"].(canon.Doc)
	keys := map[string]bool{}
	for name, entry := range all {
		one := canon.Doc{"did": "x", "verify_keys": canon.Doc{name: entry}}
		if info, err := identity.ReadCard(one); err == nil && info.Public != nil {
			keys[string(info.Public)] = true
		}
	}
	return keys
}

// claim is POST /v1/handle/claim (6.9).
func (s *server) claim(w http.ResponseWriter, r *http.Request, _ string) {
	h, err := readClaim(w, r)
	if err != nil {
		refuse(w, err)
		return
	}
	if s.authorize(w, r, h.slotID) == nil {
		return
	}
	if identity.CheckNick(h.nick) != nil || identity.ReservedNick(h.nick) {
		replyDoc(w, http.StatusBadRequest, canon.Doc{"error": "invalid or reserved nick: it must be 2-32 characters of [a-z0-9_-]", "nick": h.nick})
		return
	}
	if err := identity.VerifyCard(h.card); err != nil {
		replyError(w, http.StatusBadRequest, "card signature invalid: "+err.Error())
		return
	}
	card, _ := h.card.(canon.Doc)
	did, ok := card["did"].(string)
	if !ok {
		replyError(w, http.StatusBadRequest, "card missing 'did' field")
		return
	}
	if info, err := identity.ReadCard(card); err == nil {
		if print := info.DID.Fingerprint(); print != "" && print != identity.Fingerprint(info.Public) {
			replyError(w, http.StatusBadRequest, "card 'did' is not that of the key that signed it")
			return
		}
	}
	h.did, h.claimedAt = did, s.now().UTC().Format(time.RFC3339)
	again, err := s.store.claim(h)
	switch {
	case errors.Is(err, errTaken):
		replyDoc(w, http.StatusConflict, canon.Doc{
			"error": "nick already taken by another identity", "nick": h.nick, "claimed_by": s.store.handles.get(h.nick).did,
		})
	case err != nil:
		replyPersist(w, err)
	default:
		status := "claimed"
		if again {
			status = "re-claimed"
		}
		replyDoc(w, http.StatusCreated, canon.Doc{"nick": h.nick, "did": did, "status": status})
	}
}

func readClaim(w http.ResponseWriter, r *http.Request) (*handle, error) {
	body, done, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	defer done()
	f, err := readFields(body, "nick", "slot_id", "card", "relay_url", "discoverable")
	if err != nil {
		return nil, err
	}
	h := &handle{}
	if h.nick, err = f.text("nick"); err != nil {
		return nil, err
	}
	if h.slotID, err = f.text("slot_id"); err != nil {
		return nil, err
	}
	card, err := f.need("card")
	if err != nil {
		return nil, err
	}
	h.card, _ = canon.Parse(card)
	if url, ok, err := f.optional("relay_url"); err != nil {
		return nil, err
	} else if ok {
		h.relayURL = &url
	}
	switch raw := f["discoverable"]; string(raw) {
	case "", "null":
	case "true", "false":
		shown := string(raw) == "true"
		h.discoverable = &shown
	default:
		return nil, wrongShape("discoverable: expected a boolean")
	}
	return h, nil
}

// kindPairDrop is the kind of an introduction (identity.md 3.2).
const kindPairDrop = uint64(identity.KindPairDrop)

// intro is POST /v1/handle/intro/{nick} (6.10).
func (s *server) intro(w http.ResponseWriter, r *http.Request, nick string) {
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
	h := s.store.handles.get(nick)
	if h == nil {
		replyError(w, http.StatusNotFound, "nick not claimed on this relay")
		return
	}
	v, _ := canon.Parse(raw)
	doc, _ := v.(canon.Doc)
	kind, _ := doc["kind"].(uint64)
	typ, _ := doc["type"].(string)
	if kind != kindPairDrop && typ != "pair_drop" && typ != "agent_card" {
		replyDoc(w, http.StatusBadRequest, canon.Doc{
			"error": "only introductions (kind=1100) are taken without a token", "got_kind": kind, "got_type": typ,
		})
		return
	}
	inner, _ := doc["body"].(canon.Doc)
	card, ok := inner["card"]
	if !ok {
		replyError(w, http.StatusBadRequest, "intro event body must embed 'card' field")
		return
	}
	if err := identity.VerifyCard(card); err != nil {
		replyError(w, http.StatusBadRequest, "embedded card signature invalid: "+err.Error())
		return
	}
	e := readEvent(raw)
	if len(e.text) > maxEvent {
		replyTooLarge(w, "intro event")
		return
	}
	p := s.store.slotOf(h.slotID).post(e, maxIntros)
	switch p.outcome {
	case stored:
		id := any(nil)
		if e.hasID {
			id = e.id
		}
		replyDoc(w, http.StatusCreated, canon.Doc{"event_id": id, "status": "dropped", "to_nick": nick})
	case duplicate:
		replyPosted(w, http.StatusOK, e, "duplicate")
	case overQuota:
		replyDoc(w, http.StatusRequestEntityTooLarge, canon.Doc{
			"error": "target slot quota exceeded", "slot_bytes_used": p.used, "slot_bytes_max": maxSlot,
		})
	case notPersisted:
		replyPersist(w, p.err)
	}
}
