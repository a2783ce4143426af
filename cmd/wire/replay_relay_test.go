//go:build linux

package main_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
)

var relayScript = script{
	start: up(localRelay, secondRelay),
	steps: map[string]step{
		"relay-server-local-only-no-port":           {row: "relay-bind-words", ours: says("error: binding 127.0.0.1: there is no port")},
		"relay-server-local-only-name-unresolvable": {row: "relay-bind-words", ours: says("error: binding nohost.invalid:8790: resolving bind host \"nohost.invalid\": ")},
		"relay-server-bad-bind":                     {row: "relay-bind-words", ours: says("error: binding nonsense: ")},
		"relay-server-local-only-localhost":         {edit: anyPort, run: saidThenEnded(2)},
		"relay-server-local-only-ipv6":              {unless: noIPv6, edit: anyPort, run: saidThenEnded(2)},
		"relay-server-default-bind-sigterm":         {run: askedAndSignalled, row: "relay-stops-cleanly", ours: stopsCleanly("r1/state/wire-relay")},
		"relay-server-sigint":                       {run: askedAndSignalled},
		"relay-server-local-only":                   {run: askedAndSignalled, row: "relay-stops-cleanly", ours: stopsCleanly("r1/state/wire-relay/local")},
		"relay-server-user-state":                   {run: askedAndSignalled, row: "relay-stops-cleanly", ours: stopsCleanly("xs/wire-relay")},
		"relay-server-user-state-local-only":        {run: askedAndSignalled, row: "relay-stops-cleanly", ours: stopsCleanly("user/.local/state/wire-relay/local")},
		"relay-server-port-in-use":                  {before: up(federationRelay), row: "relay-bind-words", ours: says("error: binding 127.0.0.1:8770: ")},
		"bind-bad-url":                              {row: "call-error-words", ours: says("error: phyllis: silent line — couldn't reach nonsense/healthz: not an http or https URL", "test reachability from this machine:", "  curl -v nonsense/healthz")},
		"new-local-only":                            {before: up(localRelay)},
		"add-peer-slot-no-peers-object":             {row: "peers-optional", ours: addedSlot},
		"add-peer-slot-handle-with-at":              {row: "handles-only", ours: refused("error: handle must be ASCII alphanumeric / '-' / '_' (got \"bob@x\")")},
		"bind-with-pinned-migrate":                  {row: "handles-only", ours: says("wire bind-relay: migrating with 1 pinned peer(s) — they will black-hole until they re-pin: bob")},
		"bind-with-pinned-migrate-text":             {row: "handles-only", ours: says("wire bind-relay: migrating with 1 pinned peer(s) — they will black-hole until they re-pin: bob")},
		"bind-drops-endpoints-file":                 {row: "keeps-endpoints", ours: keptEndpoint},
		"rotate-peer-unreachable":                   {row: "handles-only", ours: says("warn: announce to bob failed: POST http://x/v1/events/sid2")},
		"forget":                                    {row: "handles-only", ours: neverThere},
		"add-b":                                     {before: tokenOf("b", "043be81dee9f82f88058e0cc1aef2512be5e6d841f2a0691b28a1e12f5bcb067")},
		"pull-b-sees-close":                         {row: "cursor-never-blocked", ours: steppedOver("", true, true, "M b/config/wire/relay.json")},
		"pin-a":                                     {before: copied("a/config/wire/agent-card.json", "alice.json")},
		"pull-b-after-pin": {row: "cursor-never-blocked", ours: together(unchanged("relay.json"), documentOf(func(doc map[string]any) {
			doc["total_seen"] = 0 // judged again, not fetched again
		}))},
		"wire-close-event":  {home: "$ROOT/b", check: eventsIn("b/state/wire/inbox/alice.jsonl")},
		"rotate-relay-dead": {before: down(federationRelay)},
	},
}

// stopsCleanly: SIGTERM ends our relay as SIGINT does, its counters stored.
func stopsCleanly(dir string) func(*world, *record) {
	return func(_ *world, r *record) {
		done := 0
		r.Exit = &done
		r.Changed = append(r.Changed, "A 0600 "+dir+"/counters.json")
	}
}

