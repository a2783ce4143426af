package daemon

import (
	"testing"
	"time"

	"wirefleet.dev/wire/internal/health"
)

// A slot that is listened to is pulled every 15 s, one that is not at each interval.
func TestRounds(t *testing.T) {
	at5 := Config{Interval: 5 * time.Second}
	for name, c := range map[string]struct {
		Config
		deaf, missed, blind bool
		pulls               string // a mark for each of six rounds
	}{
		"at rest":               {Config: at5, pulls: "--p--p"},
		"a stream is not open":  {Config: at5, deaf: true, pulls: "pppppp"},
		"a relay did not reply": {Config: at5, missed: true, pulls: "pppppp"},
		"no watch":              {Config: at5, blind: true, pulls: "pppppp"},
		"a line per cycle":      {Config: Config{Interval: 5 * time.Second, JSON: true}, pulls: "pppppp"},
		"a long interval":       {Config: Config{Interval: time.Minute}, pulls: "pppppp"},
		"a short one":           {Config: Config{Interval: 3 * time.Second}, pulls: "----p-"},
	} {
		d := &daemon{Config: c.Config, push: newWake(), pull: newWake()}
		d.missed.Store(c.missed)
		d.watching.Store(!c.blind)
		if c.deaf {
			d.deaf.Add(1)
		}
		seen := ""
		for n := 1; n <= len(c.pulls); n++ {
			d.round(n)
			select {
			case <-d.pull:
				seen += "p"
			default:
				seen += "-"
			}
		}
		if seen != c.pulls {
			t.Errorf("%s: %s, want %s", name, seen, c.pulls)
		}
	}
}

// A daemon that is well is heard again before anybody calls it hung, whatever its interval.
func TestRestIsNoSilence(t *testing.T) {
	for _, seconds := range []int{1, 2, 4, 5, 7, 8, 14, 15, 16, 29, 60, 61, 600, 3600} {
		interval := time.Duration(seconds) * time.Second
		d := &daemon{Config: Config{Interval: interval}}
		apart := time.Duration(d.pullRounds()) * interval
		if grace := health.Grace(interval); apart+5*time.Second > grace {
			t.Errorf("interval %v: pulls every %v, has %v to be heard again", interval, apart, grace)
		}
		if limit := health.Silence(interval); 3*apart > limit {
			t.Errorf("interval %v: pulls every %v, counts as silent after %v", interval, apart, limit)
		}
	}
}
