//go:build linux

package main_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay"
)

// world is where one file is replayed: a fresh $ROOT, an address of its own as long as 127.0.0.1, its relays.
type world struct {
	dir    string // holds root, srv, path and the relays' homes
	root   string // $ROOT
	host   string // stands for 127.0.0.1
	relays map[string]*exec.Cmd
	// noFederation is set while `relay-server` serves local relays only.
	noFederation bool

	theirs, ours map[string]string // ids of the record to ours and back
	kept         map[string]any    // what one step leaves for another
	atEnd        []func()
}

const (
	localRelay      = "8771"
	federationRelay = "8770"
	secondRelay     = "8772"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp(suite.root, "replay-")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		dir: dir, root: filepath.Join(dir, "root"), relays: map[string]*exec.Cmd{},
		theirs: map[string]string{}, ours: map[string]string{}, kept: map[string]any{},
	}
	if w.host, err = shortAddress(t); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"root/w", "root/user", "root/bin", "path", "relay"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(suite.bin, "wire"), filepath.Join(w.root, "bin", "wire")); err != nil {
		t.Fatal(err)
	}
	// No systemctl and no notify-send but those that a record brings.
	for _, tool := range []string{"sh", "cat", "sleep", "true", "false", "env", "grep", "head", "printf", "printenv", "test", "kill"} {
		if real, err := exec.LookPath(tool); err == nil {
			if err := os.Symlink(real, filepath.Join(dir, "path", tool)); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(func() {
		for _, f := range w.atEnd {
			f()
		}
		if _, err := endAll(dir); err != nil {
			t.Error(err)
		}
	})
	return w
}

// shortAddress is a loopback address of nine characters, so that columns stay as they are. A listener on it
// reserves it until the test ends.
func shortAddress(t *testing.T) (string, error) {
	for n := range 900 {
		v := (os.Getpid()*7 + n) % 900
		host := fmt.Sprintf("127.%d.%d.%d", v/100+1, v/10%10, v%10)
		l, err := net.Listen("tcp", host+":8769")
		if err == nil {
			t.Cleanup(func() { l.Close() })
			return host, nil
		}
	}
	return "", errors.New("no free loopback address of nine characters")
}

// local puts our places, addresses and ids into a text of the record.
func (w *world) local(s string) string {
	s = mask.ReplaceAllStringFunc(s, func(id string) string {
		if o, ok := w.theirs[id]; ok {
			return o
		}
		return id
	})
	s = strings.ReplaceAll(s, "testbox", hostHandle)
	return strings.NewReplacer("$ROOT/srv/", w.root+"/srv/", "$ROOT", w.root, "/srv/", w.dir+"/srv/", "127.0.0.1", w.host).Replace(s)
}

// plain puts the recorder's places and addresses into a text of ours.
func (w *world) plain(s string) string {
	s = hostInText.ReplaceAllString(s, "${1}testbox${2}")
	return strings.NewReplacer(w.dir+"/srv/", "/srv/", w.root, "$ROOT", w.host, "127.0.0.1").Replace(s)
}

// hostHandle is the handle that an identity gets from the host name, testbox with the recorder (identity.md 7).
var hostHandle = func() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "wire-user"
	}
	return regexp.MustCompile(`[^A-Za-z0-9_-]`).ReplaceAllString(name, "-")
}()

// hostInText finds it where texts have it: in a DID, in quotes, as a key id, as the name of a file.
var hostInText = regexp.MustCompile(`((?:did:wire:|ed25519:|["/ ]))` + regexp.QuoteMeta(hostHandle) + `((?:-[0-9a-f]{8}|\\?"|:[0-9a-f]{8}|\.jsonl?\b|: |@|$))`)

// bind makes an id of the record stand for one of ours; it fails if either stands for another already.
func (w *world) bind(theirs, ours string) bool {
	if o, ok := w.theirs[theirs]; ok {
		return o == ours
	}
	if _, ok := w.ours[ours]; ok {
		return false
	}
	w.theirs[theirs], w.ours[ours] = ours, theirs
	return true
}

// path is below $ROOT.
func (w *world) path(parts ...string) string {
	return filepath.Join(append([]string{w.root}, parts...)...)
}

// session is one in $ROOT/h, where most files have their sessions.
func (w *world) session(name string) home.Session { return home.At(w.path("h", "sessions", name)) }

// userSession is one of somebody without WIRE_HOME.
func (w *world) userSession(name string) home.Session {
	return home.At(w.path("user", ".local", "state", "wire", "sessions", name))
}

// srv is a directory that stands for one of /srv.
func (w *world) srv(name string) string { return filepath.Join(w.dir, "srv", name) }

// environ is what every command gets: nothing of the account's own. What is not on loopback has a proxy that
// is not there, for the recorder had no other network.
func (w *world) environ(over map[string]*string) []string {
	env := map[string]string{
		"HOME": w.path("user"), "USER": "tester", "LANG": "C.UTF-8", "TMPDIR": w.dir,
		"PATH": w.path("bin") + ":" + filepath.Join(w.dir, "path"), "HTTPS_PROXY": "http://" + w.host + ":9",
	}
	for k, v := range over {
		if v == nil {
			delete(env, k)
		} else {
			env[k] = w.local(*v)
		}
	}
	var list []string
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}