// addedSlot is what add-peer-slot does elsewhere.
func addedSlot(_ *world, r *record) {
	done := 0
	r.Exit, r.Lines, r.Stderr = &done, nil, []string{}
	r.JSON = json.RawMessage(`{"added":true,"handle":"bob","relay_url":"http://x","slot_id":"sid"}`)
	r.Changed = []string{"M 0600 h/sessions/atlas/config/wire/relay.json"}
}

// keptEndpoint: the local slot stays beside the new federation one, and so does the peer of the record before.
func keptEndpoint(_ *world, r *record) {
	const fed = `"relay_url":"http://127.0.0.1:8770","slot_id":"19ac4c8de7d0d6468ef0faf6ac10a06e",` +
		`"slot_token":"5901b405f509c4a6f1689cfc0e224e5e694598d4984f296ce58c19bed22d26f9"`
	local := fmt.Sprintf(`"relay_url":"http://127.0.0.1:8771","slot_id":"%032x","slot_token":"%064x"`, 1, 2)
	r.Content = json.RawMessage(`{"peers":{"bob":{"relay_url":"http://x","slot_id":"sid","slot_token":"tok"}},"self":{"endpoints":[{` +
		fed + `,"scope":"federation"},{` + local + `,"scope":"local"}],` + fed + `}}`)
	r.FileKeyOrder = map[string][]string{"": {"peers", "self"}, "self": {"endpoints", "relay_url", "slot_id", "slot_token"}}
	r.FileFormat.Lines = 28
}

// neverThere: the peer that the record forgets was refused when it was added.
func neverThere(_ *world, r *record) {
	r.JSON, r.KeyOrder, r.Changed = json.RawMessage(`{"reason":"peer \"bob@x\" not pinned","removed":false}`), nil, []string{}
}

func noIPv6() string {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return "this machine has no IPv6 loopback"
	}
	l.Close()
	return ""
}

// anyPort: a name or an IPv6 address has no port of our own, so the system chooses one.
func anyPort(_ *world, r *record) {
	for i, a := range r.Argv {
		r.Argv[i] = strings.Replace(a, ":8790", ":0", 1)
	}
	for i, s := range r.Stderr {
		r.Stderr[i] = strings.Replace(s, ":8790", ":0", 1)
	}
}

// saidThenEnded lets a command print so many lines on stderr and ends it as the recorder did.
func saidThenEnded(lines int) func(*world, *record) (result, error) {
	return func(w *world, r *record) (result, error) {
		p, err := w.start(r)
		if err != nil {
			return result{}, err
		}
		if err := p.says(lines); err != nil {
			_, _ = p.end(syscall.SIGKILL)
			return result{}, err
		}
		return p.end(syscall.SIGTERM)
	}
}

// askedAndSignalled starts the relay, asks what the record asks, and sends the record's signal.
func askedAndSignalled(w *world, r *record) (result, error) {
	p, err := w.start(r)
	if err != nil {
		return result{}, err
	}
	if err := p.says(1); err != nil {
		_, _ = p.end(syscall.SIGKILL)
		return result{}, err
	}
	asked := w.ask(r)
	got, err := p.end(map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT}[r.Signal])
	if err == nil {
		err = asked
	}
	return got, err
}

func (w *world) ask(r *record) error {
	want := map[string]int{}
	if raw, ok := r.All["http_status"]; ok {
		if err := json.Unmarshal(raw, &want); err != nil {
			return err
		}
	}
	base := "http://" + net.JoinHostPort(w.host, federationRelay)
	for line, status := range want {
		method, path, _ := strings.Cut(line, " ")
		req, err := http.NewRequest(method, base+path, strings.NewReader("{}"))
		if err != nil {
			return err
		}
		if method == http.MethodPost {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			return fmt.Errorf("%s: %d, want %d", line, resp.StatusCode, status)
		}
	}
	return nil
}
