package census

import (
	"slices"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// Listed is one directory under the sessions root. Pointers are nil where there is nothing to say.
type Listed struct {
	Session   home.Session
	Cwd       *string // registered to it; the first in byte order if several
	DID       *string
	Handle    *string
	Serving   bool // a daemon is proven to serve it, ours or the reference's
	Endpoints []home.Endpoint
}

// Local are the endpoints on this machine's relays.
func (l Listed) Local() []home.Endpoint {
	var out []home.Endpoint
	for _, e := range l.Endpoints {
		if e.Scope == home.Local {
			out = append(out, e)
		}
	}
	return out
}

// List is every session of the machine, sorted by name. A registry that does not parse lists no directories.
func List(m home.Machine) ([]Listed, error) {
	sessions, err := m.Sessions()
	if err != nil {
		return nil, err
	}
	cwds := map[string]string{}
	if reg, err := m.Registry(); err == nil {
		for dir, name := range reg.ByCwd {
			if first, ok := cwds[name]; !ok || dir < first {
				cwds[name] = dir
			}
		}
	}
	table, tableErr := Table(m)
	out := make([]Listed, len(sessions))
	for i, s := range sessions {
		out[i] = listed(s, cwds)
		serving := ServingOf(s, table, tableErr)
		out[i].Serving = serving.Ours != nil || len(serving.Others) > 0
	}
	return out, nil
}

func listed(s home.Session, cwds map[string]string) Listed {
	l := Listed{Session: s}
	if dir, ok := cwds[s.Name]; ok {
		l.Cwd = &dir
	}
	if card, err := s.ReadCard(); err == nil {
		did, ok := card["did"].(string)
		if ok {
			l.DID = &did
		}
		if h, ok := card["handle"].(string); ok {
			l.Handle = &h
		} else if l.DID != nil {
			h := identity.DID(did).Handle()
			l.Handle = &h
		}
	}
	if rf, err := s.ReadRelay(); err == nil {
		l.Endpoints = rf.Self()
	}
	return l
}

// Sisters are the listed sessions with a slot on a relay of this machine, and the names of the others.
func Sisters(all []Listed) (local []Listed, federationOnly []string) {
	for _, l := range all {
		if len(l.Local()) > 0 {
			local = append(local, l)
		} else {
			federationOnly = append(federationOnly, l.Session.Name)
		}
	}
	slices.Sort(federationOnly)
	return local, federationOnly
}
