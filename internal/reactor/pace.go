package reactor

import (
	"slices"
	"time"
)

// pace counts what ran for each peer in the last minute.
type pace struct {
	of map[string][]time.Time // oldest first
}

// take says whether one more may run at now, and counts it then. Nothing is counted with limit 0.
func (p *pace) take(peer string, limit int, now time.Time) bool {
	if limit == 0 {
		return true
	}
	times := p.of[peer]
	if i := slices.IndexFunc(times, func(t time.Time) bool { return now.Sub(t) < time.Minute }); i >= 0 {
		times = times[i:]
	} else {
		times = nil
	}
	if len(times) >= limit {
		return false
	}
	if p.of == nil {
		p.of = map[string][]time.Time{}
	}
	p.of[peer] = append(times, now)
	return true
}
