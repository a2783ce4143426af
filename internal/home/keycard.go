package home

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// ReadKey reads private.key; missing is fs.ErrNotExist, another length than 32 a *FileError.
func (s Session) ReadKey() (identity.Key, error) {
	key, _, err := document[identity.Key]{s.KeyFile(), "", func(seed []byte) (identity.Key, error) {
		if len(seed) != 32 {
			return identity.Key{}, fmt.Errorf("private key file has wrong length (%d != 32)", len(seed))
		}
		return identity.KeyFromSeed(seed)
	}}.read()
	return key, err
}

// CreateKey writes private.key and fails with fs.ErrExist if one exists, whatever it holds: a key is never
// replaced.
func (s Session) CreateKey(k identity.Key) error { return create(s.KeyFile(), k.Seed(), 0o600) }

func (s Session) card() document[canon.Doc] {
	return document[canon.Doc]{s.CardFile(), "", canon.ParseObject}
}

// ReadCard reads agent-card.json; missing is fs.ErrNotExist, unparsable a *FileError.
func (s Session) ReadCard() (canon.Doc, error) {
	card, _, err := s.card().read()
	return card, err
}

// UpdateCard replaces agent-card.json by what change makes of it, under CFG/relay.lock. change may be called
// more than once (see UpdateRelay) and leaves its argument as it is.
func (s Session) UpdateCard(ctx context.Context, change func(canon.Doc) (canon.Doc, error)) error {
	return update(ctx, s.relayLock(), s.card(), func(card canon.Doc) ([]byte, error) {
		card, err := change(card)
		if err != nil {
			return nil, err
		}
		return canon.Pretty(card), nil
	})
}

// WriteCard replaces agent-card.json.
func (s Session) WriteCard(card canon.Doc) error {
	return replace(s.CardFile(), canon.Pretty(card), 0o600, nil)
}

// Identity is key and card. One of them missing is ErrNotInitialized.
func (s Session) Identity() (identity.Key, canon.Doc, error) {
	key, err := s.ReadKey()
	if err != nil {
		return identity.Key{}, nil, uninitialized(err)
	}
	card, err := s.ReadCard()
	if err != nil {
		return identity.Key{}, nil, uninitialized(err)
	}
	return key, card, nil
}

func uninitialized(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotInitialized
	}
	return err
}
