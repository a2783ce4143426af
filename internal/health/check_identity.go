package health

import (
	"context"
	"errors"
	"slices"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/pairing"
)

// identity says whether the home is somebody, and which sessions beside it are not.
func (e *exam) identity() []Check {
	const id = "identity"
	var out []Check
	add := func(v Verdict, fix, format string, args ...any) {
		out = append(out, e.finding(v, id, fix, format, args...))
	}
	fact, did, why := keyAndCard(e.Session)
	if fact == HomeWhole {
		fact, why = directories(e.Session)
	}
	switch {
	case fact == HomePartial && did == "":
		add(Warn, "`wire up <handle>@<relay>`, or `wire session new` for the working directory", "not initialized: %s", why)
	case fact == HomePartial:
		add(Fail, "`wire apply`, or `wire session new "+word(e.Session.Name, "<name>")+"`, makes what is missing", "%s", why)
	case fact == HomeBroken:
		add(Fail, "put the right file back: a key cannot be made again", "%s", why)
	}
	if loose, err := e.Session.CheckOwned(); e.Session.Exists() {
		switch {
		case err != nil:
			add(Fail, "`chown` and `chmod` it: whoever can write here is this session", "%v", err)
		case loose:
			add(Warn, "`chmod -R g-w "+e.Session.Dir+"`; the next start of its daemon does it, too", "its group can write to it")
		}
	}
	if _, err := e.Session.ReadManaged(); err != nil {
		add(Warn, "repair it or move it away: as long as it says nothing, the session counts as one that no apply created", "%v", err)
	}
	if reg, err := e.Machine.Registry(); err != nil {
		add(Warn, "repair the file or move it away; `wire apply` registers the directories of its sessions anew", "%v", err)
	} else if e.Session.Name != "" {
		if shared := reg.Shared(e.Session.Name); shared != nil {
			add(Warn, "`wire session new NAME` in one of them gives it a session of its own", "it is the session of %s", home.SharedBy(shared))
		}
	}
	out = append(out, e.debris(id)...)
	if len(out) > 0 {
		return out
	}
	return pass(id, "%s: key and card belong together", did)
}

// debris are the sessions beside this home that are nobody.
func (e *exam) debris(id string) []Check {
	sisters, err := e.sisters()
	if err != nil {
		return e.one(Warn, id, "make it readable", "its sisters: %v", err)
	}
	var out []Check
	for _, s := range sisters {
		if s.Name == home.LaterStore {
			out = append(out, Check{
				ID: id, Verdict: Warn, Detail: s.Name + " (beside it): sessions of wire 0.14 or later live there; this version does not see them",
				Fix: "nothing has to be done: leave it to the wire that made it",
			})
			continue
		}
		fact, _, why := Identity(s)
		fix := "`wire session new " + word(s.Name, "<name>") + "` completes it, `wire session destroy " + word(s.Name, "<name>") + " --force` removes it"
		switch fact {
		case HomeBroken:
			fix = "put the right file back, or `wire session destroy " + word(s.Name, "<name>") + " --force` removes it"
		case HomePartial:
		case HomeAbsent, HomeWhole:
			continue
		}
		out = append(out, Check{ID: id, Verdict: Warn, Detail: s.Name + " (beside it): " + why, Fix: fix})
	}
	return out
}

// sisters are the other sessions under the sessions root; links to them are none.
func (e *exam) sisters() ([]home.Session, error) {
	all, err := e.Machine.Sessions()
	return slices.DeleteFunc(all, func(s home.Session) bool { return s.Dir == e.Session.Dir || s.Alias() }), err
}

// word is a name as a command line can have it; one that others chose and that is no handle stands for itself
// only in words, never in what people paste into a shell.
func word(name, otherwise string) string {
	if identity.CheckHandle(name) != nil {
		return otherwise
	}
	return name
}

// trust holds trust.json to what the home needs of it.
func (e *exam) trust() []Check {
	const id = "trust"
	if !e.Session.Initialized() {
		return pass(id, "nobody to trust: not initialized")
	}
	list, err := e.Session.ReadTrust()
	if err != nil {
		return e.one(Fail, id, "repair it or move it away; then `wire apply` or `wire session new` makes it anew, and peers must be pinned again", "%v", err)
	}
	if len(list.Keys("agents")) == 0 {
		return e.one(Fail, id, "`wire apply` or `wire session new` makes it anew; peers must be pinned again", "trust.json is missing or empty: all mail is refused")
	}
	var out []Check
	for _, peer := range e.relay.peers {
		if _, ok := list.Raw("agents", peer); !ok {
			out = append(out, e.finding(Warn, id, "`wire add "+word(peer, "<peer>")+"@<relay>`, or `wire pin <card-file>`; `wire forget-peer "+word(peer, "<peer>")+"` if it is nobody",
				"%s has a slot in relay.json and is not pinned: what it sends is refused", identity.Quote(peer)))
		}
	}
	requests, err := e.Session.InboundRequests()
	if err != nil {
		out = append(out, e.finding(Warn, id, "make them readable", "pair requests: %v", err))
	}
	peers, err := pairing.Peers(e.Session)
	if err != nil {
		out = append(out, e.finding(Fail, id, "repair trust.json", "%v", err))
	}
	for _, r := range requests {
		if slices.ContainsFunc(peers.List, func(p pairing.Peer) bool { return p.DID == string(r.DID) }) {
			out = append(out, e.finding(Warn, id, "`wire pair-reject "+word(r.Handle, "<peer>")+"` takes it away", "the pair request of %s waits, though %s is pinned",
				identity.Quote(r.Handle), r.DID))
		}
	}
	if len(out) > 0 {
		return out
	}
	return pass(id, "%d peer(s) pinned", len(peers.List))
}

// pins holds the pins of sisters to what the sisters are.
func (e *exam) pins(ctx context.Context) []Check {
	const id = "stale_pins"
	sisters, err := e.sisters()
	if err != nil || !e.Session.Initialized() {
		return pass(id, "no sister is pinned")
	}
	survey, err := pairing.LookFrom(ctx, append([]home.Session{e.Session}, sisters...), 0, 0)
	if err != nil {
		return e.one(Warn, id, "`wire doctor` once more", "sisters: %v", err)
	}
	var out []Check
	var twins *pairing.TwinError
	if err := survey.Members[0].Err; errors.As(err, &twins) {
		out = append(out, e.finding(Fail, id, twins.Advice(), "%v: no pin could tell them apart", twins))
	}
	pinned := 0
	for i, m := range survey.Members {
		if i == 0 || m.Err != nil || survey.Members[0].Err != nil {
			continue // said by other checks
		}
		fix := "`wire session pair-all-local`, or `wire apply`, pins it anew"
		switch pin := survey.Pin(0, i); pin.State {
		case pairing.PinAbsent, pairing.PinUnknown:
		case pairing.PinGood:
			pinned++
		case pairing.PinConflict:
			out = append(out, e.finding(Fail, id, "`wire forget-peer "+word(m.Info.Handle, "<peer>")+"` if the sister is meant, then `wire session pair-all-local`",
				"the name of its sister %s belongs to somebody else: %s", m.Session.Name, pin.Why))
		case pairing.PinHalf, pairing.PinPending, pairing.PinStale:
			out = append(out, e.finding(Warn, id, fix, "its pin of %s is %s: %s", m.Session.Name, pin.State, pin.Why))
		}
	}
	if len(out) > 0 {
		return out
	}
	return pass(id, "%d sister(s) pinned, each as it is", pinned)
}
