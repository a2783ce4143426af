package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The schedule follows from the seed alone, and its text reads back as itself.
func TestSchedule(t *testing.T) {
	a := Schedule(7, 10*time.Minute, 8)
	if diff := cmp.Diff(a, Schedule(7, 10*time.Minute, 8)); diff != "" {
		t.Fatal(diff)
	}
	if cmp.Equal(a, Schedule(8, 10*time.Minute, 8)) {
		t.Error("another seed gives the same schedule")
	}
	seen := map[Kind]int{}
	for _, b := range a {
		seen[b.Kind]++
	}
	for _, w := range weights {
		if seen[w.kind] == 0 {
			t.Errorf("ten minutes without a %s", w.kind)
		}
	}
	back, err := ParseSchedule(FormatSchedule(a))
	if err != nil {
		t.Fatal(err)
	}
	for i := range a {
		if a[i].String() != back[i].String() {
			t.Fatalf("line %d: %s became %s", i, a[i], back[i])
		}
	}
}

func TestParseScheduleRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"1":                           "line 1: a blow has a time, a kind and a delay",
		"# fine\n\nx kill-relay 1":    `line 3: "x" is no time in milliseconds`,
		"5 kill-relay x":              `line 1: "x" is no delay in milliseconds`,
		"5 kill-everything 1":         `line 1: "kill-everything" is no blow`,
		"5 kill-daemon 1":             "line 1: kill-daemon has 1 subjects, not 0",
		"5 pin-deleted 1 s00 s01 s02": "line 1: pin-deleted has 2 subjects, not 3",
	} {
		if _, err := ParseSchedule(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}
