package census

import (
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/process"
)

// Listed is one directory under the sessions root. Pointers are nil where there is nothing to say.
type Listed struct {
	Session   home.Session
	Cwd       *string // registered to it; the first in byte order if several
	DID       *string
	Handle    *string
	Serving   bool // a daemon is proven to serve it, ours or the reference's
	Showing   bool // a notifier of ours shows what arrives there; only in a List
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

// FirstLocal is the URL of a session's first local endpoint, "" if it has none.
func (l Listed) FirstLocal() string {
	if local := l.Local(); len(local) > 0 {
		return local[0].RelayURL
	}
	return ""
}

// PinnedAs is the key under which other sessions keep this one in relay.json: its handle, which may differ from
// its directory's name (field-failures.md B12).
func (l Listed) PinnedAs() string {
	if l.Handle != nil {
		return *l.Handle
	}
	return l.Session.Name
}

// workers is how many sessions are read at the same time.
const workers = 8

// Roll is every session of the machine, sorted by name, without its endpoints, for relay.json is by far the
// largest file of a session that has many sisters. A registry that does not parse lists no directories.
func Roll(m home.Machine) ([]Listed, error) {
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
	// Only who does not hold a life lock has to be looked for among all processes.
	table := sync.OnceValues(func() ([]process.Info, error) { return Table(m) })
	out := make([]Listed, len(sessions))
	var g errgroup.Group
	g.SetLimit(workers)
	for i, s := range sessions {
		g.Go(func() error {
			out[i] = listed(s, cwds)
			out[i].Serving = served(s, table)
			return nil
		})
	}
	return out, g.Wait()
}

// List is Roll with the endpoints and the notifiers.
func List(m home.Machine) ([]Listed, error) {
	all, err := Roll(m)
	if err != nil {
		return nil, err
	}
	var g errgroup.Group
	g.SetLimit(workers)
	for i := range all {
		g.Go(func() error {
			if rf, err := all[i].Session.ReadRelay(); err == nil {
				all[i].Endpoints = rf.Self()
			}
			_, held, proven, err := process.ReadLife(all[i].Session.NotifyLife())
			all[i].Showing = err == nil && held && proven
			return nil
		})
	}
	return all, g.Wait()
}

// served says whether anybody is proven to serve a session.
func served(s home.Session, table func() ([]process.Info, error)) bool {
	if _, held, proven, err := process.ReadLife(s.DaemonLife()); err != nil || held {
		return err == nil && proven
	}
	list, err := table()
	return err == nil && len(others(s, process.Daemon, list, 0)) > 0
}

// Names are those of the sessions, sorted; no file of theirs is read.
func Names(m home.Machine) ([]string, error) {
	sessions, err := m.Sessions()
	names := make([]string, len(sessions))
	for i, s := range sessions {
		names[i] = s.Name
	}
	return names, err
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
