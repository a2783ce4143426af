package health

import (
	"errors"
	"io/fs"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// HomeFact is how much of an identity a session's home holds.
type HomeFact string

// The states of a home.
const (
	HomeAbsent  HomeFact = "absent"
	HomePartial HomeFact = "partial" // a prefix of a create: what is missing can be made without loss
	HomeWhole   HomeFact = "whole"
	HomeBroken  HomeFact = "broken" // never overwritten: key and card disagree, a file does not parse, ...
)

// Identity says how much of an identity a home holds, whose it is ("" where that cannot be told), and what is
// missing or broken.
func Identity(s home.Session) (fact HomeFact, did, why string) {
	if fact, did, why = keyAndCard(s); fact != HomeWhole {
		return fact, did, why
	}
	// What the two big files hold is pairing.Look's to read, once. One too small for a record may be empty,
	// broken, or just being rewritten.
	if !s.HasTrust() {
		trust, err := s.ReadTrust()
		switch {
		case err != nil:
			return HomeBroken, did, err.Error()
		case len(trust.Keys("agents")) == 0:
			return HomePartial, did, "trust.json is missing or empty"
		}
	}
	fact, why = directories(s)
	return fact, did, why
}

// directories says whether all are there that a daemon, and whoever sends, has to find.
func directories(s home.Session) (fact HomeFact, why string) {
	switch lacks, err := s.Lacks(); {
	case err != nil:
		return HomeBroken, err.Error()
	case lacks != "":
		return HomePartial, "its " + lacks + " directory is missing"
	}
	return HomeWhole, ""
}

// keyAndCard is Identity without a look at whom it trusts.
func keyAndCard(s home.Session) (fact HomeFact, did, why string) {
	key, keyErr := s.ReadKey()
	card, cardErr := s.ReadCard()
	noKey, noCard := errors.Is(keyErr, fs.ErrNotExist), errors.Is(cardErr, fs.ErrNotExist)
	switch {
	case noKey && noCard:
		return HomePartial, "", "an empty home: no key, no card"
	case keyErr != nil && !noKey:
		return HomeBroken, "", keyErr.Error()
	case noKey:
		return HomeBroken, "", "a card without its private.key"
	case noCard:
		return HomePartial, string(identity.NewDID(s.Name, key.Public())), "a key without a card"
	case cardErr != nil:
		return HomeBroken, "", cardErr.Error()
	}
	info, err := identity.CheckOwner(card)
	switch {
	case err != nil:
		return HomeBroken, "", "agent-card.json: " + err.Error()
	case !info.Public.Equal(key.Public()):
		return HomeBroken, string(info.DID), "private.key and agent-card.json do not belong together"
	}
	return HomeWhole, string(info.DID), ""
}
