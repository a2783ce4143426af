//go:build linux

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

var operationsScript = script{
	start: up(localRelay, federationRelay),
	steps: map[string]step{
		"daemon-once-with-diag":            {row: "once-leaves-record no-pending-pair-directory", ours: unchanged("/daemon.pid", "/pending-pair/")},
		"new-atlas":                        {row: "no-pending-pair-directory", ours: unchanged("/pending-pair/")},
		"service-status-absent":            {before: managers(0), run: managed},
		"service-install":                  {run: managed},
		"unit-file-install":                {home: "$ROOT/user", check: unitFile},
		"service-install-again":            {run: managed},
		"service-status-installed":         {run: managed},
		"service-install-local-relay":      {run: managed},
		"unit-file-install-local-relay":    {home: "$ROOT/user", check: unitFile},
		"service-status-local-relay":       {run: managed},
		"service-uninstall":                {run: managed},
		"service-uninstall-again":          {run: managed},
		"service-uninstall-local-relay":    {run: managed},
		"service-install-text":             {run: managed},
		"service-status-text":              {run: managed},
		"service-uninstall-text":           {run: managed},
		"service-refused-install":          {before: managers(1), run: managed},
		"service-refused-status":           {run: managed},
		"service-refused-uninstall":        {run: managed},
		"service-install-with-wire-home":   {before: managers(0), after: unitWithoutHome},
		"upgrade-check-json":               {before: daemonIn("a")},
		"upgrade-check-duplicate-binaries": {before: all(directory("bin2"), copiedBinary)},
		"up-other-relay": {row: "says-which-relay", ours: documentOf(func(doc map[string]any) {
			claim := doc["steps"].([]any)[2].(map[string]any)
			claim["detail"] = "uma@127.0.0.1:8770 claimed"
		})},
		"up-with-daemon-json": {row: "daemon-logs", ours: together(unchanged("pending-pair"), func(_ *world, r *record) {
			r.Changed = append(r.Changed, "A 0600 u6/state/wire/daemon.log")
		})},
		"daemon-process-started-by-up": {home: "$ROOT/u6", check: daemonOfUp},
	},
}.differing(map[string]step{
	// The daemon of home a is none of root h, and the other way round.
	"upgrade-check-idle-json":     noRecordVersion,
	"upgrade-check-idle-text":     {row: "once-leaves-record", ours: func(_ *world, r *record) { r.Lines[2] = "  pidfile version:  (none)" }},
	"upgrade-check-json":          {row: "upgrade-this-root", ours: documentOf(onlyOne("running_pids", "would_kill"))},
	"upgrade-check-sessions-json": {row: "upgrade-this-root", ours: documentOf(onlyOne("running_pids", "would_kill"))},
	"upgrade-skip-auto-up-json":   {row: "upgrade-this-root", ours: documentOf(onlyOne("killed"))},
	"upgrade-json": {row: "upgrade-this-root", ours: together(documentOf(func(doc map[string]any) {
		onlyOne("killed")(doc)
		doc["new_pid"], doc["new_version"], doc["spawned_fresh_daemon"] = nil, nil, false
	}), func(_ *world, r *record) {
		r.Changed = slices.DeleteFunc(r.Changed, func(c string) bool { return !strings.Contains(c, "/atlas/") })
	})},
	"after-upgrade-status-a": {row: "upgrade-this-root", ours: documentOf(func(doc map[string]any) {
		d := doc["daemon"].(map[string]any)
		d["running"], d["orphans"], d["all_running_pids"] = true, []any{}, []any{1, 2}
	})},
	"upgrade-text": {row: "daemon-logs", ours: alsoChanged("A 0600 a/state/wire/daemon.log")},
	"after-upgrade-status-a-2": {row: "upgrade-this-root", ours: documentOf(func(doc map[string]any) {
		doc["daemon"].(map[string]any)["all_running_pids"] = []any{1, 2}
	})},
	"upgrade-uninitialized-json": {row: "upgrade-this-root", ours: together(documentOf(func(doc map[string]any) {
		doc["killed"], doc["new_pid"], doc["new_version"], doc["spawned_fresh_daemon"] = []any{}, nil, nil, false
	}), func(_ *world, r *record) { r.Changed = []string{} })},
	"upgrade-uninitialized-check": {row: "upgrade-this-root", ours: noRecordVersion.ours},
	"upgrade-check-duplicate-binaries": {row: "upgrade-this-root", ours: documentOf(func(doc map[string]any) {
		doc["running_pids"], doc["would_kill"] = []any{1}, []any{1}
	})},
})

