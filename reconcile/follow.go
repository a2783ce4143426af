package reconcile

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/spec"
)

// follower turns what happens on the machine into triggers: the kernel's word on processes, one file watch
// for all directories, and a connection to each relay that is not ours.
type follower struct {
	ask    func(Trigger)
	linger func(ctx context.Context, url string, answered func()) (reached bool, err error)
	resync time.Duration
	passes string // the name of a file whose touching wakes, too: how others learn of a watcher's passes

	newMoves func(tell func()) (*moves, error)

	note  string // the name of another file, of which nobody but noted is told
	noted func()

	mu     sync.Mutex
	files  *fsnotify.Watcher            // nil as long as the system grants none
	moves  *moves                       // likewise
	spec   map[string]bool              // paths whose change may change what wire.yaml is
	ways   map[string]bool              // paths that lead to the other directories, and these
	dirs   map[string]fs.FileInfo       // watched: the directory that was at a path when it was
	moved  map[string]bool              // files in which cursors move, written since the last look
	other  bool                         // something else has changed since then
	fixed  map[string][sha256.Size]byte // what such a file held beside its cursors when it was looked at last
	procs  map[proc]*process.Proc
	relays map[string]context.CancelFunc
}

type proc struct {
	pid   int
	ticks uint64
}

func newFollower(ask func(Trigger)) *follower {
	return &follower{
		ask: ask, newMoves: newMoves, spec: map[string]bool{}, ways: map[string]bool{}, dirs: map[string]fs.FileInfo{}, moved: map[string]bool{}, fixed: map[string][sha256.Size]byte{},
		procs: map[proc]*process.Proc{}, relays: map[string]context.CancelFunc{},
	}
}

func (f *follower) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.files != nil {
		_ = f.files.Close()
	}
	if f.moves != nil {
		f.moves.close()
	}
	for _, p := range f.procs {
		_ = p.Close()
	}
	for _, leave := range f.relays {
		leave()
	}
}

// watchFiles follows the wire.yaml at path and what may be drift in dirs, through renames, links and whatever happens to
// the directories above them. A directory that is not there yet is no error. fresh says that some were not watched
// before: what happened in them until now was not seen. An error is a watch that the system does not grant; the next
// call tries again.
func (f *follower) watchFiles(path string, dirs []string) (fresh bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.files == nil {
		if f.files, err = fsnotify.NewWatcher(); err != nil {
			return false, err
		}
		go f.run(f.files)
	}
	want, above := f.places(path, dirs)
	err = f.followMoves(above)
	for d := range f.dirs {
		if _, ok := want[d]; !ok {
			f.unwatch(d)
		}
	}
	for _, d := range slices.Sorted(maps.Keys(want)) {
		now, failed := os.Stat(d)
		if before := f.dirs[d]; failed == nil && before != nil && !os.SameFile(before, now) {
			f.unwatch(d) // it follows the directory, not the path
		}
		if failed == nil {
			failed = f.files.Add(d)
		}
		switch {
		case failed == nil:
			fresh = fresh || f.dirs[d] == nil
			f.dirs[d] = now
		case errors.Is(failed, fs.ErrNotExist), errors.Is(failed, syscall.ENOTDIR):
			f.unwatch(d)
		default:
			err = errors.Join(err, failed)
		}
	}
	return fresh, err
}

// followMoves follows what is above the watched directories. Where the system grants no watch for that, the others stay.
func (f *follower) followMoves(above []string) error {
	if f.moves == nil {
		m, err := f.newMoves(func() { f.ask(TriggerPlace) })
		if err != nil {
			return err
		}
		f.moves = m
	}
	return f.moves.follow(above)
}

// places are the directories in which names matter, and those above whose own place matters. Each is a path without a
// link: a directory that was watched by two names would be watched by the first of them only.
func (f *follower) places(path string, dirs []string) (want map[string]bool, above []string) {
	want = map[string]bool{}
	clear(f.spec)
	clear(f.ways)
	lead := func(spots []home.Spot, ways map[string]bool) {
		for _, s := range spots {
			if s.Through {
				above = append(above, s.Path())
				continue
			}
			ways[s.Path()] = true
			want[s.Dir] = true
		}
	}
	if path != "" {
		spots, ends := home.Trail(path)
		lead(spots, f.spec)
		f.spec[filepath.Dir(ends[0])] = true // removed or renamed as a whole
	}
	spots, ends := home.Trail(dirs...)
	lead(spots, f.ways)
	for _, end := range ends {
		want[end] = true
	}
	return want, above
}

func (f *follower) unwatch(dir string) {
	_ = f.files.Remove(dir) // gone already, if it is an error
	delete(f.dirs, dir)
}

// run turns file events into triggers until the watch is closed.
func (f *follower) run(files *fsnotify.Watcher) {
	for {
		select {
		case e, ok := <-files.Events:
			if !ok {
				return
			}
			f.event(e)
		case _, ok := <-files.Errors:
			if !ok {
				return
			}
			f.mu.Lock()
			f.other = true
			f.mu.Unlock()
			f.ask(TriggerFile) // an overflow lost events
			f.ask(TriggerState)
		}
	}
}

