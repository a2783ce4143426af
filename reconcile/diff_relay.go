package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/spec"
)

// place is a relay on which a session wants a slot.
type place struct {
	scope home.Scope
	url   string
}

// places are the relays on which s wants a slot, the federation relay first, as self.endpoints has them.
func (f *differ) places(s spec.Session) []place {
	var out []place
	if s.Reach.Federates() {
		out = append(out, place{home.Federation, f.d.Federation.URL})
	}
	if s.Reach.Locally() {
		out = append(out, place{home.Local, f.d.LocalRelay.URL})
	}
	return out
}

// relays says what is wrong with the relays that the sessions of the plan need, and plans the start of the
// local one. A relay is wanted as well for a session that the watcher of another file keeps.
func (f *differ) relays() {
	needed := map[home.Scope]bool{}
	for _, s := range f.d.Sessions {
		if f.wants(s.Name) && (!f.ready[s.Name].blocked || f.others(s.Name)) {
			for _, p := range f.places(s) {
				needed[p.scope] = true
			}
		}
	}
	f.usable = map[home.Scope]bool{
		home.Local:      f.o.Relay.Fact == RelayUp,
		home.Federation: f.o.Federation.Fact == RelayUp,
	}
	f.leftRelay()
	if start, ok := f.relayStart(); ok && needed[home.Local] {
		f.changes = slices.Insert(f.changes, 0, start)
		f.usable[home.Local], f.startsRelay = true, start.ID()
	}
	if needed[home.Local] && !f.usable[home.Local] {
		f.unusable(f.d.LocalRelay.URL, f.o.Relay, "start that relay, or set managed: true in the file")
	}
	if needed[home.Federation] && !f.usable[home.Federation] {
		f.unusable(f.d.Federation.URL, f.o.Federation, "run apply again when it answers")
	}
}

// unusable reports a relay that apply cannot make answer; ifDown is the advice where nothing listens.
func (f *differ) unusable(url string, r RelayState, ifDown string) {
	switch e := r.Elsewhere; r.Fact {
	case RelayUp:
	case RelayDown:
		if e.PID != 0 && f.d.LocalRelay.Managed {
			text := fmt.Sprintf("pid %d serves this machine's relay state, but on %s", e.PID, e.Bind)
			if uses := f.uses(e); len(uses) > 0 {
				f.block(url, "relay-elsewhere", text+", for "+strings.Join(uses, ", "),
					"stop their daemons, or name them in the file and apply all of it; or leave the relay where it is, in the file, too")
				break
			}
			f.block(url, "relay-elsewhere", text, "end it where it was started, then apply starts one here; or leave it where it is, in the file, too")
			break
		}
		f.block(url, "relay-down", "nothing answers there", ifDown)
	case RelayStranger:
		f.block(url, "port-taken", r.Why, "stop that program, or give the relay another URL in the file")
	case RelaySilent, RelayHung:
		f.block(url, "relay-silent", r.Why, "look at the process that has the port")
	}
}

// relayStart is the change that makes the local relay answer, if it is ours to make.
func (f *differ) relayStart() (Change, bool) {
	c := Change{Kind: StartRelay, Subjects: []string{f.d.LocalRelay.URL}, Reason: Reason{"relay-down", "nothing answers there"}}
	if f.o.Relay.Crash.Deaths > 0 {
		c.Reason = relayCrash(f.o.Relay.Crash)
	}
	switch e := f.o.Relay.Elsewhere; {
	case !f.d.LocalRelay.Managed:
		return c, false
	case f.o.Relay.Fact == RelayDown && e.PID != 0:
		c.Kind = RestartRelay
		c.Reason = Reason{"relay-elsewhere", fmt.Sprintf("pid %d serves on %s: the file has moved it", e.PID, e.Bind)}
		return c, e.ByApply && len(f.uses(e)) == 0
	case f.o.Relay.Fact == RelayHung:
		c.Kind, c.Reason = RestartRelay, Reason{"relay-hung", f.o.Relay.Why}
		return c, true
	}
	return c, f.o.Relay.Fact == RelayDown
}

