package census

import (
	"slices"
	"testing"
	"time"
)

// Of two that began within one tick the clock says now this, now that.
func TestOldestStays(t *testing.T) {
	now := time.Now()
	list := []Daemon{{PID: 12, StartTicks: 7, Started: now}, {PID: 11, StartTicks: 7, Started: now.Add(time.Millisecond)}, {PID: 99, StartTicks: 6, Started: now.Add(time.Second)}}
	slices.SortFunc(list, older)
	for i, want := range []int{99, 11, 12} {
		if list[i].PID != want {
			t.Errorf("%d is pid %d, want %d", i, list[i].PID, want)
		}
	}
}
