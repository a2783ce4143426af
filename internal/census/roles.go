package census

import (
	"slices"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// Sister is a session under the sessions root and the role that its card names (cli.md 2.29).
type Sister struct {
	Name   string // directory
	Handle string // "" without a readable card
	Role   string // "" for none
	Self   bool   // its card has the DID of the session that asks
}

// Roles are all sessions of the machine by name, as asked by the session self.
func Roles(m home.Machine, self home.Session) ([]Sister, error) {
	sessions, err := m.Sessions()
	if err != nil {
		return nil, err
	}
	own, _ := self.ReadCard() // without one nobody is self
	me, _ := own["did"].(string)
	out := make([]Sister, len(sessions))
	for i, s := range sessions {
		out[i].Name = s.Name
		card, err := s.ReadCard()
		if err != nil {
			continue
		}
		did, _ := card["did"].(string)
		out[i].Handle, out[i].Role = handleOf(card), identity.Role(card)
		out[i].Self = did != "" && did == me
	}
	return out, nil
}

// InRole are the handles of those sisters, sorted, but for the session that asks.
func InRole(all []Sister, role string) []string {
	var out []string
	for _, s := range all {
		if s.Role == role && s.Handle != "" && !s.Self {
			out = append(out, s.Handle)
		}
	}
	slices.Sort(out)
	return out
}

func handleOf(card canon.Doc) string {
	if h, ok := card["handle"].(string); ok {
		return h
	}
	did, _ := card["did"].(string)
	return identity.DID(did).Handle()
}
