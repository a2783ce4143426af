//go:build linux

package main_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

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
// reserves it until the test ends. What a killed run left there, it passes by.
func shortAddress(t *testing.T) (string, error) {
	for n := range 900 {
		v := (os.Getpid()*7 + n) % 900
		host := fmt.Sprintf("127.%d.%d.%d", v/100+1, v/10%10, v%10)
		l, err := net.Listen("tcp", host+":8769")
		if err != nil {
			continue
		}
		t.Cleanup(func() { l.Close() })
		if !slices.ContainsFunc([]string{localRelay, federationRelay, secondRelay}, func(port string) bool {
			return dial(host+":"+port) == nil
		}) {
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

// relay starts the relay on a port, with what an earlier one there has stored but for the times of pulls, which
// the reference's forgets.
func (w *world) relay(port string) error {
	if w.relays[port] != nil {
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
