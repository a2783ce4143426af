package reconcile

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

// ear is what a follower asks; tests wait for it.
type ear chan Trigger

func (e ear) ask(t Trigger) { e <- t }

// hear waits for a trigger and passes over others.
func (e ear) hear(t *testing.T, want Trigger) {
	t.Helper()
	for {
		select {
		case got := <-e:
			if got == want {
				return
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("no %s", want)
		}
	}
}

// first does something that asks for want, and fails if what happened before has asked for anything else; other
// askings for want do not count.
func (e ear) first(t *testing.T, want Trigger, do func()) {
	t.Helper()
	do()
	for {
		select {
		case got := <-e:
			if got != want {
				t.Errorf("asked for %s", got)
			}
			return
		case <-time.After(30 * time.Second):
			t.Fatalf("no %s", want)
		}
	}
}

// nothing fails if anything was asked so far.
func (e ear) nothing(t *testing.T) {
	t.Helper()
	select {
	case got := <-e:
		t.Errorf("asked for %s", got)
	default:
	}
}

func follow(t *testing.T) (*follower, ear) {
	t.Helper()
	e := make(ear, 1000)
	f := newFollower(e.ask)
	t.Cleanup(f.close)
	return f, e
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What leads to wire.yaml can change in many places.
func TestFollowsTheFile(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	put(t, at("one", "fleet.yaml"), "1")
	put(t, at("two", "fleet.yaml"), "2")
	must(t, os.Symlink("one", at("dots")))
	put(t, at("cfg", "other"), "")
	must(t, os.Symlink("../dots/fleet.yaml", at("cfg", "wire.yaml")))

	m := home.Machine{Root: at("sessions")}
	must(t, m.Ensure())
	f, e := follow(t)
	look := func() {
		t.Helper()
		_, err := f.watchFiles(at("cfg", "wire.yaml"), dirsOf(m, nil))
		must(t, err)
	}
	steps := []struct {
		what string
		do   func() error
	}{
		{"written in place", func() error { return os.WriteFile(at("one", "fleet.yaml"), []byte("11"), 0o600) }},
		{"replaced by a rename", func() error {
			put(t, at("one", "new"), "12")
			return os.Rename(at("one", "new"), at("one", "fleet.yaml"))
		}},
		{"the directory link turned", func() error {
			must(t, os.Symlink("two", at("turned")))
			return os.Rename(at("turned"), at("dots"))
		}},
		{"written where the link leads now", func() error { return os.WriteFile(at("two", "fleet.yaml"), []byte("22"), 0o600) }},
		{"removed", func() error { return os.Remove(at("two", "fleet.yaml")) }},
		{"made anew", func() error { return os.WriteFile(at("two", "fleet.yaml"), []byte("23"), 0o600) }},
		{"its directory renamed away", func() error { return os.Rename(at("two"), at("three")) }},
		{"and another one put there", func() error {
			put(t, at("new", "fleet.yaml"), "24")
			return os.Rename(at("new"), at("two"))
		}},
		{"the last link replaced by a file", func() error {
			put(t, at("cfg", "new"), "30")
			return os.Rename(at("cfg", "new"), at("cfg", "wire.yaml"))
		}},
	}
	for _, s := range steps {
		look()
		for len(e) > 0 {
			<-e
		}
		must(t, s.do())
		e.hear(t, TriggerFile)
	}

	// And what does not lead to it does not matter.
	look()
	put(t, m.RegistryFile(), "")
	e.hear(t, TriggerState)
	for len(e) > 0 {
		<-e
	}
	put(t, at("cfg", "other"), "x")
	put(t, at("one", "fleet.yaml"), "13")
	must(t, os.Chmod(at("cfg", "wire.yaml"), 0o644))
	put(t, at("cfg", ".wire.yaml.tmp-123"), "")
	fence := m.RegistryFile()
	e.first(t, TriggerState, func() { put(t, fence, "{}") })
}

// A path leads elsewhere as well when a directory far above is replaced, whether links lead through it or not.
func TestFollowsWhatIsAbove(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("seen by the next resync")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	put(t, at("a", "b", "c", "wire.yaml"), "1")
	put(t, at("new", "c", "wire.yaml"), "2")
	m := home.Machine{Root: at("x", "y", "sessions")}
	s := m.Session("api")
	must(t, s.Ensure())
	f, e := follow(t)
	fence := 0
	look := func() {
		t.Helper()
		_, err := f.watchFiles(at("a", "b", "c", "wire.yaml"), dirsOf(m, []string{"api"}))
		must(t, err)
		fence++
		put(t, m.RegistryFile(), strings.Repeat(" ", fence))
		e.hear(t, TriggerState)
		for len(e) > 0 {
			<-e
		}
	}
	away := func(path string) {
		t.Helper()
		look()
		must(t, os.Rename(path, path+"-away"))
		e.hear(t, TriggerPlace)
		look()
		must(t, os.Rename(path+"-away", path))
		e.hear(t, TriggerPlace)
	}
	for _, path := range []string{s.ConfigDir(), filepath.Dir(s.ConfigDir()), s.StateDir(), s.Dir} {
		away(path)
	}
	look()
	put(t, s.TrustFile(), "{}") // and it is followed as before
	e.hear(t, TriggerState)

	// One that is back before anybody has looked is followed as well.
	look()
	must(t, os.Rename(s.ConfigDir(), at("aside")))
	must(t, os.Rename(at("aside"), s.ConfigDir()))
	e.hear(t, TriggerPlace)
	look()
	put(t, s.TrustFile(), "[]")
	e.hear(t, TriggerState)

	look()
	must(t, os.Rename(at("a", "b"), at("old")))
	must(t, os.Rename(at("new"), at("a", "b")))
	e.hear(t, TriggerPlace)
	look()
	put(t, at("a", "b", "c", "wire.yaml"), "3")
	e.hear(t, TriggerFile)

	look()
	must(t, os.Rename(at("x"), at("x-away")))
	must(t, os.Rename(at("x-away"), at("x")))
	e.hear(t, TriggerPlace)
	look()
	put(t, s.DaemonPID(), "")
	e.hear(t, TriggerState)

	// What else is done in a directory above is nobody's business.
	look()
	put(t, at("a", "noise"), "")
	put(t, at("a", "b", "noise"), "")
	put(t, at("x", "noise", "of", "others"), "")
	e.first(t, TriggerState, func() { put(t, m.RegistryFile(), "") })
}

// A system that grants no watch for what is above grants the others all the same.
func TestFollowsWithoutWhatIsAbove(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wire.yaml")
	f, e := follow(t)
	none := errors.New("too many open files")
	f.newMoves = func(func()) (*moves, error) { return nil, none }
	if _, err := f.watchFiles(file, nil); !errors.Is(err, none) {
		t.Error(err)
	}
	put(t, file, "")
	e.hear(t, TriggerFile)

	// And it is asked again.
	f.newMoves = newMoves
	_, err := f.watchFiles(file, nil)
	must(t, err)
}

func TestFollowsState(t *testing.T) {
	m := home.Machine{Root: filepath.Join(t.TempDir(), "sessions")}
	s := m.Session("api")
	must(t, s.Ensure())
	f, e := follow(t)
	fresh, err := f.watchFiles("", dirsOf(m, []string{"api", "web"}))
	if must(t, err); !fresh {
		t.Error("the first watch is nothing new")
	}
	if fresh, err = f.watchFiles("", dirsOf(m, []string{"api", "web"})); err != nil || fresh {
		t.Error("the same watch is new:", err)
	}
	for _, path := range []string{s.KeyFile(), s.CardFile(), s.TrustFile(), s.RelayFile(), s.DaemonPID(), s.NotifyPID(), m.RegistryFile()} {
		put(t, path, "{}")
		e.hear(t, TriggerState)
	}
	must(t, os.Remove(s.DaemonPID()))
	e.hear(t, TriggerState)

	// A directory that came to be was not watched: what happened in it before is unseen.
	must(t, m.Session("web").Ensure())
	if fresh, err = f.watchFiles("", dirsOf(m, []string{"api", "web"})); err != nil || !fresh {
		t.Error("a directory that came to be is not new:", err)
	}
	// So is one that was removed and made again.
	fence := filepath.Join(t.TempDir(), "wire.yaml")
	_, err = f.watchFiles(fence, dirsOf(m, []string{"api", "web"}))
	must(t, err)
	must(t, os.RemoveAll(s.Dir))
	put(t, fence, "")
	e.hear(t, TriggerFile) // whatever came before has been heard
	must(t, s.Ensure())
	if fresh, err = f.watchFiles("", dirsOf(m, []string{"api", "web"})); err != nil || !fresh {
		t.Error("a directory that was made anew is not new:", err)
	}
	put(t, s.RelayFile(), "{}")
	e.hear(t, TriggerState)

	// Whoever left the file is not watched any more, and what changes as messages flow never was.
	if _, err = f.watchFiles(fence, dirsOf(m, []string{"web"})); err != nil {
		t.Fatal(err)
	}
	put(t, fence, "")
	e.hear(t, TriggerFile)
	put(t, s.TrustFile(), "[]")
	put(t, m.Session("web").DaemonLog(), "a line")
	put(t, m.Session("web").SentFile(), "{}")
	put(t, filepath.Join(m.Root, "apply.lock"), "{}")
	e.first(t, TriggerFile, func() { put(t, fence, "x") })
}

// Cursors that move are no reason to look at everything.
func TestOnlyCursors(t *testing.T) {
	m := home.Machine{Root: filepath.Join(t.TempDir(), "sessions")}
	s, other := m.Session("api"), m.Session("web")
	must(t, s.Ensure())
	must(t, other.Ensure())
	f, e := follow(t)
	_, err := f.watchFiles("", dirsOf(m, []string{"api", "web"}))
	must(t, err)
	text := `{"peers":{"web":{"slot_id":"%p"}},"self":{"slot_id":"%s","last_pulled_event_id":"%c","last_pulled_event_id_local":"%c"}}`
	write := func(s home.Session, peer, slot, cursor string) func() {
		return func() {
			put(t, s.RelayFile(), strings.NewReplacer("%p", peer, "%s", slot, "%c", cursor).Replace(text))
		}
	}
	steps := []struct {
		what string
		do   func()
		want bool
	}{
		{"seen for the first time", write(s, "p", "s", "1"), false},
		{"a cursor moved", write(s, "p", "s", "2"), true},
		{"and again", write(s, "p", "s", "3"), true},
		{"a slot, too", write(s, "p", "t", "4"), false},
		{"a cursor", write(s, "p", "t", "5"), true},
		{"a peer", write(s, "q", "t", "5"), false},
		{"another session's", write(other, "p", "s", "1"), false},
		{"cursors of both", func() { write(s, "q", "t", "6")(); write(other, "p", "s", "2")() }, true},
		{"a cursor, and another file", func() { write(s, "q", "t", "7")(); put(t, s.DaemonPID(), "7") }, false},
		{"what does not parse", func() { put(t, s.RelayFile(), "{") }, false},
		{"as it was", write(s, "q", "t", "8"), false},
		{"removed", func() { must(t, os.Remove(s.RelayFile())) }, false},
	}
	for _, step := range steps {
		step.do()
		e.hear(t, TriggerState)
		// Events of one step are several; the fence comes behind them.
		fence := filepath.Join(t.TempDir(), "wire.yaml")
		_, err := f.watchFiles(fence, dirsOf(m, []string{"api", "web"}))
		must(t, err)
		put(t, fence, "")
		e.hear(t, TriggerFile)
		if got := f.onlyCursors(); got != step.want {
			t.Errorf("%s: %v", step.what, got)
		}
	}
	if f.onlyCursors() {
		t.Error("nothing happened, and only cursors moved")
	}
}

// A pass of the watcher wakes those who wait, and only them.
func TestFollowsPasses(t *testing.T) {
	m := home.Machine{Root: t.TempDir()}
	put(t, m.WatchLife(), "")
	waits, w := follow(t)
	waits.passes = filepath.Base(m.WatchLife())
	passes, p := follow(t)
	fence := filepath.Join(t.TempDir(), "wire.yaml")
	for _, f := range []*follower{waits, passes} {
		_, err := f.watchFiles(fence, dirsOf(m, nil))
		must(t, err)
	}
	must(t, m.Passed(time.Now()))
	w.hear(t, TriggerState)
	p.first(t, TriggerFile, func() { put(t, fence, "") })
}

func TestFollowsProcesses(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	must(t, cmd.Start())
	i, ok := process.Lookup(cmd.Process.Pid)
	if !ok {
		t.Fatal("it is not there")
	}
	f, e := follow(t)
	o := Observed{
		Sessions: map[string]SessionState{"api": {Daemon: census.Serving{Ours: &census.Daemon{PID: i.PID, StartTicks: i.StartTicks}}}},
		Relay:    RelayState{PID: os.Getpid(), StartTicks: 1}, // cannot be waited for: no reason to look again and again
	}
	f.watchProcesses([]string{"api"}, o)
	f.watchProcesses([]string{"api"}, o)
	e.nothing(t)
	must(t, cmd.Process.Kill())
	e.hear(t, TriggerDeath)
	_ = cmd.Wait()
	e.nothing(t) // once

	// One that has died since it was observed.
	f.watchProcesses([]string{"api"}, o)
	e.hear(t, TriggerDeath)
	f.watchProcesses([]string{"web"}, o)
	e.nothing(t)
}

// port stands for a relay's port: refused, taken and mute, or answering.
type port struct {
	mu    sync.Mutex
	state RelayFact
	dials []time.Time
	gone  chan struct{} // closed when the connections are
}

func (p *port) set(s RelayFact) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone != nil {
		close(p.gone)
	}
	p.state, p.gone = s, make(chan struct{})
}

func (p *port) linger(ctx context.Context, _ string, answered func()) (bool, error) {
	p.mu.Lock()
	state, gone := p.state, p.gone
	p.dials = append(p.dials, time.Now())
	p.mu.Unlock()
	switch state {
	case RelayDown:
		return false, errors.New("refused")
	case RelayUp:
		answered()
	}
	select {
	case <-gone:
	case <-ctx.Done():
	}
	return true, errors.New("closed")
}

func TestStaysAtARelay(t *testing.T) {
	cases := []struct {
		name string
		seen RelayFact
		life []RelayFact // one after the other, ten seconds each
		want int         // looks
	}{
		{"up all the time", RelayUp, []RelayFact{RelayUp}, 0},
		{"down all the time", RelayDown, []RelayFact{RelayDown}, 0},
		{"lost", RelayUp, []RelayFact{RelayUp, RelayDown}, 1},
		{"back", RelayDown, []RelayFact{RelayDown, RelayUp}, 1},
		{"lost and back", RelayUp, []RelayFact{RelayUp, RelayDown, RelayUp}, 2},
		{"started anew so fast that nobody saw it", RelayUp, []RelayFact{RelayUp, RelayUp}, 1},
		{"a mute stranger who leaves", RelaySilent, []RelayFact{RelaySilent, RelayDown}, 1},
		{"closes idle connections", RelayUp, slices.Repeat([]RelayFact{RelayUp}, 6), 1}, // not each time
	}
	for _, c := range cases {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := make(ear, 1000)
				f := newFollower(e.ask)
				defer f.close()
				p := &port{}
				f.linger, f.resync = p.linger, time.Minute
				p.set(c.life[0])
				f.watchRelays(t.Context(), map[string]RelayFact{"http://r": c.seen})
				for _, s := range c.life[1:] {
					time.Sleep(10 * time.Second)
					p.set(s)
				}
				time.Sleep(20 * time.Second)
				if len(e) != c.want {
					t.Errorf("%d looks, want %d", len(e), c.want)
				}
				for range c.want {
					if got := <-e; got != TriggerRelay {
						t.Errorf("asked for %s", got)
					}
				}
				f.watchRelays(t.Context(), nil) // not in the file any more
				synctest.Wait()
				if len(f.relays) > 0 {
					t.Error("it stays where nobody wants it")
				}
			})
		})
	}
}

// A relay that is down is not polled faster than the resync.
func TestStayDoesNotPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollower(func(Trigger) {})
		defer f.close()
		p := &port{}
		p.set(RelayDown)
		f.linger, f.resync = p.linger, time.Minute
		f.watchRelays(t.Context(), map[string]RelayFact{"http://r": RelayDown})
		time.Sleep(time.Hour)
		p.mu.Lock()
		defer p.mu.Unlock()
		for i := 10; i < len(p.dials); i++ {
			if wait := p.dials[i].Sub(p.dials[i-1]); wait < time.Minute {
				t.Errorf("dial %d after %v", i, wait)
			}
		}
		if n := len(p.dials); n < 60 || n > 70 {
			t.Errorf("%d dials in an hour", n)
		}
	})
}
