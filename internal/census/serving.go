package census

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

// Serving is who serves a session.
type Serving struct {
	Ours    *Daemon  // holds the life lock
	Others  []Daemon // proven by the process table: the reference's, oldest first
	Why     string   // why none is there: what the record says
	Unknown string   // why it could not be found out
}

// Daemon is one proven daemon.
type Daemon struct {
	PID        int
	StartTicks uint64
	Started    time.Time
	Interval   int    // seconds; 0 where it is not known
	Build      string // our own version; "" for the reference
	Version    string // of the reference's daemons, as far as the record is theirs; "" if it is not known
	SameExe    bool   // runs the executable that this program would start
	Exe        string
	Stopped    bool   // state T: hung
	Unrecorded string // of the reference's daemons: why its own program would take it for dead; "" if it would not
}

// post is a process that a home can have.
type post struct {
	role         process.Role
	noun         string
	life, record string // files
}

func daemonOf(s home.Session) post {
	return post{process.Daemon, "daemon", s.DaemonLife(), s.DaemonPID()}
}

func notifierOf(s home.Session) post {
	return post{process.Notify, "notifier", s.NotifyLife(), s.NotifyPID()}
}

// ServingOf finds who serves a session: the holder of the life lock, and the reference's daemons by the
// process table.
func ServingOf(s home.Session, table []process.Info, tableErr error) Serving {
	return holders(s, daemonOf(s), table, tableErr)
}

// ShowingOf finds in the same way who shows on the desktop what arrives in a session. Whoever prints it, for
// one sweep or as JSON, is none of them.
func ShowingOf(s home.Session, table []process.Info, tableErr error) Serving {
	var desks []process.Info
	for _, i := range table {
		if i.Role() == process.Notify && !slices.Contains(i.Args, "--json") && !slices.Contains(i.Args, "--once") {
			desks = append(desks, i)
		}
	}
	return holders(s, notifierOf(s), desks, tableErr)
}

func holders(s home.Session, p post, table []process.Info, tableErr error) Serving {
	var d Serving
	life, held, proven, err := process.ReadLife(p.life)
	switch {
	case err != nil:
		d.Unknown = err.Error()
		return d
	case held && !proven:
		d.Unknown = fmt.Sprintf("%s is held, but what it says (pid %d) does not agree with the kernel", p.life, life.PID)
		return d
	case held:
		d.Ours = ours(life, table)
	}
	if tableErr != nil {
		if d.Ours == nil {
			d.Unknown = "the process table: " + tableErr.Error()
		}
		return d
	}
	holder := 0
	if d.Ours != nil {
		holder = d.Ours.PID
	}
	d.Others = others(s, p.role, table, holder)
	if d.Ours == nil && len(d.Others) == 0 {
		d.Why = whyNone(p)
	}
	return d
}

// others are the processes of that role that the table proves to serve s, without the one that holds its life
// lock, oldest first.
func others(s home.Session, role process.Role, table []process.Info, holder int) []Daemon {
	var out []Daemon
	for _, i := range table {
		if i.Role() == role && (i.WireHome != "" || i.EnvRead) && sameHome(i.WireHome, s.Dir) && i.PID != holder && !starting(i) {
			out = append(out, Daemon{
				PID: i.PID, StartTicks: i.StartTicks, Started: i.StartedAt, Interval: intervalOf(i.Args), Exe: i.Exe, Stopped: i.State == 'T',
			})
		}
	}
	if len(out) > 0 && role == process.Daemon {
		rec, form := process.ReadRecord(s.DaemonPID())
		n := slices.IndexFunc(out, func(d Daemon) bool { return d.PID == rec.PID })
		if n >= 0 {
			out[n].Version = rec.Version
		}
		for i := range out {
			out[i].Unrecorded = unrecorded(rec, form, i == n, n >= 0)
		}
	}
	slices.SortFunc(out, older)
	return out
}

// older goes by the kernel's count: what the clock makes of it differs by a little with each look, and so would, of two
// that began within one tick, the one that may stay.
func older(a, b Daemon) int {
	return cmp.Or(cmp.Compare(a.StartTicks, b.StartTicks), cmp.Compare(a.PID, b.PID))
}

