package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// Person is who a session shall be.
type Person struct {
	Handle string
	Name   string // for people; "" makes one of the handle
}

// Init gives a session an identity, directories included. One that has one is *InitializedError. What is half
// there is completed: a key keeps its identity, but a card without its key is an error, for its identity is
// lost and only the user can say so (the reference replaces both).
func Init(ctx context.Context, s home.Session, p Person) (identity.CardInfo, error) {
	if err := identity.CheckHandle(p.Handle); err != nil {
		return identity.CardInfo{}, err
	}
	if s.Initialized() {
		return identity.CardInfo{}, initialized(s)
	}
	if err := keyLost(s); err != nil {
		return identity.CardInfo{}, err
	}
	if err := s.Ensure(); err != nil {
		return identity.CardInfo{}, fmt.Errorf("creating %s: %w", identity.Quote(s.ConfigDir()), err)
	}
	_, err := Complete(ctx, s, p)
	if err != nil {
		return identity.CardInfo{}, err
	}
	card, err := s.ReadCard()
	if err != nil {
		return identity.CardInfo{}, err
	}
	return identity.ReadCard(card)
}

func initialized(s home.Session) error {
	e := &InitializedError{Dir: s.ConfigDir()}
	if card, err := s.ReadCard(); err == nil {
		if info, err := identity.ReadCard(card); err == nil {
			e.Handle = info.Handle
		}
	}
	return e
}

// Complete makes what a session lacks of key, card and own trust record; its directories must be there. An
// existing key or card stays, whoever it says to be; a card without its key is an error.
func Complete(ctx context.Context, s home.Session, p Person) (changed bool, err error) {
	if err := identity.CheckHandle(p.Handle); err != nil {
		return false, err
	}
	key, fresh, err := completeKey(s)
	if err != nil {
		return false, err
	}
	card, err := s.ReadCard()
	if errors.Is(err, fs.ErrNotExist) {
		card = identity.SignCard(identity.NewCard(p.Handle, p.Name, key.Public()), key)
		changed, err = true, s.WriteCard(card)
	}
	if err != nil {
		return fresh, err
	}
	info, err := identity.CheckOwner(card)
	if err != nil {
		return changed, err
	}
	trusted, err := completeTrust(ctx, s, info, fresh)
	return fresh || changed || trusted, err
}

// keyLost is the error of a card, whatever it holds, without its key.
func keyLost(s home.Session) error {
	_, keyErr := s.ReadKey()
	_, cardErr := s.ReadCard()
	if !errors.Is(keyErr, fs.ErrNotExist) || errors.Is(cardErr, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("%s has a card without its private.key: this identity is lost, unless you have a copy of the key; "+
		"move the card away to make another", s.ConfigDir())
}

func completeKey(s home.Session) (key identity.Key, fresh bool, err error) {
	key, err = s.ReadKey()
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	if err := keyLost(s); err != nil {
		return key, false, err
	}
	if key, err = identity.NewKey(); err != nil {
		return key, false, err
	}
	if err = s.CreateKey(key); errors.Is(err, fs.ErrExist) {
		key, err = s.ReadKey() // somebody was faster: this is who we are
		return key, false, err
	}
	return key, true, err
}

// completeTrust writes the own record where it is missing, or about an identity that this one has replaced.
func completeTrust(ctx context.Context, s home.Session, info identity.CardInfo, fresh bool) (changed bool, err error) {
	missing := func(t *canon.Spans) bool {
		raw, ok := t.Raw("agents", info.Handle)
		if !ok {
			return true
		}
		rec, err := canon.ParseObject(raw)
		if err != nil {
			return fresh
		}
		return rec["did"] != string(info.DID) && (fresh || identity.Tier(rec) == identity.TierAttested)
	}
	trust, err := s.ReadTrust()
	if err != nil || !missing(trust) {
		return false, err
	}
	self := canon.AppendPretty(nil, identity.SelfRecord(info, time.Now().UTC()), 2)
	return true, s.UpdateTrust(ctx, func(t *canon.Spans) error {
		if missing(t) {
			t.Set(self, "agents", info.Handle)
		}
		if _, ok := t.Raw("version"); !ok {
			t.Set([]byte("1"), "version")
		}
		return nil
	})
}

// hostHandle is the handle of an identity that is made because one is needed (identity.md 2.4).
func hostHandle() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "wire-user"
	}
	return strings.Map(func(r rune) rune {
		if identity.CheckHandle(string(r)) != nil {
			return '-'
		}
		return r
	}, name)
}

// Owner is a session's key and card, which must belong together: nothing is signed with a stranger's name.
func Owner(s home.Session) (identity.Key, canon.Doc, identity.CardInfo, error) {
	key, card, err := s.Identity()
	if err != nil {
		return identity.Key{}, nil, identity.CardInfo{}, err
	}
	info, err := identity.CheckKey(card, key)
	if err != nil {
		return identity.Key{}, nil, identity.CardInfo{}, &home.FileError{Path: s.CardFile(), Err: err}
	}
	return key, card, info, nil
}
