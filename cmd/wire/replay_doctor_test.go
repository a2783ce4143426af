//go:build linux

package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// differing adds to a script in what its records differ.
func (s script) differing(differ map[string]step) script {
	for name, d := range differ {
		if d.ours == nil || s.steps[name].ours != nil {
			panic("two differences for " + name)
		}
		step := s.steps[name]
		step.row, step.ours = d.row, d.ours
		s.steps[name] = step
	}
	return s
}

// theirChecks and ourChecks are the ids of doctor's checks.
var (
	theirChecks = []string{"daemon", "daemon_pid_consistency", "relay", "pair_rejections", "cursor"}
	ourChecks   = []string{"slots", "blocked_events", "stray_mail", "identity", "trust", "stale_pins"}
)

// examined is a doctor of ours: the five checks of the record with its verdicts, then our own, all well. Each of
// changes, "ID VERDICT", is what we say instead. A finding names the session and has a fix.
func examined(session string, changes ...string) step {
	verdicts := func(theirs map[string]string) (ids []string, list map[string]string) {
		list = map[string]string{}
		for _, id := range append(append([]string{}, theirChecks...), ourChecks...) {
			ids = append(ids, id)
			if list[id] = theirs[id]; list[id] == "" {
				list[id] = "PASS"
			}
		}
		for _, c := range changes {
			id, verdict, _ := strings.Cut(c, " ")
			list[id] = verdict
		}
		return ids, list
	}
	return step{row: "doctor-finds-more", ours: func(_ *world, r *record) {
		if r.JSON == nil {
			_, list := verdicts(nil)
			examinedText(r, len(list))
			return
		}
		var doc struct {
			Checks []struct{ ID, Status string } `json:"checks"`
		}
		if err := json.Unmarshal(r.JSON, &doc); err != nil {
			panic(err)
		}
		theirs := map[string]string{}
		for _, c := range doc.Checks {
			theirs[c.ID] = c.Status
		}
		ids, list := verdicts(theirs)
		counts := map[string]int{}
		var checks []string
		for _, id := range ids {
			counts[list[id]]++
			detail, fix := "…", ""
			if list[id] != "PASS" {
				detail, fix = session+": …", `"fix":"…",`
			}
			checks = append(checks, fmt.Sprintf(`{"detail":%q,%s"id":%q,"status":%q}`, detail, fix, id, list[id]))
		}
		r.JSON = json.RawMessage(fmt.Sprintf(`{"checks":[%s],"fail_count":%d,"ok":%t,"warn_count":%d}`,
			strings.Join(checks, ","), counts["FAIL"], counts["FAIL"] == 0, counts["WARN"]))
		exit := min(1, counts["FAIL"])
		r.Exit = &exit
		maps.DeleteFunc(r.KeyOrder, func(path string, _ json.RawMessage) bool { return path != "" })
	}}
}

func examinedText(r *record, checks int) {
	for i, l := range r.Lines {
		r.Lines[i] = strings.Replace(l, "5 checks", fmt.Sprintf("%d checks", checks), 1)
	}
	r.Format = nil
}

// servedAnyway: the daemon is proven to serve the home, whatever its record says.
var servedAnyway = step{row: "daemon-proven", ours: documentOf(func(doc map[string]any) {
	d := doc["daemon"].(map[string]any)
	d["running"], d["pid"] = true, d["orphans"].([]any)[0]
})}

// ownOrphans: daemons of other homes are no orphans of this one.
var ownOrphans = step{row: "daemons-of-this-home", ours: documentOf(func(doc map[string]any) {
	doc["daemon"].(map[string]any)["orphans"] = []any{}
})}

// notJSON is our word for a file that does not parse.
func notJSON(file string) step {
	return step{row: "json-error-words", ours: says("error: $ROOT/b/config/wire/" + file + ": does not parse: not valid JSON at byte 1")}
}

// withoutTokens: a status shows no slot token.
var withoutTokens = documentOf(func(doc map[string]any) {
	for _, e := range doc["self_relay"].(map[string]any)["endpoints"].([]any) {
		delete(e.(map[string]any), "slot_token")
	}
})