// command is the record's command, not yet started.
func (w *world) command(ctx context.Context, r *record) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, w.path("bin", "wire"))
	for _, a := range w.arguments(r) {
		cmd.Args = append(cmd.Args, w.local(a))
	}
	cmd.Args[0] = w.path("bin", "wire")
	cmd.Env, cmd.Dir = w.environ(r.Env), w.path("w")
	if r.Cwd != "" {
		cmd.Dir = w.local(r.Cwd)
		if err := os.MkdirAll(cmd.Dir, 0o755); err != nil {
			return nil, err
		}
	}
	if r.Stdin != nil {
		cmd.Stdin = strings.NewReader(*r.Stdin)
	}
	return cmd, nil
}

// arguments are those of the record. Default addresses cannot be moved to another one, so they are named where
// the record relies on them.
func (w *world) arguments(r *record) []string {
	args := slices.Clone(r.Argv[1:])
	if len(args) > 1 && args[0] == "session" && args[1] == "new" && !slices.Contains(args, "--local-relay") &&
		(slices.Contains(args, "--local-only") || slices.Contains(args, "--with-local")) {
		at := slices.Index(append(args, "--"), "--")
		args = slices.Insert(args, at, "--local-relay", "http://127.0.0.1:"+localRelay)
	}
	if len(args) > 0 && args[0] == "relay-server" && !slices.Contains(args, "--bind") && !slices.Contains(args, "--help") {
		args = append(args, "--bind", "127.0.0.1:"+federationRelay)
	}
	return args
}

// run runs the record's command to its end.
func (w *world) run(r *record) (result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd, err := w.command(ctx, r)
	if err != nil {
		return result{}, err
	}
	before, err := w.snapshot()
	if err != nil {
		return result{}, err
	}
	got, err := w.collect(cmd, before)
	if ctx.Err() != nil {
		err = fmt.Errorf("%v did not end: %w\n%s%s", r.Argv, ctx.Err(), got.out, got.err)
	}
	return got, err
}

// collect runs a command and gathers what it did.
func (w *world) collect(cmd *exec.Cmd, before snapshot) (result, error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Second // a daemon that it started may hold the pipes
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return result{}, err
	}
	return w.result(cmd, out.String(), errs.String(), before)
}

func (w *world) result(cmd *exec.Cmd, out, errs string, before snapshot) (result, error) {
	after, err := w.snapshot()
	if err != nil {
		return result{}, err
	}
	exit := cmd.ProcessState.ExitCode()
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		exit = -int(s.Signal())
	}
	return result{exit: exit, out: w.plain(out), err: w.plain(errs), changed: w.plainAll(before.changes(after))}, nil
}

func (w *world) plainAll(list []string) []string {
	for i, s := range list {
		list[i] = w.plain(s)
	}
	return list
}

// running is a command that does not end by itself.
type running struct {
	w        *world
	cmd      *exec.Cmd
	out, err string // files that it prints into
	before   snapshot
}

// start starts the record's command and lets it run.
func (w *world) start(r *record) (*running, error) {
	cmd, err := w.command(context.Background(), r)
	if err != nil {
		return nil, err
	}
	p := &running{w: w, cmd: cmd}
	if p.before, err = w.snapshot(); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		path *string
		to   func(*os.File)
	}{{&p.out, func(f *os.File) { cmd.Stdout = f }}, {&p.err, func(f *os.File) { cmd.Stderr = f }}} {
		file, err := os.CreateTemp(w.dir, "printed-")
		if err != nil {
			return nil, err
		}
		defer file.Close()
		*f.path = file.Name()
		f.to(file)
	}
	return p, cmd.Start()
}

// prints waits until the command has printed so many lines on stdout.
func (p *running) prints(lines int) error { return until(func() error { return p.printed(lines) }) }

// printed says whether it has.
func (p *running) printed(lines int) error { return linesIn(p.out, lines) }

// says waits until the command has printed so many lines on stderr.
func (p *running) says(lines int) error { return until(func() error { return linesIn(p.err, lines) }) }

func linesIn(path string, least int) error {
	data, err := os.ReadFile(path)
	if n := bytes.Count(data, []byte("\n")); err == nil && n < least {
		err = fmt.Errorf("%d lines, want %d:\n%s", n, least, data)
	}
	return err
}

// end sends a signal and waits for the end.
func (p *running) end(s os.Signal) (result, error) {
	if err := p.cmd.Process.Signal(s); err != nil {
		return result{}, err
	}
	_ = p.cmd.Wait()
	out, err1 := os.ReadFile(p.out)
	errs, err2 := os.ReadFile(p.err)
	if err := errors.Join(err1, err2, os.Remove(p.out), os.Remove(p.err)); err != nil {
		return result{}, err
	}
	return p.w.result(p.cmd, string(out), string(errs), p.before)
}

