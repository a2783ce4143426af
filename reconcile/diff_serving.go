package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/health"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/spec"
)

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
		f.block(s.Name, "daemon-unknown", dm.Unknown, unknownAdvice)
		return
	}
	subject := []string{s.Name}
	if !s.Daemon {
		switch {
		case dm.Ours == nil:
		case have.StartedByApply:
			f.add(Change{Kind: StopDaemon, Subjects: subject, Reason: Reason{"daemon-unwanted", "daemon: false in the file"}})
		default:
			f.note(s.Name, "daemon-foreign", fmt.Sprintf("daemon: false, but pid %d was not started by an apply: left alone", dm.Ours.PID),
				"end it where it was started, or set daemon: true")
		}
		return
	}
	needs := slices.Clone(v.needs)
	switch {
	case f.opt.Complete && slices.ContainsFunc(dm.All(), func(d census.Daemon) bool { return !d.Stopped }):
	case dm.Ours != nil:
		if c, ok := f.replace(s, have); ok {
			c.Kind, c.Subjects, c.Needs = RestartDaemon, subject, needs
			if dm.Ours.Stopped {
				c = f.first(c, have)
			}
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
			f.add(f.first(Change{Kind: RestartDaemon, Subjects: subject, Needs: needs, Reason: Reason{
				"daemon-hung", fmt.Sprintf("pid %d is stopped (state T)", first.PID),
			}}, have))
		case s.Takeover && have.Pairing == "":
			f.add(Change{Kind: RestartDaemon, Subjects: subject, Needs: needs, Takeover: true, Reason: Reason{
				"daemon-takeover", fmt.Sprintf("pid %d is a daemon of the reference and takeover is set", first.PID),
			}})
		case f.silentReference(s, have):
			why, _ := f.silent(s, have, first)
			f.add(Change{Kind: RestartDaemon, Subjects: subject, Needs: needs, Suspect: grace(s, first), Reason: why})
		case s.Takeover:
			f.block(s.Name, "daemon-pairing", fmt.Sprintf("pid %d is a daemon of the reference and takeover is set, but %s", first.PID, have.Pairing), pairingAdvice)
		case len(dm.Others) > 1:
			f.add(Change{Kind: StopDuplicate, Subjects: subject, Reason: Reason{
				"daemon-duplicate", fmt.Sprintf("pid %d serves it beside pid %d", dm.Others[1].PID, first.PID),
			}})
		default:
			f.note(s.Name, "daemon-reference", "served by a daemon of the reference ("+describe(first)+")",
				"nothing has to be done; `daemon: {takeover: true}` lets apply replace it by ours")
		}
	default:
		why := Reason{"daemon-dead", cmp.Or(dm.Why, "not running")}
		if have.Crash.Deaths > 0 {
			why = daemonCrash(have.Crash)
		}
		f.add(Change{Kind: StartDaemon, Subjects: subject, Needs: needs, Reason: why})
	}
}

// first puts the restart of a stopped daemon before the slots of its session: it may hold the lock of the record that
// they go into, and would hold it for ever.
func (f *differ) first(c Change, have SessionState) Change {
	if have.Home == HomeWhole && !f.opt.InOrder {
		c.First, c.Needs = true, nil
	}
	return c
}

const pairingAdvice = "finish or cancel it with the wire that began it (`wire pair-list` shows it), then apply takes over; it waits for none that is older than an hour"

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
		f.block(s.Name, "notify-unknown", n.Unknown, unknownAdvice)
		return
	case n.Unknown != "" || !s.Notify && n.Ours == nil:
		return
	case !s.Notify && !have.NotifyByApply:
		f.note(s.Name, "notify-foreign", fmt.Sprintf("notify: false, but pid %d was not started by an apply: left alone", n.Ours.PID),
			"end it where it was started, or set notify: true")
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
		if have.NotifyCrash.Deaths > 0 {
			c.Reason = notifierCrash(have.NotifyCrash)
		}
	case all[0].Stopped:
		c.Kind, c.Reason = RestartNotify, Reason{"notify-hung", fmt.Sprintf("pid %d is stopped (state T)", all[0].PID)}
	case n.Ours == nil:
		f.note(s.Name, "notify-reference", fmt.Sprintf("what arrives is shown by a notifier of the reference (pid %d)", all[0].PID),
			"nothing has to be done; once it has ended, apply starts ours")
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
		f.note(s.Name, "daemon-executable", fmt.Sprintf("pid %d runs the executable of the watcher (pid %d), not this one", dm.PID, f.o.Watcher.PID),
			"nothing has to be done; if this program is the one that is meant, end that watcher and start this one's")
	case !dm.SameExe:
		return Change{Roll: true, Reason: Reason{"daemon-executable", fmt.Sprintf("pid %d runs another executable than this one: %s", dm.PID, dm.Exe)}}, true
	}
	if dm.Interval != 0 && dm.Interval != want {
		return Change{Roll: true, Reason: Reason{
			"daemon-interval", fmt.Sprintf("pid %d runs with interval %d s, the file says %d s", dm.PID, dm.Interval, want),
		}}, true
	}
	why, silent := f.silent(s, have, *dm)
	return Change{Suspect: grace(s, *dm), Reason: why}, silent
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

// grace is by the interval that a daemon has, and by the one that it shall have where its own is not known.
func grace(s spec.Session, dm census.Daemon) time.Duration {
	return max(health.Grace(s.Interval), health.Grace(time.Duration(dm.Interval)*time.Second))
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
