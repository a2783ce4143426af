package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// changesPerBreak bounds what may be done for a thing each time that a blow broke it.
const changesPerBreak = 3

// thing is what a blow breaks and a change mends: "relay", "daemon s01", "slot s01", "dir s01" (its line in the
// registry), "edge s00-s01".
type thing string

const theRelay thing = "relay"

func daemonOf(s string) thing { return thing("daemon " + s) }
func slotOf(s string) thing   { return thing("slot " + s) }
func dirOf(s string) thing    { return thing("dir " + s) }

// edgeOf does not mind the order of its ends.
func edgeOf(a, b string) thing { return thing("edge " + min(a, b) + "-" + max(a, b)) }

// everything is what a lost relay state breaks: the relay, each slot, each edge.
func everything(sessions int) []thing {
	out := []thing{theRelay}
	for i := range sessions {
		out = append(out, slotOf(nameOf(i)))
		for j := range i {
			out = append(out, edgeOf(nameOf(j), nameOf(i)))
		}
	}
	return out
}

// edgesOf are the edges of one session in a full mesh.
func edgesOf(s string, sessions int) []thing {
	var out []thing
	for i := range sessions {
		if other := nameOf(i); other != s {
			out = append(out, edgeOf(s, other))
		}
	}
	return out
}

// dirs are all lines of the registry.
func dirs(sessions int) []thing {
	var out []thing
	for i := range sessions {
		out = append(out, dirOf(nameOf(i)))
	}
	return out
}

// ledger counts how often each thing was broken and changed.
type ledger struct{ broken, changed map[thing]int }

// overdone are the things that were changed more often than their breaking asks for, each with its figures.
func (l ledger) overdone() []string {
	var out []string
	for t, n := range l.changed {
		if bound := changesPerBreak * l.broken[t]; n > bound {
			out = append(out, fmt.Sprintf("%s: %d changes, broken %d times", t, n, l.broken[t]))
		}
	}
	slices.Sort(out)
	return out
}

// unmended says that things were broken, and none of them ever changed: the blow, or the watcher, does nothing.
func (l ledger) unmended(things []thing) bool {
	broken := 0
	for _, t := range things {
		if l.changed[t] > 0 {
			return false
		}
		broken += l.broken[t]
	}
	return broken > 0
}

// most is the thing with the most changes for each time that it was broken.
func (l ledger) most() (t thing, changed, broken int) {
	for _, one := range slices.Sorted(maps.Keys(l.changed)) {
		n, b := l.changed[one], l.broken[one]
		if b > 0 && (broken == 0 || n*broken > changed*b) {
			t, changed, broken = one, n, b
		}
	}
	return t, changed, broken
}

// sum is all of a count.
func sum(m map[thing]int) int {
	n := 0
	for _, c := range m {
		n += c
	}
	return n
}

// changedByLog counts the changes that the log of watchers (--log-format json) tells of, by thing. A change of
// several edges is one for each of them.
func changedByLog(log string) map[thing]int {
	out := map[thing]int{}
	for line := range strings.Lines(log) {
		var said struct {
			Msg, Kind, Subject string
			Edges              []string
		}
		if json.Unmarshal([]byte(line), &said) != nil || said.Msg != "changed" {
			continue
		}
		edges := said.Edges
		if len(edges) == 0 {
			edges = []string{said.Subject}
		}
		switch said.Kind {
		case "start relay", "restart relay", "stop relay":
			out[theRelay]++
		case "allocate slot", "mend record":
			out[slotOf(said.Subject)]++
		case "register dir":
			out[dirOf(said.Subject)]++
		case "start daemon", "restart daemon", "stop daemon", "stop duplicate daemon", "stop leftover daemon":
			out[daemonOf(said.Subject)]++
		case "pair mesh", "remove pins":
			for _, e := range edges {
				out[thing("edge "+e)]++
			}
		default: // no blow asks for it, so it is one too many
			out[thing(said.Kind+" of "+said.Subject)]++
		}
	}
	return out
}

// unstuck counts the daemons and relays that watchers restarted because they were stopped.
func unstuck(log string) (daemons, relays int) {
	for line := range strings.Lines(log) {
		var said struct{ Msg, Kind, Reason string }
		switch {
		case json.Unmarshal([]byte(line), &said) != nil || said.Msg != "changed":
		case said.Kind == "restart relay":
			relays++
		case strings.Contains(said.Reason, "is stopped (state T)"):
			daemons++
		}
	}
	return daemons, relays
}

// changedByRows counts the changes that a one-shot apply printed (--verbose) before it ended. A row that was
// cut off tells of nothing.
func changedByRows(rows string) map[thing]int {
	out := map[thing]int{}
	for line := range strings.Lines(rows) {
		f := strings.Fields(line)
		if !strings.HasSuffix(line, "\n") || len(f) < 3 || !strings.Contains("+~-", f[0]) {
			continue
		}
		switch noun, subject := f[1], f[2]; {
		case noun == "relay":
			out[theRelay]++
		case noun == "slot", noun == "record":
			out[slotOf(subject)]++
		case noun == "mesh" && !strings.Contains(subject, "-"): // its edges follow, a row each
		case noun == "mesh", noun == "edge":
			out[thing("edge "+subject)]++
		case noun == "daemon", noun == "dir":
			out[thing(noun+" "+subject)]++
		default:
			out[thing(noun+" of "+subject)]++
		}
	}
	return out
}

func add(to, more map[thing]int) {
	for t, n := range more {
		to[t] += n
	}
}
