package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/spec"
)

// Exported is a wire.yaml for a machine as it is, and what of the machine it cannot say.
type Exported struct {
	File  *spec.File
	Notes []string // sessions left out and why
}

// Export describes the sessions of a machine. paired says whether two of them pin each other.
func Export(all []census.Listed, paired func(a, b string) bool) Exported {
	out := Exported{File: spec.NewFile()}
	url := commonRelay(all)
	var names []string
	for _, l := range all {
		local := l.FirstLocal() != ""
		switch {
		case l.DID == nil:
			out.Notes = append(out.Notes, l.Session.Name+" left out: it has no readable card")
			continue
		case len(l.Endpoints) == 0:
			out.Notes = append(out.Notes, l.Session.Name+" has no slot yet: apply gives it one")
		case local && trim(l.FirstLocal()) != url:
			out.Notes = append(out.Notes, fmt.Sprintf("%s has its slot on %s: apply moves it to %s", l.Session.Name, l.FirstLocal(), url))
		}
		s := spec.Entry{Name: l.Session.Name, Settings: out.File.Defaults}
		if l.Cwd != nil {
			s.Dir = *l.Cwd
		}
		federated := slices.ContainsFunc(l.Endpoints, func(e home.Endpoint) bool { return e.Scope == home.Federation })
		switch {
		case federated && local:
			s.Reach = spec.ReachBoth
		case federated:
			s.Reach = spec.ReachFederation
		}
		s.Daemon.On, s.Notify = l.Serving, l.Showing
		out.File.Sessions = append(out.File.Sessions, s)
		names = append(names, l.Session.Name)
	}
	if url != "" {
		out.File.Relays.Local.URL = url
	}
	out.File.Mesh = meshShape(names, paired)
	return out
}

// commonRelay is the local relay that most sessions use; ties go to the first in byte order.
func commonRelay(all []census.Listed) string {
	counts := map[string]int{}
	for _, l := range all {
		if u := trim(l.FirstLocal()); u != "" {
			counts[u]++
		}
	}
	best := ""
	for u, n := range counts {
		if best == "" || n > counts[best] || n == counts[best] && strings.Compare(u, best) < 0 {
			best = u
		}
	}
	return best
}

// meshShape is full, none, or one group for each pair.
func meshShape(names []string, paired func(a, b string) bool) spec.Mesh {
	var m spec.Mesh
	total := 0
	for i, a := range names {
		for _, b := range names[i+1:] {
			total++
			if paired(a, b) {
				m.Groups = append(m.Groups, []string{a, b})
			}
		}
	}
	if len(m.Groups) == total {
		return spec.Mesh{Full: true}
	}
	return m
}
