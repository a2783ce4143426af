// Package reactor runs a command for each message that arrives (reference/cli.md 2.26): the event as JSON on
// its standard input, its peer, id and kind in WIRE_EVENT_*.
//
// Law of the room: a command runs at most once for an event, also when the reactor dies: the cursor moves
// before the command starts, and what it did not see stays in the inbox. Only events whose signature counts
// run one. What a peer wrote reaches the command as data, on stdin and in variables, never as part of its text.
package reactor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/mailbox"
	"wirefleet.dev/wire/internal/process"
)

// Config is one reactor.
type Config struct {
	Session  home.Session
	Command  string        // for `sh -c`
	Peer     string        // only events of this peer; "" for all
	Kind     string        // only of this type, or of this number; "" for all
	Interval time.Duration // between two looks where the system tells of no change
	Once     bool          // one sweep, and wait for its commands
	DryRun   bool          // print the events instead of running anything

	MaxPerMinute int  // commands for one peer; 0 for no limit
	Answers      bool // also run for what answers an event that this reactor's commands have sent

	Stdout, Stderr io.Writer
}

const (
	// atOnce is how many commands run at a time.
	atOnce = 16
	// lastGrace is how long commands may go on when the reactor is to end.
	lastGrace = 5 * time.Second
)

// Run serves until ctx ends, or does one sweep. A sweep that fails is an error with Once; else it is said,
// and tried again with the next.
func Run(ctx context.Context, c Config) error {
	if err := c.Session.EnsureState(); err != nil {
		return err
	}
	c.Stdout, c.Stderr = shared(c.Stdout), shared(c.Stderr)
	r := &reactor{Config: c, box: mailbox.Open(c.Session, nil), free: make(chan struct{}, atOnce)}
	from, _ := home.ReadOffsets(c.Session.ReactorCursor())
	r.reader = r.box.Reader(from)
	if err := r.causes.begin(c.Session, r.box); err != nil {
		return err
	}
	commands, end := r.patient(ctx)
	defer end()
	defer r.running.Wait()
	if c.Once {
		return r.sweep(ctx, commands)
	}
	return mailbox.Follow(ctx, c.Session, max(c.Interval, time.Second), func() error {
		err := r.sweep(ctx, commands)
		if errors.Is(err, fs.ErrNotExist) && r.gone() {
			return fmt.Errorf("%s was removed", c.Session.Dir)
		}
		r.tell(err)
		return nil
	})
}

// patient is the context of the commands: it ends a little later than ctx.
func (r *reactor) patient(ctx context.Context) (context.Context, func()) {
	commands, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(lastGrace, cancel)
		context.AfterFunc(commands, func() { t.Stop() })
	})
	return commands, func() { stop(); cancel() }
}

type reactor struct {
	Config
	box     *mailbox.Box
	reader  *mailbox.Reader
	causes  causes
	pace    pace
	free    chan struct{} // has one in it for each command that runs
	running sync.WaitGroup
	told    string // the last error that was said
}

// shared is a writer for many commands at once. A file is passed on to them as it is.
func shared(w io.Writer) io.Writer {
	if _, file := w.(*os.File); file || w == nil {
		return w
	}
	return &locked{w: w}
}

type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (r *reactor) gone() bool {
	_, err := os.Stat(r.Session.StateDir())
	return errors.Is(err, fs.ErrNotExist)
}

// tell says what is wrong when it begins.
func (r *reactor) tell(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != r.told && text != "" {
		r.line("sweep error: %s", text)
	}
	r.told = text
}

func (r *reactor) line(format string, args ...any) {
	fmt.Fprintf(r.Stderr, "wire reactor: "+format+"\n", args...)
}

