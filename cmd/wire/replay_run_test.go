//go:build linux

package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

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
	list := raceEnv()
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
