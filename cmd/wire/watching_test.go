package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

// machine is the place's sessions root.
func (p place) machine() home.Machine {
	return home.Machine{Root: filepath.Join(p.wh, "sessions"), Base: p.wh}
}

// watcher is a continuous mode that a script started. Its log is watch.log.
type watcher struct {
	cmd  *exec.Cmd
	from int64 // where its log begins
}

func (s *stage) watchLog() string { return filepath.Join(s.dir, "watch.log") }

// cmdWatching starts `wire apply --watch` with further arguments, in the background, and waits until it watches.
// A first argument with a slash is another wire to run.
func cmdWatching(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 0, "watching [WIRE] [args...]")
	s := on(ts)
	exe := filepath.Join(suite.bin, "wire")
	if len(args) > 0 && strings.Contains(args[0], "/") {
		exe, args = ts.MkAbs(args[0]), args[1:]
	}
	log, err := os.OpenFile(s.watchLog(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	ts.Check(err)
	defer log.Close()
	w := &watcher{cmd: exec.Command(exe, append([]string{"apply", "--watch"}, args...)...)}
	w.from, err = log.Seek(0, io.SeekEnd)
	ts.Check(err)
	w.cmd.Dir, w.cmd.Env, w.cmd.Stdout, w.cmd.Stderr = s.dir, s.env(), log, log
	ts.Check(w.cmd.Start())
	ts.Setenv("WATCHER", strconv.Itoa(w.cmd.Process.Pid))
	s.watchers = append(s.watchers, w)
	ts.Check(until(func() error {
		if text := s.logged(w); !strings.Contains(text, "msg=watching ") && !strings.Contains(text, `"msg":"watching"`) {
			return fmt.Errorf("it does not watch yet:\n%s", text)
		}
		return nil
	}))
}

func (s *stage) logged(w *watcher) string {
	data, err := os.ReadFile(s.watchLog())
	if err != nil {
		return err.Error()
	}
	return string(data[w.from:])
}

// cmdSignal sends a signal to what cmdKill9 can kill. The pid is then in $PID. It does not wait for what that does;
// freeze waits until all stands still.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "signal TERM|INT|HUP|CONT|STOP SESSION|relay|watcher")
	sig, ok := map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "CONT": syscall.SIGCONT, "STOP": syscall.SIGSTOP,
	}[args[0]]
	if !ok {
		ts.Fatalf("no signal %s", args[0])
	}
	pid, err := sendTo(on(ts).life(args[1]), sig, func(process.Life) error { return nil })
	ts.Check(err)
	ts.Setenv("PID", strconv.Itoa(pid))
}

// cmdEnded waits for the end of the watcher that was started last and wants this exit status.
func cmdEnded(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "ended STATUS")
	s := on(ts)
	if len(s.watchers) == 0 {
		ts.Fatalf("no watcher was started")
	}
	w := s.watchers[len(s.watchers)-1]
	done := make(chan struct{})
	go func() { _ = w.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		ts.Fatalf("it has not ended:\n%s", s.logged(w))
	}
	s.watchers = s.watchers[:len(s.watchers)-1]
	if got := strconv.Itoa(w.cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("exit status %s, want %s:\n%s", got, args[0], s.logged(w))
	}
}

// cmdPassed waits until the watcher has ended so many passes more.
func cmdPassed(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "passed N")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	m := on(ts).machine()
	last := m.LastPass()
	for range n {
		ts.Check(until(func() error {
			now := m.LastPass()
			if now.Equal(last) {
				return errors.New("no further pass")
			}
			last = now
			return nil
		}))
	}
}

// cmdFetch asks for a URL and wants this status; the body can then be matched. HOST is what the request calls
// the server.
func cmdFetch(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "fetch STATUS URL [HOST [METHOD]]")
	var body []byte
	ts.Check(until(func() error {
		method := http.MethodGet
		if len(args) > 3 {
			method = args[3]
		}
		req, err := http.NewRequest(method, args[1], nil)
		if err != nil {
			return err
		}
		if len(args) > 2 {
			req.Host = args[2]
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if body, err = io.ReadAll(resp.Body); err != nil {
			return err
		}
		if got := strconv.Itoa(resp.StatusCode); got != args[0] {
			return fmt.Errorf("status %s, want %s: %s", got, args[0], body)
		}
		return nil
	}))
	_, err := io.Copy(ts.Stdout(), bytes.NewReader(body))
	ts.Check(err)
}

// cmdMetric waits until the watcher's /metrics has that line; one that starts with ^ is a regular expression.
func cmdMetric(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "metric LINE")
	ts.Check(until(func() error {
		resp, err := http.Get("http://" + on(ts).vital + "/metrics")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		has := slices.Contains(strings.Split(string(body), "\n"), args[0])
		if strings.HasPrefix(args[0], "^") {
			has = regexp.MustCompile("(?m)" + args[0]).Match(body)
		}
		if err == nil && !has {
			err = fmt.Errorf("no %s in:\n%s", args[0], body)
		}
		return err
	}))
}
