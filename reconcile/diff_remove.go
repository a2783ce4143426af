package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"wirefleet.dev/wire/spec"
)

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
	return f.opt.Prune && f.o.RegistryFault == "" && !f.listed[name] && f.d.Owner != "" && owner == f.d.Owner && f.wants(name) && !f.others(name)
}

// kept reports a session that a watcher would bring back at once.
func (f *differ) kept(name string) bool {
	w := f.o.Watcher
	if w.Self || !w.restores(f.o.Session(name)) {
		return false
	}
	f.keeping = true
	f.block(name, "watched", w.claim()+", and would bring it back", "end that `wire apply --watch` first")
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
			f.block(s.Name, "daemon-unknown", dm.Unknown, unknownAdvice)
		case n.Unknown != "":
			f.block(s.Name, "notify-unknown", n.Unknown, unknownAdvice)
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

const foreignRelayAdvice = "end it where it was started, if it shall end"

func (f *differ) downRelay() {
	url, r := f.d.LocalRelay.URL, f.o.Relay
	switch e := r.Elsewhere; {
	case e.PID != 0:
		f.note(url, "relay-elsewhere", fmt.Sprintf("pid %d serves this machine's relay state, but on %s: left running", e.PID, e.Bind), foreignRelayAdvice)
	case r.PID == 0:
		if r.Fact == RelayUp {
			f.note(url, "relay-foreign", "not started from this machine's sessions root: left running", foreignRelayAdvice)
		}
	case !r.ByApply:
		f.note(url, "relay-foreign", fmt.Sprintf("pid %d was not started by an apply: left running", r.PID), foreignRelayAdvice)
	case len(r.OtherUses) > 0:
		f.note(url, "relay-used", "left running for "+strings.Join(r.OtherUses, ", "),
			"stop their daemons, then `wire down` again, if it shall end")
	default:
		f.add(Change{Kind: StopRelay, Subjects: []string{url}, Reason: Reason{"down", "running"}})
	}
}

// Destroy is the plan that leaves nothing of the file's sessions: those it created, and adopted ones that
// only names. The relay's state stays.
func Destroy(d *spec.Desired, o Observed, only []string) Plan {
	f := differ{d: d, o: o, opt: Options{Only: only, Prune: true}}
	if f.registry(); o.RegistryFault != "" {
		return f.plan()
	}
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
			f.block(s.Name, "daemon-unknown", have.Daemon.Unknown, unknownAdvice)
		case have.Notify.Unknown != "":
			f.block(s.Name, "notify-unknown", have.Notify.Unknown, unknownAdvice)
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
