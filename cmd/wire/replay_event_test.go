//go:build linux

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// diffEvent holds the event that send queued to what the record says of it.
func (w *world) diffEvent(d *differences, r *record, out string) {
	if r.KindAndType == nil && r.Body == nil && r.Deadline == "" && r.To == "" {
		return
	}
	var said struct{ Outbox string }
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		d.add("event: %v", err)
		return
	}
	event, err := lastEvent(w.local(said.Outbox))
	if err != nil {
		d.add("event: %v", err)
		return
	}
	compare := func(key string, want json.RawMessage) {
		n, err := parseOrdered(want)
		if err != nil {
			d.add("record: %v", err)
			return
		}
		w.diffNode(d, "event."+key, n, event.values[key])
	}
	if len(r.KindAndType) == 2 {
		compare("kind", r.KindAndType[0])
		compare("type", r.KindAndType[1])
	}
	if r.Body != nil {
		compare("body", r.Body)
	}
	if r.To != "" && event.values["to"] != r.To {
		d.add("event.to: %v, want %s", event.values["to"], r.To)
	}
	if r.Deadline != "" {
		diffDeadline(d, r, event)
	}
}

// diffDeadline: a deadline given as a duration counts from the event's own time.
func diffDeadline(d *differences, r *record, event *object) {
	got, _ := event.values["time_sensitive_until"].(string)
	if strings.HasPrefix(r.Deadline, "2030") {
		if got != r.Deadline {
			d.add("event.time_sensitive_until: %q, want %q", got, r.Deadline)
		}
		return
	}
	stamp, _ := event.values["timestamp"].(string)
	span := func(from, to string) time.Duration {
		a, err1 := time.Parse(time.RFC3339Nano, from)
		b, err2 := time.Parse(time.RFC3339Nano, to)
		if err1 != nil || err2 != nil {
			d.add("event: times %q, %q", from, to)
		}
		return b.Sub(a).Round(time.Minute)
	}
	if g, x := span(stamp, got), span(r.Timestamp, r.Deadline); g != x {
		d.add("event.time_sensitive_until: after %s, want %s", g, x)
	}
}

func lastEvent(path string) (*object, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	n, err := parseOrdered([]byte(lines[len(lines)-1]))
	if err != nil {
		return nil, err
	}
	o, ok := n.(*object)
	if !ok {
		return nil, fmt.Errorf("%s: no object", path)
	}
	return o, nil
}
