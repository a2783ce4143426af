package census

import (
	"slices"
	"testing"

	"wirefleet.dev/wire/internal/process"
)

// Who serves a home is told by proofs; what the record says decides only whether that one is an orphan, and
// which of several is shown.
func TestDaemonsAndRecord(t *testing.T) {
	ours := &Daemon{PID: 50}
	for _, c := range []struct {
		name    string
		serving Serving
		record  int
		running bool
		pid     int
		orphans []int
	}{
		{"nobody, no record", Serving{}, 0, false, 0, nil},
		{"nobody, a stale record", Serving{}, 7, false, 7, nil},
		{"recorded", Serving{Ours: ours}, 50, true, 50, nil},
		{"no record", Serving{Ours: ours}, 0, true, 50, []int{50}},
		{"a stranger recorded", Serving{Others: []Daemon{{PID: 9}}}, 7, true, 9, []int{9}},
		{"two, the second recorded", Serving{Others: []Daemon{{PID: 9}, {PID: 8}}}, 8, true, 8, []int{9}},
		{"three, none recorded", Serving{Ours: ours, Others: []Daemon{{PID: 60}, {PID: 8}}}, 0, true, 50, []int{8, 50, 60}},
	} {
		d := Daemons{Serving: c.serving, Record: process.Record{PID: c.record}}
		if d.Running() != c.running || d.PID() != c.pid || !slices.Equal(d.Orphans(), c.orphans) {
			t.Errorf("%s: running %v, pid %d, orphans %v", c.name, d.Running(), d.PID(), d.Orphans())
		}
	}
}