// unrecorded says what keeps the reference from finding a daemon by its record: it reads no other form, and believes
// nothing else.
func unrecorded(rec process.Record, form process.Form, named, another bool) string {
	switch {
	case form == process.FormMissing:
		return "daemon.pid is missing, empty or no text"
	case form == process.FormCorrupt:
		return "daemon.pid is corrupt"
	case another && !named:
		return "" // it is one too many, and another one is named
	case !named:
		return fmt.Sprintf("daemon.pid names pid %d", rec.PID)
	case form == process.FormLegacy:
		return "daemon.pid is a bare number"
	case rec.DID == nil:
		return "daemon.pid does not say whom it serves"
	}
	return ""
}

// intervalOf is what a command line says of it, in seconds; 0 for nothing.
func intervalOf(args []string) int {
	for i, a := range args {
		text, joined := strings.CutPrefix(a, "--interval=")
		if a == "--interval" && i+1 < len(args) {
			text, joined = args[i+1], true
		}
		if n, err := strconv.Atoi(text); joined && err == nil && n > 0 {
			return n
		}
	}
	return 0
}

// OtherDaemons are the proven daemons of a session that do not hold its life lock, oldest first.
func OtherDaemons(m home.Machine, s home.Session) ([]Daemon, error) {
	return otherThan(m, s, daemonOf(s))
}

// OtherNotifiers are the same of its notifiers, whatever they do with what arrives.
func OtherNotifiers(m home.Machine, s home.Session) ([]Daemon, error) {
	return otherThan(m, s, notifierOf(s))
}

func otherThan(m home.Machine, s home.Session, p post) ([]Daemon, error) {
	l, held, _, err := process.ReadLife(p.life)
	if err != nil {
		return nil, err
	}
	table, err := Table(m)
	if err != nil {
		return nil, err
	}
	if !held {
		l.PID = 0
	}
	return others(s, p.role, table, l.PID), nil
}

// starting says whether a process of the table is one of ours that has not taken its life lock yet, or a
// second one about to find that it is not needed. The file decides, not its path: ours may have been put in
// the reference's place while that one's daemons run. It is what this process would start, or what it runs
// itself: an upgrade may have come between.
func starting(i process.Info) bool {
	l, err := self()
	own := err == nil && i.ExeDev == l.ExeDev && i.ExeIno == l.ExeIno
	return i.ExeIno != 0 && (own || process.Would(i.ExeDev, i.ExeIno))
}

// self is this process; what it runs does not change.
var self = sync.OnceValues(process.Self)

func ours(l process.Life, table []process.Info) *Daemon {
	d := &Daemon{PID: l.PID, StartTicks: l.StartTicks, Interval: l.Interval, Build: l.Build, Exe: l.Exe}
	i := slices.IndexFunc(table, func(i process.Info) bool { return i.PID == l.PID })
	if i >= 0 {
		d.Started, d.Stopped = table[i].StartedAt, table[i].State == 'T'
	} else if info, ok := process.Lookup(l.PID); ok {
		d.Started, d.Stopped = info.StartedAt, info.State == 'T'
	}
	d.SameExe = process.Would(l.ExeDev, l.ExeIno)
	return d
}

// whyNone says in words why nobody has a post, from its pid record.
func whyNone(p post) string {
	rec, form := process.ReadRecord(p.record)
	switch form {
	case process.FormMissing:
		if _, err := os.Lstat(p.record); err == nil {
			return "not running, and " + filepath.Base(p.record) + " is empty or no text"
		}
		return "not running"
	case process.FormCorrupt:
		return "not running, and " + filepath.Base(p.record) + " is corrupt"
	}
	i, alive := process.Lookup(rec.PID)
	switch {
	case !alive:
		return fmt.Sprintf("pid %d in the record is not alive", rec.PID)
	case i.Role() != p.role:
		return fmt.Sprintf("pid %d is another program: stale record", rec.PID)
	}
	return fmt.Sprintf("pid %d is a %s of another home: stale record", rec.PID, p.noun)
}

// All are the proven daemons, ours first.
func (s Serving) All() []Daemon {
	if s.Ours == nil {
		return s.Others
	}
	return append([]Daemon{*s.Ours}, s.Others...)
}
