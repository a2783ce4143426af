package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/health"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/spec"
)

// Options are the wishes that a command line adds to the file.
type Options struct {
	Prune    bool
	Only     []string // limit to these sessions, and what they need; empty: all
	Complete bool     // make what is missing; what is there is neither moved, replaced nor stopped
	InOrder  bool     // slots, handle, directory, daemon: each of a session only after those before it
	TakeDirs bool     // a directory that another session has is taken from it
}

// Diff compares d with o. It reads no clock, file or network: same input, same plan. Changes follow the
// order of a create and within it the order of the file.
func Diff(d *spec.Desired, o Observed, opt Options) Plan {
	f := differ{d: d, o: o, opt: opt, listed: make(map[string]bool, len(d.Sessions))}
	for _, s := range d.Sessions {
		f.listed[s.Name] = true
	}
	f.ready = make(map[string]verdict, len(d.Sessions))
	for _, s := range d.Sessions {
		if f.wants(s.Name) {
			f.home(s)
		}
	}
	f.relays()
	for _, s := range d.Sessions {
		if f.wants(s.Name) {
			f.slots(s)
			f.claim(s)
			f.dir(s)
			f.tidy(s)
			f.daemon(s)
			f.notifier(s)
		}
	}
	f.mesh()
	f.unlisted()
	return f.plan()
}

// verdict is what the plan so far means for a session.
type verdict struct {
	blocked bool   // nothing is planned for it, and no edge with it
	needs   []ID   // changes that must come before anything that uses it
	renewed Reason // why the pins of it change; zero if they stay
	handle  bool   // its handle has to lead to a federation slot that it gets
}

type differ struct {
	d           *spec.Desired
	o           Observed
	opt         Options
	listed      map[string]bool
	ready       map[string]verdict
	usable      map[home.Scope]bool // relays that answer, or will once the plan has started them
	startsRelay ID                  // the change that starts the local relay; "" if none has to

	keeping bool // a watcher keeps sessions of it

	changes   []Change
	blocked   []Report
	notes     []Report
	unmanaged []string
}

func (f *differ) wants(name string) bool {
	return len(f.opt.Only) == 0 || slices.Contains(f.opt.Only, name)
}

func (f *differ) add(c Change) ID {
	f.changes = append(f.changes, c)
	return c.ID()
}

func (f *differ) block(subject, code, text, advice string) {
	f.blocked = append(f.blocked, Report{Subject: subject, Reason: Reason{Code: code, Text: text}, Advice: advice})
}

func (f *differ) blockEdge(a, b, code, text, advice string) {
	f.block(a+"-"+b, code, text, advice)
	f.blocked[len(f.blocked)-1].Sessions = []string{a, b}
}

func (f *differ) note(subject, code, text, advice string) {
	f.notes = append(f.notes, Report{Subject: subject, Reason: Reason{Code: code, Text: text}, Advice: advice})
}

func (f *differ) home(s spec.Session) {
	have := f.o.Session(s.Name)
	var v verdict
	if f.others(s.Name) {
		f.watched(s.Name)
		f.ready[s.Name] = verdict{blocked: true}
		return
	}
	switch have.Home {
	case HomeBroken:
		v.blocked = true
		f.block(s.Name, "home-broken", have.Why, "repair or move the file away; nothing in this home was changed")
	case HomeAbsent, HomePartial:
		code, text := "absent", "absent"
		if have.Home == HomePartial {
			code, text = "partial", have.Why
		}
		c := Change{Kind: CreateSession, Subjects: []string{s.Name}, Reason: Reason{code, text}}
		if id := f.sweep(have); id != "" {
			c.Needs = []ID{id}
		}
		id := f.add(c)
		v.needs = append(v.needs, id)
		if have.DID == "" {
			v.renewed = Reason{"edge-new", s.Name + " is new"}
		}
	case HomeWhole:
	}
	f.ready[s.Name] = v
}

// others says whether a watcher keeps that session as another file says: it is not this one's to change.
func (f *differ) others(name string) bool {
	return f.o.Watcher.Other && f.o.Watcher.keeps(f.o.Session(name))
}

