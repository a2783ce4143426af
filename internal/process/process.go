// Package process starts, proves and stops the long-lived processes: daemon, notify, relay
// (design.md section 7, reference/home-and-daemon.md sections 8 to 11).
//
// Law of the room: only this package sends signals, and only to a process whose identity it has proven
// through a handle that cannot be recycled (a pidfd where the system has them). A pid read from a file
// proves nothing. A zombie is dead.
package process

import (
	"context"
	"time"
)

// Role is what a process is to its home.
type Role string

// The three roles; each has a life lock of its own.
const (
	Daemon Role = "daemon"
	Notify Role = "notify"
	Relay  Role = "relay"
)

// Life is the line in a life lock: who holds it. Held and agreeing with the kernel (pid, start ticks, boot)
// is proof of identity.
type Life struct {
	PID        int    `json:"pid"`
	StartTicks uint64 `json:"start_ticks"` // field 22 of /proc/PID/stat; microseconds of start on darwin
	BootID     string `json:"boot_id"`
	Exe        string `json:"exe"`
	ExeDev     uint64 `json:"exe_dev"` // device and inode of the executable: another build is another file
	ExeIno     uint64 `json:"exe_ino"`
	Build      string `json:"build"`              // our own version
	Interval   int    `json:"interval,omitempty"` // seconds, daemon and notify
	Bind       string `json:"bind,omitempty"`     // relay: the address as typed
	Owner      string `json:"owner,omitempty"`    // of the wire.yaml that started it
	StartedBy  string `json:"started_by"`         // "apply", "session new", "operator", ...
}

// Self fills pid, start ticks, boot id, executable and build of this process.
func Self() (Life, error) { panic("seam") }

// HeldError says that a living process has the life lock.
type HeldError struct{ Life Life }

func (e *HeldError) Error() string { panic("seam") }

// TakeLife locks path for the life of this process and writes l into it. It insists for a second, since
// observers try the lock shared for an instant; then *HeldError. release closes it (exit does as well).
func TakeLife(path string, l Life) (release func(), err error) { panic("seam") }

// ReadLife reads who holds the life lock at path: held is false if nobody does or the file is missing.
// proven says that the record agrees with the kernel. It never creates the file.
func ReadLife(path string) (l Life, held, proven bool, err error) { panic("seam") }

// Form is what a pid file holds (home-and-daemon.md 8.2).
type Form string

// The forms of a pid file.
const (
	FormMissing Form = "missing"
	FormJSON    Form = "json"
	FormLegacy  Form = "legacy-int"
	FormCorrupt Form = "corrupt"
)

// Record is wire-daemon-pid-v1 with our added key build (8.1). Fields are in file order.
type Record struct {
	Schema    string
	PID       int
	BinPath   string
	Version   string
	StartedAt string
	DID       *string
	RelayURL  *string
	Build     string // "" in a record of the reference
}

// ParseRecord is the strict reader (8.2): the content of a pid file.
func ParseRecord(data []byte) (Record, Form) { panic("seam") }

// ReadRecord reads a pid file; a missing, empty or non-UTF-8 one is FormMissing.
func ReadRecord(path string) (Record, Form) { panic("seam") }

// WriteRecord replaces a pid file atomically.
func WriteRecord(path string, r Record) error { panic("seam") }

// RemoveRecord removes a pid file if it still names pid.
func RemoveRecord(path string, pid int) error { panic("seam") }

// Info is one `wire daemon` or `wire notify` process of this user as the process table shows it.
type Info struct {
	PID        int
	StartTicks uint64
	StartedAt  time.Time
	Args       []string
	WireHome   string // from its environment; "" if it has none
	Cwd        string
	State      byte // R, S, T, Z, ...
	Exe        string
	ExeDev     uint64
	ExeIno     uint64
}

// Role is Daemon if the command line says `wire daemon` (any path before "wire"), Notify for `wire notify`,
// Relay for `wire relay-server`, else "".
func (i Info) Role() Role { panic("seam") }

// Table is one scan of the process table: this user's wire processes, zombies excluded, sorted by pid.
// Kernel threads and strangers cost one read each.
func Table() ([]Info, error) { panic("seam") }

// Lookup is one process of the table, whoever owns it; ok is false if it does not exist or is a zombie.
func Lookup(pid int) (i Info, ok bool) { panic("seam") }

// Alive says whether a process with that pid and start exists and is no zombie.
func Alive(pid int, startTicks uint64) bool { panic("seam") }

// Proc is a handle on one process that stays valid when the pid is recycled.
type Proc struct{}

// Open takes a handle on pid and then checks that it is the process that started at startTicks; any other
// one is an error and is never signalled. pid 0 and 1 and this process are refused.
func Open(pid int, startTicks uint64) (*Proc, error) { panic("seam") }

// Close lets go of the handle.
func (p *Proc) Close() error { panic("seam") }

// Wait blocks until the process has ended or ctx has.
func (p *Proc) Wait(ctx context.Context) error { panic("seam") }

// Stop sends TERM (and CONT, so that a stopped process can die), waits grace, sends KILL, waits. nil means
// that the process is gone.
func (p *Proc) Stop(ctx context.Context, grace time.Duration) error { panic("seam") }

// Spec is a background process to start: this executable with Args in its own session, working directory
// and stdin on null, stdout and stderr appended to Log.
type Spec struct {
	Args   []string          // "daemon", "--interval", "5"
	Home   string            // its WIRE_HOME and working directory; for the relay the machine's base
	NoHome bool              // leave WIRE_HOME unset: the relay of the default root
	Log    string            // ST/daemon.log
	Env    map[string]string // added to the allow-list of design.md section 7
	Ready  time.Duration     // how long to wait for readiness; 0 means 10 s
}

// StartError is a process that ended, or said why it will not, before it was ready.
type StartError struct {
	PID  int
	Why  string // its own words, or how it ended
	Tail string // the last lines of its log
}

func (e *StartError) Error() string { panic("seam") }

// Readiness is the one JSON line that a started process writes to the pipe WIRE_READY_FD names.
type Readiness struct {
	Ready bool   `json:"ready"`
	PID   int    `json:"pid"`
	Error string `json:"error,omitempty"`
	Held  *Life  `json:"held,omitempty"` // another one serves this home already: no error, nothing started
}

// Spawn starts s and waits for its readiness line. It refuses to start when the executable will be gone
// (`go run`, a deleted file): see CheckExecutable. The child is reaped if it dies while we live.
func Spawn(ctx context.Context, s Spec) (Readiness, error) { panic("seam") }

// NotifyReady writes r to the pipe that WIRE_READY_FD names and closes it; without one it does nothing.
func NotifyReady(r Readiness) { panic("seam") }

// CheckExecutable says which file background processes would run, or why that would not last: it was built
// by `go run` or deleted.
func CheckExecutable() (path string, err error) { panic("seam") }

// PortOwner says which process listens on a loopback address, for people: "pid 4711 (nginx)". It is ""
// where the system does not tell.
func PortOwner(addr string) string { panic("seam") }
