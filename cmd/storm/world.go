package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay"
)

const resync = 5 * time.Second

// world is one fleet in a directory of its own.
type world struct {
	set     Setting
	verbose bool
	dir     string
	bin     string
	file    string // wire.yaml
	machine home.Machine
	env     []string
	began   time.Time
	out     io.Writer
	asides  sync.WaitGroup    // what blows do for longer
	applied spans             // of one-shot applies that came to their end
	keys    map[string][]byte // private.key by session, as first seen

	mu       sync.Mutex
	asideErr error
	spec     specText
	watcher  *exec.Cmd
	all      *os.File     // storm.log
	logs     bytes.Buffer // of all watchers and one-shot applies
	decoys   []stranger
	broken   map[thing]int   // by blows
	frozen   map[string]bool // inbox directories
	rows     map[thing]int   // changed by one-shot applies
	applies  fates
}

// fates says where one-shot applies were when they were killed.
type fates struct{ before, halfWay, whole, refused int } // before the first change, after some; two that ended by themselves

// specText is the wire.yaml in force.
type specText struct {
	url       string
	work      string // where the sessions' working directories are
	sessions  int
	intervals map[string]int
	edition   int // each writing differs from the one before
}

func (s specText) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# edition %d\n", s.edition)
	fmt.Fprintf(&b, "version: 1\nname: storm\nrelays:\n  local:\n    url: %s\nsessions:\n", s.url)
	for i := range s.sessions {
		fmt.Fprintf(&b, "  - name: %s\n    dir: %s\n", nameOf(i), filepath.Join(s.work, nameOf(i)))
		if n := s.intervals[nameOf(i)]; n != 0 {
			fmt.Fprintf(&b, "    interval: %ds\n", n)
		}
	}
	b.WriteString("mesh: full\n")
	return b.String()
}

// newWorld builds wire and writes the file; nothing runs yet, and of what fails nothing stays.
func newWorld(set Setting, verbose bool) (w *world, err error) {
	dir, err := os.MkdirTemp("", "storm.")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	w = &world{
		set: set, verbose: verbose, dir: dir, bin: filepath.Join(dir, "bin", "wire"), file: filepath.Join(dir, "wire.yaml"),
		began: time.Now(), keys: map[string][]byte{}, frozen: map[string]bool{}, broken: map[thing]int{}, rows: map[thing]int{}, out: os.Stderr,
	}
	if w.all, err = os.Create(filepath.Join(dir, "storm.log")); err != nil {
		return nil, err
	}
	base := filepath.Join(dir, "wh")
	w.env = []string{"HOME=" + filepath.Join(dir, "home"), "WIRE_HOME=" + base, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	work := filepath.Join(dir, "work")
	made := []string{base, filepath.Join(dir, "home")}
	for i := range set.Sessions {
		made = append(made, filepath.Join(work, nameOf(i)))
	}
	for _, d := range made {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	if w.machine, err = (home.Env{WireHome: base, WireHomeSet: true, Home: filepath.Join(dir, "home")}).Machine(); err != nil {
		return nil, err
	}
	// The port is free now, and nothing else that runs here has a reason to take it: on Linux the address
	// is this process's own.
	addr, err := ownAddress()
	if err != nil {
		return nil, err
	}
	w.spec = specText{url: "http://" + addr, work: work, sessions: set.Sessions, intervals: map[string]int{}}
	build := exec.Command("go", "build", "-o", w.bin, "wirefleet.dev/wire/cmd/wire")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building wire: %w\n%s", err, out)
	}
	return w, w.writeSpec()
}

func ownAddress() (string, error) {
	pid := os.Getpid()
	for _, host := range []string{fmt.Sprintf("127.%d.%d.%d", 64+pid>>16&63, pid>>8&255, pid&254|1), "127.0.0.1"} {
		l, err := net.Listen("tcp", host+":0")
		if err == nil {
			defer l.Close()
			return l.Addr().String(), nil
		}
	}
	return "", errors.New("no loopback address to listen on")
}

// writeSpec puts a new edition of the file in its place, by a rename, as editors do.
func (w *world) writeSpec() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spec.edition++
	return home.WriteFile(w.file, []byte(w.spec.String()), 0o644)
}

// editSpec changes the interval of a session, in place.
func (w *world) editSpec(session string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spec.edition++
	w.spec.intervals[session] = 5 + (max(5, w.spec.intervals[session])-4)%3 // 5, 6, 7, 5, ...
	return os.WriteFile(w.file, []byte(w.spec.String()), 0o644)
}

