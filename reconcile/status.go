package reconcile

import (
	"cmp"
	"slices"
	"time"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/spec"
)

// Status is a fleet as it is, in the words that people and scripts read.
type Status struct {
	At        time.Time
	Relays    []RelayStatus // the local one first; the federation relay where a session reaches it
	Watcher   WatcherState
	Sessions  []SessionStatus // in file order
	Drift     []Change        // what apply would do
	Findings  []Report        // what it would not
	Unmanaged []string
	Converged bool // nothing differs from the file
}

// RelayStatus is one relay of the file.
type RelayStatus struct {
	URL   string
	State string // a RelayFact
	Why   string
	PID   int // 0 unless proven
}

// SessionStatus is one session of the file.
type SessionStatus struct {
	Name           string
	State          string // a HomeFact
	Why            string
	DID            string
	Daemon         DaemonFact
	DaemonPID      int    // 0: none
	DaemonVersion  string // "" if it is not known
	DaemonInterval int    // seconds; 0 if it is not known
	ByReference    bool   // that daemon is one of the reference's
	DaemonWhy      string // why none
	Notify         DaemonFact
	NotifyPID      int // 0: none
	NotifyWhy      string
	Slot           string // a SlotFact, or "absent"
	LastPull       *time.Time
	PeersHealthy   int // edges whose two pins are good
	PeersWanted    int
}

// DaemonFact is in one word who serves a session.
type DaemonFact string

// The states of a session's daemon.
const (
	DaemonRunning   DaemonFact = "running"   // ours
	DaemonReference DaemonFact = "reference" // one of the reference's
	DaemonHung      DaemonFact = "hung"      // there, and stopped (state T)
	DaemonDown      DaemonFact = "down"
	DaemonCrashing  DaemonFact = "crash-looping" // a watcher finds that it keeps dying
	DaemonUnknown   DaemonFact = "unknown"
)

// DaemonFacts and the like are all of them, for counters that start at zero.
var (
	DaemonFacts = []DaemonFact{DaemonRunning, DaemonReference, DaemonHung, DaemonDown, DaemonCrashing, DaemonUnknown}
	HomeFacts   = []HomeFact{HomeAbsent, HomePartial, HomeWhole, HomeBroken}
	Pins        = []pairing.Pin{
		pairing.PinGood, pairing.PinAbsent, pairing.PinHalf, pairing.PinPending, pairing.PinStale, pairing.PinConflict, pairing.PinUnknown,
	}
)

// StatusOf is pure: it puts what was observed beside what the file wants.
func StatusOf(d *spec.Desired, o Observed) Status {
	p := Look(d, o)
	st := Status{
		At:        o.Now,
		Relays:    []RelayStatus{relayStatus(d.LocalRelay.URL, o.Relay)},
		Watcher:   o.Watcher,
		Drift:     p.Changes,
		Findings:  slices.Concat(p.Blocked, p.Notes, Beside(d, o)),
		Unmanaged: p.Unmanaged,
		Converged: p.Converged() && (o.Watcher.Refused == "" || o.Watcher.Other),
	}
	if o.Federation.Fact != "" {
		st.Relays = append(st.Relays, relayStatus(d.Federation.URL, o.Federation))
	}
	wanted, healthy := map[string]int{}, map[string]int{}
	for _, e := range d.Edges {
		good := EdgeState(o, e[0], e[1]) == pairing.PinGood
		for _, name := range e {
			wanted[name]++
			if good {
				healthy[name]++
			}
		}
	}
	for _, w := range d.Sessions {
		have := o.Session(w.Name)
		st.Sessions = append(st.Sessions, statusOf(d, w, have, wanted[w.Name], healthy[w.Name]))
	}
	return st
}

func relayStatus(url string, r RelayState) RelayStatus {
	return RelayStatus{URL: url, State: string(r.Fact), Why: r.Why, PID: r.PID}
}

// DaemonOf is the state of a session's daemon.
func DaemonOf(have SessionState) DaemonFact { return factOf(have.Daemon, have.Crash) }

func factOf(s census.Serving, c Crash) DaemonFact {
	switch {
	case s.Ours != nil && s.Ours.Stopped, s.Ours == nil && len(s.Others) > 0 && s.Others[0].Stopped:
		return DaemonHung
	case c.counts(s) && s.Unknown == "":
		return DaemonCrashing
	case s.Ours != nil:
		return DaemonRunning
	case len(s.Others) > 0:
		return DaemonReference
	case s.Unknown != "":
		return DaemonUnknown
	}
	return DaemonDown
}

func statusOf(d *spec.Desired, w spec.Session, have SessionState, wanted, healthy int) SessionStatus {
	s := SessionStatus{
		Name: have.Name, State: string(have.Home), Why: have.Why, DID: have.DID, Daemon: DaemonOf(have),
		DaemonWhy: have.Daemon.Why, Slot: "absent", PeersWanted: wanted, PeersHealthy: healthy,
		Notify: factOf(have.Notify, have.NotifyCrash), NotifyWhy: cmp.Or(have.Notify.Unknown, have.Notify.Why),
	}
	if all := have.Notify.All(); len(all) > 0 {
		s.NotifyPID = all[0].PID
	}
	switch {
	case have.Daemon.Ours != nil:
		dm := have.Daemon.Ours
		s.DaemonPID, s.DaemonVersion, s.DaemonInterval = dm.PID, dm.Build, dm.Interval
	case len(have.Daemon.Others) > 0:
		dm := have.Daemon.Others[0]
		s.DaemonPID, s.DaemonVersion, s.DaemonInterval, s.ByReference = dm.PID, dm.Version, dm.Interval, true
	case have.Daemon.Unknown != "":
		s.DaemonWhy = have.Daemon.Unknown
	}
	place := place{home.Local, d.LocalRelay.URL}
	if w.Reach == spec.ReachFederation {
		place.scope, place.url = home.Federation, d.Federation.URL
	}
	for _, e := range have.Slots {
		if e.Scope == place.scope && e.URL == place.url {
			s.Slot, s.LastPull = string(e.Fact), e.LastPull
		}
	}
	return s
}
