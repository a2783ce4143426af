package verbs

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"wirefleet.dev/wire/actuators"
	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// What became of a pair (reference/cli.md 1.4).
const (
	Paired        = "paired"         // its pins were missing, half or stale, and are good now
	AlreadyPaired = "already_paired" // all four pins were good
	PairFailed    = "failed"
)

// PairResult is one edge of the mesh; From comes before To by name.
type PairResult struct {
	From, To string
	Status   string
	Err      error // where it failed
}

// PairAll pairs all sisters with each other: each edge whose four pins are not what the two sessions' own cards
// and endpoints say is written anew. No relay is asked for that, so a dead one unpairs nobody. Afterwards each
// slot of a session that was touched is listed once, so that a mesh status right after shows its pull; settle
// bounds how long that may take.
//
// Results stand in pair order. A pair that failed is a result, not an error.
func (s Site) PairAll(ctx context.Context, sisters []census.Listed, settle time.Duration) ([]PairResult, error) {
	unlock, err := s.lock(ctx, "session pair-all-local")
	if err != nil {
		return nil, err
	}
	defer unlock()
	d := &spec.Desired{}
	alias := map[string]bool{}
	for i, a := range sisters {
		if alias[a.Session.Name] = a.Session.Alias(); !alias[a.Session.Name] {
			d.Sessions = append(d.Sessions, spec.Session{Name: a.Session.Name})
		}
		for _, b := range sisters[i+1:] {
			d.Edges = append(d.Edges, [2]string{a.Session.Name, b.Session.Name})
		}
	}
	var first *reconcile.Observed
	sum, err := s.run(ctx, reconcile.Runner{
		Observe: reconcile.Observer{Machine: s.Machine, Client: s.Client, Desired: d}.Observe,
		Diff: func(o reconcile.Observed) reconcile.Plan {
			if first == nil {
				first = &o
			}
			return reconcile.Weave(d, o)
		},
	}, actuators.Site{Desired: d})
	if err != nil {
		return nil, err
	}
	results := pairResults(d, *first, sum)
	for i := range results {
		for _, name := range []string{results[i].From, results[i].To} {
			if alias[name] {
				results[i].Status, results[i].Err = PairFailed, errors.New(name+" is a link: another name of a session, none of its own")
			}
		}
	}
	s.touch(ctx, sisters, results, settle)
	return results, nil
}

// pairResults says of each edge what the run made of it.
func pairResults(d *spec.Desired, before reconcile.Observed, sum reconcile.Summary) []PairResult {
	planned, failed := map[[2]string]bool{}, map[[2]string]error{}
	for _, r := range sum.Results {
		var partial *reconcile.Partial
		switch {
		case r.Err == nil:
		case errors.As(r.Err, &partial):
			for _, f := range partial.Failed {
				failed[[2]string{f.Pair.A, f.Pair.B}] = f.Err
			}
		default:
			for _, p := range r.Change.Pairs {
				failed[[2]string{p.A, p.B}] = r.Err
			}
		}
		for _, p := range r.Change.Pairs {
			planned[[2]string{p.A, p.B}] = true
		}
	}
	for _, c := range sum.Remaining.Changes {
		for _, p := range c.Pairs {
			if edge := [2]string{p.A, p.B}; failed[edge] == nil {
				failed[edge] = errors.New(p.Reason.Text)
			}
		}
	}
	blocked := map[string]error{}
	for _, b := range sum.Remaining.Blocked {
		text := b.Reason.Text
		if b.Advice != "" {
			text += "; " + b.Advice
		}
		blocked[b.Subject] = errors.New(text)
	}
	results := make([]PairResult, len(d.Edges))
	for i, e := range d.Edges {
		r := PairResult{From: e[0], To: e[1], Status: AlreadyPaired}
		switch good := pairing.PinGood; {
		case failed[e] != nil:
			r.Status, r.Err = PairFailed, failed[e]
		case planned[e]:
			r.Status = Paired
		case before.Mesh.At(e[0], e[1]).State != good || before.Mesh.At(e[1], e[0]).State != good:
			r.Status, r.Err = PairFailed, why(before, e, blocked[e[0]+"-"+e[1]])
		}
		results[i] = r
	}
	return results
}

// why is the reason why nothing was planned for an edge that is not good.
func why(o reconcile.Observed, edge [2]string, blocked error) error {
	if blocked != nil {
		return blocked
	}
	for _, name := range edge {
		switch st := o.Session(name); {
		case st.Home == reconcile.HomeAbsent:
			return errors.New(name + ": gone meanwhile")
		case st.Home != reconcile.HomeWhole:
			return errors.New(name + ": " + st.Why)
		case len(st.Slots) == 0:
			return errors.New(name + ": no slot")
		}
	}
	return errors.New(o.Mesh.At(edge[0], edge[1]).Why + "; " + o.Mesh.At(edge[1], edge[0]).Why)
}

// touchTime is the least that the listing at the end may take, however short a time to settle was given.
const touchTime = 5 * time.Second

// touch lists the slots of every session that has been paired just now. A relay that does not answer has no
// pull to show.
func (s Site) touch(ctx context.Context, sisters []census.Listed, results []PairResult, settle time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, max(settle, touchTime))
	defer cancel()
	var all sync.WaitGroup
	slots := make(chan struct{}, 16)
	for _, l := range sisters {
		paired := slices.ContainsFunc(results, func(r PairResult) bool {
			return r.Status == Paired && (r.From == l.Session.Name || r.To == l.Session.Name)
		})
		if !paired {
			continue
		}
		for _, e := range l.Endpoints {
			slots <- struct{}{}
			all.Go(func() {
				defer func() { <-slots }()
				_, _ = s.Client.List(ctx, slotOf(e), "", 1)
			})
		}
	}
	all.Wait()
}

func slotOf(e home.Endpoint) client.Slot {
	return client.Slot{URL: e.RelayURL, ID: e.SlotID, Token: e.SlotToken}
}
