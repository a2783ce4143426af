package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/spec"
)

// Difference is one thing in which a machine differs from its file.
type Difference struct {
	Subject  string
	Sessions []string // that it concerns
	Wanted   string
	Seen     string
	Reason   Reason
	Apply    Kind   // what apply would do about it; "" if it cannot repair it
	Ask      string // then whom to ask or what to do; also what else there is to say, of several lines
}

// Differences is a plan of Diff as differences, one for each edge of a mesh; what apply cannot repair comes
// last.
func Differences(d *spec.Desired, o Observed, p Plan) []Difference {
	var out []Difference
	for _, c := range slices.Concat(p.Changes, p.Held) {
		if len(c.Pairs) > 0 {
			for _, pair := range c.Pairs {
				out = append(out, ofPair(o, c, pair))
			}
			continue
		}
		x := Difference{Subject: c.Subjects[0], Reason: c.Reason, Apply: c.Kind}
		x.Wanted, x.Seen = sides(d, o, c)
		if c.Kind != StartRelay && c.Kind != RestartRelay && c.Kind != StopRelay {
			x.Sessions = c.Subjects
		}
		switch have := o.Session(c.Subjects[0]); c.Reason.Code {
		case daemonCrashing:
			x.Ask = have.Crash.advice("`wire daemon` in its home")
		case relayCrashing:
			x.Ask = o.Relay.crashAdvice(d)
		case notifierCrashing:
			x.Ask = have.NotifyCrash.advice("`wire notify` in its home")
		}
		out = append(out, x)
	}
	for _, r := range p.Blocked {
		if !p.told(r) {
			out = append(out, ofReport(o, r))
		}
	}
	return out
}

func ofPair(o Observed, c Change, p Pair) Difference {
	x := Difference{
		Subject: p.A + "-" + p.B, Sessions: []string{p.A, p.B}, Reason: p.Reason, Apply: c.Kind,
		Wanted: "paired", Seen: pairSeen(o, p.A, p.B),
	}
	if c.Kind == RemovePins {
		x.Wanted, x.Seen = "not paired", "paired"
	}
	return x
}

// pairSeen is the state of an edge in one word: that of its two pins where they are alike, else half, or the
// one that is not good.
func pairSeen(o Observed, a, b string) string { return string(EdgeState(o, a, b)) }

// EdgeState is the state of the edge between two sessions, from its two pins.
func EdgeState(o Observed, a, b string) pairing.Pin {
	x, y := o.Mesh.At(a, b).State, o.Mesh.At(b, a).State
	for _, worst := range []pairing.Pin{pairing.PinConflict, pairing.PinUnknown, pairing.PinStale, pairing.PinPending, pairing.PinHalf} {
		if x == worst || y == worst {
			return worst
		}
	}
	if x != y {
		return pairing.PinHalf // one is absent
	}
	return x
}

// sides are what the file wants and what is there.
func sides(d *spec.Desired, o Observed, c Change) (wanted, seen string) {
	have := o.Session(c.Subjects[0])
	w := sessionOf(d, c.Subjects[0])
	switch c.Kind {
	case StartRelay, RestartRelay:
		if c.Reason.Code == "relay-elsewhere" {
			return "relay on " + d.LocalRelay.Bind, "relay on " + o.Relay.Elsewhere.Bind
		}
		return "relay up", "relay " + string(o.Relay.Fact)
	case CreateSession:
		return "session whole", "session " + string(have.Home)
	case AllocateSlot:
		return "slot on " + c.Relay, slotSeen(have, c)
	case ClaimHandle:
		return "handle " + w.Handle, "handle " + claimSeen(have.Claim)
	case RegisterDir:
		if holder, ok := o.ByCwd[w.Dir]; ok {
			return w.Dir + " registered to it", "registered to " + holder
		}
		return w.Dir + " registered to it", "not registered"
	case StartDaemon:
		return "daemon running", "daemon down"
	case RestartDaemon:
		return restartSides(w, have, c)
	case StopDaemon:
		return "no daemon", daemonSeen(have)
	case StopLeftover:
		return "no daemon of an earlier session", daemonSeen(have)
	case MendRecord:
		return "a whole record", "half a record"
	case DropRequests:
		return "no answered request", "requests of " + strings.Join(have.Remains.Answered, ", ")
	case StopRelay:
		return "no relay", "relay " + string(o.Relay.Fact)
	case StopAll:
		return "no daemon", daemonSeen(have)
	case StopDuplicate:
		return "one daemon", fmt.Sprintf("%d daemons", len(have.Daemon.All()))
	case StartNotify:
		return "notifier running", "notifier down"
	case RestartNotify:
		if c.Reason.Code == "notify-hung" {
			return "notifier running", "notifier stopped"
		}
		return "notifier of this executable", "notifier of " + have.Notify.Ours.Exe
	case StopNotify:
		return "no notifier", fmt.Sprintf("notifier %d", have.Notify.Ours.PID)
	case DestroySession:
		return "no session", "session " + string(have.Home)
	}
	return string(c.Kind), notSaid
}

