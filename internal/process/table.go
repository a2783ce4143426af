package process

import (
	"path/filepath"
	"time"
)

// Info is one `wire daemon`, `wire notify` or `wire relay-server` process of this user as the process
// table shows it. What the system does not tell is empty; Cwd is always empty on darwin.
type Info struct {
	PID        int
	StartTicks uint64 // as in Life
	StartedAt  time.Time
	Args       []string
	WireHome   string // from its environment; "" if it has none
	EnvRead    bool   // the environment could be read, so that "" means none
	Cwd        string
	State      byte // R, S, T, Z, ...
	Exe        string
	ExeDev     uint64
	ExeIno     uint64
}

// Role is Daemon if the command line says `wire daemon` (any path before "wire"), Notify for `wire notify`,
// Relay for `wire relay-server`, else "". "wire" must be the program itself: `timeout 9 wire daemon` and
// `sh -c "wire daemon"` share its environment but are not it.
func (i Info) Role() Role {
	if len(i.Args) < 2 || filepath.Base(i.Args[0]) != "wire" {
		return ""
	}
	switch i.Args[1] {
	case "daemon":
		return Daemon
	case "notify":
		return Notify
	case "relay-server":
		return Relay
	}
	return ""
}

// Stopped says whether the process is halted by a signal or a debugger: there, but not alive (design.md 4).
func (i Info) Stopped() bool { return i.State == 'T' || i.State == 't' }
