package home

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// MaxInbound is how many pair requests of strangers wait at a time: anybody can make one, and each is a file.
const MaxInbound = 256

// Inbound is one pair request that waits for the user: ST/pending-inbound-pairs/<handle>.json (pairing.md
// 4.3). What was read may be anything, for a reference writes unchecked what strangers send.
type Inbound struct {
	Handle     string
	DID        identity.DID
	Card       any
	Trio       Endpoint // the flat address, to which the answer goes; its scope is federation
	Endpoints  []Endpoint
	EventID    string
	Timestamp  string // of the event, by the sender's clock
	ReceivedAt string
}

// InboundRequests are those that parse, oldest first; none if the directory is missing.
func (s Session) InboundRequests() ([]Inbound, error) {
	var out []Inbound
	err := eachJSON(s.Inbound(), func(data []byte) {
		if r, err := parseInbound(data); err == nil {
			out = append(out, r)
		}
	})
	slices.SortStableFunc(out, func(a, b Inbound) int { return cmp.Compare(a.ReceivedAt, b.ReceivedAt) })
	return out, err
}

// EnsureInbound makes the directory of the requests, for whoever wants to watch it.
func (s Session) EnsureInbound() error { return os.MkdirAll(s.Inbound(), 0o700) }

// Notified are the event ids of the requests that the user was told of. known is false if that was not
// written down, or cannot be read.
func (s Session) Notified() (ids []string, known bool) {
	doc, _, err := document[canon.Doc]{s.notifiedFile(), "", canon.ParseObject}.read()
	if err != nil {
		return nil, false
	}
	list, ok := doc["event_ids"].([]any)
	for _, v := range list {
		if id, ok := v.(string); ok {
			ids = append(ids, id)
		}
	}
	return ids, ok
}

// SetNotified writes them down.
func (s Session) SetNotified(ids []string) error {
	list := make([]any, len(ids))
	for i, id := range ids {
		list[i] = id
	}
	return WriteFile(s.notifiedFile(), canon.Pretty(canon.Doc{"event_ids": list}), 0o600)
}

// PendingPairs are the records of ST/pending-pair that are JSON objects, in the order of their names; none if
// the directory is missing. The reference rewrites one in place at each step of a pairing.
func (s Session) PendingPairs() ([]canon.Doc, error) {
	var out []canon.Doc
	err := eachFile(s.Detached(), func(path string) {
		if doc, _, err := pendingPair(path).read(); err == nil {
			out = append(out, doc)
		}
	})
	return out, err
}

func pendingPair(path string) document[canon.Doc] {
	return document[canon.Doc]{path: path, parse: canon.ParseObject}
}

// eachJSON calls do with the content of every .json file of a directory that can be read.
func eachJSON(dir string, do func(data []byte)) error {
	return eachFile(dir, func(path string) {
		if data, _, err := readRegular(path); err == nil { // else it went, or is no file
			do(data)
		}
	})
}

// eachFile calls do with the path of every .json file of a directory.
func eachFile(dir string, do func(path string)) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") && !e.IsDir() {
			do(join(dir, e.Name()))
		}
	}
	return nil
}

// InboundRequest is the one of a handle; none is fs.ErrNotExist, and so is a handle that CheckHandle refuses.
func (s Session) InboundRequest(handle string) (Inbound, error) {
	path, err := s.inboundFile(handle)
	if err != nil {
		return Inbound{}, err
	}
	r, _, err := document[Inbound]{path, "", parseInbound}.read()
	return r, err
}

func (s Session) inboundFile(handle string) (string, error) {
	if identity.CheckHandle(handle) != nil {
		return "", &fs.PathError{Op: "open", Path: s.Inbound(), Err: fs.ErrNotExist}
	}
	return join(s.Inbound(), handle+".json"), nil
}

// StoreInbound writes a request, if there is room: one that replaces another of its handle always has. The
// caller holds pull.lock.
func (s Session) StoreInbound(r Inbound) error {
	path, err := s.inboundFile(r.Handle)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Inbound(), 0o700); err != nil {
		return err
	}
	if !exists(path) {
		entries, err := os.ReadDir(s.Inbound())
		if err != nil {
			return err
		}
		waiting := 0
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".json") {
				waiting++
			}
		}
		if waiting >= MaxInbound {
			return nil
		}
	}
	return WriteFile(path, r.pretty(), 0o600)
}

// RemoveInbound removes a request, under pull.lock and only if it is still the one with this event: a later
// one of the same handle may be somebody else's.
func (s Session) RemoveInbound(ctx context.Context, handle, eventID string) error {
	return s.settleInbound(ctx, handle, func(r Inbound) (bool, error) { return r.EventID == eventID, nil })
}

