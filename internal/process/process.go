// Package process starts, proves and stops the long-lived processes: daemon, notify, relay
// (design.md section 7, reference/home-and-daemon.md sections 8 to 11).
//
// Law of the room: only this package sends signals, and only to a process whose identity it has proven
// through a handle that cannot be recycled (a pidfd where the system has them). A pid read from a file
// proves nothing. A zombie is dead.
//
// The files: life.go holds the life lock, record.go the pid file, table*.go look at the kernel's process
// table, proc*.go are handles, spawn.go and ready.go the two ends of a start, executable.go says what
// would be started.
package process

// Role is what a process is to its home.
type Role string

// The three roles; each has a life lock of its own.
const (
	Daemon Role = "daemon"
	Notify Role = "notify"
	Relay  Role = "relay"
)
