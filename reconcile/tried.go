package reconcile

import (
	"errors"
	"slices"
)

// tried is what has failed in a run. Another try in the same run would most likely fail again, and may take as long
// as the first one while everything else waits for it; the next run tries it anew.
type tried struct {
	failed map[ID]bool
	edges  map[[2]string]bool
}

// learn takes in what became of a round. What was skipped has failed with what it needed: a plan made from what that
// left behind may not name the need any more. A mesh is looked at edge by edge.
func (t *tried) learn(results []Result) {
	for _, r := range results {
		var p *Partial
		switch {
		case r.Outcome == Skipped && r.Change.Kind != PairMesh:
		case r.Outcome != Failed:
			continue
		case r.Change.Kind == PairMesh && errors.As(r.Err, &p):
			for _, f := range p.Failed {
				if !errors.Is(f.Err, errSessionFailed) {
					t.failEdge(f.Pair)
				}
			}
			continue
		case r.Change.Kind == PairMesh:
			for _, p := range r.Change.Pairs {
				t.failEdge(p)
			}
			continue
		}
		if t.failed == nil {
			t.failed = map[ID]bool{}
		}
		t.failed[r.Change.ID()] = true
	}
}

func (t *tried) failEdge(p Pair) {
	if t.edges == nil {
		t.edges = map[[2]string]bool{}
	}
	t.edges[[2]string{p.A, p.B}] = true
}

// leave is a plan without what has failed and what needs that.
func (t *tried) leave(p Plan) Plan {
	if len(t.failed) == 0 && len(t.edges) == 0 {
		return p
	}
	var kept []Change
	out, broken := map[ID]bool{}, map[string]bool{}
	for _, c := range p.Changes {
		if t.failed[c.ID()] || slices.ContainsFunc(c.Needs, func(n ID) bool { return out[n] }) {
			out[c.ID()] = true
			c.breaks(broken)
			continue
		}
		if c.Kind == PairMesh {
			c.Pairs = slices.DeleteFunc(slices.Clone(c.Pairs), func(e Pair) bool {
				return t.edges[[2]string{e.A, e.B}] || broken[e.A] || broken[e.B]
			})
			if len(c.Pairs) == 0 {
				out[c.ID()] = true
				continue
			}
		}
		kept = append(kept, c)
	}
	p.Changes = kept
	return p
}

// breaks adds the session that has no edges as long as c has failed.
func (c Change) breaks(sessions map[string]bool) {
	if c.Kind == CreateSession || c.Kind == AllocateSlot {
		sessions[c.Subjects[0]] = true
	}
}
