package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/spec"
)

// Look is Diff for who only looks: with what a watcher finds and an apply cannot better. It is what differs from the
// file; whoever counts that, counts here.
func Look(d *spec.Desired, o Observed) Plan { return withCrashes(d, o, Diff(d, o, Options{})) }

// withCrashes adds to a plan those who keep dying, also while one of them lives for a moment: it is over after a
// steady life. Whom the reference serves or nobody wants is none of them.
func withCrashes(d *spec.Desired, o Observed, p Plan) Plan {
	p.Blocked = slices.Clone(p.Blocked)
	for _, s := range d.Sessions {
		have := o.Session(s.Name)
		if s.Daemon && have.Crash.counts(have.Daemon) {
			p.Blocked = append(p.Blocked, Report{Subject: s.Name, Reason: daemonCrash(have.Crash), Advice: have.Crash.advice("`wire daemon` in its home")})
		}
		if s.Notify && have.NotifyCrash.counts(have.Notify) {
			p.Blocked = append(p.Blocked, Report{Subject: s.Name, Reason: notifierCrash(have.NotifyCrash), Advice: have.NotifyCrash.advice("`wire notify` in its home")})
		}
	}
	if r := o.Relay; d.LocalRelay.Managed && r.Crash.Deaths > 0 && (r.Fact == RelayDown || r.PID != 0) {
		p.Blocked = append(p.Blocked, Report{Subject: d.LocalRelay.URL, Reason: relayCrash(r.Crash), Advice: r.crashAdvice(d)})
	}
	return p
}

// The codes of those who keep dying.
const (
	daemonCrashing   = "daemon-crash-looping"
	notifierCrashing = "notify-crash-looping"
	relayCrashing    = "relay-crash-looping"
)

func daemonCrash(c Crash) Reason { return Reason{daemonCrashing, "its daemon " + c.dies(longestWait)} }

func notifierCrash(c Crash) Reason {
	return Reason{notifierCrashing, "its notifier " + c.dies(longestWait)}
}

func relayCrash(c Crash) Reason { return Reason{relayCrashing, "the relay " + c.dies(relayWait)} }

func (r RelayState) crashAdvice(d *spec.Desired) string {
	return r.Crash.advice("`wire relay-server --local-only --bind " + d.LocalRelay.Bind + "`")
}

func (c Crash) dies(longest time.Duration) string {
	return fmt.Sprintf("died %d times in a row; tried again every %s at most", c.Deaths, longest)
}

// counts says whether it is still so, whoever has the post now.
func (c Crash) counts(now census.Serving) bool {
	return c.Deaths > 0 && (now.Ours != nil || len(now.Others) == 0)
}

// advice is what there is to mend: why the last start failed, and how the log ends, where that does not say it; else
// what to run to see.
func (c Crash) advice(run string) string {
	switch {
	case c.Failed != "" && !strings.Contains(c.LogTail, c.Failed) && c.LogTail != "":
		return "mend why its last start failed: " + c.Failed + "; its log ends:\n" + c.LogTail
	case c.LogTail != "":
		return "mend what its log ends with:\n" + c.LogTail
	case c.Failed != "":
		return "mend why its last start failed: " + c.Failed
	}
	return "its log says nothing: " + run + " shows why"
}

// told says whether the plan has a start that says the same.
func (p Plan) told(r Report) bool {
	kind := StartDaemon
	switch r.Reason.Code {
	case daemonCrashing:
	case notifierCrashing:
		kind = StartNotify
	case relayCrashing:
		kind = StartRelay
	default:
		return false
	}
	return slices.ContainsFunc(slices.Concat(p.Changes, p.Held), func(c Change) bool { return c.Kind == kind && c.Subjects[0] == r.Subject })
}