func (f *follower) event(e fsnotify.Event) {
	if e.Op == fsnotify.Chmod {
		if filepath.Base(e.Name) == f.passes {
			f.ask(TriggerState)
		}
		return
	}
	switch {
	case home.IsTemp(e.Name):
		return
	case filepath.Base(e.Name) == f.note:
		f.noted()
		return
	}
	f.mu.Lock()
	isSpec, isWay := f.spec[e.Name], f.ways[e.Name]
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		f.unwatch(e.Name) // as a watched directory; what comes to be in its place is another one
	}
	tells := home.Tells(e.Name)
	switch {
	case !tells:
	case home.HasCursors(e.Name):
		f.moved[e.Name] = true
	default:
		f.other = true
	}
	f.mu.Unlock()
	switch {
	case isSpec:
		f.ask(TriggerFile)
		if isWay {
			f.ask(TriggerPlace)
		}
	case isWay:
		f.ask(TriggerPlace)
	case tells:
		f.ask(TriggerState)
	}
}

// onlyCursors says whether nothing but cursors has moved since it was asked last: messages flow, or daemons of
// the reference rewrite relay.json in every cycle. That is no reason to look at a whole machine every second.
func (f *follower) onlyCursors() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	only := !f.other && len(f.moved) > 0
	f.other = false
	for path := range f.moved {
		delete(f.moved, path)
		now, err := home.BesideCursors(path)
		before, known := f.fixed[path]
		if err != nil || !known || now != before {
			only = false
		}
		f.fixed[path] = now
	}
	return only
}

// dirsOf are the directories of a machine in which drift shows: the sessions root, and of each of the named
// sessions the two that hold identity, pins and pid records.
func dirsOf(m home.Machine, names []string) []string {
	dirs := make([]string, 0, 1+2*len(names))
	dirs = append(dirs, m.Root)
	for _, n := range names {
		s := m.Session(n)
		dirs = append(dirs, s.ConfigDir(), s.StateDir())
	}
	return dirs
}

// watchProcesses waits for the death of every proven process that serves one of the named sessions, and of
// the relay.
func (f *follower) watchProcesses(names []string, o Observed) {
	var want []proc
	for _, n := range names {
		have := o.Session(n)
		for _, d := range slices.Concat(have.Daemon.All(), have.Notify.All()) {
			want = append(want, proc{d.PID, d.StartTicks})
		}
	}
	if o.Relay.PID != 0 {
		want = append(want, proc{o.Relay.PID, o.Relay.StartTicks})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range want {
		if f.procs[p] == nil {
			f.await(p)
		}
	}
}

// watchProcess does so for one.
func (f *follower) watchProcess(p proc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.procs[p] == nil {
		f.await(p)
	}
}

// await waits for the death of one process. One that cannot be waited for is seen by the next resync.
func (f *follower) await(p proc) {
	h, err := process.Open(p.pid, p.ticks)
	if err != nil {
		if errors.Is(err, process.ErrGone) { // since it was observed
			f.ask(TriggerDeath)
		}
		return
	}
	f.procs[p] = h
	go func() {
		err := h.Wait(context.Background())
		f.mu.Lock()
		delete(f.procs, p)
		f.mu.Unlock()
		_ = h.Close()
		if err == nil {
			f.ask(TriggerDeath)
		}
	}()
}

// watchRelays keeps a connection to each of these relays, whose processes are not ours to watch. The states
// are what was observed last.
func (f *follower) watchRelays(ctx context.Context, seen map[string]RelayFact) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for u, fact := range seen {
		if f.relays[u] == nil {
			ctx, leave := context.WithCancel(ctx)
			f.relays[u] = leave
			go f.stay(ctx, u, fact)
		}
	}
	for u, leave := range f.relays {
		if _, wanted := seen[u]; !wanted {
			leave()
			delete(f.relays, u)
		}
	}
}

// strangers are the relays of a file that only a connection can tell of.
func strangers(d *spec.Desired, o Observed) map[string]RelayFact {
	seen := map[string]RelayFact{}
	if o.Relay.PID == 0 && o.Relay.Fact != "" {
		seen[d.LocalRelay.URL] = o.Relay.Fact
	}
	if o.Federation.Fact != "" {
		seen[d.Federation.URL] = o.Federation.Fact
	}
	return seen
}

// idle is how long a connection lasts that was closed because nothing came; one closed sooner was refused.
const idle = 5 * time.Second

// stay keeps a connection to one relay until ctx ends, and asks for a look when the relay is lost or back. A
// connection that was closed and can be had again means a relay that was started anew, or one that closes
// idle connections: that is worth a look no more often than the resync has one. It dials again after 0.2 s,
// doubling up to the resync while that fails: nothing polls faster.
func (f *follower) stay(ctx context.Context, url string, fact RelayFact) {
	wait := firstWait
	var reopened time.Time
	is := func(now RelayFact) {
		if now != fact {
			fact = now
			f.ask(TriggerRelay)
		}
	}
	for {
		dialled := time.Now()
		reached, err := f.linger(ctx, url, func() { is(RelayUp) })
		switch {
		case ctx.Err() != nil || errors.Is(err, errors.ErrUnsupported):
			return
		case !reached:
			is(RelayDown)
		default:
			if time.Since(dialled) > idle {
				wait = firstWait
			}
			if time.Since(reopened) > f.resync {
				fact, reopened = RelaySilent, time.Now()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(wait*2, max(f.resync, firstWait))
	}
}
