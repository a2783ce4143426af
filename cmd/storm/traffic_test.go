package main

import (
	"os/exec"
	"testing"
	"time"
)

func TestFateOf(t *testing.T) {
	for _, c := range []struct {
		script string
		fate   fate
		id     string
	}{
		{`echo '{"event_id":"e1"}'`, accepted, "e1"},
		{`echo nonsense`, accepted, ""},
		{`echo '{"event_id":"e1"}'; exit 1`, refused, ""},
		{`echo '{"event_id":"e1"}'; kill -9 $$`, killed, ""},
	} {
		out, err := exec.Command("sh", "-c", c.script).Output()
		if f, id := fateOf(err, out); f != c.fate || id != c.id {
			t.Errorf("%s: %s %q", c.script, f, id)
		}
	}
}

func TestSpans(t *testing.T) {
	var s spans
	if s.usual() != 0 {
		t.Error("nothing was measured")
	}
	for _, d := range []time.Duration{9, 1, 5} {
		s.add(d)
	}
	if s.usual() != 5 {
		t.Error(s.usual())
	}
	for range 31 {
		s.add(7)
	}
	if s.usual() != 7 || len(s.all) != 31 {
		t.Error(s.usual(), len(s.all))
	}
}
