package process

import (
	"encoding/json"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Readiness is the one JSON line that a started process writes to the pipe WIRE_READY_FD names.
type Readiness struct {
	Ready bool   `json:"ready"`
	PID   int    `json:"pid"`
	Error string `json:"error,omitempty"`
	Held  *Life  `json:"held,omitempty"` // another one serves this home already: no error, nothing started
}

const readyFD = "WIRE_READY_FD"

// readyPipe is taken from the environment once: a second reader would close a stranger's descriptor.
var readyPipe = sync.OnceValue(func() *os.File {
	fd, err := strconv.Atoi(os.Getenv(readyFD))
	os.Unsetenv(readyFD)
	if err != nil || fd < 3 {
		return nil
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil // a variable that outlived its pipe
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "readiness pipe")
})

// NotifyReady writes r to the pipe that WIRE_READY_FD names and closes it; without one it does nothing. PID
// is filled in. Only the first call counts.
func NotifyReady(r Readiness) {
	pipe := readyPipe()
	if pipe == nil {
		return
	}
	r.PID = os.Getpid()
	line, err := json.Marshal(r)
	if err != nil {
		return
	}
	// A starter that gave up has closed its end; then nobody waits for the answer.
	_, _ = pipe.Write(append(line, '\n'))
	pipe.Close()
}