// sweep runs the command for all that has arrived, in batches for which there is room.
func (r *reactor) sweep(ctx, commands context.Context) error {
	for {
		room := r.room(ctx)
		if room == 0 {
			return nil // ctx has ended
		}
		before := clone(r.reader.Offsets())
		batch, more, err := r.collect(room)
		if err == nil && r.DryRun {
			err = r.print(batch)
		}
		// A line that a broken one stands behind is read, though: its command shall run.
		if serr := home.WriteOffsets(r.Session.ReactorCursor(), r.reader.Offsets()); serr != nil {
			r.reader.Seek(before) // nothing has run, so nothing counts as read
			return errors.Join(err, serr)
		}
		if !r.DryRun {
			for _, e := range batch {
				r.start(commands, e)
			}
		}
		if err != nil || !more {
			return err
		}
	}
}

func clone(at home.Offsets) home.Offsets {
	out := make(home.Offsets, len(at))
	for k, v := range at {
		out[k] = v
	}
	return out
}

// room waits until a command can start, and says how many can.
func (r *reactor) room(ctx context.Context) int {
	select {
	case r.free <- struct{}{}:
		<-r.free
	case <-ctx.Done():
		return 0
	}
	return cap(r.free) - len(r.free)
}

var errFull = errors.New("the batch is full")

func (r *reactor) collect(room int) (batch []mailbox.Arrival, more bool, err error) {
	if err := r.causes.look(); err != nil {
		return nil, false, err
	}
	err = r.reader.Sweep(func(e mailbox.Arrival) error {
		if len(batch) == room {
			return errFull
		}
		if r.wants(e) && r.allows(e) {
			batch = append(batch, e)
		}
		return nil
	})
	if errors.Is(err, errFull) {
		return batch, true, nil
	}
	return batch, false, err
}

// wants is what the command line asks for.
func (r *reactor) wants(e mailbox.Arrival) bool {
	if r.Peer != "" && e.Peer != r.Peer || !e.Verified {
		return false
	}
	if r.Kind == "" || e.Kind == r.Kind {
		return true
	}
	n, err := strconv.ParseUint(r.Kind, 10, 32)
	return err == nil && identity.EventKind(e.Raw) == uint32(n)
}

// allows keeps two agents from talking to each other for ever: what answers our own commands runs none, and
// each peer has so many a minute.
func (r *reactor) allows(e mailbox.Arrival) bool {
	if !r.Answers {
		if ref, ok := r.causes.answered(e.Raw); ok {
			r.line("skip %s from %s — it answers %s, which this reactor caused", e.EventID, e.Peer, ref)
			return false
		}
	}
	if !r.pace.take(e.Peer, r.MaxPerMinute, time.Now()) {
		r.line("skip %s from %s — more than %d in a minute (--max-per-minute)", e.EventID, e.Peer, r.MaxPerMinute)
		return false
	}
	return true
}

func (r *reactor) print(batch []mailbox.Arrival) error {
	for _, e := range batch {
		if _, err := r.Stdout.Write(append(canon.Compact(e.Raw), '\n')); err != nil {
			return err
		}
	}
	return nil
}

// start runs the command for one event.
func (r *reactor) start(commands context.Context, e mailbox.Arrival) {
	r.free <- struct{}{} // there is room: nobody else starts commands
	r.running.Go(func() {
		defer func() { <-r.free }()
		env := []string{
			"WIRE_EVENT_PEER=" + e.Peer, "WIRE_EVENT_ID=" + variable(e.EventID), "WIRE_EVENT_KIND=" + variable(e.Kind),
		}
		if r.Session.Dir != "" {
			env = append(env, "WIRE_HOME="+r.Session.Dir) // the session may be adopted
		}
		err := process.Task{
			Args: []string{"sh", "-c", r.Command}, Env: env,
			Stdin: append(canon.Compact(e.Raw), '\n'), Stdout: r.Stdout, Stderr: r.Stderr,
		}.Run(commands)
		if err != nil {
			r.line("the command for %s from %s failed: %v", e.EventID, e.Peer, err)
		}
		if err := r.causes.look(); err != nil {
			r.line("%v", err)
		}
	})
}

// variable is a peer's text as an environment variable can hold it.
func variable(s string) string { return strings.ReplaceAll(s, "\x00", "") }
