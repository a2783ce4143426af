package census

import (
	"slices"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

// Daemons are the processes that concern one home: who is proven to serve it, whom its record names, and for
// the reference's count all daemons of this user.
type Daemons struct {
	Serving
	Record process.Record
	Form   process.Form
	Named  Recorded // whom the record names, if that one lives and is not proven to serve the home
	All    []int    // pids, ascending
}

// DaemonsOf looks at a home's daemons once: one scan of the process table, one look at the life lock.
func DaemonsOf(m home.Machine, s home.Session) Daemons {
	table, err := Table(m)
	d := Daemons{Serving: ServingOf(s, table, err)}
	d.Record, d.Form = process.ReadRecord(s.DaemonPID())
	d.Named = RecordedBy(m, s, d.Serving)
	for _, i := range table {
		if i.Role() == process.Daemon {
			d.All = append(d.All, i.PID)
		}
	}
	slices.Sort(d.All)
	return d
}

// Running says whether a daemon is proven to serve the home, whatever its record says.
func (d Daemons) Running() bool { return len(d.Serving.All()) > 0 }

// PID is the daemon that serves the home: the recorded one of several, else ours, else the oldest. Where none
// does it is the recorded one, 0 without a record.
func (d Daemons) PID() int {
	all := d.Serving.All()
	if len(all) == 0 || d.serves(d.Record.PID) {
		return d.Record.PID
	}
	return all[0].PID
}

func (d Daemons) serves(pid int) bool {
	return slices.ContainsFunc(d.Serving.All(), func(p Daemon) bool { return p.PID == pid })
}

// Orphans are the daemons of the home that its record does not name, ascending.
func (d Daemons) Orphans() []int {
	var out []int
	for _, p := range d.Serving.All() {
		if p.PID != d.Record.PID {
			out = append(out, p.PID)
		}
	}
	slices.Sort(out)
	return out
}
