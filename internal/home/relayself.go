package home

import (
	"maps"
	"slices"

	"wirefleet.dev/wire/internal/canon"
)

// Bound says whether self is there and not null.
func (r *RelayFile) Bound() bool {
	raw, ok := r.spans.Raw("self")
	return ok && string(raw) != "null"
}

// Self are the own endpoints in file order, or the one synthesized from the flat fields (4.2).
func (r *RelayFile) Self() []Endpoint { return r.endpointsAt("self") }

// SelfFlat is the flat trio, all that a reference daemon serves; zero if absent. Its scope is that of the
// listed endpoint that it repeats, else federation.
func (r *RelayFile) SelfFlat() Endpoint {
	rec, ok := r.selfTree()
	if !ok {
		return Endpoint{}
	}
	flat := flatOf(rec)
	if flat.RelayURL == "" && flat.SlotID == "" {
		return Endpoint{}
	}
	for _, e := range r.Self() {
		if e.sameSlot(flat) {
			flat.Scope = e.Scope
			break
		}
	}
	return flat
}

// SelfFault says in words what is wrong with the flat trio where SetSelf of Self would set it right: it is all
// that a daemon of the reference serves, and half of it is as bad as none (field-failures B19, C6). "" if it
// is whole, or if there is no list to make it from.
func (r *RelayFile) SelfFault() string {
	rec, ok := r.selfTree()
	if !ok {
		return ""
	}
	list, _ := rec["endpoints"].([]any)
	if !slices.ContainsFunc(list, func(elem any) bool { _, ok := readEndpoint(elem); return ok }) {
		return ""
	}
	flat := flatOf(rec)
	switch {
	case flat.RelayURL != "" && flat.SlotID != "" && !flat.SlotToken.Zero():
		return "" // one that is not listed stays, too: to replace it would be to lose it
	case flat.RelayURL == "" && flat.SlotID == "" && flat.SlotToken.Zero():
		return "its relay.json lists its slots but lacks the address that daemons of the reference serve"
	}
	return "the address that daemons of the reference serve is incomplete in its relay.json"
}

func (r *RelayFile) selfTree() (canon.Doc, bool) {
	raw, ok := r.spans.Raw("self")
	if !ok || raw[0] != '{' {
		return nil, false
	}
	rec, err := canon.ParseObject(raw)
	return rec, err == nil
}

// SelfShown is self as it stands in the file, cursors and unknown keys too, but for every slot token; nil if there
// is none. It is for people to read.
func (r *RelayFile) SelfShown() canon.Doc {
	rec, ok := r.selfTree()
	if !ok {
		return nil
	}
	withoutTokens(rec)
	return rec
}

func withoutTokens(v any) {
	switch v := v.(type) {
	case canon.Doc:
		delete(v, "slot_token")
		for _, member := range v {
			withoutTokens(member)
		}
	case []any:
		for _, elem := range v {
			withoutTokens(elem)
		}
	}
}

// SetSelf replaces self.endpoints and the flat trio (first federation, else first local); cursors and
// unknown keys stay, but the cursor of a scope whose slot changed is dropped. Keys of others in an endpoint
// stay with its slot, and list elements of a scope that only later versions know stay behind ours. A single
// federation slot is the flat trio alone, as the reference has it. Where self is neither object nor null,
// UpdateRelay fails.
func (r *RelayFile) SetSelf(endpoints []Endpoint) {
	if !r.editable("self") {
		return
	}
	rec, _ := r.selfTree()
	before := r.Self()
	flat, any := Flat(endpoints)
	if any && slices.Equal(before, endpoints) && sameTrio(flatOf(rec), flat) {
		return
	}
	position := ""
	if local, ok := firstLocal(endpoints); ok && hasSlot(before, local) {
		position = r.Cursor(local)
	}

	if _, listed := rec["endpoints"]; listed || len(endpoints) != 1 || flat.Scope != Federation {
		r.setSelfMember("endpoints", mergeList(rec, endpoints))
	}
	if any {
		r.setSelfMember("relay_url", flat.RelayURL)
		r.setSelfMember("slot_id", flat.SlotID)
		r.setSelfMember("slot_token", flat.SlotToken.Reveal())
	} else {
		r.spans.Delete("self", "relay_url")
		r.spans.Delete("self", "slot_id")
		r.spans.Delete("self", "slot_token")
	}

	// The plain key is the position in the federation slot or, without one, in the flat slot (4.1): of what
	// Flat picks, either way.
	if old, _ := Flat(before); !old.sameSlot(flat) {
		r.spans.Delete("self", cursorPlain)
	}
	if position == "" {
		r.spans.Delete("self", cursorLocal)
	} else {
		r.setSelfMember(cursorLocal, position)
	}
}

