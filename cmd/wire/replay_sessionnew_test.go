//go:build linux

package main_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"wirefleet.dev/wire/internal/process"
)

var sessionNewScript = script{
	start: up(localRelay, federationRelay),
	steps: map[string]step{
		"derive-1":                          {run: derived("886c")},
		"derive-2":                          {run: derived("ef46")},
		"derive-9":                          {run: derived("4af4")},
		"derive-directories":                {home: "$ROOT/der", check: derivedDirectories},
		"derive-occupied-by-directory-only": {before: directory("der/sessions/orphan")},

		"registry-with-non-string-value-is-replaced": {before: file("cor/sessions/registry.json", `{"by_cwd": {"/a": 1}}`)},
		"registry-unknown-keys-dropped":              {before: file("cor/sessions/registry.json", `{"by_cwd": {"/a": "b"}, "extra": 1}`)},
		"registry-empty-file":                        {before: file("cor/sessions/registry.json", "")},
		"sessions-root-is-a-file":                    {before: file("bad/sessions", "")},

		"daemon-log":                              {home: "$ROOT/h", check: logBegins},
		"daemon-process":                          {home: "$ROOT/h", check: daemonProcess},
		"daemon-count-after-second-call":          {home: "$ROOT/h", check: oneDaemon},
		"daemon-respawned-on-already-exists":      {before: killed("notus")},
		"daemon-pid-differs-after-respawn":        {home: "$ROOT/h", check: pidDiffers},
		"daemon-pid-bare-integer-of-live-process": {before: all(killed("notus"), pidFile("notus", "%d"))},
		"daemon-started-despite-bare-integer":     {home: "$ROOT/h", check: oneDaemon},
		"daemon-pid-json-foreign-live-process":    {before: all(killed("notus"), pidFile("notus", `{"pid": %d}`))},
		"daemon-pid-corrupt":                      {before: all(killed("notus"), file("h/sessions/notus/state/wire/daemon.pid", `{"pid": `))},
		"daemon-start-failure-after-already-exists": {before: all(
			killed("notus"), removed("h/sessions/notus/state/wire/daemon.log"), directory("h/sessions/notus/state/wire/daemon.log"),
		)},
		"card-without-did": {before: file("h/sessions/nodid/config/wire/agent-card.json", "{}")},
		"card-corrupt":     {before: file("h/sessions/badcard/config/wire/agent-card.json", "{")},
		"fallback-nick-when-registry-holds-__attempt_1": {
			before: file("h7/sessions/registry.json", `{"by_cwd": {"/a": "__attempt_1"}}`),
		},
	},
}

// derived replaces the part of a derived name that is a hash of the working directory's path.
func derived(theirs string) func(*world, *record) (result, error) {
	return func(w *world, r *record) (result, error) {
		sum := sha256.Sum256([]byte(w.local(r.Cwd)))
		r.JSON = bytes.ReplaceAll(r.JSON, []byte("-"+theirs), []byte("-"+hex.EncodeToString(sum[:2])))
		return w.run(r)
	}
}

// derivedDirectories: one for each project, whatever hash its name has.
func derivedDirectories(w *world, r *record) error {
	got, err := directoriesIn(w.path("der/sessions"))
	if err != nil {
		return err
	}
	var want []string
	if err := json.Unmarshal(r.All["directories"], &want); err != nil {
		return err
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d directories, want %d: %q", len(got), len(want), got)
	}
	return nil
}

func logBegins(w *world, r *record) error {
	data, err := os.ReadFile(w.path(r.File))
	if err != nil {
		return err
	}
	if want := "wire daemon: syncing every 5s. SIGINT to stop.\n"; !strings.HasPrefix(string(data), want) {
		return fmt.Errorf("daemon.log is %q, want %q", data, want)
	}
	return nil
}

// daemonProcess looks at the daemon of notus as the recorder did, in /proc.
func daemonProcess(w *world, _ *record) error {
	rec, _ := process.ReadRecord(w.session("notus").DaemonPID())
	info, ok := process.Lookup(rec.PID)
	if !ok {
		return fmt.Errorf("no process %d", rec.PID)
	}
	if want := []string{w.path("bin/wire"), "daemon", "--interval", "5"}; !slices.Equal(info.Args, want) {
		return fmt.Errorf("command line %q, want %q", info.Args, want)
	}
	if info.WireHome != w.session("notus").Dir {
		return fmt.Errorf("WIRE_HOME %q", info.WireHome)
	}
	proc := fmt.Sprintf("/proc/%d/", rec.PID)
	for name, want := range map[string]string{
		"fd/0": "/dev/null", "fd/1": w.session("notus").DaemonLog(), "fd/2": w.session("notus").DaemonLog(),
		"cwd": w.session("notus").Dir, // ours; the reference keeps the caller's
	} {
		if got, err := os.Readlink(proc + name); err != nil || got != want {
			return fmt.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
	group, err := syscall.Getpgid(rec.PID)
	if err != nil || group != rec.PID { // ours: it survives the terminal that started it
		return fmt.Errorf("process group %d (%v), want its own", group, err)
	}
	w.kept["pid"] = rec.PID
	return nil
}

func oneDaemon(w *world, _ *record) error {
	n := 0
	for _, i := range carriers(w.session("notus").Dir) {
		if len(i.Args) > 1 && i.Args[1] == "daemon" {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("%d daemons, want 1", n)
	}
	return nil
}

// killed ends a session's daemon without warning; its record stays.
func killed(name string) func(*world) error {
	return func(w *world) error { return w.endDaemon(w.session(name).DaemonPID(), syscall.SIGKILL) }
}

func pidDiffers(w *world, _ *record) error {
	rec, _ := process.ReadRecord(w.session("notus").DaemonPID())
	if rec.PID == 0 || rec.PID == w.kept["pid"] {
		return errors.New("the record names the old daemon")
	}
	return nil
}

func directoriesIn(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, filepath.Base(e.Name()))
		}
	}
	return names, err
}
