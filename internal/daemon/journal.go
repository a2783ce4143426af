package daemon

import (
	"fmt"
	"io"
	"sync"
)

// journal is what a daemon writes to Stderr, which is daemon.log where it was spawned: plain lines. A state
// that lasts, such as a relay that is down, is written when it begins and when it ends, not at every round.
type journal struct {
	mu     sync.Mutex
	w      io.Writer
	states map[string]string
}

func newJournal(w io.Writer) *journal {
	if w == nil {
		w = io.Discard
	}
	return &journal{w: w, states: map[string]string{}}
}

func (j *journal) line(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.write(fmt.Sprintf(format, args...))
}

// state notes how topic stands, "" for well, and writes a line if that is news.
func (j *journal) state(topic, text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch before := j.states[topic]; {
	case text == before:
	case text == "":
		delete(j.states, topic)
		j.write("daemon: " + topic + " is well again")
	default:
		j.states[topic] = text
		j.write(text)
	}
}

func (j *journal) write(text string) { _, _ = io.WriteString(j.w, text+"\n") }
