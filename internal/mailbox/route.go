package mailbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// RouteOptions are those of `wire mesh route` (cli.md 2.31).
type RouteOptions struct {
	Role     string
	Sisters  []string // handles of the sister sessions whose card has the role
	Body     any      // canon value
	Kind     string
	Strategy string // "round-robin", "first" or "random", in any case
	Exclude  []string
}

// Routed is what became of one.
type Routed struct {
	Delivery
	Candidates []string // sorted
	Strategy   string   // in lower case
}

// Route queues one event for one of the pinned sisters that have the role, and posts it. Errors are those
// that send nothing: nobody has the role, an unknown strategy, a body that Send refuses.
func (b *Box) Route(ctx context.Context, o RouteOptions, now time.Time) (Routed, error) {
	p, err := b.pen()
	if err != nil {
		return Routed{}, err
	}
	out := Routed{Strategy: strings.ToLower(o.Strategy)}
	if !slices.Contains([]string{roundRobin, "first", "random"}, out.Strategy) {
		return Routed{}, fmt.Errorf("unknown strategy `%s` — use round-robin | first | random", o.Strategy)
	}
	relay, err := b.home.ReadRelay()
	if err != nil {
		return Routed{}, err
	}
	pinned := relay.Peers()
	for _, h := range o.Sisters {
		if _, ok := slices.BinarySearch(pinned, h); ok && !named(o.Exclude, h) {
			out.Candidates = append(out.Candidates, h)
		}
	}
	slices.Sort(out.Candidates)
	out.Candidates = slices.Compact(out.Candidates)
	if len(out.Candidates) == 0 {
		return Routed{}, fmt.Errorf("no pinned sister with role=`%s` — `wire mesh role list` shows who has which", o.Role)
	}
	to, err := b.choose(ctx, o.Role, out)
	if err != nil {
		return Routed{}, err
	}
	l, err := b.write(p, Outgoing{Peer: to, Kind: o.Kind, Body: canon.Doc{
		"content": o.Body, "routed_via": canon.Doc{"role": o.Role, "strategy": out.Strategy},
	}}, now)
	if err != nil {
		return Routed{}, err
	}
	done, err := b.direct(ctx, []parcel{{letter: l, routes: usable(relay, to)}})
	if err != nil {
		return Routed{}, err
	}
	out.Delivery = done[0]
	return out, nil
}

const roundRobin = "round-robin"

// choose takes one of the candidates. Round-robin goes on behind the one that was chosen last and records
// its choice before anything is sent: two routes at once take two of them.
func (b *Box) choose(ctx context.Context, role string, r Routed) (to string, err error) {
	switch r.Strategy {
	case "first":
		return r.Candidates[0], nil
	case "random":
		return r.Candidates[rand.IntN(len(r.Candidates))], nil
	}
	err = b.home.UpdateRouteCursor(ctx, func(last map[string]string) {
		i, found := slices.BinarySearch(r.Candidates, last[role])
		if found {
			i++
		}
		to = r.Candidates[i%len(r.Candidates)]
		last[role] = to
	})
	return to, err
}