// relay starts the relay on a port, with what an earlier one there has stored but for the times of pulls, which
// the reference's forgets.
func (w *world) relay(port string) error {
	if w.relays[port] != nil || port == federationRelay && w.noFederation {
		return nil
	}
	args := []string{"relay-server", "--bind", w.host + ":" + port}
	if port != federationRelay {
		args = append(args, "--local-only")
	}
	log, err := os.Create(filepath.Join(w.dir, "relay", port+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(w.path("bin", "wire"), args...)
	dir := filepath.Join(w.dir, "relay", port)
	if err := w.forgetPulls(filepath.Join(dir, "state", "wire-relay"), port != federationRelay); err != nil {
		return err
	}
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = w.environ(map[string]*string{"WIRE_HOME": &dir}), w.dir, log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	err = until(func() error {
		select {
		case <-ended:
			return nil
		default:
			return dial(w.host + ":" + port)
		}
	})
	select {
	case <-ended:
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("relay on %s ended: %s", port, text)
	default:
		w.relays[port] = cmd
		return err
	}
}

func (w *world) forgetPulls(state string, local bool) error {
	if local {
		state = filepath.Join(state, "local")
	}
	err := until(func() error { // an earlier one may be about to write them
		l, held, _, err := process.ReadLife(relay.LifeLock(state))
		if held {
			err = fmt.Errorf("pid %d serves %s still", l.PID, state)
		}
		return err
	})
	if err == nil {
		err = os.RemoveAll(filepath.Join(state, "pulls.json"))
	}
	return err
}

// relayDown stops the relay on a port and waits until nobody listens there.
func (w *world) relayDown(port string) error {
	cmd := w.relays[port]
	delete(w.relays, port)
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return until(func() error {
		if dial(w.host+":"+port) == nil {
			return errors.New("the relay on " + port + " still answers")
		}
		return nil
	})
}

// daemon starts `wire daemon` in a home and waits until its record names it.
func (w *world) daemon(s home.Session) error {
	cmd := exec.Command(w.path("bin", "wire"), "daemon", "--interval", "5")
	cmd.Env, cmd.Dir = w.environ(map[string]*string{"WIRE_HOME": &s.Dir}), w.path("w")
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }()
	return until(func() error {
		if rec, _ := process.ReadRecord(s.DaemonPID()); rec.PID != cmd.Process.Pid {
			return fmt.Errorf("daemon.pid names %d, not %d", rec.PID, cmd.Process.Pid)
		}
		return nil
	})
}

// stranger is a living process that is no daemon. It ends with the world.
func (w *world) stranger() (int, error) {
	cmd := exec.Command(filepath.Join(w.dir, "path", "sleep"), "1000")
	cmd.Env = w.environ(nil)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	go func() { _ = cmd.Wait() }()
	return cmd.Process.Pid, nil
}

// write makes a file below $ROOT with its directories.
func (w *world) write(path, text string) error {
	path = w.path(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(w.local(text)), 0o644)
}

// snapshot is what is below $ROOT. The name of a directory ends in "/", that of a link in "@".
type snapshot map[string]fileState

type fileState struct {
	empty bool // of a directory
	link  string
	mtime int64
	inode uint64
	hash  [sha256.Size]byte
}

func (w *world) snapshot() (snapshot, error) {
	s := snapshot{}
	err := filepath.WalkDir(w.root, func(path string, e fs.DirEntry, err error) error {
		if path == w.root || errors.Is(err, fs.ErrNotExist) { // somebody's temporary file
			return nil
		}
		if err != nil {
			return err
		}
		name, state, err := look(path, e)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		s[strings.TrimPrefix(name, w.root+"/")] = state
		return err
	})
	return s, err
}

func look(path string, e fs.DirEntry) (name string, state fileState, err error) {
	if e.IsDir() {
		list, err := os.ReadDir(path)
		return path + "/", fileState{empty: len(list) == 0}, err
	}
	info, err := e.Info()
	if err != nil {
		return path, state, err
	}
	state.mtime = info.ModTime().UnixNano()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		state.inode = st.Ino
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		state.link, err = os.Readlink(path)
		return path + "@", state, err
	case info.Size() > 1<<20: // the program
		return path, state, nil
	case info.Mode().IsRegular():
		data, err := os.ReadFile(path)
		state.hash = sha256.Sum256(data)
		return path, state, err
	}
	return path, state, nil
}

// changes are the letters of the vectors: A new, M changed, R rewritten with the same bytes, D removed. Of
// directories only the new empty ones are told, and those that are gone with all that was in them.
func (s snapshot) changes(after snapshot) []string {
	var list []string
	for name, a := range after {
		b, ok := s[name]
		switch dir := strings.HasSuffix(name, "/"); {
		case !ok && (!dir || a.empty):
			list = append(list, "A "+name)
		case !ok || dir:
		case a.hash != b.hash || a.link != b.link:
			list = append(list, "M "+name)
		case a.mtime != b.mtime || a.inode != b.inode:
			list = append(list, "R "+name)
		}
	}
	for name := range s {
		if _, ok := after[name]; ok {
			continue
		}
		up := filepath.Dir(strings.TrimSuffix(name, "/")) + "/"
		if _, there := after[up]; there || up == "./" {
			list = append(list, "D "+name)
		}
	}
	slices.Sort(list)
	return list
}
