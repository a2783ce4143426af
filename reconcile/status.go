package reconcile

import (
	"slices"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/spec"
)

// Status is a fleet as it is, in the words that people and scripts read.
type Status struct {
	At        time.Time
	Relay     RelayStatus
	Sessions  []SessionStatus // in file order
	Drift     []Change        // what apply would do
	Findings  []Report        // what it would not
	Unmanaged []string
	Converged bool // nothing differs from the file
}

// RelayStatus is the local relay of the file.
type RelayStatus struct {
	URL   string
	State string // a RelayFact
	Why   string
	PID   int // 0 unless proven
}

// SessionStatus is one session of the file.
type SessionStatus struct {
	Name          string
	State         string // a HomeFact
	Why           string
	DID           string
	DaemonPID     int // 0: none
	DaemonVersion string
	DaemonWhy     string // why none
	Slot          string // a SlotFact, or "absent"
	LastPull      *time.Time
	PeersHealthy  int // edges whose two pins are good
	PeersWanted   int
}

// StatusOf is pure: it puts what was observed beside what the file wants.
func StatusOf(d *spec.Desired, o Observed) Status {
	p := Diff(d, o, Options{})
	st := Status{
		At:        o.Now,
		Relay:     RelayStatus{URL: d.LocalRelay.URL, State: string(o.Relay.Fact), Why: o.Relay.Why, PID: o.Relay.PID},
		Drift:     p.Changes,
		Findings:  slices.Concat(p.Blocked, p.Notes),
		Unmanaged: p.Unmanaged,
		Converged: p.Empty() && len(p.Blocked) == 0,
	}
	wanted, healthy := map[string]int{}, map[string]int{}
	for _, e := range d.Edges {
		good := o.Mesh.At(e[0], e[1]).State == pairing.PinGood && o.Mesh.At(e[1], e[0]).State == pairing.PinGood
		for _, name := range e {
			wanted[name]++
			if good {
				healthy[name]++
			}
		}
	}
	for _, w := range d.Sessions {
		st.Sessions = append(st.Sessions, statusOf(d, o.Session(w.Name), wanted[w.Name], healthy[w.Name]))
	}
	return st
}

func statusOf(d *spec.Desired, have SessionState, wanted, healthy int) SessionStatus {
	s := SessionStatus{
		Name: have.Name, State: string(have.Home), Why: have.Why, DID: have.DID,
		DaemonWhy: have.Daemon.Why, Slot: "absent", PeersWanted: wanted, PeersHealthy: healthy,
	}
	switch {
	case have.Daemon.Ours != nil:
		s.DaemonPID, s.DaemonVersion = have.Daemon.Ours.PID, have.Daemon.Ours.Build
	case len(have.Daemon.Others) > 0:
		s.DaemonPID, s.DaemonVersion = have.Daemon.Others[0].PID, "of the reference"
	case have.Daemon.Unknown != "":
		s.DaemonWhy = have.Daemon.Unknown
	}
	for _, e := range have.Slots {
		if e.Scope == home.Local && e.URL == d.LocalRelay.URL {
			s.Slot, s.LastPull = string(e.Fact), e.LastPull
		}
	}
	return s
}
