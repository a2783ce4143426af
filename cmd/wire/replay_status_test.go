//go:build linux

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/process"
)

const pidOfB = "b/state/wire/daemon.pid"

var statusScript = script{
	start: up(federationRelay),
	steps: map[string]step{
		"status-daemon-running-json":        {before: daemonIn("b")},
		"doctor-two-homes-json":             {before: daemonIn("a")},
		"status-pidfile-legacy-int":         {before: all(endsDaemonOf("a", syscall.SIGKILL), removed("a/state/wire/daemon.pid"), pidForm("legacy-int"))},
		"status-pidfile-legacy-int-newline": {before: pidForm("legacy-int-newline")},
		"status-pidfile-older-version":      {before: pidForm("older-version")},
		"status-pidfile-corrupt":            {before: pidForm("corrupt")},
		"status-pidfile-without-schema":     {before: pidForm("without-schema")},
		"status-pidfile-without-optional":   {before: pidForm("without-optional")},
		"status-pidfile-other-did":          {before: pidForm("other-did")},
		"status-pidfile-other-relay":        {before: pidForm("other-relay")},
		"status-pidfile-bin-path-missing":   {before: pidForm("bin-path-missing")},
		"status-pidfile-dead-pid":           {before: pidForm("dead-pid")},
		"status-pidfile-other-schema":       {before: pidForm("other-schema")},
		"status-pidfile-extra-key":          {before: pidForm("extra-key")},
		"status-pidfile-missing":            {before: removed(pidOfB)},
		"status-daemon-killed-json":         {before: all(pidForm("good"), endsDaemonOf("b", syscall.SIGTERM))},
		"doctor-rejections-json": {before: all(daemonIn("b"), file("b/state/wire/pair-rejected.jsonl",
			strings.Repeat(`{"peer":"p","code":"x","detail":"d","ts":1795377988}`+"\n", 7)))},
		"doctor-relay-dead-json":         {before: all(removed("b/state/wire/pair-rejected.jsonl"), down(federationRelay))},
		"doctor-relay-json-corrupt":      {before: all(up(federationRelay), renamed("b/config/wire/relay.json", "relay.good"), file("b/config/wire/relay.json", "{")), daemonsWork: true},
		"doctor-bad-number":              {before: renamed("relay.good", "b/config/wire/relay.json"), daemonsWork: true},
		"status-corrupt-agent-card.json": {before: all(renamed("b/config/wire/agent-card.json", "card.good"), file("b/config/wire/agent-card.json", "{"))},
		"status-corrupt-trust.json": {before: all(renamed("card.good", "b/config/wire/agent-card.json"),
			renamed("b/config/wire/trust.json", "trust.good"), file("b/config/wire/trust.json", "{"))},
		"status-without-private-key": {before: all(renamed("trust.good", "b/config/wire/trust.json"), removed("b/config/wire/private.key"))},
		"add-peer-slot":              {before: tokenOf("c", "a3b695bb80b79d59096980dc8d6394ef300fbe1cfd59a77f278c21b7630fba04")},
	},
}.differing(map[string]step{
	"status-unbound-json":                {row: "no-pending-pair-directory", ours: unchanged("/pending-pair/")},
	"status-bound-json":                  {row: "no-pending-pair-directory", ours: unchanged("/pending-pair/")},
	"status-other-home-sees-orphan-json": ownOrphans,
	"status-other-home-sees-orphan-text": {row: "daemons-of-this-home", ours: withoutOrphanLine},
	"status-two-homes-json":              ownOrphans,
	"status-pidfile-corrupt":             servedAnyway,
	"status-pidfile-without-schema":      servedAnyway,
	"status-pidfile-dead-pid":            servedAnyway,
	"status-pidfile-missing":             servedAnyway,
	"status-relay-json-corrupt":          notJSON("relay.json"),
	"status-corrupt-agent-card.json":     notJSON("agent-card.json"),
	"status-corrupt-trust.json":          notJSON("trust.json"),
	"status-peer-relay-dead": {row: "peer-relay-dead", ours: together(done, func(_ *world, r *record) {
		r.Lines, r.Stderr = nil, []string{}
		r.JSON = json.RawMessage(`{"attention":{"event_count":null,"last_pull_at_unix":null,"status":"unknown"},"peer":"carol",` +
			`"responder":{"record":null,"status":"unknown"},"transport":{"error":"connect error: GET …","latency_ms":null,` +
			`"relay_url":"http://127.0.0.1:9","status":"error"}}`)
	})},

	"doctor-nothing-running-json":       examined("bob"),
	"doctor-nothing-running-text":       examined("bob"),
	"doctor-uninitialized-json":         examined("this home", "identity WARN"),
	"doctor-unbound-json":               examined("alice"),
	"doctor-green-json":                 examined("bob"),
	"doctor-green-text":                 examined("bob"),
	"doctor-other-home-json":            examined("alice"),
	"doctor-two-homes-json":             examined("bob", "daemon PASS"),
	"doctor-pidfile-legacy-int":         examined("bob"),
	"doctor-pidfile-legacy-int-newline": examined("bob"),
	"doctor-pidfile-older-version":      examined("bob"),
	"doctor-pidfile-corrupt":            examined("bob"),
	"doctor-pidfile-without-schema":     examined("bob"),
	"doctor-pidfile-without-optional":   examined("bob", "daemon_pid_consistency WARN"), // it does not say whom it serves
	"doctor-pidfile-other-did":          examined("bob"),
	"doctor-pidfile-other-relay":        examined("bob"),
	"doctor-pidfile-bin-path-missing":   examined("bob"),
	"doctor-pidfile-dead-pid":           examined("bob"),
	"doctor-pidfile-other-schema":       examined("bob"),
	"doctor-pidfile-extra-key":          examined("bob"),
	"doctor-pidfile-missing":            examined("bob"),
	"doctor-daemon-killed-json":         examined("bob"),
	"doctor-rejections-json":            examined("bob"),
	"doctor-rejections-limit-json":      examined("bob"),
	"doctor-relay-dead-json":            examined("bob", "slots WARN"),
	"doctor-relay-json-corrupt":         examined("bob", "slots WARN"),
	"doctor-corrupt-agent-card.json":    examined("this home", "identity FAIL", "trust WARN"),
	"doctor-corrupt-trust.json":         examined("bob", "trust FAIL"),
})

