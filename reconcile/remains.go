package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/mailbox"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/spec"
)

// Remains are what earlier programs left in a session and nobody needs, or nobody sends.
type Remains struct {
	Answered []string // handles whose pair requests still wait although they are pinned, with the same DID
	Stray    []string // outbox files with lines that no push will ever send
	// Record says what is wrong with the flat trio of self in relay.json, which is all that daemons of the
	// reference serve, where it can be made anew from the list beside it; "" if nothing is.
	Record string
	// Quarantined says that events wait for trust or for a newer program.
	Quarantined bool
}

// remainsOf reads what Remains holds. What cannot be read is not its affair: other facts say so.
func remainsOf(s home.Session) Remains {
	var r Remains
	for _, request := range AnsweredRequests(s) {
		r.Answered = append(r.Answered, request.Handle)
	}
	r.Quarantined = mailbox.Quarantined(s)
	return r
}

// AnsweredRequests are the pair requests of those whom the session has pinned since, with the same DID
// (field-failures D6). What cannot be read is none.
func AnsweredRequests(s home.Session) []home.Inbound {
	requests, err := s.InboundRequests()
	if err != nil || len(requests) == 0 {
		return nil
	}
	trust, err := s.ReadTrust()
	if err != nil {
		return nil
	}
	relay, err := s.ReadRelay()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(requests, func(r home.Inbound) bool {
		raw, ok := trust.Raw("agents", r.Handle)
		if !ok || r.DID == "" || !slices.ContainsFunc(relay.Peer(r.Handle), func(e home.Endpoint) bool { return !e.SlotToken.Zero() }) {
			return true // without a token the request is what brings it
		}
		rec, err := canon.ParseObject(raw)
		return err != nil || rec["did"] != string(r.DID) || identity.Tier(rec) == identity.TierUntrusted
	})
}

// leftovers adds those listed sessions that are not there and are served all the same.
func (ob Observer) leftovers(sessions map[string]SessionState, table []process.Info) {
	for _, w := range ob.Desired.Sessions {
		if _, there := sessions[w.Name]; there {
			continue
		}
		if d := census.ServingOf(ob.Machine.Session(w.Name), table, nil); len(d.Others) > 0 {
			sessions[w.Name] = SessionState{Name: w.Name, Home: HomeAbsent, Daemon: d}
		}
	}
}

// leftover is who serves a home that has no identity yet: it served another one that was here before, and
// would serve the new one as a second owner (field-failures B16).
func (s SessionState) leftover() bool {
	return s.Home != HomeWhole && s.Home != HomeBroken && s.DID == "" && len(s.Daemon.Others) > 0
}

// sweep plans the end of a leftover daemon; "" if there is none.
func (f *differ) sweep(have SessionState) ID {
	if !have.leftover() {
		return ""
	}
	return f.add(Change{Kind: StopLeftover, Subjects: []string{have.Name}, Reason: Reason{
		"daemon-leftover", fmt.Sprintf("pid %d serves a home that is gone", have.Daemon.Others[0].PID),
	}})
}

// tidy plans what a session's remains need, and reports those that only their owner can judge.
func (f *differ) tidy(s spec.Session) {
	v, have := f.ready[s.Name], f.o.Session(s.Name)
	if v.blocked {
		return
	}
	subject := []string{s.Name}
	if have.Remains.Record != "" && !slices.ContainsFunc(f.changes, func(c Change) bool {
		return c.Kind == AllocateSlot && c.Subjects[0] == s.Name // which writes it anyway
	}) {
		f.add(Change{Kind: MendRecord, Subjects: subject, Reason: Reason{"record-halved", have.Remains.Record}})
	}
	if a := have.Remains.Answered; len(a) > 0 {
		f.add(Change{Kind: DropRequests, Subjects: subject, Reason: Reason{
			"request-answered", fmt.Sprintf("a request of %s waits, and is answered: pinned already", strings.Join(a, ", ")),
		}})
	}
	f.beyond(s, have)
}

func strayAdvice(file string) string {
	stem := strings.TrimSuffix(file, ".jsonl")
	if handle, _, address := strings.Cut(stem, "@"); address {
		return fmt.Sprintf("send again to %s, then move the file away", handle)
	}
	return fmt.Sprintf("pair with %s, or move the file away", stem)
}

// beyond reports slots outside what the file asks for, and a daemon that does not serve them all.
func (f *differ) beyond(s spec.Session, have SessionState) {
	for _, e := range have.Slots {
		if e.Scope == home.Federation && !s.Reach.Federates() && !pairing.OnLoopback(e.URL) {
			f.note(s.Name, "slot-extra", fmt.Sprintf("it has a slot on %s, and the file says reach: %s", pairing.Shown(e.URL), cmp.Or(string(s.Reach), string(spec.ReachLocal))),
				"set reach: both if others reach it there; else nothing has to be done")
		}
	}
	if d := have.Daemon; d.Ours == nil && len(d.Others) == 1 && len(have.Slots) > 1 && !s.Takeover {
		f.note(s.Name, "daemon-one-slot", fmt.Sprintf("pid %d, a daemon of the reference, serves one of its %d slots", d.Others[0].PID, len(have.Slots)),
			"`daemon: {takeover: true}` lets apply replace it by one that serves all")
	}
}

// debris reports a folder of the sessions root that holds no identity; false if it is a session. It may be
// one of a program that only later versions know.
func (f *differ) debris(name string) bool {
	have := f.o.Session(name)
	if have.Home != HomePartial || have.DID != "" || have.Marked {
		return false
	}
	if name == home.LaterStore {
		f.note(name, "store-later", "sessions of wire 0.14 or later live there; this version does not see them", "leave it to the wire that made it")
		return true
	}
	f.note(name, "debris", "a folder without key or card is no session", "remove it if nobody is about to use it")
	return true
}