// settleInbound calls decide with a handle's request under pull.lock and removes it if decide says so. No
// request is no error.
func (s Session) settleInbound(ctx context.Context, handle string, decide func(Inbound) (remove bool, err error)) error {
	path, err := s.inboundFile(handle)
	if err != nil {
		return nil
	}
	if !exists(path) {
		return nil
	}
	unlock, err := Lock(ctx, s.PullLock())
	if err != nil {
		return err
	}
	defer unlock()
	r, err := s.InboundRequest(handle)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var broken *FileError
	if err != nil && !errors.As(err, &broken) {
		return err
	}
	remove, err := decide(r)
	if err != nil || !remove {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDirAt(s.Inbound())
}

func parseInbound(data []byte) (Inbound, error) {
	doc, err := canon.ParseObject(data)
	if err != nil {
		return Inbound{}, err
	}
	var r Inbound
	var did, url, slot, token string
	for _, m := range []struct {
		key  string
		into *string
	}{
		{"peer_handle", &r.Handle},
		{"peer_did", &did},
		{"peer_relay_url", &url},
		{"peer_slot_id", &slot},
		{"peer_slot_token", &token},
		{"event_id", &r.EventID},
		{"event_timestamp", &r.Timestamp},
		{"received_at", &r.ReceivedAt},
	} {
		var ok bool
		if *m.into, ok = doc[m.key].(string); !ok {
			return Inbound{}, fmt.Errorf("%s is no string", m.key)
		}
	}
	r.DID = identity.DID(did)
	r.Trio = Endpoint{RelayURL: url, SlotID: slot, SlotToken: identity.NewToken(token), Scope: Federation}
	var ok bool
	if r.Card, ok = doc["peer_card"]; !ok {
		return Inbound{}, errors.New("no peer_card")
	}
	elems, _ := doc["peer_endpoints"].([]any)
	for _, elem := range elems {
		if e, ok := readEndpoint(elem); ok {
			r.Endpoints = append(r.Endpoints, e)
		}
	}
	return r, nil
}

// pretty is the text in the reference's order of keys, which is not the sorted one.
func (r Inbound) pretty() []byte {
	out := []byte("{")
	member := func(depth int, key string, value any) {
		if out[len(out)-1] != '{' {
			out = append(out, ',')
		}
		out = append(out, '\n')
		out = append(out, strings.Repeat("  ", depth)...)
		out = canon.Append(out, key)
		out = append(out, ": "...)
		out = canon.AppendPretty(out, value, depth)
	}
	member(1, "peer_handle", r.Handle)
	member(1, "peer_did", string(r.DID))
	member(1, "peer_card", r.Card)
	member(1, "peer_relay_url", r.Trio.RelayURL)
	member(1, "peer_slot_id", r.Trio.SlotID)
	member(1, "peer_slot_token", r.Trio.SlotToken.Reveal())
	out = append(out, ",\n  \"peer_endpoints\": ["...)
	for i, e := range r.Endpoints {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, "\n    {"...)
		member(3, "relay_url", e.RelayURL)
		member(3, "slot_id", e.SlotID)
		member(3, "slot_token", e.SlotToken.Reveal())
		member(3, "scope", string(e.Scope))
		out = append(out, "\n    }"...)
	}
	out = append(out, "\n  ]"...)
	member(1, "event_id", r.EventID)
	member(1, "event_timestamp", r.Timestamp)
	member(1, "received_at", r.ReceivedAt)
	return append(out, "\n}"...)
}

// maxRefusals bounds what is remembered of refused requests; the oldest go.
const maxRefusals = 256

// Refusals are the pair requests that the user refused: ST/refused-pairs.json. The reference forgets them and
// asks again when it meets the event once more (pairing.md Q2).
type Refusals []refusal

type refusal struct{ handle, did, eventID, timestamp, at string }

// Cover says whether a request was refused: this very event, or one of the same DID that is no younger by
// its sender's own clock. Who asks anew after that is heard.
func (l Refusals) Cover(did identity.DID, eventID, timestamp string) bool {
	for _, r := range l {
		if r.eventID == eventID || r.did == string(did) && !younger(timestamp, r.timestamp) {
			return true
		}
	}
	return false
}

// younger compares two RFC 3339 times; one that does not parse is not younger than anything.
func younger(t, than string) bool {
	at, err := time.Parse(time.RFC3339Nano, t)
	if err != nil {
		return false
	}
	limit, err := time.Parse(time.RFC3339Nano, than)
	return err != nil || at.After(limit)
}

func (s Session) refusals() document[Refusals] {
	return document[Refusals]{join(s.st, "refused-pairs.json"), "{}", parseRefusals}
}

// Refusals are those of this session; a missing file is none, an unparsable one a *FileError.
func (s Session) Refusals() (Refusals, error) {
	l, _, err := s.refusals().read()
	return l, err
}

// RefuseInbound removes a handle's request and remembers the refusal; had is false if there was none. The
// memory is written first: if we die in between, the request is still there to be refused again.
func (s Session) RefuseInbound(ctx context.Context, handle string, now time.Time) (had bool, err error) {
	err = s.settleInbound(ctx, handle, func(r Inbound) (bool, error) {
		had = true
		if r.EventID == "" {
			return true, nil // unreadable: nothing to remember it by
		}
		l, err := s.Refusals()
		var broken *FileError
		if err != nil && !errors.As(err, &broken) {
			return false, err
		}
		l = append(l, refusal{r.Handle, string(r.DID), r.EventID, r.Timestamp, identity.FormatTime(now)})
		return true, WriteFile(s.refusals().path, l[max(0, len(l)-maxRefusals):].pretty(), 0o600)
	})
	return had, err
}

func parseRefusals(data []byte) (Refusals, error) {
	doc, err := canon.ParseObject(data)
	if err != nil {
		return nil, err
	}
	elems, _ := doc["refused"].([]any)
	var out Refusals
	for _, elem := range elems {
		m, _ := elem.(canon.Doc)
		text := func(key string) string { s, _ := m[key].(string); return s }
		out = append(out, refusal{text("handle"), text("did"), text("event_id"), text("event_timestamp"), text("at")})
	}
	return out, nil
}

func (l Refusals) pretty() []byte {
	list := make([]any, len(l))
	for i, r := range l {
		list[i] = canon.Doc{
			"handle": r.handle, "did": r.did, "event_id": r.eventID, "event_timestamp": r.timestamp, "at": r.at,
		}
	}
	return canon.Pretty(canon.Doc{"refused": list})
}
