//go:build linux

package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// corruptBoreas is what several records find, one after the other; our daemon mends its record whenever it comes across
// it, so that each needs it anew.
var corruptBoreas = file(userRoot+"/boreas/state/wire/daemon.pid", "{")

var scenariosScript = script{
	daemonsWork: true,
	steps: map[string]step{
		"broken-daemon.corrupt-pid-status": {
			before: corruptBoreas,
			row:    "daemon-proven status-without-tokens daemons-of-this-home requests-do-not-reappear",
			ours: together(withoutTokens, servedAnyway.ours, nobodyWaits, positionAside, documentOf(func(doc map[string]any) {
				d := doc["daemon"].(map[string]any)
				d["orphans"] = d["orphans"].([]any)[:1]
			})),
		},
		"broken-daemon.status-text":                          {row: "daemons-of-this-home", ours: withoutOrphanLine},
		"broken-daemon.status":                               {row: "status-without-tokens daemons-of-this-home requests-do-not-reappear", ours: together(withoutTokens, ownOrphans.ours, nobodyWaits, positionAside)},
		"three-sisters.status-boreas":                        {row: "status-without-tokens daemons-of-this-home requests-do-not-reappear", ours: together(withoutTokens, ownOrphans.ours, nobodyWaits, positionAside)},
		"first-session.status":                               {row: "status-without-tokens", ours: withoutTokens},
		"broken-daemon.corrupt-pid-new-starts-second-daemon": {row: "one-daemon registry-only-when-needed", ours: unchanged("/daemon.log", "/daemon.pid", "registry.json")},
		"broken-daemon.repair":                               {row: "registry-only-when-needed", ours: unchanged("registry.json")},
		"message.answer-pull":                                {before: answerTaken, row: "two-cursor-keys", ours: documentOf(func(doc map[string]any) { doc["rejected"], doc["total_seen"] = []any{}, 0 })},
		"message.answer-push": {
			before: func(w *world) error { return w.users().arrived("atlas", "boreas", 2) },
			row:    "daemon-at-once", ours: documentOf(func(doc map[string]any) {
				posted := doc["pushed"].([]any)
				posted[0].(map[string]any)["reason"] = "duplicate"
				doc["pushed"], doc["skipped"] = []any{}, posted
			}),
		},
		"three-sisters.new-corvus":            {row: "no-pending-pair-directory", ours: unchanged("/pending-pair/")},
		"three-sisters.new-boreas":            {row: "no-pending-pair-directory", ours: unchanged("/pending-pair/")},
		"three-sisters.pair-all":              {after: sistersShakeHands},
		"first-session.pid-file":              {row: "record-names-build", ours: namesBuild},
		"first-session.relay-json":            {row: "peers-always", ours: emptyPeers},
		"first-session.new":                   {before: up(localRelay), row: "no-pending-pair-directory", ours: unchanged("/pending-pair/")},
		"first-session.daemons-running":       {check: daemons},
		"message.send":                        {before: watchBoreas},
		"message.arrival":                     {check: arrival},
		"message.monitor-of-boreas":           {run: watched},
		"broken-daemon.list":                  {before: userDaemonKilled("boreas")},
		"broken-daemon.corrupt-pid-doctor":    {before: corruptBoreas},
		"broken-daemon.corrupt-pid-list":      {before: corruptBoreas, row: "daemon-proven", ours: inJSON(`"daemon_running":false`, `"daemon_running":true`)},
		"broken-daemon.daemons-running":       {check: daemons, row: "one-daemon", ours: func(_ *world, r *record) { r.All["count"] = json.RawMessage("3") }},
		"broken-daemon.daemons-after-upgrade": {check: daemons},
		"broken-daemon.relay-down-status":     {before: down(localRelay)},
		"destroy.without-force":               {before: up(localRelay)},
		"destroy.destroy": {row: "destroy-unpins", ours: alsoChanged(
			"M "+userRoot+"/atlas/config/wire/trust.json", "M "+userRoot+"/boreas/config/wire/trust.json")},
		"destroy.peers-still-pinned": {row: "destroy-unpins", ours: func(_ *world, r *record) {
			r.JSON, _ = json.Marshal(slices.DeleteFunc(asJSON(string(r.JSON)).([]any), func(p any) bool {
				return p.(map[string]any)["handle"] == "corvus"
			}))
		}},
		"destroy.mesh":         {row: "destroy-unpins", ours: documentOf(freshEdge)},
		"destroy.push-to-gone": {row: "destroy-unpins", ours: documentOf(func(doc map[string]any) { doc["pushed"] = []any{} })},
		"destroy.recreate":     {row: "no-pending-pair-directory", ours: unchanged("/pending-pair/")},
		"destroy.daemons":      {check: daemons},
	},
}.differing(map[string]step{
	"first-session.doctor-before":      examined("this home", "identity WARN"),
	"first-session.doctor":             examined("atlas"),
	"three-sisters.doctor-atlas":       examined("atlas", "daemon PASS"),
	"broken-daemon.doctor":             examined("boreas"),
	"broken-daemon.corrupt-pid-doctor": examined("boreas"),
	"broken-daemon.upgrade":            {row: "one-daemon", ours: documentOf(func(doc map[string]any) { doc["killed"] = doc["killed"].([]any)[:3] })},
	"broken-daemon.relay-down-status":  {row: "status-without-tokens daemons-of-this-home requests-do-not-reappear", ours: together(withoutTokens, ownOrphans.ours, nobodyWaits, positionAside)},
	"broken-daemon.relay-down-doctor":  examined("boreas", "daemon PASS", "slots WARN"),
})

