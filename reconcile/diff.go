package reconcile

import (
	"fmt"
	"slices"

	"wirefleet.dev/wire/internal/home"
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
	f := differ{d: d, o: o, opt: opt, listed: make(map[string]bool, len(d.Sessions)), theirs: theirs(d, o, opt)}
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
	f.registry()
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

	theirs  map[string]string // what differs of a session, if its watcher let this plan have it; none where nothing does
	keeping bool              // a watcher keeps sessions of it

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
		if have.Twins != nil {
			f.block(s.Name, "home-twin", have.Why, have.Twins.Advice())
			break
		}
		f.block(s.Name, "home-broken", have.Why, brokenAdvice)
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

// watched reports such a session. That another file keeps it is no difference from this one.
func (f *differ) watched(name string) {
	const advice = "change that file, or end that `wire apply --watch`"
	why, differs := f.theirs[name]
	if !differs {
		f.note(name, "watched", f.o.Watcher.claim(), "nothing has to be done; for another wish "+advice)
		return
	}
	f.block(name, "watched", f.o.Watcher.claim()+", and this one wants it otherwise: "+why, advice)
}

// theirs says of each session what would differ from the file without the watcher of another one: the first thing only,
// for whoever is told goes to that file.
func theirs(d *spec.Desired, o Observed, opt Options) map[string]string {
	if !o.Watcher.Other {
		return nil
	}
	o.Watcher.Other = false
	out := map[string]string{}
	add := func(why string, names ...string) {
		for _, n := range names {
			if _, said := out[n]; !said {
				out[n] = why
			}
		}
	}
	p := Diff(d, o, opt)
	for _, c := range p.Changes {
		for _, e := range c.Pairs {
			add(e.A+"-"+e.B+": "+e.Reason.Text, e.A, e.B)
		}
		add(c.Reason.Text, c.Subjects...)
	}
	for _, r := range p.Blocked {
		add(r.Reason.Text, r.Subject)
		add(r.Reason.Text, r.Sessions...)
	}
	return out
}

const brokenAdvice = "repair that file or put the right one back, then `wire apply`; nothing in this home was changed"

// unknownAdvice is for a home of which it cannot be told who serves it.
const unknownAdvice = "look at the process that it names; when that is settled, the same again"

// registry reports one that cannot be read: what is in it cannot be put in order, and who is destroyed may be
// somebody's under another name. Everything else goes on.
func (f *differ) registry() {
	if f.o.RegistryFault == "" {
		return
	}
	var dirs []string
	for _, s := range f.d.Sessions {
		if s.Dir != "" && f.wants(s.Name) {
			dirs = append(dirs, s.Name)
		}
	}
	const subject, code, advice = "registry", "registry-unreadable", "repair the file or move it away; it was left as it is"
	if len(dirs) == 0 && !f.opt.Prune {
		f.note(subject, code, f.o.RegistryFault, advice)
		return
	}
	f.block(subject, code, f.o.RegistryFault, advice)
	f.blocked[len(f.blocked)-1].Sessions = dirs
}

func (f *differ) dir(s spec.Session) {
	v := f.ready[s.Name]
	if s.Dir == "" || v.blocked && (!f.opt.TakeDirs || f.opt.InOrder) {
		return
	}
	if !s.DirExists {
		f.note(s.Name, "dir-absent", s.DirAsTyped+" does not exist yet; registered as "+s.Dir, "make that directory, or mend dir in the file")
	}
	if f.o.RegistryFault != "" {
		return
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

// rank is the order of a create, then that of a removal; a directory is registered last, for it may have
// been that of a session that goes.
var rank = map[Kind]int{
	StartRelay: 0, RestartRelay: 0, StopLeftover: 0, CreateSession: 1, AllocateSlot: 2, MendRecord: 2, ClaimHandle: 3, PairMesh: 4,
	DropRequests: 4, RemovePins: 5, StopDaemon: 6, StopNotify: 7, StopDuplicate: 8, StopAll: 9, StartDaemon: 10, RestartDaemon: 11,
	StartNotify: 12, RestartNotify: 13, DestroySession: 14, RegisterDir: 15, StopRelay: 16,
}

func (f *differ) plan() Plan {
	place := func(c Change) int {
		if c.First {
			return rank[CreateSession]
		}
		return rank[c.Kind]
	}
	slices.SortStableFunc(f.changes, func(a, b Change) int { return place(a) - place(b) })
	return Plan{Changes: f.changes, Blocked: f.blocked, Notes: f.notes, Unmanaged: f.unmanaged}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
