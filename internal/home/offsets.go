package home

import (
	"context"
	"os"
	"strings"

	"wirefleet.dev/wire/internal/canon"
)

// Offsets is how far a reader of the inbox has come: bytes of each file, by its stem.
type Offsets map[string]int64

// ReadOffsets is a reader's cursor file (home-and-daemon.md 13.1). known is false for one that is missing or
// does not parse; all files are then read from their start.
func ReadOffsets(path string) (at Offsets, known bool) {
	doc, err := readOffsets(path)
	if err != nil {
		return Offsets{}, false
	}
	return doc, true
}

func readOffsets(path string) (Offsets, error) {
	at, _, err := document[Offsets]{path, "", func(data []byte) (Offsets, error) {
		doc, err := canon.ParseObject(data)
		if err != nil {
			return nil, err
		}
		at := make(Offsets, len(doc))
		for stem, v := range doc {
			if n, ok := v.(uint64); ok {
				at[stem] = int64(min(n, 1<<62))
			}
		}
		return at, nil
	}}.read()
	return at, err
}

// WriteOffsets replaces a cursor file, compact as the reference writes it.
func WriteOffsets(path string, at Offsets) error {
	doc := make(canon.Doc, len(at))
	for stem, n := range at {
		doc[stem] = uint64(max(n, 0))
	}
	return WriteFile(path, canon.Compact(doc), 0o600)
}

// EnsureState makes ST alone, for a reader of the inbox in a home without an identity.
func (s Session) EnsureState() error { return os.MkdirAll(s.st, 0o700) }

// UpdateRouteCursor is a read-modify-write of ST/mesh-route-cursor.json: role to the handle that was chosen
// last. What does not parse begins anew: it says no more than whose turn it is.
func (s Session) UpdateRouteCursor(ctx context.Context, change func(last map[string]string)) error {
	if err := s.EnsureState(); err != nil {
		return err
	}
	unlock, err := Lock(ctx, s.routeLock())
	if err != nil {
		return err
	}
	defer unlock()
	last := map[string]string{}
	if doc, _, err := (document[canon.Doc]{s.MeshRouteCursor(), "{}", canon.ParseObject}).read(); err == nil {
		for role, v := range doc {
			if handle, ok := v.(string); ok {
				last[role] = handle
			}
		}
	}
	change(last)
	doc := make(canon.Doc, len(last))
	for role, handle := range last {
		doc[role] = handle
	}
	return WriteFile(s.MeshRouteCursor(), canon.Pretty(doc), 0o600)
}

// ReadEmitted is ST/reactor-emitted.log: event ids, oldest first; none if it cannot be read.
func (s Session) ReadEmitted() []string {
	data, _, err := readRegular(s.ReactorEmitted())
	if err != nil {
		return nil
	}
	return strings.Fields(string(data))
}

// WriteEmitted replaces it.
func (s Session) WriteEmitted(ids []string) error {
	return WriteFile(s.ReactorEmitted(), []byte(strings.Join(ids, "\n")+"\n"), 0o600)
}
