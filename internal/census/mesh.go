package census

import (
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
)

// probeLimit is how long all probes of a mesh status may take together, whatever hangs.
const probeLimit = 3 * time.Second

// Direction is X's pin of Y and, through its slot, when Y last pulled (reference/cli.md 1.5).
type Direction struct {
	Pinned     bool
	Probed     bool
	Scope      home.Scope // "" unless probed
	EventCount int
	LastPull   *int64 // unix seconds
	Silent     *int64 // seconds since then
}

// MeshEdge is an unordered pair of sisters, From before To by name.
type MeshEdge struct {
	From, To string
	Out, In  Direction // From's pin of To, and To's of From
	Scope    string    // "local", "federation" or "unknown"
	Status   string    // "healthy", "stale" or "asymmetric"
}

// MeshStatus is the mesh of the sessions that have a local slot.
type MeshStatus struct {
	Sisters        []Listed
	FederationOnly []string
	Relays         []RelayHealth // by URL
	Edges          []MeshEdge    // in pair order
}

// RelayHealth is whether a local relay answers.
type RelayHealth struct {
	URL     string
	Healthy bool
}

// Mesh looks at every edge. Each distinct slot is probed once, all at the same time, 3 s at most.
func Mesh(ctx context.Context, m home.Machine, c *client.Client, stale int64, now time.Time) (MeshStatus, error) {
	all, err := List(m)
	if err != nil {
		return MeshStatus{}, err
	}
	var st MeshStatus
	st.Sisters, st.FederationOnly = Sisters(all)
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	p := newProber(c)
	files := make([]*home.RelayFile, len(st.Sisters))
	for i, s := range st.Sisters {
		files[i], _ = s.Session.ReadRelay() // an unreadable one pins nobody
		p.relay(ctx, firstLocal(s))
	}
	type pinned struct {
		route *home.Endpoint
		ok    bool
	}
	pins := make([][]pinned, len(st.Sisters))
	for i, f := range files {
		pins[i] = make([]pinned, len(st.Sisters))
		for j, y := range st.Sisters {
			if i == j || f == nil {
				continue
			}
			if _, ok := f.PeerRaw(y.Session.Name); !ok {
				continue
			}
			pins[i][j].ok = true
			if routes := f.Routes(y.Session.Name); len(routes) > 0 {
				pins[i][j].route = &routes[0]
				p.slot(ctx, routes[0])
			}
		}
	}
	st.Relays = p.wait()
	dir := func(i, j int) Direction {
		d := Direction{Pinned: pins[i][j].ok}
		if r := pins[i][j].route; r != nil {
			d.Probed, d.Scope = true, r.Scope
			s := p.slots[slotKey(*r)]
			d.EventCount = s.EventCount
			if s.LastPull != nil {
				at := s.LastPull.Unix()
				silent := max(0, now.Unix()-at)
				d.LastPull, d.Silent = &at, &silent
			}
		}
		return d
	}
	for i := range st.Sisters {
		for j := i + 1; j < len(st.Sisters); j++ {
			e := MeshEdge{From: st.Sisters[i].Session.Name, To: st.Sisters[j].Session.Name, Out: dir(i, j), In: dir(j, i)}
			e.Scope, e.Status = judge(e.Out, e.In, stale)
			st.Edges = append(st.Edges, e)
		}
	}
	return st, nil
}

func judge(out, in Direction, stale int64) (scope, status string) {
	scope = "unknown"
	switch {
	case out.Scope == home.Local || in.Scope == home.Local:
		scope = string(home.Local)
	case out.Scope == home.Federation || in.Scope == home.Federation:
		scope = string(home.Federation)
	}
	quiet := func(d Direction) bool {
		return d.Silent != nil && *d.Silent > stale || d.Silent == nil && d.Probed
	}
	switch {
	case !out.Pinned || !in.Pinned:
		return scope, "asymmetric"
	case quiet(out) || quiet(in):
		return scope, "stale"
	}
	return scope, "healthy"
}

// FirstLocal is the URL of a session's first local endpoint, "" if it has none.
func (l Listed) FirstLocal() string { return firstLocal(l) }

func firstLocal(l Listed) string {
	if local := l.Local(); len(local) > 0 {
		return local[0].RelayURL
	}
	return ""
}

// prober asks each distinct slot and relay once.
type prober struct {
	client *client.Client
	group  errgroup.Group
	slots  map[string]*client.State
	relays map[string]*bool
}

func newProber(c *client.Client) *prober {
	p := &prober{client: c, slots: map[string]*client.State{}, relays: map[string]*bool{}}
	p.group.SetLimit(64)
	return p
}

func slotKey(e home.Endpoint) string {
	return strings.Join([]string{e.RelayURL, e.SlotID, e.SlotToken.Reveal()}, "\x00")
}

func (p *prober) slot(ctx context.Context, e home.Endpoint) {
	if _, ok := p.slots[slotKey(e)]; ok {
		return
	}
	into := new(client.State)
	p.slots[slotKey(e)] = into
	p.group.Go(func() error {
		// Any failure counts as 0 events and no pull, as in the reference.
		if st, err := p.client.State(ctx, client.Slot{URL: e.RelayURL, ID: e.SlotID, Token: e.SlotToken}); err == nil {
			*into = st
		}
		return nil
	})
}

func (p *prober) relay(ctx context.Context, url string) {
	if _, ok := p.relays[url]; ok || url == "" {
		return
	}
	into := new(bool)
	p.relays[url] = into
	p.group.Go(func() error {
		ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		*into = p.client.Healthy(ctx, url) == nil
		return nil
	})
}

// wait ends the probing; the relays come sorted by URL.
func (p *prober) wait() []RelayHealth {
	_ = p.group.Wait() // the probes keep their errors
	out := make([]RelayHealth, 0, len(p.relays))
	for url, ok := range p.relays {
		out = append(out, RelayHealth{url, *ok})
	}
	slices.SortFunc(out, func(a, b RelayHealth) int { return strings.Compare(a.URL, b.URL) })
	return out
}
