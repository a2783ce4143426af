package census

import (
	"context"
	"slices"
	"strings"
	"sync"
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
	all, err := Roll(m)
	if err != nil {
		return MeshStatus{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	l := meshLook{
		all: all, own: make([][]home.Endpoint, len(all)), pins: make([][]pinned, len(all)),
		probes: newProber(c), known: map[string][]home.Endpoint{},
	}
	var g errgroup.Group
	g.SetLimit(workers)
	for i := range all {
		g.Go(func() error {
			l.read(ctx, i)
			return nil
		})
	}
	_ = g.Wait() // an unreadable file pins nobody
	return l.status(ctx, stale, now), nil
}

// meshLook is one look at the mesh.
type meshLook struct {
	all    []Listed
	own    [][]home.Endpoint
	pins   [][]pinned // per session: what it has of each other one; nil without a slot of this machine
	probes *prober

	mu    sync.Mutex
	known map[string][]home.Endpoint // by the text of a peer's record, which all her sisters have alike
}

// pinned is what a session has of another one.
type pinned struct {
	ok    bool
	route *home.Endpoint // the first one; nil: none can be reached
}

// read reads a session's two big files, each once. A route to somebody whom it does not trust is no pin: what he
// sends is refused (field failure G8).
func (l *meshLook) read(ctx context.Context, i int) {
	f, err := l.all[i].Session.ReadRelay()
	if err != nil {
		return
	}
	self := f.Self()
	l.own[i] = self
	here := Listed{Endpoints: self}.FirstLocal()
	if here == "" {
		return
	}
	l.probes.relay(ctx, here)
	row := make([]pinned, len(l.all))
	l.pins[i] = row
	trust, err := l.all[i].Session.ReadTrust()
	if err != nil {
		return
	}
	for j, y := range l.all {
		raw, ok := f.PeerRaw(y.PinnedAs())
		if i == j || !ok {
			continue
		}
		if rec, ok := trust.Raw("agents", y.PinnedAs()); !ok || string(rec) == "null" {
			continue
		}
		row[j].ok = true
		if routes := home.RoutesFrom(self, l.endpoints(f, y.PinnedAs(), raw)); len(routes) > 0 {
			row[j].route = &routes[0]
		}
	}
}

// endpoints are those of a peer's record; equal texts are parsed once.
func (l *meshLook) endpoints(f *home.RelayFile, peer string, raw []byte) []home.Endpoint {
	l.mu.Lock()
	list, ok := l.known[string(raw)]
	l.mu.Unlock()
	if !ok {
		list = f.Peer(peer)
		l.mu.Lock()
		l.known[string(raw)] = list
		l.mu.Unlock()
	}
	return list
}

// status probes the slots behind the pins among the sisters and puts everything together.
func (l *meshLook) status(ctx context.Context, stale int64, now time.Time) MeshStatus {
	var st MeshStatus
	var at []int // of the sisters, in all
	for i, s := range l.all {
		if l.pins[i] == nil {
			st.FederationOnly = append(st.FederationOnly, s.Session.Name)
			continue
		}
		s.Endpoints = l.own[i]
		st.Sisters, at = append(st.Sisters, s), append(at, i)
	}
	for _, i := range at {
		for _, j := range at {
			if r := l.pins[i][j].route; r != nil {
				l.probes.slot(ctx, *r)
			}
		}
	}
	st.Relays = l.probes.wait()
	for n, i := range at {
		for _, j := range at[n+1:] {
			e := MeshEdge{
				From: l.all[i].Session.Name, To: l.all[j].Session.Name,
				Out: l.direction(i, j, now), In: l.direction(j, i, now),
			}
			e.Scope, e.Status = judge(e.Out, e.In, stale)
			st.Edges = append(st.Edges, e)
		}
	}
	return st
}

func (l *meshLook) direction(i, j int, now time.Time) Direction {
	pin := l.pins[i][j]
	d := Direction{Pinned: pin.ok}
	if pin.route == nil {
		return d
	}
	d.Probed, d.Scope = true, pin.route.Scope
	s := l.probes.state(*pin.route)
	d.EventCount = s.EventCount
	if s.LastPull != nil {
		last := s.LastPull.Unix()
		silent := max(0, now.Unix()-last)
		d.LastPull, d.Silent = &last, &silent
	}
	return d
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

// perRelay is how many probes one relay gets at a time. Another one does not wait for those that hang.
const perRelay = 16

// prober asks each distinct slot and relay once.
type prober struct {
	client *client.Client
	all    sync.WaitGroup

	mu     sync.Mutex
	slots  map[slotKey]*client.State
	relays map[string]*bool
	turns  map[string]chan struct{} // by relay
}

type slotKey struct{ url, id, token string }

func keyOf(e home.Endpoint) slotKey { return slotKey{e.RelayURL, e.SlotID, e.SlotToken.Reveal()} }

func newProber(c *client.Client) *prober {
	return &prober{
		client: c, slots: map[slotKey]*client.State{}, relays: map[string]*bool{}, turns: map[string]chan struct{}{},
	}
}

// ask runs a request to a relay when it is its turn.
func (p *prober) ask(ctx context.Context, url string, request func()) {
	turns, ok := p.turns[url]
	if !ok {
		turns = make(chan struct{}, perRelay)
		p.turns[url] = turns
	}
	p.all.Go(func() {
		select {
		case turns <- struct{}{}:
			defer func() { <-turns }()
			request()
		case <-ctx.Done():
		}
	})
}

func (p *prober) slot(ctx context.Context, e home.Endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.slots[keyOf(e)]; ok {
		return
	}
	into := new(client.State)
	p.slots[keyOf(e)] = into
	p.ask(ctx, e.RelayURL, func() {
		// Any failure counts as 0 events and no pull, as in the reference.
		if st, err := p.client.State(ctx, client.Slot{URL: e.RelayURL, ID: e.SlotID, Token: e.SlotToken}); err == nil {
			*into = st
		}
	})
}

// state is what became of a slot's probe; only after wait.
func (p *prober) state(e home.Endpoint) client.State { return *p.slots[keyOf(e)] }

func (p *prober) relay(ctx context.Context, url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.relays[url]; ok {
		return
	}
	into := new(bool)
	p.relays[url] = into
	p.all.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		*into = p.client.Healthy(ctx, url) == nil
	})
}

// wait ends the probing; the relays come sorted by URL.
func (p *prober) wait() []RelayHealth {
	p.all.Wait()
	out := make([]RelayHealth, 0, len(p.relays))
	for url, ok := range p.relays {
		out = append(out, RelayHealth{url, *ok})
	}
	slices.SortFunc(out, func(a, b RelayHealth) int { return strings.Compare(a.URL, b.URL) })
	return out
}
