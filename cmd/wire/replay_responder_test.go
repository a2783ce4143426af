//go:build linux

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

const reactorCursor = "b/state/wire/reactor.cursor"

var responderScript = script{
	start: up(federationRelay),
	steps: map[string]step{
		"responder-set-dead":   {before: down(federationRelay)},
		"responder-get-dead":   {row: "call-error-words", ours: says("error: GET http://127.0.0.1:8770/v1/slot/bee7911054ac7ca4fcc7f6d2c01ef21d/state: dial tcp ")},
		"add-slot":             {before: tokenOf("a", "7e424879855b556e1ee0e01a7cb0604777086ae3495ab4b715fe55c0a8937de7")},
		"add-slot-b":           {before: tokenOf("b", "ab6535d99dba3a323b07d11a492ab424240399a10d82c81302ffc6962829ff2e")},
		"pin":                  {before: all(up(federationRelay), copied("a/config/wire/agent-card.json", "alice.json"))},
		"reactor-cursor":       {home: "$ROOT/b", edit: lengthOf("b/state/wire/inbox/alice.jsonl", "alice")},
		"reactor-kind-name":    {before: removed(reactorCursor)},
		"reactor-kind-number":  {before: removed(reactorCursor)},
		"reactor-peer-unknown": {before: removed(reactorCursor)},
		"reactor-run":          {before: removed(reactorCursor)},
		"reactor-handler-saw":  {home: "$ROOT/b", check: handlerSaw},
		"reactor-handler-fails": {
			before: removed(reactorCursor), row: "reactor-says-failures",
			ours: says("wire reactor: the command for ", "failed: exit status 3", "failed: exit status 3", "failed: exit status 3"),
		},
		"reactor-rate-limit": {before: removed(reactorCursor)},
	},
}

// lengthOf puts the length of our inbox file into a cursor: the events' times have more or fewer digits.
func lengthOf(path, stem string) func(*world, *record) {
	return func(w *world, r *record) {
		if info, err := os.Stat(w.path(path)); err == nil {
			r.Content = json.RawMessage(fmt.Sprintf(`{%q:%d}`, stem, info.Size()))
		}
	}
}

// handlerSaw: each handler got its variables, and the event on stdin; they run in parallel, so the lines may
// mix, but not the texts in them.
func handlerSaw(w *world, r *record) error {
	data, err := os.ReadFile(w.path("w/handler.txt"))
	if err != nil {
		return err
	}
	var lines []string
	if err := json.Unmarshal(r.All["lines"], &lines); err != nil {
		return err
	}
	for _, kind := range []string{"claim", "decision"} {
		i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "alice ") && strings.HasSuffix(l, " "+kind) })
		if want := w.local(lines[i]); !strings.Contains(string(data), want) {
			return fmt.Errorf("no handler saw %q:\n%s", want, data)
		}
	}
	if n := strings.Count(string(data), `{"body":`); n != 3 {
		return fmt.Errorf("%d events on stdin, want 3:\n%s", n, data)
	}
	return nil
}
