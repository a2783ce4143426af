package census

import (
	"fmt"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

// Recorded is a living process that a session's daemon.pid names and that is not proven to serve it.
type Recorded struct {
	PID      int  // 0: the record names none, or one that serves it
	Stranger bool // proven to be somebody else; false: it may be the daemon of this session
	Why      string
}

// RecordedBy judges the process that a session's pid record names. serving are its proven daemons.
func RecordedBy(m home.Machine, s home.Session, serving Serving) Recorded {
	pid := process.RecordedPID(s.DaemonPID())
	if pid == 0 || slices.ContainsFunc(serving.All(), func(d Daemon) bool { return d.PID == pid }) {
		return Recorded{}
	}
	i, alive := process.Lookup(pid)
	if !alive {
		return Recorded{}
	}
	adopt(m, &i)
	r := Recorded{PID: pid}
	switch {
	case !strings.Contains(strings.Join(i.Args, " "), "wire daemon"):
		r.Stranger, r.Why = true, "is no wire daemon"
	case !i.EnvRead:
		r.Why = "is a wire daemon whose environment cannot be read"
	case !sameHome(i.WireHome, s.Dir):
		r.Stranger, r.Why = true, "belongs to another home"
	case i.Role() != process.Daemon:
		r.Why = fmt.Sprintf("runs in this home, but as %q", i.Args)
	default:
		r.Why = "is a wire daemon of this home that does not hold its lock: it starts or ends just now"
	}
	return r
}
