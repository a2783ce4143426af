// Package vitals is what a continuous mode shows of itself over HTTP: whether it is well, what it sees, how
// much it did.
//
// Law of the room: it keeps figures and knows no session, file or process; whoever watches tells it. It
// listens on loopback only and answers nobody who calls it by another name, so that no page in a browser can
// read it. Labels grow with sessions, never with edges, and every value that a label can have is there from
// the start. The exposition is written by hand: client_golang would cost each idle daemon, which is the same
// program, 0.6 MiB; VictoriaMetrics/metrics 0.13 MiB and 1 ms at each start, and it writes no help.
package vitals

import (
	"io"
	"maps"
	"runtime"
	"sync"
	"time"
)

// Words are the values that the labels can have.
type Words struct {
	Version                                string
	Triggers, Kinds, Results               []string
	SessionStates, DaemonStates, PinStates []string
}

// Vitals are the figures of one watcher. It is safe for concurrent use.
type Vitals struct {
	words Words

	mu     sync.Mutex
	at     time.Time // of the last pass
	failed error     // why it failed

	build, converged, sessions, daemons, edges, relay, drift, changes, passes, restarts, pulls, reload family
	duration                                                                                           histogram
}

// New are the figures before the first pass, for a file with these sessions.
func New(w Words, sessions []string) *Vitals {
	v := &Vitals{
		words:     w,
		build:     gauge("wire_build_info", "Always 1; which build this is.", "goversion", "version"),
		converged: gauge("wire_converged", "1 if nothing differs from the file."),
		sessions:  gauge("wire_sessions", "Sessions of the file, by the state of their home.", "state"),
		daemons:   gauge("wire_daemons", "Sessions of the file that shall have a daemon, by its state.", "state"),
		edges:     gauge("wire_edges", "Edges of the file's mesh, by state.", "state"),
		relay:     gauge("wire_relay_up", "1 if the file's local relay answers."),
		drift:     gauge("wire_drift", "Differences from the file, by what apply would do; none: what it cannot repair.", "kind"),
		changes:   counter("wire_changes_total", "Changes made or tried, by kind and what became of them.", "kind", "result"),
		passes:    counter("wire_passes_total", "Passes, by what woke them; one with several triggers counts for each.", "trigger"),
		restarts:  counter("wire_daemon_restarts_total", "Daemons that were started in place of another one.", "session"),
		pulls:     gauge("wire_slot_last_pull_timestamp_seconds", "When the session's slot was last pulled, as the last pass saw it; 0 if never.", "session"),
		reload:    gauge("wire_config_last_reload_successful", "1 if the file as it is now is in force, 0 if the last good one is."),
		duration:  histogram{name: "wire_pass_duration_seconds", help: "How long passes took.", bounds: passBounds},
	}
	v.build.set(1, runtime.Version(), w.Version)
	v.converged.set(0)
	v.relay.set(0)
	v.reload.set(1)
	v.sessions.all(w.SessionStates)
	v.daemons.all(w.DaemonStates)
	v.edges.all(w.PinStates)
	v.drift.all(append([]string{Unrepairable}, w.Kinds...))
	v.passes.all(w.Triggers)
	v.restarts.all(sessions)
	v.pulls.all(sessions)
	for _, kind := range w.Kinds {
		for _, result := range w.Results {
			v.changes.set(0, kind, result)
		}
	}
	return v
}

// Unrepairable is the kind of a difference that apply cannot remove.
const Unrepairable = "none"

// passBounds reach from an idle look at a small fleet to the limit of a pass.
var passBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

// State is a machine as a pass left it. Sessions are those of the file.
type State struct {
	Converged, RelayUp       bool
	Sessions, Daemons, Edges map[string]int // by state
	Drift                    map[string]int // by kind
	LastPull                 map[string]time.Time
}

// Passed is a pass that is over; a failed one leaves the state as it was.
func (v *Vitals) Passed(at time.Time, took time.Duration, triggers []string, failed error, s State) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at, v.failed = at, failed
	v.duration.observe(took.Seconds())
	for _, t := range triggers {
		v.passes.add(1, t)
	}
	if failed != nil {
		return
	}
	v.converged.set(number(s.Converged))
	v.relay.set(number(s.RelayUp))
	v.sessions.count(v.words.SessionStates, s.Sessions)
	v.daemons.count(v.words.DaemonStates, s.Daemons)
	v.edges.count(v.words.PinStates, s.Edges)
	v.drift.count(append([]string{Unrepairable}, v.words.Kinds...), s.Drift)
	v.pulls.keep(s.LastPull)
	v.restarts.keep(s.LastPull)
	for name, at := range s.LastPull {
		v.restarts.add(0, name)
		v.pulls.set(unix(at), name)
	}
}

// Changed is a change that is over.
func (v *Vitals) Changed(kind, result string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.changes.add(1, kind, result)
}

// Restarted is a daemon that took the place of another one.
func (v *Vitals) Restarted(session string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.restarts.add(1, session)
}

// Reloaded says whether the file as it is now is in force.
func (v *Vitals) Reloaded(ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reload.set(number(ok))
}

// Write is the exposition, in version 0.0.4 of the Prometheus text format.
func (v *Vitals) Write(w io.Writer) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := printer{}
	for _, f := range []*family{
		&v.build, &v.converged, &v.sessions, &v.daemons, &v.edges, &v.relay, &v.drift, &v.changes, &v.passes,
		&v.restarts, &v.pulls, &v.reload,
	} {
		p.family(f)
	}
	p.histogram(&v.duration)
	_, err := w.Write(p.Bytes())
	return err
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1e3
}

// keep drops the series of sessions that are not in now.
func (f *family) keep(now map[string]time.Time) {
	maps.DeleteFunc(f.values, func(l labels, _ float64) bool {
		_, ok := now[l[0]]
		return !ok
	})
}
