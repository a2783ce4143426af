//go:build linux

package main_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"wirefleet.dev/wire/internal/process"
)

const userRoot = "user/.local/state/wire/sessions"

var sessionEnvScript = script{
	start: up(localRelay),
	steps: map[string]step{
		"new-with-daemon":            {row: "no-pending-pair-directory", ours: unchanged("/pending-pair/")},
		"env-directory-without-card": {before: directory("h/sessions/bare")},
		"current-through-link":       {before: linkInSrv("link", "atlas")},
		"current-cwd-removed":        {run: inRemovedDirectory},
		"new-cwd-removed":            {run: inRemovedDirectory},

		"destroy-corrupt-registry": {
			before: file("h/sessions/registry.json", "{"),
			row:    "registry-never-replaced", ours: together(unchanged("registry.json"), says("delphi is gone, but: $ROOT/h/sessions/registry.json: does not parse")),
			after: file("h/sessions/registry.json", "{\n  \"by_cwd\": {}\n}"),
		},
		"destroy-creates-registry": {
			before: all(removed("h/sessions/registry.json"), directory("h/sessions/eos")),
			row:    "registry-only-when-needed", ours: unchanged("registry.json"),
		},
		"destroy-missing-keeps-registry-entry": {
			before: file("h/sessions/registry.json", `{"by_cwd": {"/srv/x": "missing"}}`),
		},
		"destroy-via-link": {
			before: func(w *world) error { return os.Symlink("atlas", w.path("h/sessions/zl")) },
			row:    "registry-only-when-needed", ours: unchanged("registry.json"),
		},

		"destroy-with-daemon":       {before: remember("fauna")},
		"daemon-gone-after-destroy": {home: "$ROOT/h", check: rememberedIsGone},
		"destroy-kills-foreign-pid": {
			before: pidFileOf("gaia", `{"pid": %d}`), row: "destroy-spares-strangers",
			ours: says("in its daemon.pid is no wire daemon: left alone"),
		},
		"foreign-process-was-terminated": {
			home: "$ROOT/h", row: "destroy-spares-strangers", check: strangerLives,
		},
		"destroy-bare-integer-pidfile": {
			before: pidFileOf("helios", "%d"), row: "destroy-spares-strangers",
			ours: says("in its daemon.pid is no wire daemon: left alone"),
		},
		"process-of-bare-integer-not-terminated": {home: "$ROOT/h", check: strangerLives},

		"adopt-through-link":           {before: linkInSrv("jlink", "juno")},
		"adopt-mcp-eof":                {skip: "later command: mcp"},
		"adopt-directory-missing":      {before: renamed(userRoot+"/juno", userRoot+"/away")},
		"adopt-directory-without-card": {before: directory(userRoot + "/juno")},
		"adopt-registry-corrupt":       {before: file(userRoot+"/registry.json", "{")},
		"adopt-registry-value-sanitized": {
			before: file(userRoot+"/registry.json", `{"by_cwd": {"/srv/juno": "../juno"}}`),
		},
	},
}

// inRemovedDirectory runs the command in a directory that is removed just before.
func inRemovedDirectory(w *world, r *record) (result, error) {
	dir := w.path("gone")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return result{}, err
	}
	before, err := w.snapshot()
	if err != nil {
		return result{}, err
	}
	line := `rmdir "$PWD" && exec "$@"`
	cmd := exec.Command(filepath.Join(w.dir, "path", "sh"), append([]string{"-c", line, "sh", w.path("bin", "wire")}, r.Argv[1:]...)...)
	cmd.Dir, cmd.Env = dir, w.environ(r.Env)
	rmdir, err := exec.LookPath("rmdir")
	if err != nil {
		return result{}, err
	}
	cmd.Env = append(cmd.Env, "PATH="+filepath.Dir(rmdir)+":"+filepath.Join(w.dir, "path"))
	return w.collect(cmd, before)
}

// remember keeps the daemon that a session's record names.
func remember(name string) func(*world) error {
	return func(w *world) error {
		rec, form := process.ReadRecord(w.session(name).DaemonPID())
		info, ok := process.Lookup(rec.PID)
		if !ok {
			return fmt.Errorf("%s: record %v names pid %d, which is not alive", name, form, rec.PID)
		}
		w.kept["process"] = info
		return nil
	}
}

func rememberedIsGone(w *world, _ *record) error {
	info := w.kept["process"].(process.Info)
	if process.Alive(info.PID, info.StartTicks) {
		return fmt.Errorf("pid %d is alive", info.PID)
	}
	return nil
}

// pidFileOf writes a session's daemon.pid, in which %d is a living process that is no daemon, and keeps that
// process.
func pidFileOf(name, text string) func(*world) error {
	return func(w *world) error {
		pid, err := w.stranger()
		if err != nil {
			return err
		}
		info, ok := process.Lookup(pid)
		if !ok {
			return errors.New("the stranger is gone")
		}
		w.kept["process"] = info
		if err := os.MkdirAll(w.session(name).StateDir(), 0o755); err != nil {
			return err
		}
		return os.WriteFile(w.session(name).DaemonPID(), fmt.Appendf(nil, text, pid), 0o644)
	}
}

func strangerLives(w *world, _ *record) error {
	info := w.kept["process"].(process.Info)
	if !process.Alive(info.PID, info.StartTicks) {
		return fmt.Errorf("pid %d was killed", info.PID)
	}
	return nil
}

// directory is a preparation that makes one.
func directory(path string) func(*world) error {
	return func(w *world) error { return os.MkdirAll(w.path(path), 0o755) }
}

func renamed(from, to string) func(*world) error {
	return func(w *world) error { return os.Rename(w.path(from), w.path(to)) }
}

// linkInSrv makes a symbolic link in /srv.
func linkInSrv(name, to string) func(*world) error {
	return func(w *world) error { return os.Symlink(w.srv(to), w.srv(name)) }
}
