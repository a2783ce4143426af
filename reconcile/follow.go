package reconcile

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

// Trigger is what made a watcher look. It only says "look": a pass reads everything, whatever woke it.
type Trigger string

// The closed set of triggers.
const (
	TriggerStart   Trigger = "start"
	TriggerFile    Trigger = "file"    // wire.yaml
	TriggerDeath   Trigger = "death"   // of a daemon or the relay
	TriggerState   Trigger = "state"   // a file below config/wire, or a pid record
	TriggerRelay   Trigger = "relay"   // a relay that is not ours was lost
	TriggerHangup  Trigger = "hangup"  // SIGHUP
	TriggerResync  Trigger = "resync"  //
	TriggerBackoff Trigger = "backoff" // the time of a held-back start has come
)

// Triggers are all of them, for counters that start at zero.
var Triggers = []Trigger{
	TriggerStart, TriggerFile, TriggerDeath, TriggerState, TriggerRelay, TriggerHangup, TriggerResync, TriggerBackoff,
}

// follower turns what happens on the machine into triggers: the kernel's word on processes, and a file watch.
type follower struct {
	wake  func(Trigger)
	files *fsnotify.Watcher
	// linger blocks while a relay is connected and returns when it is lost.
	linger func(ctx context.Context, url string) error

	mu    sync.Mutex
	procs map[proc]*process.Proc
	relay string // that is lingered on
	spec  map[string]bool
}

type proc struct {
	pid   int
	ticks uint64
}

func newFollower(wake func(Trigger), linger func(context.Context, string) error) (*follower, error) {
	files, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return &follower{wake: wake, files: files, linger: linger, procs: map[proc]*process.Proc{}, spec: map[string]bool{}}, nil
}

func (f *follower) close() {
	_ = f.files.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.procs {
		_ = p.Close()
	}
}

// run turns file events into triggers until the watch is closed.
func (f *follower) run() {
	for {
		select {
		case e, ok := <-f.files.Events:
			if !ok {
				return
			}
			f.event(e)
		case _, ok := <-f.files.Errors:
			if !ok {
				return
			}
			f.wake(TriggerState) // an overflow lost events: look
		}
	}
}

func (f *follower) event(e fsnotify.Event) {
	if e.Has(fsnotify.Chmod) && e.Op == fsnotify.Chmod || home.IsTemp(e.Name) {
		return
	}
	f.mu.Lock()
	isSpec := f.spec[e.Name]
	f.mu.Unlock()
	switch {
	case isSpec:
		f.wake(TriggerFile)
	case home.Tells(e.Name):
		f.wake(TriggerState)
	}
}

// watchSpec follows the wire.yaml at path through renames and links: the directory of each name that leads
// to it is watched, not the file.
func (f *follower) watchSpec(path string) {
	names := map[string]bool{}
	for range 40 { // as many links as the kernel follows
		abs, err := filepath.Abs(path)
		if err != nil || names[abs] {
			break
		}
		names[abs] = true
		_ = f.files.Add(filepath.Dir(abs))
		next, err := home.ReadLink(abs)
		if err != nil {
			break
		}
		path = next
	}
	if phys, err := filepath.EvalSymlinks(path); err == nil {
		names[phys] = true
		_ = f.files.Add(filepath.Dir(phys))
	}
	f.mu.Lock()
	f.spec = names
	f.mu.Unlock()
}

// update follows what a pass has seen: every proven process, and the directories of the listed sessions.
func (f *follower) update(ctx context.Context, m home.Machine, names []string, relayURL string, o Observed) {
	want := map[proc]bool{}
	for _, n := range names {
		s := m.Session(n)
		for _, dir := range []string{s.ConfigDir(), s.StateDir()} {
			_ = f.files.Add(dir) // one that is not there is made by the next pass, which adds it
		}
		for _, d := range o.Session(n).Daemon.All() {
			want[proc{d.PID, d.StartTicks}] = true
		}
	}
	_ = f.files.Add(m.Root)
	if o.Relay.PID != 0 {
		want[proc{o.Relay.PID, o.Relay.StartTicks}] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range want {
		if f.procs[p] == nil {
			f.follow(p)
		}
	}
	if o.Relay.Fact == RelayUp && o.Relay.PID == 0 && f.relay != relayURL {
		f.relay = relayURL
		go f.linging(ctx, relayURL)
	}
}

// follow waits for the death of one process.
func (f *follower) follow(p proc) {
	h, err := process.Open(p.pid, p.ticks)
	if err != nil {
		f.wake(TriggerDeath) // it has gone between the pass and now
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
			f.wake(TriggerDeath)
		}
	}()
}

// linging keeps a connection to a relay that is not ours, and wakes when it is lost.
func (f *follower) linging(ctx context.Context, url string) {
	began := time.Now()
	_ = f.linger(ctx, url)
	f.mu.Lock()
	f.relay = ""
	f.mu.Unlock()
	if ctx.Err() == nil && time.Since(began) > time.Second {
		f.wake(TriggerRelay)
	}
}
