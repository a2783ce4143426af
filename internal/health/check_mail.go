package health

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/mailbox"
)

// rejections tells of the pair failures that were recorded, the last ones by name.
func (e *exam) rejections() []Check {
	const id = "pair_rejections"
	path := e.Session.Rejections()
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return pass(id, "no pair-rejected.jsonl — no recorded pair failures")
	case err != nil:
		return e.one(Warn, id, "make it readable", "%v", err)
	}
	var all []string
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		doc, err := canon.ParseObject(line)
		if err != nil {
			doc = canon.Doc{}
		}
		name := func(key string) string {
			if s, ok := doc[key].(string); ok {
				return s
			}
			return "?"
		}
		all = append(all, name("peer")+"/"+name("code"))
	}
	if len(all) == 0 {
		return pass(id, "pair-rejected.jsonl is empty — no recorded pair failures")
	}
	recent := all[max(0, len(all)-e.Rejections):]
	return e.one(Warn, id, "inspect "+identity.Quote(path)+" for full details; move it away when they are settled",
		"%d pair failures recorded. recent: [%s]", len(all), strings.Join(recent, ", "))
}

// stray tells of the mail that nobody sends.
func (e *exam) stray() []Check {
	const id = "stray_mail"
	files, err := mailbox.Stray(e.Session)
	if err != nil {
		return e.one(Warn, id, "make it readable, or repair it", "%v", err)
	}
	var out []Check
	for _, f := range files {
		out = append(out, e.finding(Warn, id, "send it again to the bare handle, or pair with whom it is for; then move the file away",
			"outbox/%s is never sent: nobody is pinned under that name", f))
	}
	if len(out) > 0 {
		return out
	}
	return pass(id, "no mail waits where nothing is sent")
}

// blocked tells of the events that wait for trust or a newer program.
func (e *exam) blocked() []Check {
	const id = "blocked_events"
	waiting, err := mailbox.BlockedEvents(e.Session)
	if err != nil {
		return e.one(Warn, id, "make it readable", "%v", err)
	}
	var out []Check
	for _, b := range waiting {
		fix := "a newer wire may know them: install it, then `wire upgrade`"
		if strings.Contains(b.Reason, "not in trust") || strings.Contains(b.Reason, "not found for agent") {
			fix = "`wire add <nick>@<relay>`, `wire pin <card-file>` or, for a sister, `wire session pair-all-local`; they arrive by themselves then"
		}
		out = append(out, e.finding(Warn, id, fix, "%d event(s) of %s wait in the quarantine: %s", b.Events, b.From, b.Reason))
	}
	if len(out) > 0 {
		return out
	}
	return pass(id, "no event waits in the quarantine")
}