// freshEdge: the sisters have pulled a moment ago, when they fetched what the destroyed one had sent.
func freshEdge(doc map[string]any) {
	edge := doc["edges"].([]any)[0].(map[string]any)
	edge["status"] = "healthy"
	for _, d := range edge["directions"].(map[string]any) {
		direction := d.(map[string]any)
		direction["last_pull_at_unix"], direction["silent_secs"] = 1795577354, 0
	}
	sum := doc["summary"].(map[string]any)
	sum["healthy"], sum["stale"] = 1, 0
}

// emptyPeers: relay.json has an object for peers from the start.
func emptyPeers(_ *world, r *record) {
	r.Content = json.RawMessage(`{"peers":{},` + strings.TrimPrefix(compactJSON(r.Content), "{"))
	r.FileKeyOrder[""] = append([]string{"peers"}, r.FileKeyOrder[""]...)
}

// namesBuild: the pid record has a key of ours at its end.
func namesBuild(_ *world, r *record) {
	r.Content = json.RawMessage(strings.TrimSuffix(compactJSON(r.Content), "}") + `,"build":"…"}`)
	r.FileKeyOrder[""] = append(r.FileKeyOrder[""], "build")
}

// twoCursors: the position in the one slot stands under both keys.
func twoCursors(_ *world, r *record) {
	text := compactJSON(r.Content)
	cursor := regexp.MustCompile(`"last_pulled_event_id_local":("[0-9a-f]{64}")`).FindStringSubmatch(text)
	r.Content = json.RawMessage(strings.Replace(text, cursor[0], `"last_pulled_event_id":`+cursor[1]+","+cursor[0], 1))
	i := slices.Index(r.FileKeyOrder["self"], "last_pulled_event_id_local")
	r.FileKeyOrder["self"] = slices.Insert(r.FileKeyOrder["self"], i, "last_pulled_event_id")
}

func userDaemonKilled(name string) func(*world) error {
	return func(w *world) error { return w.endDaemon(w.userSession(name).DaemonPID(), syscall.SIGKILL) }
}

// daemons counts this world's daemons.
func daemons(w *world, r *record) error {
	raw, ok := r.All["count"]
	if !ok {
		raw = r.All["after"]
	}
	var want int
	if err := json.Unmarshal(raw, &want); err != nil {
		return err
	}
	n := 0
	for _, i := range carriers(w.dir) {
		if len(i.Args) > 1 && i.Args[1] == "daemon" {
			n++
		}
	}
	if n != want {
		return fmt.Errorf("%d daemons, want %d", n, want)
	}
	return nil
}

func watchBoreas(w *world) error {
	dir := w.userSession("boreas").Dir
	p, err := w.start(&record{Argv: []string{"wire", "monitor", "--json"}, Env: map[string]*string{"WIRE_HOME": &dir}})
	w.kept["monitor"] = p
	return err
}

// arrival: the message reaches boreas by the daemons alone.
func arrival(w *world, _ *record) error { return w.users().arrived("boreas", "atlas", 2) }

// users is the place of somebody without WIRE_HOME.
func (w *world) users() place { return place{wh: filepath.Join(w.root, filepath.Dir(userRoot))} }

// answerTaken: the daemon of atlas has moved its cursor behind the answer, too.
func answerTaken(w *world) error {
	answer, err := lastEvent(w.path(userRoot, "atlas/state/wire/inbox/boreas.jsonl"))
	if err != nil {
		return err
	}
	return until(func() error {
		relay, err := w.userSession("atlas").ReadRelay()
		if err == nil && relay.Cursor(relay.Self()[0]) != answer.values["event_id"] {
			err = errors.New("the cursor is not behind the answer")
		}
		return err
	})
}

// nobodyWaits: who is pinned is not waiting.
var nobodyWaits = documentOf(func(doc map[string]any) {
	pending := doc["pending_pairs"].(map[string]any)
	pending["inbound_count"], pending["inbound_handles"] = 0, []any{}
})

// positionAside: which event was the last has no part in a status.
var positionAside = documentOf(func(doc map[string]any) {
	self := doc["self_relay"].(map[string]any)
	for _, key := range []string{"last_pulled_event_id", "last_pulled_event_id_local"} {
		if self[key] != nil {
			self[key] = "…"
		}
	}
})

func withoutOrphanLine(_ *world, r *record) {
	r.Lines = slices.DeleteFunc(r.Lines, func(l string) bool { return strings.Contains(l, "!! orphan") })
	if r.Format != nil {
		r.Format.Lines--
	}
}

// sistersShakeHands: the events of the reference's pair-all-local, which the three daemons fetch.
func sistersShakeHands(w *world) error {
	pairs := []string{"atlas-boreas", "atlas-corvus", "boreas-corvus"}
	if err := w.handshakes(w.userSession, pairs...); err != nil {
		return err
	}
	for _, p := range pairs {
		a, b, _ := strings.Cut(p, "-")
		if err := errors.Join(w.users().arrived(a, b, 1), w.users().arrived(b, a, 1)); err != nil {
			return err
		}
	}
	return nil
}

func watched(w *world, _ *record) (result, error) {
	p := w.kept["monitor"].(*running)
	if err := p.prints(1); err != nil {
		return result{}, err
	}
	return p.end(syscall.SIGTERM)
}
