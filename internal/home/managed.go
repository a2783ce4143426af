package home

import (
	"errors"
	"io/fs"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// Managed is ST/managed.json: what apply says of a session that it created (design.md section 2). It is
// written under apply.lock only.
type Managed struct {
	Owner     string    // name of the wire.yaml, else its physical path
	CreatedAt time.Time // zero if the marker does not say
	Daemon    bool      // the daemon was started by an apply
	Notify    bool      // so was the notifier
}

func (s Session) managed() document[canon.Doc] {
	return document[canon.Doc]{s.Managed(), "", canon.ParseObject}
}

// ReadManaged is the marker, nil if there is none.
func (s Session) ReadManaged() (*Managed, error) {
	doc, _, err := s.managed().read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := &Managed{}
	m.Owner, _ = doc["owner"].(string)
	m.Daemon, _ = doc["daemon"].(bool)
	m.Notify, _ = doc["notify"].(bool)
	if text, ok := doc["created_at"].(string); ok {
		if m.CreatedAt, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return nil, &FileError{s.Managed(), err}
		}
	}
	return m, nil
}

// WriteManaged replaces the marker; keys that it does not know stay.
func (s Session) WriteManaged(m Managed) error {
	doc, _, err := s.managed().read()
	if errors.Is(err, fs.ErrNotExist) {
		doc, err = canon.Doc{}, nil
	}
	if err != nil {
		return err
	}
	doc["owner"] = m.Owner
	doc["created_at"] = identity.FormatTime(m.CreatedAt)
	for key, on := range map[string]bool{"daemon": m.Daemon, "notify": m.Notify} {
		delete(doc, key)
		if on {
			doc[key] = true
		}
	}
	return replace(s.Managed(), canon.Pretty(doc), 0o600, nil)
}
