// Package service has the service manager of a user keep wire's long-lived processes: systemd's user units on
// Linux, launchd's agents on macOS (reference/cli.md 2.25, home-and-daemon.md 14).
//
// Law of the room: a unit's text follows from what is wished alone, with absolute paths and nothing that is
// about to go. Names are the reference's, so that either can manage the other's units. A manager that refuses,
// or is not there, is something to report and no failure.
package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

// Kind is what a unit keeps.
type Kind string

// The kinds.
const (
	Daemon     Kind = "daemon"      // of the default home
	LocalRelay Kind = "local-relay" // on 127.0.0.1:8771
	Watch      Kind = "watch"       // ours: continuous mode
)

// Unit is a wish: what the manager shall keep.
type Unit struct {
	Kind     Kind
	Exe      string // absolute
	File     string // Watch: the wire.yaml, absolute
	WireHome string // Watch: the WIRE_HOME whose sessions it keeps; "" for the default
}

func (u Unit) args() []string {
	switch u.Kind {
	case LocalRelay:
		return []string{"relay-server", "--bind", "127.0.0.1:8771", "--local-only"}
	case Watch:
		return []string{"apply", "-f", u.File, "--watch"}
	case Daemon:
	}
	return []string{"daemon", "--interval", "5"}
}

func (u Unit) description() string {
	switch u.Kind {
	case LocalRelay:
		return "wire: relay of this machine's sessions"
	case Watch:
		return "wire: sessions as " + filepath.Base(u.File) + " says"
	case Daemon:
	}
	return "wire: mail of the default home"
}

// Install is the command line that writes the unit.
func (u Unit) Install() string {
	switch u.Kind {
	case LocalRelay:
		return "wire service install --local-relay"
	case Watch:
		return "wire service install --watch " + u.File
	case Daemon:
	}
	return "wire service install"
}

// Report is what became of a wish, in the reference's words and order.
type Report struct {
	Action   string `json:"action"`
	Platform string `json:"platform"`
	UnitPath string `json:"unit_path"`
	Status   string `json:"status"`
	Detail   string `json:"detail"`
	Kind     Kind   `json:"kind"`
}

// Manager is the service manager of one user.
type Manager struct {
	backend
	run run
}

// run asks a program of the manager.
type run func(ctx context.Context, name string, args ...string) (stdout string, err error)

// backend is what the managers differ in.
type backend interface {
	platform() string
	path(k Kind) string
	text(u Unit) (string, error)
	file(text string) string // the wire.yaml of a Watch unit
	// install and uninstall tell the manager of a unit that was written, or is about to be removed.
	install(ctx context.Context, r run, k Kind) (status, detail string)
	uninstall(ctx context.Context, r run, k Kind) (detail string)
	forget(ctx context.Context, r run, k Kind) // after its file is gone
	status(ctx context.Context, r run, k Kind, exists bool) (status, detail string)
	mainPID(ctx context.Context, r run, unit string) int
	unit(k Kind) string
	restart(ctx context.Context, r run, unit string) error
}

// patience is how long a manager may take to answer.
const patience = time.Minute

// For is the manager of the user whose HOME is dir, on that system.
func For(goos, dir, user string, uid int) (Manager, error) {
	if dir == "" {
		return Manager{}, errors.New("HOME env var unset: units are kept below it")
	}
	m := Manager{run: process.Output}
	switch goos {
	case "linux":
		m.backend = systemd{home: dir, user: user}
	case "darwin":
		m.backend = launchd{home: dir, domain: "gui/" + strconv.Itoa(uid)}
	default:
		return Manager{}, fmt.Errorf("no service manager of %s is known: systemd's and launchd's are", goos)
	}
	return m, nil
}

// Text is the unit as Install would write it.
func (m Manager) Text(u Unit) (string, error) { return m.text(u) }

// Install writes a unit and has the manager start it, now and at every login.
func (m Manager) Install(ctx context.Context, u Unit) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := m.report("install", u.Kind)
	text, err := m.text(u)
	if err != nil {
		return r, err
	}
	before, err := os.ReadFile(r.UnitPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	if err := os.MkdirAll(filepath.Dir(r.UnitPath), 0o755); err != nil {
		return r, err
	}
	if err := home.WriteFile(r.UnitPath, []byte(text), 0o644); err != nil {
		return r, err
	}
	r.Status, r.Detail = m.install(ctx, m.run, u.Kind)
	if len(before) > 0 && string(before) != text {
		r.Detail += "; it was another one before: " + difference(string(before), text)
	}
	return r, nil
}

