package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/spec"
)

func (f *differ) mesh() {
	want := make(map[[2]string]bool, len(f.d.Edges))
	var pairs []Pair
	for _, e := range f.d.Edges {
		want[e] = true
		if len(f.opt.Only) > 0 && !f.wants(e[0]) && !f.wants(e[1]) {
			continue
		}
		a, b := f.readyFor(e[0]), f.readyFor(e[1])
		if a.blocked || b.blocked {
			continue
		}
		if why, ok := f.edge(e[0], e[1], a, b); ok {
			pairs = append(pairs, Pair{A: e[0], B: e[1], Reason: why})
		}
	}
	if len(pairs) > 0 {
		f.add(Change{Kind: PairMesh, Subjects: subjectsOf(pairs), Reason: summarise(pairs), Pairs: pairs})
	}
	f.extra(want)
}

// readyFor is the verdict on a session, also on one that --only leaves out: that one must be there already.
func (f *differ) readyFor(name string) verdict {
	if v, ok := f.ready[name]; ok {
		return v
	}
	have := f.o.Session(name)
	return verdict{blocked: f.others(name) || have.Home != HomeWhole || len(have.Slots) == 0}
}

func (f *differ) edge(a, b string, va, vb verdict) (Reason, bool) {
	ab, ba := f.o.Mesh.At(a, b), f.o.Mesh.At(b, a)
	for _, p := range []struct {
		from, to string
		pin      PinState
	}{{a, b, ab}, {b, a, ba}} {
		switch p.pin.State {
		case pairing.PinConflict:
			f.blockEdge(a, b, "edge-conflict", p.pin.Why,
				fmt.Sprintf("rename one of them, or `wire forget-peer %s` in session %s", p.to, p.from))
			return Reason{}, false
		case pairing.PinUnknown:
			f.blockEdge(a, b, "edge-unknown", p.pin.Why, "see what is said of these two sessions, then `wire plan` again")
			return Reason{}, false
		}
	}
	switch {
	case va.renewed.Code != "":
		return va.renewed, true
	case vb.renewed.Code != "":
		return vb.renewed, true
	case ab.State == pairing.PinGood && ba.State == pairing.PinGood:
		return Reason{}, false
	case ab.State == pairing.PinAbsent && ba.State == pairing.PinAbsent:
		return Reason{"edge-absent", "neither pins the other"}, true
	case ab.State == pairing.PinAbsent:
		return Reason{"edge-half", fmt.Sprintf("half: %s does not pin %s", a, b)}, true
	case ba.State == pairing.PinAbsent:
		return Reason{"edge-half", fmt.Sprintf("half: %s does not pin %s", b, a)}, true
	case ab.State != pairing.PinGood:
		return Reason{"edge-" + string(ab.State), ab.Why}, true
	}
	return Reason{"edge-" + string(ba.State), ba.Why}, true
}

// extra looks for edges between listed sessions that the file does not ask for.
func (f *differ) extra(want map[[2]string]bool) {
	names := make([]string, 0, len(f.d.Sessions))
	for _, s := range f.d.Sessions {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	if len(want) == len(names)*(len(names)-1)/2 {
		return
	}
	var pairs []Pair
	for i, a := range names {
		for _, b := range names[i+1:] {
			if want[[2]string{a, b}] || !f.wants(a) && !f.wants(b) || f.others(a) || f.others(b) {
				continue
			}
			ab, ba := f.o.Mesh.At(a, b).State, f.o.Mesh.At(b, a).State
			if sisterPin(ab) || sisterPin(ba) {
				pairs = append(pairs, Pair{A: a, B: b, Reason: Reason{"edge-extra", "not in the file's mesh"}})
			}
		}
	}
	switch {
	case len(pairs) == 0:
	case f.opt.Prune:
		f.add(Change{
			Kind: RemovePins, Subjects: subjectsOf(pairs), Pairs: pairs,
			Reason: Reason{"edge-extra", fmt.Sprintf("%s not in the file's mesh (--prune)", count(len(pairs), "edge"))},
		})
	default:
		for _, p := range pairs {
			f.note(p.A+"-"+p.B, "edge-extra", "paired, but not in the file's mesh", "--prune removes it")
		}
	}
}

// sisterPin says whether a pin is one of ours to remove: somebody else's is not.
func sisterPin(p pairing.Pin) bool {
	switch p {
	case pairing.PinGood, pairing.PinHalf, pairing.PinPending, pairing.PinStale:
		return true
	}
	return false
}

func subjectsOf(pairs []Pair) []string {
	seen := map[string]bool{}
	var names []string
	for _, p := range pairs {
		for _, n := range []string{p.A, p.B} {
			if !seen[n] {
				seen[n] = true
				names = append(names, n)
			}
		}
	}
	slices.Sort(names)
	return names
}

// summarise counts the reasons of many edges: "6 edges: 4 absent, 2 half".
func summarise(pairs []Pair) Reason {
	if len(pairs) == 1 {
		return pairs[0].Reason
	}
	counts := map[string]int{}
	for _, p := range pairs {
		counts[p.Reason.Code]++
	}
	codes := make([]string, 0, len(counts))
	for c := range counts {
		codes = append(codes, c)
	}
	slices.Sort(codes)
	parts := make([]string, 0, len(codes))
	for _, c := range codes {
		parts = append(parts, fmt.Sprintf("%d %s", counts[c], strings.TrimPrefix(c, "edge-")))
	}
	code := codes[0]
	if len(codes) > 1 {
		code = "edges"
	}
	return Reason{code, fmt.Sprintf("%s: %s", count(len(pairs), "edge"), strings.Join(parts, ", "))}
}

// Weave is the mesh part of a diff: what makes the edges that d asks for, and nothing else. No relay is looked
// at: sisters are on this disk.
func Weave(d *spec.Desired, o Observed) Plan {
	f := differ{d: d, o: o}
	f.mesh()
	return f.plan()
}