// notSaid is what a change of a kind without words sees: a test finds it.
const notSaid = "not so"

func sessionOf(d *spec.Desired, name string) spec.Session {
	for _, s := range d.Sessions {
		if s.Name == name {
			return s
		}
	}
	return spec.Session{Name: name}
}

func slotSeen(have SessionState, c Change) string {
	for _, e := range have.Slots {
		if e.URL == c.Relay {
			return "slot " + string(e.Fact)
		}
	}
	if c.Reason.Code == "slot-elsewhere" {
		return "slot elsewhere"
	}
	return "no slot"
}

func claimSeen(c ClaimState) string {
	if c.Fact == "" {
		return "not claimed"
	}
	return string(c.Fact)
}

func daemonSeen(have SessionState) string {
	for _, dm := range have.Daemon.All() {
		return fmt.Sprintf("daemon %d", dm.PID)
	}
	return "daemon down"
}

func restartSides(w spec.Session, have SessionState, c Change) (wanted, seen string) {
	switch c.Reason.Code {
	case "daemon-executable":
		return "daemon of this executable", "daemon of " + have.Daemon.Ours.Exe
	case "daemon-interval":
		return "interval " + w.Interval.String(), fmt.Sprintf("interval %ds", have.Daemon.Ours.Interval)
	case "daemon-takeover":
		return "daemon of ours", "daemon of the reference"
	case "daemon-hung":
		return "daemon running", "daemon stopped"
	}
	return "daemon pulling", "daemon silent"
}

// ofReport is what apply cannot repair.
func ofReport(o Observed, r Report) Difference {
	x := Difference{Subject: r.Subject, Sessions: []string{r.Subject}, Reason: r.Reason, Ask: r.Advice, Wanted: "as the file says", Seen: r.Reason.Code}
	have := o.Session(r.Subject)
	switch r.Reason.Code {
	case "home-broken":
		x.Wanted, x.Seen = "session whole", "session "+string(have.Home)
	case "home-twin":
		x.Wanted, x.Seen = "an identity of its own", "that of another session"
	case "relay-down", "relay-silent", "relay-elsewhere", relayCrashing, "port-taken":
		x.Sessions = nil
		x.Wanted, x.Seen = "relay up", "relay "+strings.TrimPrefix(strings.ReplaceAll(r.Reason.Code, "port-taken", "stranger"), "relay-")
	case "slot-blocked":
		x.Wanted, x.Seen = "a slot", "no slot"
	case "handle-taken":
		x.Wanted, x.Seen = "its handle", "handle "+string(have.Claim.Fact)
	case "registry-unreadable":
		x.Sessions = r.Sessions
		x.Wanted, x.Seen = "a registry", "unreadable"
	case "dir-conflict":
		x.Wanted, x.Seen = "its dir", "dir of another session"
	case "daemon-pairing":
		x.Wanted, x.Seen = "daemon of ours", "daemon of the reference"
	case "daemon-unknown":
		x.Wanted, x.Seen = "daemon running", "unknown"
	case "notify-unknown":
		x.Wanted, x.Seen = "notifier running", "unknown"
	case notifierCrashing:
		x.Wanted, x.Seen = "notifier running", "notifier crash-looping"
	case daemonCrashing:
		x.Wanted, x.Seen = "daemon running", "daemon crash-looping"
	case "edge-conflict", "edge-unknown":
		x.Sessions = r.Sessions
		x.Wanted, x.Seen = "paired", strings.TrimPrefix(r.Reason.Code, "edge-")
	}
	return x
}