// mergeList is the new endpoint list with what others wrote into the elements of the old one.
func mergeList(self canon.Doc, endpoints []Endpoint) []any {
	old, _ := self["endpoints"].([]any)
	list := make([]any, 0, len(endpoints))
	for _, e := range endpoints {
		doc := canon.Doc{}
		for _, elem := range old {
			if o, ok := readEndpoint(elem); ok && o.sameSlot(e) && o.Scope == e.Scope {
				maps.Copy(doc, elem.(canon.Doc))
			}
		}
		maps.Copy(doc, e.doc())
		list = append(list, doc)
	}
	for _, elem := range old {
		m, _ := elem.(canon.Doc)
		if scope, ok := m["scope"].(string); ok && Scope(scope) != Federation && Scope(scope) != Local {
			list = append(list, elem)
		}
	}
	return list
}

func sameTrio(a, b Endpoint) bool {
	return a.RelayURL == b.RelayURL && a.SlotID == b.SlotID && a.SlotToken == b.SlotToken
}

func firstLocal(endpoints []Endpoint) (Endpoint, bool) {
	i := slices.IndexFunc(endpoints, func(e Endpoint) bool { return e.Scope == Local })
	if i < 0 {
		return Endpoint{}, false
	}
	return endpoints[i], true
}

func hasSlot(endpoints []Endpoint, e Endpoint) bool {
	return slices.ContainsFunc(endpoints, e.sameSlot)
}

func (r *RelayFile) setSelfMember(key string, value any) {
	r.spans.Set(canon.AppendPretty(nil, value, 2), "self", key)
}

// The two cursor keys (4.1).
const (
	cursorPlain = "last_pulled_event_id"
	cursorLocal = "last_pulled_event_id_local"
)

// Cursor is the last pulled event of an own endpoint, "" for none; whatever string is stored is returned.
// The local endpoint of a session without a federation slot is the flat one too, which a reference daemon
// pulls under the plain key: that is its position where the scope's own key is missing.
func (r *RelayFile) Cursor(e Endpoint) string {
	if e.Scope == Local {
		if id := r.text("self", cursorLocal); id != "" || !r.isFlat(e) {
			return id
		}
	}
	return r.text("self", cursorPlain)
}

// SetCursor moves the position of an own endpoint: the scope's key and, where the endpoint is also the flat
// one, the plain key (design.md section 8). An id that is not 64 hex, or where Cursor is already, changes
// nothing, and neither does one for a self that is no object (4.3).
func (r *RelayFile) SetCursor(e Endpoint, id string) {
	if !isEventID(id) || r.Cursor(e) == id {
		return
	}
	if raw, ok := r.spans.Raw("self"); !ok || raw[0] != '{' {
		return
	}
	if e.Scope == Local {
		r.setSelfMember(cursorLocal, id)
		if !r.isFlat(e) {
			return
		}
	}
	r.setSelfMember(cursorPlain, id)
}

func (r *RelayFile) isFlat(e Endpoint) bool {
	return r.text("self", "slot_id") == e.SlotID && trimURL(r.text("self", "relay_url")) == trimURL(e.RelayURL)
}

func isEventID(id string) bool {
	if len(id) != 64 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