func (f *differ) watched(name string) {
	w := f.o.Watcher
	f.block(name, "watched", fmt.Sprintf("pid %d keeps it as %s says", w.PID, w.File), "change that file, or end that `wire apply --watch`")
}

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
// local one.
func (f *differ) relays() {
	needed := map[home.Scope]bool{}
	for _, s := range f.d.Sessions {
		if f.wants(s.Name) && !f.ready[s.Name].blocked {
			for _, p := range f.places(s) {
				needed[p.scope] = true
			}
		}
	}
	f.usable = map[home.Scope]bool{
		home.Local:      f.o.Relay.Fact == RelayUp,
		home.Federation: f.o.Federation.Fact == RelayUp,
	}
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
	switch r.Fact {
	case RelayUp:
	case RelayDown:
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
	switch {
	case !f.d.LocalRelay.Managed:
		return c, false
	case f.o.Relay.Fact == RelayHung:
		c.Kind, c.Reason = RestartRelay, Reason{"relay-hung", f.o.Relay.Why}
		return c, true
	}
	return c, f.o.Relay.Fact == RelayDown
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

func (f *differ) dir(s spec.Session) {
	v := f.ready[s.Name]
	if s.Dir == "" || v.blocked && (!f.opt.TakeDirs || f.opt.InOrder) {
		return
	}
	if !s.DirExists {
		f.note(s.Name, "dir-absent", s.DirAsTyped+" does not exist yet; registered as "+s.Dir, "")
	}
	holder, taken := f.o.ByCwd[s.Dir]
	switch {
	case taken && home.Sanitize(holder) == s.Name: // also under a longer name of the reference
		return
	case taken && !f.opt.TakeDirs && f.o.Session(home.Sanitize(holder)).Home != HomeAbsent && !f.pruned(home.Sanitize(holder)):
		f.block(s.Name, "dir-conflict", fmt.Sprintf("%s is registered to session %q", s.Dir, holder),
			"name that session in the file, or destroy it")
		return
	}
	c := Change{
		Kind: RegisterDir, Subjects: []string{s.Name}, Needs: slices.Clone(v.needs[:min(1, len(v.needs))]),
		Reason: Reason{"dir-unregistered", s.Dir + " is not registered"}, Takes: f.opt.TakeDirs,
	}
	if f.opt.InOrder {
		c.Needs = slices.Clone(v.needs)
	}
	f.add(c)
}

func (f *differ) daemon(s spec.Session) {
	v := f.ready[s.Name]
	if v.blocked || f.opt.Complete && !s.Daemon {
		return
	}
	have := f.o.Session(s.Name)
	dm := have.Daemon
	if have.leftover() {
		dm.Others, dm.Why = nil, "not running" // once they have been swept away
	}
	if dm.Unknown != "" {
		f.block(s.Name, "daemon-unknown", dm.Unknown, "")
		return
	}
	subject := []string{s.Name}
	if !s.Daemon {
		switch {
		case dm.Ours == nil:
		case have.StartedByApply:
			f.add(Change{Kind: StopDaemon, Subjects: subject, Reason: Reason{"daemon-unwanted", "daemon: false in the file"}})
		default:
			f.note(s.Name, "daemon-foreign", fmt.Sprintf("daemon: false, but pid %d was not started by an apply: left alone", dm.Ours.PID), "")
		}
		return
	}
	needs := slices.Clone(v.needs)
	switch {
	case f.opt.Complete && slices.ContainsFunc(dm.All(), func(d census.Daemon) bool { return !d.Stopped }):
	case dm.Ours != nil:
		if c, ok := f.replace(s, have); ok {
			c.Kind, c.Subjects, c.Needs = RestartDaemon, subject, needs
			f.add(c)
			return
		}
		if len(dm.Others) > 0 {
			f.add(Change{Kind: StopDuplicate, Subjects: subject, Reason: Reason{
				"daemon-duplicate",
				fmt.Sprintf("pid %d serves it beside ours (pid %d)", dm.Others[0].PID, dm.Ours.PID),
			}})
		}
	case len(dm.Others) > 0:
		first := dm.Others[0]
		switch {
		case first.Stopped:
			f.add(Change{Kind: RestartDaemon, Subjects: subject, Needs: needs, Reason: Reason{
				"daemon-hung", fmt.Sprintf("pid %d is stopped (state T)", first.PID),
			}})
		case s.Takeover:
			f.add(Change{Kind: RestartDaemon, Subjects: subject, Needs: needs, Reason: Reason{
				"daemon-takeover", fmt.Sprintf("pid %d is a daemon of the reference and takeover is set", first.PID),
			}})
		case f.silentReference(s, have):
			why, _ := f.silent(s, have, first)
			f.add(Change{Kind: RestartDaemon, Subjects: subject, Needs: needs, Suspect: true, Reason: why})
		case len(dm.Others) > 1:
			f.add(Change{Kind: StopDuplicate, Subjects: subject, Reason: Reason{
				"daemon-duplicate", fmt.Sprintf("pid %d serves it beside pid %d", dm.Others[1].PID, first.PID),
			}})
		default:
			f.note(s.Name, "daemon-reference", "served by a daemon of the reference ("+describe(first)+")", "")
		}
	default:
		why := Reason{"daemon-dead", cmp.Or(dm.Why, "not running")}
		if have.Deaths > 0 {
			why = crashReason(have.Deaths)
		}
		f.add(Change{Kind: StartDaemon, Subjects: subject, Needs: needs, Reason: why})
	}
}

// notifier plans who shows on the desktop what arrives.
func (f *differ) notifier(s spec.Session) {
	v := f.ready[s.Name]
	if v.blocked || f.opt.Complete && !s.Notify {
		return
	}
	have := f.o.Session(s.Name)
	n := have.Notify
	c := Change{Subjects: []string{s.Name}}
	switch {
	case n.Unknown != "" && s.Notify:
		f.block(s.Name, "notify-unknown", n.Unknown, "")
		return
	case n.Unknown != "" || !s.Notify && n.Ours == nil:
		return
	case !s.Notify && !have.NotifyByApply:
		f.note(s.Name, "notify-foreign", fmt.Sprintf("notify: false, but pid %d was not started by an apply: left alone", n.Ours.PID), "")
		return
	case !s.Notify:
		c.Kind, c.Reason = StopNotify, Reason{"notify-unwanted", "notify: false in the file"}
		f.add(c)
		return
	}
	c.Needs = slices.Clone(v.needs)
	switch all := n.All(); {
	case len(all) == 0:
		c.Kind, c.Reason = StartNotify, Reason{"notify-dead", cmp.Or(n.Why, "not running")}
	case all[0].Stopped:
		c.Kind, c.Reason = RestartNotify, Reason{"notify-hung", fmt.Sprintf("pid %d is stopped (state T)", all[0].PID)}
	case n.Ours == nil:
		f.note(s.Name, "notify-reference", fmt.Sprintf("what arrives is shown by a notifier of the reference (pid %d)", all[0].PID), "")
		return
	case !n.Ours.SameExe && !f.opt.Complete && !f.foreignWatch():
		c.Kind, c.Reason = RestartNotify, Reason{"notify-executable", fmt.Sprintf("pid %d runs another executable than this one", n.Ours.PID)}
	default:
		if len(n.Others) > 0 {
			f.note(s.Name, "notify-duplicate", fmt.Sprintf("pid %d shows what arrives beside ours (pid %d)", n.Others[0].PID, n.Ours.PID),
				"end it, or each message is shown twice")
		}
		return
	}
	f.add(c)
}

// describe says of a daemon of the reference what can be known of it.
func describe(d census.Daemon) string {
	text := fmt.Sprintf("pid %d", d.PID)
	if d.Version != "" {
		text += ", version " + d.Version
	}
	if d.Interval > 0 {
		text += fmt.Sprintf(", interval %d s", d.Interval)
	}
	if d.Exe != "" {
		text += ", " + d.Exe
	}
	return text
}

// replace is the restart of our own daemon, if it has to be restarted; kind and subject are left to the caller.
func (f *differ) replace(s spec.Session, have SessionState) (Change, bool) {
	dm := have.Daemon.Ours
	want := int(s.Interval / time.Second)
	switch {
	case dm.Stopped:
		return Change{Reason: Reason{"daemon-hung", fmt.Sprintf("pid %d is stopped (state T)", dm.PID)}}, true
	case !dm.SameExe && f.foreignWatch():
		f.note(s.Name, "daemon-executable", fmt.Sprintf("pid %d runs the executable of the watcher (pid %d), not this one", dm.PID, f.o.Watcher.PID), "")
	case !dm.SameExe:
		return Change{Roll: true, Reason: Reason{"daemon-executable", fmt.Sprintf("pid %d runs another executable than this one: %s", dm.PID, dm.Exe)}}, true
	}
	if dm.Interval != 0 && dm.Interval != want {
		return Change{Roll: true, Reason: Reason{
			"daemon-interval", fmt.Sprintf("pid %d runs with interval %d s, the file says %d s", dm.PID, dm.Interval, want),
		}}, true
	}
	why, silent := f.silent(s, have, *dm)
	return Change{Suspect: true, Reason: why}, silent
}

// foreignWatch says whether a watcher from another executable keeps the file: daemons from this one would be
// replaced by it.
func (f *differ) foreignWatch() bool {
	w := f.o.Watcher
	return w.PID != 0 && !w.Self && !w.SameExe
}

// silentReference says the same of a daemon of the reference. It serves one slot, the federation one where
// there is any, so that only a session without one shows whether it works.
func (f *differ) silentReference(s spec.Session, have SessionState) bool {
	if slices.ContainsFunc(have.Slots, func(e SlotState) bool { return e.Scope == home.Federation }) {
		return false
	}
	_, silent := f.silent(s, have, have.Daemon.Others[0])
	return silent
}

// silent says whether a daemon has not pulled for too long while it could.
func (f *differ) silent(s spec.Session, have SessionState, dm census.Daemon) (Reason, bool) {
	limit := max(health.Silence(s.Interval), health.Silence(time.Duration(dm.Interval)*time.Second))
	if f.o.Relay.Fact != RelayUp || f.o.Now.Sub(dm.Started) < limit {
		return Reason{}, false
	}
	for _, e := range have.Slots {
		if e.Scope != home.Local || e.URL != f.d.LocalRelay.URL || e.Fact != SlotGood {
			continue
		}
		switch {
		case f.o.Relay.Since != nil && f.o.Now.Sub(*f.o.Relay.Since) <= limit:
			// it may have been away for longer than that, and knows the pulls of before
		case e.LastPull != nil && f.o.Now.Sub(*e.LastPull) > limit:
			return Reason{"daemon-silent", fmt.Sprintf("pid %d has not pulled for %s", dm.PID, f.o.Now.Sub(*e.LastPull).Round(time.Second))}, true
		case e.LastPull == nil && f.o.Relay.Since != nil && f.o.Now.Sub(e.Since) > limit:
			return Reason{"daemon-silent", fmt.Sprintf("pid %d has never pulled from the relay", dm.PID)}, true
		}
	}
	return Reason{}, false
}

func (f *differ) mesh() {
	want := make(map[[2]string]bool, len(f.d.Edges))
	var pairs []Pair
	for _, e := range f.d.Edges {
		want[e] = true
		if len(f.opt.Only) > 0 && !f.wants(e[0]) && !f.wants(e[1]) {
			continue
		}
		a, b := f.readyFor(e[0]), f.readyFor(e[1])
		if a.blocked || b.blocked {
			continue
		}
		if why, ok := f.edge(e[0], e[1], a, b); ok {
			pairs = append(pairs, Pair{A: e[0], B: e[1], Reason: why})
		}
	}
	if len(pairs) > 0 {
		f.add(Change{Kind: PairMesh, Subjects: subjectsOf(pairs), Reason: summarise(pairs), Pairs: pairs})
	}
	f.extra(want)
}

// readyFor is the verdict on a session, also on one that --only leaves out: that one must be there already.
func (f *differ) readyFor(name string) verdict {
	if v, ok := f.ready[name]; ok {
		return v
	}
	have := f.o.Session(name)
	return verdict{blocked: f.others(name) || have.Home != HomeWhole || len(have.Slots) == 0}
}

func (f *differ) edge(a, b string, va, vb verdict) (Reason, bool) {
	ab, ba := f.o.Mesh.At(a, b), f.o.Mesh.At(b, a)
	for _, p := range []struct {
		from, to string
		pin      PinState
	}{{a, b, ab}, {b, a, ba}} {
		switch p.pin.State {
		case pairing.PinConflict:
			f.blockEdge(a, b, "edge-conflict", p.pin.Why,
				fmt.Sprintf("rename one of them, or `wire forget-peer %s` in session %s", p.to, p.from))
			return Reason{}, false
		case pairing.PinUnknown:
			f.blockEdge(a, b, "edge-unknown", p.pin.Why, "")
			return Reason{}, false
		}
	}
	switch {
	case va.renewed.Code != "":
		return va.renewed, true
	case vb.renewed.Code != "":
		return vb.renewed, true
	case ab.State == pairing.PinGood && ba.State == pairing.PinGood:
		return Reason{}, false
	case ab.State == pairing.PinAbsent && ba.State == pairing.PinAbsent:
		return Reason{"edge-absent", "neither pins the other"}, true
	case ab.State == pairing.PinAbsent:
		return Reason{"edge-half", fmt.Sprintf("half: %s does not pin %s", a, b)}, true
	case ba.State == pairing.PinAbsent:
		return Reason{"edge-half", fmt.Sprintf("half: %s does not pin %s", b, a)}, true
	case ab.State != pairing.PinGood:
		return Reason{"edge-" + string(ab.State), ab.Why}, true
	}
	return Reason{"edge-" + string(ba.State), ba.Why}, true
}

// extra looks for edges between listed sessions that the file does not ask for.
func (f *differ) extra(want map[[2]string]bool) {
	names := make([]string, 0, len(f.d.Sessions))
	for _, s := range f.d.Sessions {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	if len(want) == len(names)*(len(names)-1)/2 {
		return
	}
	var pairs []Pair
	for i, a := range names {
		for _, b := range names[i+1:] {
			if want[[2]string{a, b}] || !f.wants(a) && !f.wants(b) || f.others(a) || f.others(b) {
				continue
			}
			ab, ba := f.o.Mesh.At(a, b).State, f.o.Mesh.At(b, a).State
			if sisterPin(ab) || sisterPin(ba) {
				pairs = append(pairs, Pair{A: a, B: b, Reason: Reason{"edge-extra", "not in the file's mesh"}})
			}
		}
	}
	switch {
	case len(pairs) == 0:
	case f.opt.Prune:
		f.add(Change{
			Kind: RemovePins, Subjects: subjectsOf(pairs), Pairs: pairs,
			Reason: Reason{"edge-extra", fmt.Sprintf("%s not in the file's mesh (--prune)", count(len(pairs), "edge"))},
		})
	default:
		for _, p := range pairs {
			f.note(p.A+"-"+p.B, "edge-extra", "paired, but not in the file's mesh", "--prune removes it")
		}
	}
}

// sisterPin says whether a pin is one of ours to remove: somebody else's is not.
func sisterPin(p pairing.Pin) bool {
	switch p {
	case pairing.PinGood, pairing.PinHalf, pairing.PinPending, pairing.PinStale:
		return true
	}
	return false
}

// unlisted handles the sessions that the file does not name.
func (f *differ) unlisted() {
	for _, name := range f.o.Names() {
		if f.listed[name] {
			continue
		}
		if f.pruned(name) {
			f.add(Change{
				Kind: DestroySession, Subjects: []string{name}, Destroys: true,
				Reason: Reason{"not-listed", "not in the file, created by it (--prune): its key goes"},
			})
			continue
		}
		if !f.debris(name) {
			f.unmanaged = append(f.unmanaged, name)
		}
	}
}

// pruned says whether this plan destroys a session that is there.
func (f *differ) pruned(name string) bool {
	owner := f.o.Session(name).Owner
	return f.opt.Prune && !f.listed[name] && f.d.Owner != "" && owner == f.d.Owner && f.wants(name) && !f.others(name)
}

// rank is the order of a create, then that of a removal; a directory is registered last, for it may have
// been that of a session that goes.
var rank = map[Kind]int{
	StartRelay: 0, RestartRelay: 0, StopLeftover: 0, CreateSession: 1, AllocateSlot: 2, MendRecord: 2, ClaimHandle: 3, PairMesh: 4,
	DropRequests: 4, RemovePins: 5, StopDaemon: 6, StopNotify: 7, StopDuplicate: 8, StopAll: 9, StartDaemon: 10, RestartDaemon: 11,
	StartNotify: 12, RestartNotify: 13, DestroySession: 14, RegisterDir: 15, StopRelay: 16,
}

func (f *differ) plan() Plan {
	slices.SortStableFunc(f.changes, func(a, b Change) int { return rank[a.Kind] - rank[b.Kind] })
	return Plan{Changes: f.changes, Blocked: f.blocked, Notes: f.notes, Unmanaged: f.unmanaged}
}

func subjectsOf(pairs []Pair) []string {
	seen := map[string]bool{}
	var names []string
	for _, p := range pairs {
		for _, n := range []string{p.A, p.B} {
			if !seen[n] {
				seen[n] = true
				names = append(names, n)
			}
		}
	}
	slices.Sort(names)
	return names
}

// summarise counts the reasons of many edges: "6 edges: 4 absent, 2 half".
func summarise(pairs []Pair) Reason {
	if len(pairs) == 1 {
		return pairs[0].Reason
	}
	counts := map[string]int{}
	for _, p := range pairs {
		counts[p.Reason.Code]++
	}
	codes := make([]string, 0, len(counts))
	for c := range counts {
		codes = append(codes, c)
	}
	slices.Sort(codes)
	parts := make([]string, 0, len(codes))
	for _, c := range codes {
		parts = append(parts, fmt.Sprintf("%d %s", counts[c], strings.TrimPrefix(c, "edge-")))
	}
	code := codes[0]
	if len(codes) > 1 {
		code = "edges"
	}
	return Reason{code, fmt.Sprintf("%s: %s", count(len(pairs), "edge"), strings.Join(parts, ", "))}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Weave is the mesh part of a diff: what makes the edges that d asks for, and nothing else. No relay is looked
// at: sisters are on this disk.
func Weave(d *spec.Desired, o Observed) Plan {
	f := differ{d: d, o: o}
	f.mesh()
	return f.plan()
}

// kept reports a session that a watcher would bring back at once.
func (f *differ) kept(name string) bool {
	w := f.o.Watcher
	if w.Self || !w.keeps(f.o.Session(name)) {
		return false
	}
	f.keeping = true
	f.block(name, "watched", fmt.Sprintf("pid %d keeps it as %s says, and would bring it back", w.PID, w.File), "end that `wire apply --watch` first")
	return true
}

// Down is the plan that leaves nothing of the file running: its daemons, and its relay where an apply
// started it and no session outside the file uses it. It deletes nothing.
func Down(d *spec.Desired, o Observed, only []string) Plan {
	f := differ{d: d, o: o, opt: Options{Only: only}}
	for _, s := range d.Sessions {
		if !f.wants(s.Name) {
			continue
		}
		have := o.Session(s.Name)
		if f.kept(s.Name) {
			continue
		}
		switch dm, n := have.Daemon, have.Notify; {
		case dm.Unknown != "":
			f.block(s.Name, "daemon-unknown", dm.Unknown, "")
		case n.Unknown != "":
			f.block(s.Name, "notify-unknown", n.Unknown, "")
		case len(dm.All()) > 0:
			f.add(Change{Kind: StopAll, Subjects: []string{s.Name}, Reason: Reason{"down", "running"}})
		case len(n.All()) > 0:
			f.add(Change{Kind: StopAll, Subjects: []string{s.Name}, Reason: Reason{"down", "its notifier is running"}})
		}
	}
	if len(only) == 0 && !f.keeping {
		f.downRelay()
	}
	return f.plan()
}

func (f *differ) downRelay() {
	url, r := f.d.LocalRelay.URL, f.o.Relay
	switch {
	case r.PID == 0:
		if r.Fact == RelayUp {
			f.note(url, "relay-foreign", "not started from this machine's sessions root: left running", "")
		}
	case !r.ByApply:
		f.note(url, "relay-foreign", fmt.Sprintf("pid %d was not started by an apply: left running", r.PID), "")
	case len(r.OtherUses) > 0:
		f.note(url, "relay-used", "left running for "+strings.Join(r.OtherUses, ", "), "")
	default:
		f.add(Change{Kind: StopRelay, Subjects: []string{url}, Reason: Reason{"down", "running"}})
	}
}

// Destroy is the plan that leaves nothing of the file's sessions: those it created, and adopted ones that
// only names. The relay's state stays.
func Destroy(d *spec.Desired, o Observed, only []string) Plan {
	f := differ{d: d, o: o, opt: Options{Only: only}}
	for _, s := range d.Sessions {
		if !f.wants(s.Name) {
			continue
		}
		have := o.Session(s.Name)
		if f.kept(s.Name) {
			continue
		}
		owned := have.Marked && have.Owner == d.Owner && d.Owner != ""
		switch {
		case have.Home == HomeAbsent:
		case !owned && !slices.Contains(only, s.Name):
			f.block(s.Name, "not-owned", "it was not created by this file", "name it with --only to destroy it all the same")
		case have.Daemon.Unknown != "":
			f.block(s.Name, "daemon-unknown", have.Daemon.Unknown, "")
		case have.Notify.Unknown != "":
			f.block(s.Name, "notify-unknown", have.Notify.Unknown, "")
		default:
			f.add(Change{
				Kind: DestroySession, Subjects: []string{s.Name}, Destroys: true,
				Reason: Reason{"destroy", "its key goes to the trash"},
			})
		}
	}
	if len(only) == 0 && !f.keeping {
		f.downRelay()
	}
	return f.plan()
}
