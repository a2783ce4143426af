package identity

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/canon"
)

// ProfileFields are the names a profile may have, in the order the reference lists them (identity.md 4.4).
// The slice is the caller's.
func ProfileFields() []string {
	return []string{"display_name", "emoji", "motto", "vibe", "pronouns", "avatar_url", "handle", "now", "listed", "role"}
}

// ProfileValue is the value a command line means: JSON where the text parses as such, else the text.
func ProfileValue(text string) any {
	if v, err := canon.Parse([]byte(text)); err == nil {
		return v
	}
	return text
}

// SetProfile returns a copy of card with one field of its profile set, signed anew (identity.md 4.4). The
// value nil removes the field. Error texts are the reference's.
func SetProfile(card canon.Doc, field string, value any, k Key) (canon.Doc, error) {
	if err := checkProfile(field, value); err != nil {
		return nil, err
	}
	profile := canon.Doc{}
	if old, exists := card["profile"]; exists {
		doc, ok := old.(canon.Doc)
		if !ok {
			return nil, errors.New("profile field is not an object")
		}
		maps.Copy(profile, doc)
	}
	if value == nil {
		delete(profile, field)
	} else {
		profile[field] = value
	}
	profile["schema_version"] = "v0.5"
	changed := maps.Clone(card)
	changed["profile"] = profile
	return SignCard(changed, k), nil
}

// ClearProfile is SetProfile with nothing; vibe and handle cannot be cleared.
func ClearProfile(card canon.Doc, field string, k Key) (canon.Doc, error) {
	return SetProfile(card, field, nil, k)
}

func checkProfile(field string, value any) error {
	if fields := ProfileFields(); !slices.Contains(fields, field) {
		return errors.New("unknown profile field " + Quote(field) + "; allowed: " + strings.Join(fields, ", "))
	}
	switch field {
	case "vibe":
		if _, ok := value.([]any); !ok {
			return errors.New("vibe must be a JSON array of strings")
		}
	case "now":
		if _, ok := value.(canon.Doc); !ok && value != nil {
			return errors.New("now must be a JSON object with text/since/ttl_secs or null")
		}
	case "handle":
		address, ok := value.(string)
		if !ok {
			return errors.New("handle must be a string")
		}
		_, _, err := ParseAddress(address)
		return err
	}
	return nil
}

// Role is the role that a card names, "" for none.
func Role(card canon.Doc) string {
	profile, _ := card["profile"].(canon.Doc)
	role, _ := profile["role"].(string)
	return role
}