// log tells people; note is for storm.log, and for those who ask for everything.
func (w *world) log(format string, args ...any)  { w.tell(true, format, args...) }
func (w *world) note(format string, args ...any) { w.tell(w.verbose, format, args...) }

func (w *world) tell(aloud bool, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := fmt.Sprintf("%8.3f %s\n", time.Since(w.began).Seconds(), fmt.Sprintf(format, args...))
	_, _ = w.all.WriteString(line)
	if aloud {
		_, _ = io.WriteString(w.out, line)
	}
}

// Write takes in the log lines of watchers and applies.
func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.all.Write(p)
	if w.verbose {
		_, _ = w.out.Write(p)
	}
	return w.logs.Write(p)
}

// command is wire with the world's environment; session "" means the machine.
func (w *world) command(ctx context.Context, session string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, w.bin, args...)
	cmd.Env = w.env
	if session != "" {
		cmd.Env = append(cmd.Env[:len(cmd.Env):len(cmd.Env)], "WIRE_HOME="+w.machine.Session(session).Dir)
	}
	cmd.Dir = w.dir
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// startWatcher starts continuous mode; a watcher that has ended is followed by another one.
func (w *world) startWatcher() error {
	cmd := w.command(context.Background(), "", "apply", "-f", w.file, "--watch", "--resync", resync.String(), "--log-format", "json", "--listen", "127.0.0.1:0")
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		return err
	}
	w.mu.Lock()
	w.watcher = cmd
	w.mu.Unlock()
	return nil
}

// endWatcher ends the watcher with sig and waits for it.
func (w *world) endWatcher(sig os.Signal) error {
	w.mu.Lock()
	cmd := w.watcher
	w.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(sig); err != nil {
		return err
	}
	_ = cmd.Wait() // its status says what sig was
	return nil
}

// signalWatcher is for a watcher that may have ended.
func (w *world) signalWatcher(sig syscall.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.watcher.Process.Signal(sig)
}

// planned is what `wire plan` would do.
func (w *world) planned(ctx context.Context) (changes, blocked []string, err error) {
	out, err := w.command(ctx, "", "plan", "-f", w.file, "--json").Output()
	if err != nil {
		return nil, nil, err
	}
	var doc struct {
		Changes []struct {
			Kind     string
			Subjects []string
			Reason   struct{ Text string }
		}
		Blocked []struct {
			Subject string
			Reason  struct{ Text string }
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return nil, nil, err
	}
	for _, c := range doc.Changes {
		changes = append(changes, fmt.Sprintf("%s %v: %s", c.Kind, c.Subjects, c.Reason.Text))
	}
	for _, b := range doc.Blocked {
		blocked = append(blocked, b.Subject+": "+b.Reason.Text)
	}
	return changes, blocked, nil
}

// healed waits until the plan is empty.
func (w *world) healed(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last string
	for {
		changes, blocked, err := w.planned(ctx)
		switch {
		case err == nil && len(changes)+len(blocked) == 0:
			return nil
		case err == nil:
			last = strings.Join(append(changes, blocked...), "; ")
		case ctx.Err() == nil:
			last = err.Error()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not healed after %s: %s", limit, last)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (w *world) relayLife() string {
	dir, err := w.machine.RelayState()
	if err != nil {
		return ""
	}
	return relay.LifeLock(dir)
}

// proven is the holder of a life lock, if it is one beyond doubt.
func proven(lock string) (process.Life, bool) {
	l, held, ok, err := process.ReadLife(lock)
	return l, err == nil && held && ok
}

// close ends what is left of the world. Processes that carry its directory in their environment are its own.
func (w *world) close(keep bool) error {
	w.mu.Lock()
	watcher := w.watcher
	w.mu.Unlock()
	w.endDecoys()
	if watcher != nil && watcher.ProcessState == nil {
		_ = watcher.Process.Kill()
		_ = watcher.Wait()
	}
	left, err := w.left()
	for _, i := range left {
		if p, err := process.Open(i.PID, i.StartTicks); err == nil {
			_ = p.Stop(context.Background(), 0)
			_ = p.Close()
		}
	}
	_ = w.all.Close()
	if keep {
		fmt.Fprintln(w.out, "kept:", w.dir, "(storm.log tells everything)")
		return err
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}

// left are the wire processes of this world that still run, without decoys.
func (w *world) left() ([]process.Info, error) {
	table, err := process.Table()
	if err != nil {
		return nil, err
	}
	var out []process.Info
	for _, i := range table {
		if strings.HasPrefix(i.WireHome, w.dir+string(filepath.Separator)) && !w.isDecoy(i.PID) {
			out = append(out, i)
		}
	}
	return out, nil
}