// noRecordVersion: there is no pid record to have a version.
var noRecordVersion = step{row: "once-leaves-record", ours: documentOf(func(doc map[string]any) { doc["pidfile_version"] = nil })}

// onlyOne: of the daemons in a list only one is ours to replace.
func onlyOne(keys ...string) func(doc map[string]any) {
	return func(doc map[string]any) {
		for _, k := range keys {
			doc[k] = doc[k].([]any)[:1]
		}
	}
}

// managers puts scripts on PATH that stand in for the service manager: they log their arguments and end with
// that status.
func managers(status int) func(*world) error {
	return func(w *world) error {
		for _, name := range []string{"systemctl", "loginctl"} {
			text := fmt.Sprintf("#!/bin/sh\necho \"%s $*\" >> %s\n", name, filepath.Join(w.dir, "managers.log"))
			if status == 0 {
				text += "case \" $* \" in *' is-active '*) echo active;; esac\n"
			}
			text += fmt.Sprintf("exit %d\n", status)
			if err := os.WriteFile(filepath.Join(w.dir, "path", name), []byte(text), 0o755); err != nil {
				return err
			}
		}
		return nil
	}
}

// managed runs the command and holds the calls of the service manager to the record.
func managed(w *world, r *record) (result, error) {
	log := filepath.Join(w.dir, "managers.log")
	if err := os.WriteFile(log, nil, 0o644); err != nil {
		return result{}, err
	}
	got, err := w.run(r)
	if err != nil {
		return got, err
	}
	data, err := os.ReadFile(log)
	if err != nil {
		return got, err
	}
	var want []string
	if err := json.Unmarshal(r.All["commands_run"], &want); err != nil {
		return got, err
	}
	if ran := strings.Split(strings.TrimSpace(string(data)), "\n"); !slices.Equal(ran, want) {
		return got, fmt.Errorf("ran %q, want %q", ran, want)
	}
	return got, nil
}

// unitFile holds a unit to the record's lines.
func unitFile(w *world, r *record) error {
	data, err := os.ReadFile(w.path(r.File))
	if err != nil {
		return err
	}
	var want []string
	if err := json.Unmarshal(r.All["key_value_lines"], &want); err != nil {
		return err
	}
	lines := strings.Split(w.plain(string(data)), "\n")
	var d differences
	for _, l := range want {
		if !slices.Contains(lines, l) {
			d.add("%s: no line %q in:\n%s", r.File, l, data)
		}
	}
	return d.err()
}

func unitWithoutHome(w *world) error {
	data, err := os.ReadFile(w.path("user/.config/systemd/user/wire-daemon.service"))
	if err == nil && strings.Contains(string(data), "WIRE_HOME") {
		err = fmt.Errorf("the unit names WIRE_HOME:\n%s", data)
	}
	return err
}

// daemonIn starts a daemon for a home that is no session.
func daemonIn(name string) func(*world) error {
	return func(w *world) error { return w.daemon(home.At(w.path(name))) }
}

func copiedBinary(w *world) error {
	data, err := os.ReadFile(w.path("bin/wire"))
	if err != nil {
		return err
	}
	return os.WriteFile(w.path("bin2/wire"), data, 0o755)
}

func daemonOfUp(w *world, _ *record) error {
	rec, _ := process.ReadRecord(home.At(w.path("u6")).DaemonPID())
	info, ok := process.Lookup(rec.PID)
	if !ok {
		return fmt.Errorf("no process %d", rec.PID)
	}
	if want := []string{w.path("bin/wire"), "daemon", "--interval", "5"}; !slices.Equal(info.Args, want) {
		return fmt.Errorf("command line %q, want %q", info.Args, want)
	}
	if info.WireHome != w.path("u6") {
		return fmt.Errorf("WIRE_HOME %q", info.WireHome)
	}
	return nil
}
