package mailbox

import (
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// agent is what the mailbox needs of one member of trust.json.
type agent struct {
	known   bool
	record  any    // what verification looks at: the public keys alone, for a pin's card is most of it
	did     string // "" if unknown
	pinned  string // pinned_at
	since   string // when the first of its keys that count was added; else pinned_at
	own     bool   // tier ATTESTED
	renewed bool   // holds keys of an earlier identity, active: false
}

// agents reads members of trust.json when they are asked for and keeps what was asked for, until the file
// changes. With 400 peers the whole file as a tree would be most of a daemon's memory.
type agents struct {
	home  home.Session
	of    stamp
	seen  map[string]agent
	spans *canon.Spans // while a batch lasts
}

// refresh forgets everything if trust.json is no longer what was read.
func (a *agents) refresh() {
	if a.of.current(a.home.TrustFile()) {
		return
	}
	a.of, a.seen, a.spans = stamp{}, nil, nil
}

// release ends a batch: the text of the file goes, the members that were read stay.
func (a *agents) release() { a.spans = nil }

// find is a handle's member. An unreadable trust.json is an error: nothing may be judged without it.
func (a *agents) find(handle string) (agent, error) {
	if got, ok := a.seen[handle]; ok {
		return got, nil
	}
	if a.spans == nil {
		// The stamp is older than the content: a change in between makes the next refresh read again.
		of := stampOf(a.home.TrustFile()).settled(time.Now())
		spans, err := a.home.ReadTrust()
		if err != nil {
			return agent{}, err
		}
		a.of, a.spans, a.seen = of, spans, map[string]agent{}
	}
	got := agent{}
	if raw, ok := a.spans.Raw("agents", handle); ok {
		got = readAgent(raw)
	}
	a.seen[handle] = got
	return got, nil
}

func readAgent(raw []byte) agent {
	got := agent{known: true}
	v, err := canon.Parse(raw)
	if err != nil {
		return got // valid as part of trust.json, so this does not happen
	}
	rec, ok := v.(canon.Doc)
	if !ok {
		return got // known, but without keys
	}
	got.did, _ = rec["did"].(string)
	got.pinned, _ = rec["pinned_at"].(string)
	got.since = got.pinned
	if keys, ok := rec["public_keys"].([]any); ok {
		got.record = canon.Doc{"public_keys": keys}
		for _, k := range keys {
			e, _ := k.(canon.Doc)
			if e["active"] == false {
				got.renewed = true
			} else if added, ok := e["added_at"].(string); ok && earlier(added, got.since) {
				got.since = added
			}
		}
	}
	got.own = identity.Tier(rec) == identity.TierAttested
	return got
}

// earlier compares two RFC 3339 times; what does not parse is not earlier.
func earlier(t, than string) bool {
	_, err := time.Parse(time.RFC3339Nano, t)
	return err == nil && !notOlder(t, than)
}

// verify checks an event against trust. refused is why it does not count, nil if it does.
func (a *agents) verify(event any) (refused *identity.VerifyError, err error) {
	var broken error
	verdict := identity.VerifyEventBy(event, func(handle string) (any, bool) {
		got, err := a.find(handle)
		if err != nil {
			broken = err
		}
		return got.record, got.known
	})
	if broken != nil {
		return nil, broken
	}
	return asRefusal(verdict), nil
}

// verifyWith checks an event against one card alone, as if it were pinned.
func verifyWith(event any, card canon.Doc, now time.Time) *identity.VerifyError {
	handle, rec, err := identity.PinRecord(card, identity.TierVerified, now, nil)
	if err != nil {
		return &identity.VerifyError{Reason: err.Error()}
	}
	return asRefusal(identity.VerifyEventBy(event, func(h string) (any, bool) {
		if h != handle {
			return nil, false
		}
		return rec, true
	}))
}

func asRefusal(err error) *identity.VerifyError {
	if err == nil {
		return nil
	}
	if v, ok := err.(*identity.VerifyError); ok {
		return v
	}
	return &identity.VerifyError{Reason: err.Error()}
}
