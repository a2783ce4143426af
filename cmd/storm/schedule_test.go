package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The schedule follows from the seed alone, and its text reads back as itself.
func TestSchedule(t *testing.T) {
	s := Setting{7, 10 * time.Minute, 8}
	a := Schedule(s)
	if diff := cmp.Diff(a, Schedule(s)); diff != "" {
		t.Fatal(diff)
	}
	if cmp.Equal(a, Schedule(Setting{8, 10 * time.Minute, 8})) {
		t.Error("another seed gives the same schedule")
	}
	setting, back, err := ParseSchedule(FormatSchedule(s, a))
	if err != nil || setting != s {
		t.Fatal(setting, err)
	}
	if diff := cmp.Diff(a, back, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

// Half a minute, as in CI, deals every kind; no kind falls twice before each has fallen once.
func TestEveryKindFalls(t *testing.T) {
	for seed := range uint64(300) {
		for _, s := range []Setting{{seed, 5 * time.Second, 2}, {seed, 30 * time.Second, 4}, {seed, 3 * time.Minute, 8}} {
			seen := map[Kind]int{}
			last := time.Duration(0)
			for i, b := range Schedule(s) {
				if seen[b.Kind]++; i < len(weights) && seen[b.Kind] > 1 {
					t.Fatalf("%s: %s falls again before each kind has fallen", s, b.Kind)
				}
				if b.At <= last || b.At >= s.Duration {
					t.Fatalf("%s: %s comes at %s, after %s", s, b, b.At, last)
				}
				last = b.At
			}
			if len(seen) != len(weights) {
				t.Fatalf("%s: %d kinds of %d", s, len(seen), len(weights))
			}
		}
	}
}

const header = "# storm --seed 1 --duration 30s --sessions 4\n"

func TestParseScheduleRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":               "1: the first line is no `# storm --seed N --duration D --sessions N`",
		"5 kill-relay 1": "1: the first line is no `# storm --seed N --duration D --sessions N`",
		"# storm --seed x --duration 30s --sessions 4": `1: "x" is no seed`,
		"# storm --seed 1 --duration 30 --sessions 4":  `1: "30" is no duration`,
		"# storm --seed 1 --duration 30s --sessions x": `1: "x" is no number of sessions`,
		"# storm --seed 1 --duration 30s --sessions 1": "1: sessions: 2 to 64",
		"# storm --seed 1 --duration 1s --sessions 4":  "1: duration: 5s at least, whole milliseconds",
		header + "1":                              "2: a blow has a time, a kind and a part",
		header + "# fine\n\nx kill-relay 1":       `4: "x" is no time in milliseconds`,
		header + "-1 kill-relay 1":                `2: "-1" is no time in milliseconds`,
		header + "5 kill-relay x":                 `2: "x" is no part, 0 to 999`,
		header + "5 kill-relay 1000":              `2: "1000" is no part, 0 to 999`,
		header + "5 kill-everything 1":            `2: "kill-everything" is no blow`,
		header + "5 kill-daemon 1":                "2: kill-daemon has 1 subjects, not 0",
		header + "5 pin-deleted 1 s00 s01 s02":    "2: pin-deleted has 2 subjects, not 3",
		header + "5 pin-deleted 1 s00 s00":        "2: pin-deleted strikes two sessions, not s00 twice",
		header + "5 kill-daemon 1 s04":            `2: "s04" is none of the 4 sessions`,
		header + "5 kill-daemon 1 nobody":         `2: "nobody" is none of the 4 sessions`,
		header + "5 kill-relay 1\n4 kill-relay 1": "3: 4 is not after 5: times ascend",
		header + "5 kill-relay 1\n5 kill-relay 1": "3: 5 is not after 5: times ascend",
		header + "30000 kill-relay 1":             "2: 30000 is after the end, 30s",
	} {
		if _, _, err := ParseSchedule(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzReplay: what is read back from a file is a schedule that the storm can play, and writes as what it is.
func FuzzReplay(f *testing.F) {
	f.Add(FormatSchedule(Setting{3, 30 * time.Second, 4}, Schedule(Setting{3, 30 * time.Second, 4})))
	f.Add(header + "\n # x\r\n5 kill-daemon 0 s03\n")
	f.Add(header + "2147483648 kill-relay 1")
	f.Add("# storm --seed 18446744073709551615 --duration 2562047h47m16.854s --sessions 64")
	f.Fuzz(func(t *testing.T, text string) {
		s, blows, err := ParseSchedule(text)
		if err != nil {
			return
		}
		last := time.Duration(-1)
		for _, b := range blows {
			if b.At <= last || b.At >= s.Duration || len(b.Subjects) != subjects[b.Kind] || b.Part < 0 || b.Part > 999 {
				t.Errorf("%s in %s", b, s)
			}
			last = b.At
			for _, subject := range b.Subjects {
				var n int
				if _, err := fmt.Sscanf(subject, "s%d", &n); err != nil || n >= s.Sessions {
					t.Errorf("%s in %s", b, s)
				}
			}
		}
		again, same, err := ParseSchedule(FormatSchedule(s, blows))
		if err != nil || again != s {
			t.Fatal(again, err)
		}
		if diff := cmp.Diff(blows, same, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	})
}
