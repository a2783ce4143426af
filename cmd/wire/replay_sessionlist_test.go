//go:build linux

package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"

	"wirefleet.dev/wire/internal/process"
)

var sessionListScript = script{
	start: up(localRelay, federationRelay, secondRelay),
	steps: map[string]step{
		"list-json-registry-only": {before: file("empty2/sessions/registry.json", `{"by_cwd": {"/srv/ghost": "ghost"}}`)},
		"list-root-is-file":       {before: file("bad/sessions", ""), row: "os-error-words", ours: says("error: ", "not a directory")},
		"list-local-root-is-file": {row: "os-error-words", ours: says("error: ", "not a directory")},
		"list-json":               {before: extraDirectories},
		"second-cwd":              {before: removed("h/sessions/emptydir", "h/sessions/.hidden", "h/sessions/UPPER", "h/sessions/zlink", "h/sessions/afile")},

		"list-json-several-cwds":                {edit: cwdOfAtlas},
		"list-json-daemon-running":              {before: daemonOf("boreas"), edit: cwdOfAtlas},
		"list-text-daemon-running":              {edit: cwdOfAtlas},
		"list-json-daemon-stopped-pidfile-left": {before: stopped("boreas"), edit: cwdOfAtlas},
		"list-json-pidfile-bare-integer":        {before: pidFile("boreas", "%d"), run: onlyRowOf("boreas")},
		"list-json-pidfile-json-foreign-live": {
			before: pidFile("boreas", `{"pid": %d}`), run: onlyRowOf("boreas"),
			row: "daemon-proven", ours: inJSON(`"daemon_running":true`, `"daemon_running":false`),
		},
		"list-json-pidfile-json-string-pid": {before: pidFile("boreas", `{"pid": "%d"}`), run: onlyRowOf("boreas")},
		"list-json-pidfile-json-float-pid":  {before: pidFile("boreas", `{"pid": %d.0}`), run: onlyRowOf("boreas")},
		"list-json-pidfile-corrupt":         {before: pidFile("boreas", `{`), run: onlyRowOf("boreas")},
		"list-json-pidfile-dead":            {before: pidFile("boreas", `{"pid": 999999}`), run: onlyRowOf("boreas")},
		"list-json-pidfile-pid-over-u32": {
			before: pidFileOver("boreas"), run: onlyRowOf("boreas"),
			row: "daemon-proven", ours: inJSON(`"daemon_running":true`, `"daemon_running":false`),
		},

		"list-json-card-without-handle": {
			before: editJSON("h/sessions/boreas/config/wire/agent-card.json", func(doc map[string]any) { delete(doc, "handle") }),
			edit:   cwdOfAtlas,
		},
		"list-json-card-corrupt":       {edit: cwdOfAtlas, before: file("h/sessions/boreas/config/wire/agent-card.json", "{")},
		"list-text-card-corrupt":       {edit: cwdOfAtlas},
		"list-local-json-card-corrupt": {edit: cwdOfAtlas},

		"list-local-json-two-local-endpoints":         {edit: cwdOfAtlas, run: withCorvus},
		"list-local-json-unknown-scope":               {edit: cwdOfAtlas, run: withCorvus},
		"list-local-json-unknown-scope-with-flat":     {edit: cwdOfAtlas, run: withCorvus},
		"list-local-json-missing-token":               {edit: cwdOfAtlas, run: withCorvus},
		"list-local-json-missing-scope":               {edit: cwdOfAtlas, run: withCorvus},
		"list-local-json-empty-endpoints-flat-fields": {edit: cwdOfAtlas, run: withCorvus},
		"list-local-json-self-null":                   {edit: cwdOfAtlas, run: withCorvus},
		"list-local-json-trailing-slash-url":          {edit: cwdOfAtlas, run: withCorvus},
		"list-local-json-one-good-one-bad":            {edit: cwdOfAtlas, run: withCorvus},
		"list-local-json-relay-json-corrupt":          {edit: cwdOfAtlas, before: file("h/sessions/corvus/config/wire/relay.json", "{")},
		"list-local-json-none-local": {edit: cwdOfAtlas, before: removed("h/sessions/atlas/config/wire/relay.json",
			"h/sessions/corvus/config/wire/relay.json", "h/sessions/delphi/config/wire/relay.json")},
	},
}