func endsDaemonOf(name string, s syscall.Signal) func(*world) error {
	return func(w *world) error { return w.endDaemon(home.At(w.path(name)).DaemonPID(), s) }
}

// pidForm replaces the record of b's daemon by another form of it. The daemon is one of the reference, which
// leaves its record alone; ours would write it anew.
func pidForm(form string) func(*world) error {
	return func(w *world) error {
		good, ok := w.kept["record"].(process.Record)
		if !ok {
			var err error
			if good, err = w.referenceDaemon(home.At(w.path("b"))); err != nil {
				return err
			}
			w.kept["record"] = good
		}
		rec, text := good, ""
		switch form {
		case "good":
		case "legacy-int":
			text = fmt.Sprint(good.PID)
		case "legacy-int-newline":
			text = fmt.Sprintln(good.PID)
		case "older-version":
			rec.Version = "0.6.9"
		case "corrupt":
			text = "{"
		case "without-schema":
			text = withoutKeys(good, "schema")
		case "without-optional":
			text = withoutKeys(good, "did", "relay_url")
		case "other-did":
			did := "did:wire:other-00000000"
			rec.DID = &did
		case "other-relay":
			url := "http://127.0.0.1:1"
			rec.RelayURL = &url
		case "bin-path-missing":
			rec.BinPath = "/nonexistent/wire"
		case "dead-pid":
			rec.PID = 999999
		case "other-schema":
			rec.Schema = "x"
		case "extra-key":
			text = strings.Replace(string(good.Text()), "{", `{"extra": 1,`, 1)
		}
		if text == "" {
			text = string(rec.Text())
		}
		return os.WriteFile(w.path(pidOfB), []byte(text), 0o644)
	}
}

// referenceDaemon replaces a home's daemon by one of the reference and returns the record it would have.
func (w *world) referenceDaemon(s home.Session) (process.Record, error) {
	rec, _ := process.ReadRecord(s.DaemonPID())
	if err := w.endDaemon(s.DaemonPID(), syscall.SIGTERM); err != nil {
		return rec, err
	}
	exe, err := os.Executable()
	if err != nil {
		return rec, err
	}
	cmd := &exec.Cmd{
		Path: exe, Args: []string{"wire", "daemon", "--interval", "5"}, Dir: w.path("w"),
		Env: append(w.environ(map[string]*string{"WIRE_HOME": &s.Dir}), standInVar+"=stranger"),
	}
	if err := cmd.Start(); err != nil {
		return rec, err
	}
	go func() { _ = cmd.Wait() }()
	rec.PID, rec.BinPath, rec.Build = cmd.Process.Pid, w.path("bin/wire"), ""
	rec.StartedAt = identity.FormatTime(time.Now())
	return rec, nil
}

func withoutKeys(rec process.Record, keys ...string) string {
	n, err := parseOrdered(rec.Text())
	if err != nil {
		return err.Error()
	}
	o := n.(*object)
	var kept []string
	for _, k := range o.keys {
		drop := false
		for _, x := range keys {
			drop = drop || k == x
		}
		if !drop {
			kept = append(kept, k)
		}
	}
	o.keys = kept
	return show(node(o))
}
