package reconcile

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/spec"
)

// Goal is what can be waited for: GoalConverged, GoalDaemons, GoalMesh, or the name of a session.
type Goal string

// The goals that are no session.
const (
	GoalConverged Goal = "converged" // nothing differs from the file
	GoalDaemons   Goal = "daemons"   // each session that shall have a daemon is served by one
	GoalMesh      Goal = "mesh"      // each edge is good, and its ends keep their slots
)

// Missing is what stands between a machine and a goal; a session is reached when nothing differs that concerns
// it, the relays included.
func Missing(d *spec.Desired, o Observed, goal Goal) []Difference {
	all := Differences(d, o, Look(d, o))
	switch goal {
	case GoalConverged:
		return all
	case GoalDaemons:
		return missingDaemons(d, o, all)
	case GoalMesh:
		return missingEdges(d, o, all)
	}
	return slices.DeleteFunc(all, func(x Difference) bool {
		return len(x.Sessions) > 0 && !slices.Contains(x.Sessions, string(goal))
	})
}

// missingDaemons goes by who is there: one that only differs, by interval or executable, serves.
func missingDaemons(d *spec.Desired, o Observed, all []Difference) []Difference {
	var out []Difference
	for _, s := range d.Sessions {
		fact := DaemonOf(o.Session(s.Name))
		if !s.Daemon || fact == DaemonRunning || fact == DaemonReference {
			continue
		}
		x := Difference{Subject: s.Name, Sessions: []string{s.Name}, Wanted: "daemon running", Seen: "daemon " + string(fact)}
		x.Reason = Reason{"daemon-" + string(fact), o.Session(s.Name).Daemon.Why}
		if i := slices.IndexFunc(all, func(y Difference) bool {
			return y.Subject == s.Name && (y.Apply == StartDaemon || y.Apply == RestartDaemon || y.Reason.Code == daemonCrashing)
		}); i >= 0 {
			x = all[i]
		}
		out = append(out, x)
	}
	return out
}

func missingEdges(d *spec.Desired, o Observed, all []Difference) []Difference {
	var out []Difference
	for _, e := range d.Edges {
		i := slices.IndexFunc(all, func(y Difference) bool { return slices.Equal(y.Sessions, e[:]) })
		switch state := EdgeState(o, e[0], e[1]); {
		case i >= 0:
			out = append(out, all[i])
		case state != pairing.PinGood:
			out = append(out, Difference{
				Subject: e[0] + "-" + e[1], Sessions: e[:], Wanted: "paired", Seen: string(state),
				Reason: Reason{"edge-" + string(state), fmt.Sprintf("%s or %s cannot be paired yet", e[0], e[1])},
			})
		}
	}
	return out
}

// Vigil waits for a goal and only looks.
type Vigil struct {
	Machine home.Machine
	Desired *spec.Desired
	Observe func(context.Context) (Observed, error)
	Goal    Goal
}

// How often a vigil looks. Files, deaths and the passes of a watcher wake it; what tells nobody is seen at the
// next look.
const (
	vigilLook  = time.Second
	vigilQuiet = 20 * time.Millisecond // between two looks, for changes come in bursts
)

// Wait looks until the goal is reached and returns nothing then, or for that long: then it returns what was
// missing at the last look. first is told what the first look found, which is never cut short. An error is a
// machine that could not be observed.
func (v Vigil) Wait(ctx context.Context, long time.Duration, first func(Observed, []Difference)) ([]Difference, error) {
	limited, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	q := newQueue()
	f := newFollower(q.ask)
	f.passes = filepath.Base(v.Machine.WatchLife())
	defer f.close()
	missing, err := v.look(ctx, q, f)
	if err != nil {
		return nil, err
	}
	first(missing.seen, missing.all)
	for len(missing.all) > 0 && pause(limited, q) {
		now, err := v.look(limited, q, f)
		switch {
		case limited.Err() != nil:
			return missing.all, nil
		case err != nil:
			return nil, err
		}
		missing = now
	}
	return missing.all, nil
}

type looked struct {
	seen Observed
	all  []Difference
}

func (v Vigil) look(ctx context.Context, q *queue, f *follower) (looked, error) {
	// Without a file watch there is still the clock.
	_, _ = f.watchFiles("", dirsOf(v.Machine, names(v.Desired)))
	q.take()
	o, err := v.Observe(ctx)
	if err != nil {
		return looked{}, err
	}
	f.watchProcesses(names(v.Desired), o)
	return looked{o, Missing(v.Desired, o, v.Goal)}, nil
}

// pause lasts until something happened, and a little longer.
func pause(ctx context.Context, q *queue) bool {
	for _, wait := range []struct {
		bell <-chan struct{}
		long time.Duration
	}{{q.bell, vigilLook}, {nil, vigilQuiet}} {
		select {
		case <-ctx.Done():
			return false
		case <-wait.bell:
		case <-time.After(wait.long):
		}
	}
	return true
}
