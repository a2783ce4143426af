package daemon

import (
	"errors"
	"slices"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// report says what a round did: with JSON one line on Stdout, else one on Stderr if there is something to
// say (home-and-daemon.md 10.2). What went wrong goes to Stderr either way.
func (d *daemon) report(c cycle) error {
	counts := [3]int{}
	if c.pushed != nil {
		if c.pushed.Lost != "" {
			d.say.line("daemon: %s", c.pushed.Lost)
		}
		for _, i := range c.pushed.Refused {
			d.say.line("daemon: event %s to %s is passed over for good: %s", i.EventID, i.Peer, i.Reason)
		}
		d.say.state("push", prefixed("daemon: push error: ", c.pushed.err))
		d.say.state("mail to peers", c.pushed.waiting())
		counts[0] = len(c.pushed.Pushed)
	}
	if c.pulled != nil {
		d.say.state("pull", prefixed("daemon: pull error: ", c.pulled.failure()))
		counts[1], counts[2] = len(c.pulled.Written), len(c.pulled.Rejected)
		for _, r := range c.pulled.Requests {
			d.say.line("daemon: pair request from %s (%s)", r.Handle, r.DID)
		}
	}
	if d.JSON {
		line := canon.Append(nil, c.document(time.Now()))
		_, err := d.Stdout.Write(append(line, '\n'))
		return err
	}
	if counts != [3]int{} {
		d.say.line("daemon: pushed=%d pulled=%d rejected=%d pair-transitions=0", counts[0], counts[1], counts[2])
	}
	return nil
}

func prefixed(prefix string, err error) string {
	if err == nil {
		return ""
	}
	return prefix + err.Error()
}

// waiting says which peers keep their mail waiting, and why. The reference is silent about them.
func (p *pushed) waiting() string {
	why := map[string]string{}
	for _, s := range p.Skipped {
		if s.Reason != "duplicate" && !s.Never {
			why[s.Peer] = s.Reason
		}
	}
	peers := make([]string, 0, len(why))
	for peer, reason := range why {
		peers = append(peers, peer+": "+reason)
	}
	slices.Sort(peers)
	if len(peers) == 0 {
		return ""
	}
	return "daemon: mail is waiting: " + strings.Join(peers, "; ")
}

// failure is why nothing or not everything could be fetched. The only endpoint needs no name.
func (p *pulled) failure() error {
	if p.err != nil || len(p.Failed) == 0 {
		return p.err
	}
	text := strings.Join(p.Failed, "; ")
	if len(p.Failed) == 1 {
		if _, why, ok := strings.Cut(text, " errored: "); ok {
			text = why
		}
	}
	return errors.New(text)
}

// document is the line of a cycle. Sorted keys are canon's work.
func (c cycle) document(now time.Time) canon.Doc {
	return canon.Doc{
		"pairs": canon.Doc{"transitions": []any{}},
		"pull":  c.pulled.document(),
		"push":  c.pushed.document(),
		"ts":    now.UTC().Format(time.RFC3339Nano),
	}
}

func (p *pushed) document() canon.Doc {
	list, skipped := []any{}, []any{}
	for _, i := range p.Pushed {
		list = append(list, canon.Doc{"event_id": i.EventID, "peer": i.Peer})
	}
	for _, i := range p.Skipped {
		skipped = append(skipped, canon.Doc{"event_id": i.EventID, "peer": i.Peer, "reason": i.Reason})
	}
	if p.err != nil {
		skipped = append(skipped, canon.Doc{"error": p.err.Error()})
	}
	return canon.Doc{"pushed": list, "skipped": skipped}
}

func (p *pulled) document() canon.Doc {
	written, rejected := []any{}, []any{}
	for _, w := range p.Written {
		written = append(written, canon.Doc{"event_id": w.EventID, "from": w.From})
	}
	for _, r := range p.Rejected {
		item := canon.Doc{"blocks_cursor": false, "event_id": r.EventID, "reason": r.Reason, "transient": r.Transient}
		if r.SchemaVersion != "" {
			item["schema_version"] = r.SchemaVersion
		}
		rejected = append(rejected, item)
	}
	doc := canon.Doc{"rejected": rejected, "total_seen": uint64(p.TotalSeen), "written": written}
	failure := p.failure()
	switch {
	case failure != nil:
		doc["error"] = failure.Error()
	case !p.unbound:
		doc["cursor_blocked"] = false
		doc["cursor_advanced_to"] = nil
		if p.flat != "" {
			doc["cursor_advanced_to"] = p.flat
		}
	}
	return doc
}
