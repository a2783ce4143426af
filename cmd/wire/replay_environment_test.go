//go:build linux

package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

var environmentScript = script{
	start: all(up(localRelay, federationRelay), standInRelay),
	steps: map[string]step{
		"with-local-relay-h500":        {before: answers("healthz-500")},
		"with-local-relay-slow":        {before: answers("healthz-slow")},
		"with-local-relay-alloc500":    {before: answers("allocate-500")},
		"send-peer-last-pull-400s-ago": {before: answers("pulled-400s-ago")},
		"send-peer-never-pulled":       {before: answers("never-pulled")},
		"proxy-honoured-for-loopback":  {before: answers("proxy"), run: proxied(nil), row: "loopback-without-proxy", ours: realSlot},
		"proxy-lower-case":             {run: proxied(nil), row: "loopback-without-proxy", ours: realSlot},
		"no-proxy-bypasses":            {run: proxied(nil)},
		"all-proxy":                    {run: proxied(nil), row: "loopback-without-proxy", ours: realSlot},
		"https-proxy":                  {run: proxied([]string{"CONNECT wireup.net:443"})},
		"wire-home-empty-relative":     {after: tree("rel", "config/wire")},
		"wire-home-relative":           {after: tree("rel", "sub/x/config/wire")},
		"relay-server-adopts-session": {
			run: saidThenEnded(1), row: "relay-never-adopts",
			ours: together(says("wire relay-server listening on 127.0.0.1:8795"), unchanged("/sessions/"), alsoChanged(
				"A user/.local/state/wire-relay/handles/", "A user/.local/state/wire-relay/responder-health/", "A user/.local/state/wire-relay/slots/",
			)),
		},

		"stdout-closed-pipe":           {home: "$ROOT/a", check: shell("141")}, // SIGPIPE
		"stdout-is-dev-full":           {home: "$ROOT/a", check: shell("1")},
		"stdout-is-dev-full-help":      {home: "$ROOT/a", check: shell("0")},
		"stdout-closed-fd":             {home: "$ROOT/a", check: shell("0")},
		"monitor-new-file-unverified":  {home: "$ROOT/m", needs: []string{"monitor"}, check: monitorNewFile},
		"monitor-replay-unverified":    {run: interrupted, row: "replay-verifies", ours: notVerified},
		"two-simultaneous-session-new": {home: "$ROOT/h", needs: []string{"session new"}, check: twoAtOnce},
	},
}

// odd stands in for a relay or a proxy on port 8799 and does what its mode says.
type odd struct {
	mu   sync.Mutex
	mode string
	saw  []string
}

func standInRelay(w *world) error {
	o := &odd{}
	l, err := net.Listen("tcp", w.host+":8799")
	if err != nil {
		return err
	}
	w.kept["odd"] = o
	server := &http.Server{Handler: o}
	w.atEnd = append(w.atEnd, func() { server.Close() })
	go func() { _ = server.Serve(l) }()
	return nil
}

func answers(mode string) func(*world) error {
	return func(w *world) error {
		o := w.kept["odd"].(*odd)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.mode = mode
		return nil
	}
}

func (o *odd) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	mode := o.mode
	target := r.URL.String()
	if r.Method == http.MethodConnect {
		target = r.Host
	}
	o.saw = append(o.saw, r.Method+" "+target)
	o.mu.Unlock()
	switch {
	case r.Method == http.MethodConnect:
		http.Error(rw, "no", http.StatusBadGateway)
	case strings.HasSuffix(r.URL.Path, "/healthz"):
		switch mode {
		case "healthz-500":
			http.Error(rw, "broken", http.StatusInternalServerError)
			return
		case "healthz-slow":
			select { // longer than anybody waits
			case <-r.Context().Done():
			case <-time.After(patience):
			}
			return
		}
		_, _ = io.WriteString(rw, "ok\n")
	case strings.HasSuffix(r.URL.Path, "/slot/allocate"):
		if mode == "allocate-500" {
			http.Error(rw, `{"error":"broken"}`, http.StatusInternalServerError)
			return
		}
		rw.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(rw, `{"slot_id":"sid","slot_token":"tok"}`)
	case strings.HasSuffix(r.URL.Path, "/state"):
		last := "null"
		if mode == "pulled-400s-ago" {
			last = fmt.Sprint(time.Now().Unix() - 400)
		}
		fmt.Fprintf(rw, `{"event_count":7,"last_pull_at_unix":%s,"responder_health":null,"slot_id":"sid"}`, last)
	case strings.HasSuffix(r.URL.Path, "/responder-health"):
		_, _ = io.WriteString(rw, `null`)
	default:
		http.NotFound(rw, r)
	}
}