// Uninstall stops a unit and removes it. One that is not there is reported as absent.
func (m Manager) Uninstall(ctx context.Context, k Kind) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := m.report("uninstall", k)
	var err error
	r.Detail = m.uninstall(ctx, m.run, k)
	r.Status = "removed"
	if err = os.Remove(r.UnitPath); errors.Is(err, fs.ErrNotExist) {
		r.Status, err = "absent", nil
	}
	if err == nil {
		m.forget(ctx, m.run, k)
	}
	return r, err
}

// Status says whether a unit is there and runs, and in what it differs from the one that Install would write; a
// wish without Exe is compared with nothing.
func (m Manager) Status(ctx context.Context, u Unit) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := m.report("status", u.Kind)
	there, err := os.ReadFile(r.UnitPath)
	exists := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	r.Status, r.Detail = m.status(ctx, m.run, u.Kind, exists)
	if !exists || u.Exe == "" {
		return r, nil
	}
	text, err := m.text(u)
	if err != nil {
		return r, err
	}
	if text != string(there) {
		r.Detail += "; the unit differs from what `" + u.Install() + "` would write: " + difference(string(there), text)
	}
	return r, nil
}

func (m Manager) report(action string, k Kind) Report {
	return Report{Action: action, Platform: m.platform(), UnitPath: m.path(k), Kind: k}
}

// Owner is the unit whose main process a process is, if it is one's.
func (m Manager) Owner(ctx context.Context, pid int) (unit string, ok bool) {
	var units []string
	if u := process.Unit(pid); u != "" {
		units = append(units, u)
	}
	for _, k := range []Kind{Daemon, Watch} {
		if _, err := os.Stat(m.path(k)); err == nil {
			units = append(units, m.unit(k))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, u := range units {
		if m.mainPID(ctx, m.run, u) == pid {
			return u, true
		}
	}
	return "", false
}

// Restart has the manager replace the process of a unit.
func (m Manager) Restart(ctx context.Context, unit string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return m.restart(ctx, m.run, unit)
}

// Stale says in what the command line of the unit that is there differs from u's: another program, or arguments
// of another version (field-failures.md F4). "" where none is there, or it is the same.
func (m Manager) Stale(u Unit) (string, error) {
	there, err := os.ReadFile(m.path(u.Kind))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, err := m.text(u)
	if err != nil {
		return "", err
	}
	for _, line := range missing(text, string(there)) {
		if slices.ContainsFunc(append([]string{u.Exe}, u.args()...), func(word string) bool { return strings.Contains(line, word) }) {
			key, _, _ := strings.Cut(line, "=")
			for _, old := range missing(string(there), text) {
				if strings.HasPrefix(old, key+"=") {
					return strconv.Quote(old) + " instead of " + strconv.Quote(line), nil
				}
			}
			return strconv.Quote(line) + " is missing", nil
		}
	}
	return "", nil
}

// File is the wire.yaml that an installed Watch unit keeps; "" if there is none, or it cannot be told.
func (m Manager) File() string {
	data, err := os.ReadFile(m.path(Watch))
	if err != nil {
		return ""
	}
	return m.file(string(data))
}

// fileMark stands in a comment of a Watch unit, before the path of its wire.yaml.
const fileMark = "wire.yaml: "

// difference shows the first line in which two units differ, beside the one of the same key.
func difference(there, wanted string) string {
	old, fresh := missing(there, wanted), missing(wanted, there)
	switch {
	case len(old) == 0 && len(fresh) == 0:
		return "its lines stand in another order"
	case len(old) == 0:
		return strconv.Quote(fresh[0]) + " is missing"
	case len(fresh) == 0:
		return strconv.Quote(old[0]) + " should not be there"
	}
	key, _, _ := strings.Cut(old[0], "=")
	for _, l := range fresh {
		if strings.HasPrefix(l, key+"=") {
			return strconv.Quote(old[0]) + " instead of " + strconv.Quote(l)
		}
	}
	return strconv.Quote(old[0]) + " instead of " + strconv.Quote(fresh[0])
}

// missing are the lines of a that b has not.
func missing(a, b string) []string {
	known := map[string]bool{"": true}
	for l := range strings.Lines(b) {
		known[strings.TrimSpace(l)] = true
	}
	var out []string
	for l := range strings.Lines(a) {
		if l = strings.TrimSpace(l); !known[l] {
			out = append(out, l)
		}
	}
	return out
}