// uses are the sessions that would lose the relay of this machine's state where it listens now, and get no slot where
// the file wants it.
func (f *differ) uses(e Elsewhere) []string {
	out := slices.Clone(e.Uses)
	for _, s := range f.d.Sessions {
		have := f.o.Session(s.Name)
		stays := !f.wants(s.Name) || f.others(s.Name) || !s.Reach.Locally()
		if stays && len(have.Daemon.All()) > 0 && slices.ContainsFunc(have.Slots, func(slot SlotState) bool { return e.serves(slot.URL) }) {
			out = append(out, s.Name)
		}
	}
	return out
}

// leftRelay reports a relay that an apply has started and that no file names any more.
func (f *differ) leftRelay() {
	if e := f.o.Relay.Elsewhere; f.o.Relay.Fact == RelayUp && e.ByApply && !e.serves(f.d.LocalRelay.URL) && len(f.uses(e)) == 0 {
		f.note(f.d.LocalRelay.URL, "relay-left", fmt.Sprintf("pid %d, started by an apply, serves on %s, which the file does not name", e.PID, e.Bind),
			"end it, if nobody needs it")
	}
}

// slots plans the slots that a session lacks. Without one that it must have, nothing else is planned for it.
func (f *differ) slots(s spec.Session) {
	for _, p := range f.places(s) {
		if v := f.ready[s.Name]; !v.blocked {
			f.ready[s.Name] = f.slot(s, p, v)
		}
	}
}

func (f *differ) slot(s spec.Session, p place, v verdict) verdict {
	why, wanted := f.slotWanted(f.o.Session(s.Name), p)
	if !wanted {
		return v
	}
	if !f.usable[p.scope] {
		v.blocked = true
		f.block(s.Name, "slot-blocked", why.Text+", and the relay cannot be used", "see the relay's own line")
		return v
	}
	c := Change{Kind: AllocateSlot, Subjects: []string{s.Name}, Relay: p.url, Reason: why, Needs: slices.Clone(v.needs)}
	if p.scope == home.Local && f.startsRelay != "" {
		c.Needs = append(c.Needs, f.startsRelay)
	}
	v.needs = append(v.needs, f.add(c))
	v.handle = v.handle || p.scope == home.Federation
	if v.renewed.Code == "" {
		v.renewed = Reason{"edge-moved", s.Name + " gets a new slot"}
	}
	return v
}

// claim plans the nick of a session on the federation relay.
func (f *differ) claim(s spec.Session) {
	v := f.ready[s.Name]
	if v.blocked || !s.Reach.Federates() {
		return
	}
	c := Change{Kind: ClaimHandle, Subjects: []string{s.Name}, Needs: slices.Clone(v.needs)}
	switch st := f.o.Session(s.Name).Claim; {
	case st.Fact == ClaimTaken:
		f.block(s.Name, "handle-taken", st.Why, "set another handle in the file")
		return
	case v.handle:
		c.Reason = Reason{"handle-new", s.Handle + " leads to its new slot"}
	case st.Fact == ClaimAbsent:
		c.Reason = Reason{"handle-absent", s.Handle + " is not claimed"}
	case st.Fact == ClaimStale:
		c.Reason = Reason{"handle-stale", st.Why}
	default:
		return
	}
	id := f.add(c)
	if f.opt.InOrder {
		v.needs = append(v.needs, id)
		f.ready[s.Name] = v
	}
}

// slotWanted says why a session needs a slot at p, if it does.
func (f *differ) slotWanted(have SessionState, p place) (Reason, bool) {
	elsewhere := false
	for _, e := range have.Slots {
		if e.Scope != p.scope {
			continue
		}
		if e.URL == p.url {
			return Reason{"slot-lost", e.Why}, e.Fact == SlotLost
		}
		elsewhere = true
	}
	switch {
	case elsewhere && f.opt.Complete:
		return Reason{}, false
	case elsewhere:
		return Reason{"slot-elsewhere", fmt.Sprintf("its %s slot is on another relay than %s", p.scope, p.url)}, true
	}
	return Reason{"slot-absent", "no slot on " + p.url}, true
}