// proxied runs the command and wants the proxy to have seen this.
func proxied(want []string) func(*world, *record) (result, error) {
	return func(w *world, r *record) (result, error) {
		o := w.kept["odd"].(*odd)
		o.mu.Lock()
		o.saw = nil
		o.mu.Unlock()
		if _, ok := r.Env["HTTPS_PROXY"]; !ok { // the one that keeps us off the network
			none := ""
			r.Env["HTTPS_PROXY"] = &none
		}
		got, err := w.run(r)
		if err != nil {
			return got, err
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if !slices.Equal(o.saw, want) {
			return got, fmt.Errorf("the proxy saw %q, want %q", o.saw, want)
		}
		return got, nil
	}
}

// realSlot: the slot is one of the relay, not of what stood in as proxy.
func realSlot(_ *world, r *record) {
	r.JSON = json.RawMessage(strings.Replace(compactJSON(r.JSON), `"slot_id":"sid"`, `"slot_id":"…"`, 1))
}

// notVerified: what was stored is judged when it is shown.
func notVerified(_ *world, r *record) {
	for i, line := range r.JSONLines {
		r.JSONLines[i] = json.RawMessage(strings.Replace(compactJSON(line), `"verified":true`, `"verified":false`, 1))
	}
}

// tree wants key, card and trust below a directory of /srv.
func tree(dir, below string) func(*world) error {
	return func(w *world) error {
		for _, name := range []string{"agent-card.json", "private.key", "trust.json"} {
			if _, err := os.Stat(filepath.Join(w.srv(dir), below, name)); err != nil {
				return err
			}
		}
		return nil
	}
}

// shell runs the record's shell line and wants this status of wire.
func shell(status string) func(*world, *record) error {
	return func(w *world, r *record) error {
		var line string
		if err := json.Unmarshal(r.All["shell"], &line); err != nil {
			return err
		}
		bash, err := exec.LookPath("bash")
		if err != nil {
			return err
		}
		dir := w.path("a")
		cmd := exec.Command(bash, "-c", line)
		cmd.Env, cmd.Dir = w.environ(map[string]*string{"WIRE_HOME": &dir}), w.path("w")
		var errs strings.Builder
		cmd.Stderr = &errs
		_ = cmd.Run() // the pipeline's status is wire's, which it prints
		if !strings.HasSuffix(errs.String(), "rc="+status+"\n") {
			return fmt.Errorf("%s: stderr %q, want rc=%s", line, errs.String(), status)
		}
		return nil
	}
}

// lateEvents are the lines of the file that appears while the monitor runs. Nobody signed them.
var lateEvents = func() string {
	line := func(body, id, kind string) string {
		return fmt.Sprintf(`{"body":%s,"event_id":"%s","from":"did:wire:zed-00000000","kind":1001,"timestamp":"2026-01-01T00:00:00Z","to":"did:wire:m","type":%s}`,
			body, strings.Repeat(id, 32), kind) + "\n"
	}
	return line(`"late"`, "ab", `"claim"`) + line(`{"x":1}`, "cd", "null") +
		line(`"`+strings.Repeat("é", 130)+`"`, "ef", `"claim"`) + line(`"late"`, "ab", `"heartbeat"`)
}()

// monitorNewFile: an inbox file that appears while the monitor runs is read from its start. That it runs is
// known from what it tells of another peer.
func monitorNewFile(w *world, r *record) error {
	dir := w.path("m")
	p, err := w.start(&record{
		Argv: []string{"wire", "monitor", "--json", "--interval-ms", "50"}, Env: map[string]*string{"WIRE_HOME": &dir},
	})
	if err != nil {
		return err
	}
	probes, err := p.provoke(home.At(dir), "probe")
	if err != nil {
		return err
	}
	if err := w.write("m/state/wire/inbox/zed.jsonl", lateEvents); err != nil {
		return err
	}
	if err := p.prints(probes + len(r.JSONLines)); err != nil {
		return err
	}
	got, err := p.end(syscall.SIGTERM)
	if err != nil {
		return err
	}
	lines := strings.SplitAfter(got.out, "\n")
	var d differences
	w.diffJSONLines(&d, r, strings.Join(lines[probes:], ""))
	return d.err()
}

// twoAtOnce: two calls at once leave one daemon.
func twoAtOnce(w *world, _ *record) error {
	dir := w.path("h")
	r := &record{Argv: []string{"wire", "session", "new", "race", "--json"}, Env: map[string]*string{"WIRE_HOME": &dir}, Cwd: "/srv/race"}
	var group sync.WaitGroup
	fails := make([]error, 2)
	for i := range fails {
		group.Go(func() {
			got, err := w.run(r)
			if err == nil && got.exit != 0 {
				err = errors.New(got.err)
			}
			fails[i] = err
		})
	}
	group.Wait()
	if err := errors.Join(fails...); err != nil {
		return err
	}
	rec, _ := process.ReadRecord(w.session("race").DaemonPID())
	var pids []int
	for _, i := range carriers(w.session("race").Dir) {
		pids = append(pids, i.PID)
	}
	if len(pids) != 1 || pids[0] != rec.PID {
		return fmt.Errorf("daemons %d, the record names %d", pids, rec.PID)
	}
	return nil
}
