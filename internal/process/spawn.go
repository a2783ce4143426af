package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Spec is a background process to start: this executable with Args in its own session, working directory
// and stdin on null, stdout and stderr appended to Log.
type Spec struct {
	Args   []string          // "daemon", "--interval", "5"
	Home   string            // its WIRE_HOME and working directory; for the relay the machine's base
	NoHome bool              // leave WIRE_HOME unset: the relay of the default root
	Log    string            // ST/daemon.log
	Env    map[string]string // added to the allow-list of design.md section 7
	Ready  time.Duration     // how long to wait for readiness; 0 means 10 s
	Exe    string            // what to run; "" means this executable, if it will last (CheckExecutable)
}

// StartError is a process that ended, or said why it will not, before it was ready.
type StartError struct {
	PID  int
	Why  string // its own words, or how it ended
	Tail string // the last lines of its log, since this start
}

func (e *StartError) Error() string {
	text := fmt.Sprintf("pid %d: %s", e.PID, e.Why)
	if e.Tail != "" && !strings.Contains(e.Tail, e.Why) {
		text += "; its log ends:\n" + e.Tail
	}
	return text
}

const (
	readyIn   = 10 * time.Second
	lastWords = 2 * time.Second // from "error" on the pipe to the end of the process
	maxTail   = 2 << 10
)

// Spawn starts s and waits for its readiness line. It refuses to start when the executable will be gone
// (`go run`, a deleted file): see CheckExecutable. The child is reaped if it dies while we live, and killed
// if it is not ready in time or ctx ends first.
func Spawn(ctx context.Context, s Spec) (Readiness, error) {
	exe := s.Exe
	if exe == "" {
		var err error
		if exe, err = CheckExecutable(); err != nil {
			return Readiness{}, err
		}
	}
	log, from, err := openLog(s.Log)
	if err != nil {
		return Readiness{}, err
	}
	defer log.Close()
	pipe, childEnd, err := os.Pipe()
	if err != nil {
		return Readiness{}, err
	}
	defer pipe.Close()

	cmd := exec.Command(exe, s.Args...)
	cmd.Args[0] = argv0(exe)
	cmd.Dir = s.Home
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.Env = s.environ(os.Environ())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{childEnd} // descriptor 3
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	childEnd.Close()
	if err != nil {
		return Readiness{}, err
	}
	reaped := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended stands in ProcessState
		close(reaped)
	}()
	r, err := s.await(ctx, cmd, pipe, reaped)
	var failed *StartError
	if errors.As(err, &failed) {
		failed.Tail = tail(s.Log, from)
	}
	return r, err
}

// await reads the one line of the child.
func (s Spec) await(ctx context.Context, cmd *exec.Cmd, pipe *os.File, reaped <-chan struct{}) (Readiness, error) {
	limit := s.Ready
	if limit == 0 {
		limit = readyIn
	}
	patience, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer context.AfterFunc(patience, func() { _ = pipe.SetReadDeadline(time.Unix(1, 0)) })()

	line, err := bufio.NewReader(io.LimitReader(pipe, maxLife)).ReadBytes('\n')
	pid := cmd.Process.Pid
	if errors.Is(err, os.ErrDeadlineExceeded) {
		end(cmd, reaped, 0)
		if ctx.Err() != nil {
			return Readiness{}, fmt.Errorf("pid %d ended before it was ready: %w", pid, ctx.Err())
		}
		return Readiness{}, &StartError{PID: pid, Why: fmt.Sprintf("not ready within %v", limit)}
	}
	var r Readiness
	switch {
	case err != nil: // the pipe closed without a line
		return Readiness{}, &StartError{PID: pid, Why: end(cmd, reaped, lastWords)}
	case json.Unmarshal(line, &r) != nil:
		end(cmd, reaped, 0)
		return Readiness{}, &StartError{PID: pid, Why: "it wrote no readiness: another program?"}
	case r.Held != nil:
		end(cmd, reaped, lastWords)
		return r, nil
	case !r.Ready:
		end(cmd, reaped, lastWords)
		return r, &StartError{PID: pid, Why: r.Error}
	}
	return r, nil
}

// end waits for a child that should be ending by itself, kills it if it is not, and says how it ended.
func end(cmd *exec.Cmd, reaped <-chan struct{}, grace time.Duration) string {
	select {
	case <-reaped:
	case <-time.After(grace):
		_ = cmd.Process.Kill() // through the handle that os.Process holds
		<-reaped
	}
	return "ended before it was ready: " + cmd.ProcessState.String()
}

// argv0 makes the command line read "wire <verb>", which the reference looks for (chapter 9), whatever the
// file is called.
func argv0(exe string) string {
	if filepath.Base(exe) == "wire" {
		return exe
	}
	return "wire"
}

// passed are the variables that a background process inherits; beyond design.md section 7 the proxies, which
// the relay client honours, the trace, and where a binary under the race detector reports. Nothing of the agent that happened to start it, and not the variable
// that switches certificate checks off: in a process that lives for months nobody remembers it (field-failures.md
// S23). SSL_CERT_FILE is for those who have a certificate of their own.
var passed = []string{
	"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS",
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
	"WIRE_DIAG", "GORACE",
}

func (s Spec) environ(from []string) []string {
	var env []string
	for _, entry := range from {
		key, _, _ := strings.Cut(entry, "=")
		if slices.Contains(passed, key) || strings.HasPrefix(key, "LC_") || strings.HasPrefix(key, "XDG_") {
			env = append(env, entry)
		}
	}
	if !s.NoHome {
		env = append(env, "WIRE_HOME="+s.Home)
	}
	// One slot of work at a time: a third of a megabyte less for each of many idle daemons.
	if len(s.Args) > 0 && s.Args[0] != "relay-server" {
		env = append(env, "GOMAXPROCS=1")
	}
	for key, value := range s.Env {
		env = append(env, key+"="+value)
	}
	slices.Sort(env[len(env)-len(s.Env):])
	return append(env, readyFD+"=3")
}

// Tail is the last lines of a log, at most n of them, for people.
func Tail(path string, n int) string {
	lines := strings.Split(tail(path, 0), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// tail is the end of what was logged since from, whole lines, at most maxTail.
func tail(path string, from int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size <= from {
		return ""
	}
	cut := size-from > maxTail
	if cut {
		from = size - maxTail
	}
	data, err := io.ReadAll(io.NewSectionReader(f, from, size-from))
	if err != nil {
		return ""
	}
	text := string(data)
	if cut {
		_, text, _ = strings.Cut(text, "\n")
	}
	return strings.TrimRight(text, "\n")
}