func extraDirectories(w *world) error {
	for _, name := range []string{"emptydir", ".hidden", "UPPER"} {
		if err := os.Mkdir(w.path("h", "sessions", name), 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink("atlas", w.path("h", "sessions", "zlink")); err != nil {
		return err
	}
	return w.write("h/sessions/afile", "")
}

// cwdOfAtlas: two directories are registered for atlas, and the reference shows an arbitrary one. We show the
// first in byte order.
func cwdOfAtlas(_ *world, r *record) {
	r.JSON = bytes.ReplaceAll(r.JSON, []byte(`"/srv/atlas"`), []byte(`"$ROOT/w"`))
	for i, l := range r.Lines {
		r.Lines[i] = strings.ReplaceAll(l, "/srv/atlas", "$ROOT/w")
	}
}

func daemonOf(name string) func(*world) error {
	return func(w *world) error { return w.daemon(w.session(name)) }
}

// stopped ends the daemon that a session's record names, and leaves a record of it.
func stopped(name string) func(*world) error {
	return func(w *world) error { return w.endDaemon(w.session(name).DaemonPID(), syscall.SIGTERM) }
}

// endDaemon signals the daemon that a record names, waits for its end, and puts the record back if it went
// with it: a daemon of the reference leaves its own.
func (w *world) endDaemon(path string, s syscall.Signal) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	rec, form := process.ReadRecord(path)
	info, ok := process.Lookup(rec.PID)
	if !ok {
		return fmt.Errorf("%s (%v): pid %d is not alive", path, form, rec.PID)
	}
	if err := syscall.Kill(rec.PID, s); err != nil {
		return err
	}
	err = until(func() error {
		if process.Alive(rec.PID, info.StartTicks) {
			return fmt.Errorf("pid %d is still alive", rec.PID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// pidFile writes a session's daemon.pid, in which %d is a living process that is no daemon.
func pidFile(name, text string) func(*world) error {
	return func(w *world) error {
		pid, err := w.stranger()
		if err != nil {
			return err
		}
		if strings.Contains(text, "%d") {
			text = fmt.Sprintf(text, pid)
		}
		return os.WriteFile(w.session(name).DaemonPID(), []byte(text), 0o644)
	}
}

// pidFileOver writes a pid of more than 32 bits, the low ones of which are such a process.
func pidFileOver(name string) func(*world) error {
	return func(w *world) error {
		pid, err := w.stranger()
		if err != nil {
			return err
		}
		return os.WriteFile(w.session(name).DaemonPID(), fmt.Appendf(nil, `{"pid": %d}`, pid+1<<32), 0o644)
	}
}

// onlyRowOf keeps one session's row of what the command printed, as the recorder did.
func onlyRowOf(name string) func(*world, *record) (result, error) {
	return func(w *world, r *record) (result, error) {
		got, err := w.run(r)
		if err != nil {
			return got, err
		}
		var rows, kept []json.RawMessage
		if err := json.Unmarshal([]byte(got.out), &rows); err != nil {
			return got, err
		}
		for _, row := range rows {
			if bytes.Contains(row, []byte(`"name":"`+name+`"`)) {
				kept = append(kept, row)
			}
		}
		var b bytes.Buffer
		for i, row := range kept {
			b.WriteString(map[bool]string{true: "[", false: ","}[i == 0])
			b.Write(row)
		}
		got.out = b.String() + "]\n"
		return got, nil
	}
}

// withCorvus writes the relay.json of corvus that the record's setup holds.
func withCorvus(w *world, r *record) (result, error) {
	_, text, ok := strings.Cut(r.Setup[0], " = ")
	if !ok {
		return result{}, fmt.Errorf("setup %q", r.Setup[0])
	}
	if err := w.write("h/sessions/corvus/config/wire/relay.json", text); err != nil {
		return result{}, err
	}
	return w.run(r)
}

// inJSON replaces a text in what the record expects as JSON.
func inJSON(pairs ...string) func(*world, *record) {
	return func(_ *world, r *record) {
		text := compactJSON(r.JSON)
		for i := 0; i+1 < len(pairs); i += 2 {
			text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
		}
		r.JSON = json.RawMessage(text)
	}
}

func compactJSON(raw json.RawMessage) string {
	n, err := parseOrdered(raw)
	if err != nil {
		return string(raw)
	}
	return show(n)
}
