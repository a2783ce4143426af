package home

import (
	"context"
	"fmt"
	"strings"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// Scope is where an endpoint can be reached from.
type Scope string

// The two scopes (home-and-daemon.md 4.1).
const (
	Federation Scope = "federation"
	Local      Scope = "local"
)

// Endpoint is one slot of a session or of a peer.
type Endpoint struct {
	RelayURL  string
	SlotID    string
	SlotToken identity.Token
	Scope     Scope
}

// sameSlot says whether both name one slot; a trailing "/" of the URL does not count (pairing.md Q14).
func (e Endpoint) sameSlot(o Endpoint) bool {
	return e.SlotID == o.SlotID && trimURL(e.RelayURL) == trimURL(o.RelayURL)
}

func trimURL(url string) string { return strings.TrimRight(url, "/") }

// RelayFile is relay.json, read as spans: changing a cursor in a file with 400 peers parses none of them.
// It is for one goroutine at a time.
type RelayFile struct {
	spans *canon.Spans // nest: peers
	err   error        // what a Set could not do; UpdateRelay returns it and writes nothing

	// checked is what editable found, per key: no change turns an object into something else, and asking
	// the spans again renders all that was set so far.
	checked map[string]error
}

// emptyRelay is what a missing relay.json reads as, in the layout it is written in.
const emptyRelay = "{\n  \"peers\": {},\n  \"self\": null\n}"

// ParseRelay reads the text of a relay.json. self and peers may be anything: the reference reads on where
// they are no objects, and only who changes them refuses.
func ParseRelay(data []byte) (*RelayFile, error) {
	spans, err := canon.ReadSpans(data, "peers")
	if err != nil {
		return nil, err
	}
	return &RelayFile{spans: spans}, nil
}

// Bytes is the file with its changes.
func (r *RelayFile) Bytes() []byte { return r.spans.Bytes() }

func (s Session) relay() document[*RelayFile] {
	return document[*RelayFile]{s.RelayFile(), emptyRelay, ParseRelay}
}

// ReadRelay is relay.json; missing reads as {"peers":{},"self":null}.
func (s Session) ReadRelay() (*RelayFile, error) {
	r, _, err := s.relay().read()
	return r, err
}

// UpdateRelay locks CFG/relay.lock (10 s), re-reads, changes and replaces relay.json, unless change left it
// as it was or returned an error. The new file has mode 0600.
//
// Since most of the reference writes this file without the lock, it is looked at again right before the
// rename; if it moved, change is called once more, with what is there then. So change works on its argument
// and carries nothing over from one call to the next. No HTTP in it: the lock is held.
func (s Session) UpdateRelay(ctx context.Context, change func(*RelayFile) error) error {
	return update(ctx, s.relayLock(), s.relay(), func(r *RelayFile) ([]byte, error) {
		if err := change(r); err != nil {
			return nil, err
		}
		if r.err != nil {
			return nil, &FileError{s.RelayFile(), r.err}
		}
		if !r.spans.Changed() {
			return nil, nil
		}
		return r.Bytes(), nil
	})
}

// checkNest refuses a document in which key is there and no object.
func checkNest(spans *canon.Spans, key string) error {
	raw, ok := spans.Raw(key)
	if !ok || string(raw) == "null" || raw[0] == '{' {
		return nil
	}
	return fmt.Errorf("%s is no object", key)
}

// editable is checkNest for a change of this file; the first refusal is kept for UpdateRelay.
func (r *RelayFile) editable(key string) bool {
	err, known := r.checked[key]
	if !known {
		err = checkNest(r.spans, key)
		if r.checked == nil {
			r.checked = map[string]error{}
		}
		r.checked[key] = err
	}
	if r.err == nil {
		r.err = err
	}
	return err == nil
}

// text is the string at path, "" if there is none.
func (r *RelayFile) text(path ...string) string {
	raw, ok := r.spans.Raw(path...)
	if !ok {
		return ""
	}
	v, err := canon.Parse(raw)
	if err != nil {
		return ""
	}
	s, _ := v.(string)
	return s
}

// endpointsAt are the endpoints of the record at path, which is self or a peer (4.2): the readable elements
// of its list, else one of federation scope from its flat fields. Of a peer these must all be there; an own
// slot may lack its token.
func (r *RelayFile) endpointsAt(path ...string) (list []Endpoint) {
	raw, ok := r.spans.Raw(path...)
	if !ok || raw[0] != '{' {
		return nil
	}
	rec, err := canon.ParseObject(raw)
	if err != nil {
		return nil
	}
	elems, _ := rec["endpoints"].([]any)
	for _, elem := range elems {
		if e, ok := readEndpoint(elem); ok {
			list = append(list, e)
		}
	}
	if list != nil {
		return list
	}
	flat := flatOf(rec)
	if flat.RelayURL == "" || flat.SlotID == "" || (flat.SlotToken.Zero() && path[0] == "peers") {
		return nil
	}
	return []Endpoint{flat}
}

func readEndpoint(elem any) (Endpoint, bool) {
	m, ok := elem.(canon.Doc)
	if !ok {
		return Endpoint{}, false
	}
	url, ok1 := m["relay_url"].(string)
	slot, ok2 := m["slot_id"].(string)
	token, ok3 := m["slot_token"].(string)
	scope, ok4 := m["scope"].(string)
	e := Endpoint{url, slot, identity.NewToken(token), Scope(scope)}
	return e, ok1 && ok2 && ok3 && ok4 && (e.Scope == Federation || e.Scope == Local)
}

func flatOf(rec canon.Doc) Endpoint {
	url, _ := rec["relay_url"].(string)
	slot, _ := rec["slot_id"].(string)
	token, _ := rec["slot_token"].(string)
	return Endpoint{url, slot, identity.NewToken(token), Federation}
}

// Flat is the endpoint that the flat trio repeats: the first federation one, else the first local one.
func Flat(endpoints []Endpoint) (Endpoint, bool) {
	for _, e := range endpoints {
		if e.Scope == Federation {
			return e, true
		}
	}
	if len(endpoints) == 0 {
		return Endpoint{}, false
	}
	return endpoints[0], true
}

func (e Endpoint) doc() canon.Doc {
	return canon.Doc{
		"relay_url":  e.RelayURL,
		"scope":      string(e.Scope),
		"slot_id":    e.SlotID,
		"slot_token": e.SlotToken.Reveal(),
	}
}
