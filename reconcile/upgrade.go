package reconcile

import (
	"fmt"
	"slices"

	"wirefleet.dev/wire/internal/census"
)

// Upgrade is the plan that leaves none of the daemons and notifiers that were there at first: each is replaced,
// one home after the other, and only when the one before serves again. As long as one that was stopped has no
// successor, that is all that is tried: what keeps one from starting may keep them all. Where start names a home
// that nobody serves, one is started. What could not be found out, and a home in which no daemon could start, is
// left alone.
func Upgrade(first, now Observed, start string) Plan {
	u := upgrade{differ: differ{o: now}, first: first, old: map[int]uint64{}}
	for _, s := range first.Sessions {
		for _, d := range slices.Concat(s.Daemon.All(), s.Notify.All()) {
			u.old[d.PID] = d.StartTicks
		}
	}
	gap := false
	for _, name := range now.Names() {
		s := now.Sessions[name]
		had := len(first.Sessions[name].Daemon.All()) > 0
		if len(s.Daemon.All()) == 0 && s.Daemon.Unknown == "" && (had || name == start) {
			gap = gap || had
			u.add(Change{Kind: StartDaemon, Subjects: []string{name}, Reason: Reason{"daemon-dead", s.Daemon.Why}})
		}
	}
	if gap {
		return u.plan()
	}
	for _, name := range now.Names() {
		u.daemon(name)
		u.notifier(name)
	}
	return u.plan()
}

type upgrade struct {
	differ
	first Observed
	old   map[int]uint64 // start ticks of what was there at first, by pid
}

// due is one of list that was there at first.
func (u *upgrade) due(list []census.Daemon) (pid int, ok bool) {
	for _, d := range list {
		if ticks, known := u.old[d.PID]; known && ticks == d.StartTicks {
			return d.PID, true
		}
	}
	return 0, false
}

func (u *upgrade) daemon(name string) {
	s := u.o.Sessions[name]
	pid, due := u.due(s.Daemon.All())
	switch {
	case s.Daemon.Unknown != "":
		u.block(name, "daemon-unknown", s.Daemon.Unknown, "look at the process that it names, then `wire upgrade` again")
	case due && s.Home == HomeBroken:
		u.block(name, "home-broken", fmt.Sprintf("pid %d goes on: none could take its place, for %s", pid, s.Why), "put it back, then `wire upgrade`")
	case due:
		u.add(Change{
			Kind: RestartDaemon, Subjects: []string{name}, Roll: true,
			Reason: Reason{"upgrade", fmt.Sprintf("pid %d was there before", pid)},
		})
	}
}

func (u *upgrade) notifier(name string) {
	if pid, due := u.due(u.o.Sessions[name].Notify.All()); due {
		u.add(Change{
			Kind: RestartNotify, Subjects: []string{name},
			Reason: Reason{"upgrade", fmt.Sprintf("pid %d was there before", pid)},
		})
	}
}
