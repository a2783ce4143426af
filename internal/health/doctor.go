package health

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
)

// Verdict is what a check came to.
type Verdict string

// The verdicts.
const (
	Pass Verdict = "PASS"
	Warn Verdict = "WARN"
	Fail Verdict = "FAIL"
)

// Check is one line of a doctor. A finding, WARN or FAIL, names the session, the fact, and in Fix the command
// that repairs it.
type Check struct {
	ID      string
	Verdict Verdict
	Detail  string
	Fix     string // "" for PASS
}

// Doctor examines one home.
type Doctor struct {
	Machine    home.Machine
	Session    home.Session
	Client     *client.Client
	Rejections int // how many of the recorded pair failures to name
}

// askTime is how long the relays of a home may take to answer, all together.
const askTime = 5 * time.Second

// Examine is all that is known of the home: the five checks of the reference, one of each and in its order,
// then ours, of which each has a line for every finding, or one that says that there is none. It judges this
// home only; sessions beside it are named where they are debris.
func (d Doctor) Examine(ctx context.Context) []Check {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	e := exam{Doctor: d}
	e.look()
	var all sync.WaitGroup
	var relay, slots []Check
	all.Go(func() { relay = e.bound(ctx) })
	all.Go(func() { slots = e.slots(ctx) })
	daemon, record := e.daemon(), e.consistency()
	rejections, cursor := e.rejections(), e.cursor()
	blocked, stray, who, trust, pins := e.blocked(), e.stray(), e.identity(), e.trust(), e.pins(ctx)
	all.Wait()
	var out []Check
	for _, part := range [][]Check{daemon, record, relay, rejections, cursor, slots, blocked, stray, who, trust, pins} {
		out = append(out, part...)
	}
	return out
}

// exam is one examination: what several checks need, read once.
type exam struct {
	Doctor
	label    string // what findings call the session
	daemons  census.Daemons
	relay    relaySeen
	relayErr error
}

// relaySeen is what relay.json says; the zero value where it cannot be read. The file itself is not for checks
// that run beside each other.
type relaySeen struct {
	flat   home.Endpoint
	own    []home.Endpoint
	peers  []string
	cursor string // in the flat slot
}

func (e *exam) look() {
	e.label = e.Session.Name
	if e.label == "" {
		e.label = "this home"
		if card, err := e.Session.ReadCard(); err == nil {
			if handle, ok := card["handle"].(string); ok && handle != "" {
				e.label = handle
			}
		}
	}
	e.daemons = census.DaemonsOf(e.Machine, e.Session)
	f, err := e.Session.ReadRelay()
	if e.relayErr = err; err == nil {
		flat := f.SelfFlat()
		e.relay = relaySeen{flat: flat, own: f.Self(), peers: f.Peers(), cursor: f.Cursor(flat)}
	}
}

func pass(id, format string, args ...any) []Check {
	return []Check{{ID: id, Verdict: Pass, Detail: fmt.Sprintf(format, args...)}}
}

// finding is one of this session.
func (e *exam) finding(v Verdict, id, fix, format string, args ...any) Check {
	return Check{ID: id, Verdict: v, Detail: e.label + ": " + fmt.Sprintf(format, args...), Fix: fix}
}

func (e *exam) one(v Verdict, id, fix, format string, args ...any) []Check {
	return []Check{e.finding(v, id, fix, format, args...)}
}

// shown is a URL as it may be shown: without a password.
func shown(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		if strings.Contains(text, "@") {
			return "<a URL that does not parse>"
		}
		return text
	}
	return u.Redacted()
}
