package mailbox

import (
	"cmp"
	"os"
	"slices"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
)

// Blocked are the events of one signer that wait in the quarantine for one reason.
type Blocked struct {
	From   string // the DID that says it sent them
	Reason string // the reference's text
	Events int
}

// BlockedEvents are what waits in a session's quarantine, by signer and reason. Nothing is judged anew.
func BlockedEvents(s home.Session) ([]Blocked, error) {
	q := quarantine{path: s.Quarantine()}
	counts := map[Blocked]int{}
	err := q.each(func(_ heldEvent, line []byte, event canon.Doc) error {
		rec, err := canon.ParseObject(line)
		if err != nil {
			return nil // each has read it already
		}
		var b Blocked
		b.From, _ = event["from"].(string)
		b.Reason, _ = rec["reason"].(string)
		counts[b]++
		return nil
	})
	out := make([]Blocked, 0, len(counts))
	for b, n := range counts {
		b.Events = n
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b Blocked) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Reason, b.Reason)) })
	return out, err
}

// Quarantined says whether anything waits in a session's quarantine, without reading it.
func Quarantined(s home.Session) bool {
	st, err := os.Stat(s.Quarantine())
	return err == nil && st.Size() > 0
}
