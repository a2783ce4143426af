package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/spec"
)

// Beside is what else drift and status report of a machine. It is none of the file's business and nothing that an
// apply could do better, so plan and apply do not say it every time.
func Beside(d *spec.Desired, o Observed) []Report {
	var out []Report
	add := func(subject, code, text, advice string) {
		out = append(out, Report{Subject: subject, Reason: Reason{code, text}, Advice: advice})
	}
	local := slices.ContainsFunc(d.Sessions, func(s spec.Session) bool { return s.Reach.Locally() })
	if n := len(o.Neighbours); n > 0 && local {
		add(d.LocalRelay.URL, "relay-neighbours",
			fmt.Sprintf("%s of this machine can reach it, too: %s", people(n), strings.Join(o.Neighbours[:min(n, 5)], ", ")),
			neighboursAdvice)
	}
	for _, s := range d.Sessions {
		have := o.Session(s.Name)
		if have.MarkFault != "" {
			add(s.Name, "marker-unreadable", have.MarkFault, "repair it or move it away: as long as it says nothing, the session counts as one that no apply created")
		}
		if d := have.Daemon; d.Ours == nil && len(d.Others) > 0 && d.Others[0].Unrecorded != "" {
			add(s.Name, "daemon-unrecorded", fmt.Sprintf("%s, so that wire 0.6.10 takes its daemon, pid %d, for dead", d.Others[0].Unrecorded, d.Others[0].PID),
				"start no other one; `wire upgrade` in its home replaces it by one that keeps its record")
		}
		if have.Remains.Quarantined {
			add(s.Name, "events-waiting", "events wait in its quarantine: nobody is pinned who signed them, or this version does not know them",
				"`wire doctor` in its home says whose they are, and what lets them in")
		}
		for _, file := range have.Remains.Stray {
			add(s.Name, "outbox-stray", fmt.Sprintf("outbox/%s is never sent: nobody is pinned under that name", file), strayAdvice(file))
		}
	}
	for _, t := range twins(d, o) {
		add(t.of, "home-twin", t.err.Error(), t.err.Advice())
	}
	reg := home.Registry{ByCwd: o.ByCwd}
	for _, name := range o.Names() {
		if shared := reg.Shared(name); shared != nil {
			add(name, "dir-shared", "it is the session of "+home.SharedBy(shared), "`wire session new NAME` in one of them gives it a session of its own")
		}
	}
	return out
}

// neighboursAdvice is all that can be done where others reach a relay on loopback (field-failures S1).
const neighboursAdvice = "run it on a machine, or in a container, of your own: what is in a slot takes its token, which only you can read, but anybody can allocate slots and fill the disk"

// twin is a session of the file whose handle one that is not in it has, too.
type twin struct {
	of  string
	err *pairing.TwinError
}

// twins are those that the mesh does not meet, for only sessions of the file are in it (field-failures B9, B13, D12).
func twins(d *spec.Desired, o Observed) []twin {
	listed := make(map[string]string, len(d.Sessions)) // by handle
	names := make(map[string]bool, len(d.Sessions))
	for _, s := range d.Sessions {
		names[s.Name] = true
		if have := o.Session(s.Name); have.DID != "" && !have.Link {
			listed[identity.DID(have.DID).Handle()] = s.Name
		}
	}
	var out []twin
	for _, name := range o.Names() {
		have := o.Session(name)
		if names[name] || have.DID == "" || have.Link {
			continue
		}
		handle := identity.DID(have.DID).Handle()
		if of, ok := listed[handle]; ok {
			out = append(out, twin{of, &pairing.TwinError{Handle: handle, Names: []string{of, name}, SameDID: o.Session(of).DID == have.DID}})
		}
	}
	return out
}

func people(n int) string {
	if n == 1 {
		return "somebody else"
	}
	return fmt.Sprintf("%d other people", n)
}
