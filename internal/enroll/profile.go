package enroll

import (
	"context"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// SetProfile sets one field of a session's profile, removes it for nil, and signs the card anew (identity.md
// 4.4). No relay learns of it before the next claim or pairing. The result is the whole profile.
func SetProfile(ctx context.Context, s home.Session, field string, value any) (profile any, err error) {
	key, err := s.ReadKey()
	if err != nil {
		return nil, err
	}
	err = s.UpdateCard(ctx, func(card canon.Doc) (canon.Doc, error) {
		if _, err := identity.CheckKey(card, key); err != nil {
			return nil, &home.FileError{Path: s.CardFile(), Err: err}
		}
		changed, err := identity.SetProfile(card, field, value, key)
		profile = changed["profile"]
		return changed, err
	})
	return profile, err
}
