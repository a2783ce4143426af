package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each thing has its own account: what one did not use up is no other's.
func TestOverdone(t *testing.T) {
	for name, c := range map[string]struct {
		broken, changed map[thing]int
		want            []string
	}{
		"nothing":         {},
		"mended once":     {map[thing]int{"daemon s00": 1}, map[thing]int{"daemon s00": 1}, nil},
		"at the bound":    {map[thing]int{"edge s00-s01": 2}, map[thing]int{"edge s00-s01": 6}, nil},
		"above it":        {map[thing]int{"edge s00-s01": 2}, map[thing]int{"edge s00-s01": 7}, []string{"edge s00-s01: 7 changes, broken 2 times"}},
		"never broken":    {nil, map[thing]int{"slot s01": 1}, []string{"slot s01: 1 changes, broken 0 times"}},
		"another's slack": {map[thing]int{"slot s00": 9, "relay": 1}, map[thing]int{"slot s00": 1, "relay": 4}, []string{"relay: 4 changes, broken 1 times"}},
		"a lost relay state": {
			count(everything(3)),
			map[thing]int{"relay": 2, "slot s00": 3, "slot s02": 1, "edge s00-s01": 3, "edge s01-s02": 1, "daemon s02": 1},
			[]string{"daemon s02: 1 changes, broken 0 times"},
		},
	} {
		if diff := cmp.Diff(c.want, ledger{c.broken, c.changed}.overdone()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func count(things []thing) map[thing]int {
	out := map[thing]int{}
	for _, t := range things {
		out[t]++
	}
	return out
}

// A blow that nothing answers has struck nothing.
func TestUnmended(t *testing.T) {
	all := dirs(2)
	for _, c := range []struct {
		broken, changed map[thing]int
		want            bool
	}{
		{nil, nil, false},
		{count(all), nil, true},
		{count(all), map[thing]int{"daemon s00": 3}, true},
		{count(all), map[thing]int{"dir s01": 1}, false},
	} {
		if got := (ledger{c.broken, c.changed}).unmended(all); got != c.want {
			t.Errorf("%v and %v: %v", c.broken, c.changed, got)
		}
	}
}

func TestEverything(t *testing.T) {
	want := []thing{"relay", "slot s00", "slot s01", "edge s00-s01", "slot s02", "edge s00-s02", "edge s01-s02"}
	if diff := cmp.Diff(want, everything(3)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]thing{"edge s00-s01", "edge s01-s02"}, edgesOf("s01", 3)); diff != "" {
		t.Error(diff)
	}
}

func TestChanges(t *testing.T) {
	log := `{"msg":"watching"}
{"msg":"changed","kind":"start daemon","subject":"s01"}
{"msg":"change failed","kind":"start daemon","subject":"s01"}
{"msg":"changed","kind":"pair mesh","subject":"3 sessions","edges":["s00-s01","s00-s02"]}
{"msg":"changed","kind":"pair mesh","subject":"s00-s01"}
{"msg":"changed","kind":"restart relay","subject":"http://127.0.0.1:1"}
{"msg":"changed","kind":"create session","subject":"s02"}
{"msg":"changed","kind":"start dae`
	want := map[thing]int{"daemon s01": 1, "edge s00-s01": 2, "edge s00-s02": 1, "relay": 1, "create session of s02": 1}
	if diff := cmp.Diff(want, changedByLog(log)); diff != "" {
		t.Error(diff)
	}
	rows := `~ mesh     3 sessions     2 edges: 2 half
~   edge   s00-s01        trusted, but no route
~   edge   s00-s02        trusted, but no route
~ mesh     s01-s02        trusted, but no route
+ daemon   s01            not running
+ dir      s00            /w is not registered
3 changes in 3ms (3 sessions, 3 edges)
+ dir      s01`
	want = map[thing]int{"edge s00-s01": 1, "edge s00-s02": 1, "edge s01-s02": 1, "daemon s01": 1, "dir s00": 1}
	if diff := cmp.Diff(want, changedByRows(rows)); diff != "" {
		t.Error(diff)
	}
}
