package main

import (
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/internal/vitals"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

func logHandler(w io.Writer, format string) slog.Handler {
	if format == "json" {
		return slog.NewJSONHandler(w, nil)
	}
	return slog.NewTextHandler(w, nil)
}

// keeper makes log lines and figures of what a watcher reports. Messages are constant and values are pairs,
// for programs read them:
//
//	watching, stopping, stopped watching
//	file in force; file refused, the last good one stays in force (error)
//	changed, change failed, change skipped, change takes long (kind, subject, reason, took, edges, error)
//	cannot be repaired (subject, code, reason, next); no longer so (what)
//	pass (triggers, rounds, changes, left, took), of passes that did something
//	pass failed (triggers, error); hampered (error), of what went wrong beside
type keeper struct {
	log     *slog.Logger
	vitals  *vitals.Vitals
	rest    *time.Timer // after a burst, gives memory back and lets connections go
	blocked map[string]bool
	failing string // why the last pass failed; it is logged once
	limping string // likewise, what went wrong beside
}

func newKeeper(log *slog.Logger, c *client.Client, d *spec.Desired) *keeper {
	rest := time.AfterFunc(time.Hour, func() {
		c.Close() // each of them costs the relay as much as us
		debug.FreeOSMemory()
	})
	rest.Stop()
	return &keeper{log: log, vitals: newVitals(d), rest: rest, blocked: map[string]bool{}}
}

func (k *keeper) event(e reconcile.Event) {
	switch e := e.(type) {
	case reconcile.Ended:
		k.vitals.Changed(string(e.Result.Change.Kind), string(e.Result.Outcome))
		k.ended(e.Result)
	case reconcile.Again:
		k.vitals.Restarted(e.Session)
	case reconcile.Reloaded:
		k.vitals.Reloaded(e.Err == nil)
		if e.Err != nil {
			k.log.Error("file refused, the last good one stays in force", "error", e.Err)
		} else {
			k.log.Info("file in force")
		}
	case reconcile.Passed:
		k.vitals.Passed(e.At, e.Took, wordsOf(e.Triggers), e.Err, stateOf(e))
		k.passed(e)
		k.rest.Reset(afterPass)
	}
}

// afterPass is how long a watcher must be idle before it gives memory back.
const afterPass = 500 * time.Millisecond

func (k *keeper) ended(r reconcile.Result) {
	attrs := []any{"kind", string(r.Change.Kind), "subject", subject(r.Change), "reason", r.Change.Reason.Text, "took", r.Took}
	if len(r.Change.Pairs) > 1 { // the subject only counts then
		var edges []string
		for _, p := range r.Change.Pairs {
			edges = append(edges, p.A+"-"+p.B)
		}
		attrs = append(attrs, "edges", edges)
	}
	switch r.Outcome {
	case reconcile.Done:
		k.log.Info("changed", attrs...)
	case reconcile.Failed:
		k.log.Error("change failed", append(attrs, "error", r.Err)...)
	case reconcile.Begun:
		k.log.Warn("change takes long", attrs...)
	case reconcile.Skipped:
		k.log.Warn("change skipped", append(attrs, "error", r.Err)...)
	case reconcile.Already:
	}
}

// passed logs a pass that did something, and what it could not do, once for as long as it holds.
func (k *keeper) passed(p reconcile.Passed) {
	if text := textOf(p.Hampered); text != k.limping {
		if k.limping = text; text != "" {
			k.log.Warn("hampered", "error", text)
		}
	}
	if text := textOf(p.Err); text != k.failing {
		if k.failing = text; text != "" {
			k.log.Error("pass failed", "triggers", p.Triggers, "error", text)
		}
	}
	if p.Err != nil {
		return
	}
	k.reports(p.Summary.Remaining.Blocked)
	if p.Summary.Rounds > 0 {
		k.log.Info("pass", "triggers", p.Triggers, "rounds", p.Summary.Rounds, "changes", len(p.Summary.Results),
			"left", len(p.Summary.Remaining.Changes)+len(p.Summary.Remaining.Held), "took", p.Took)
	}
}

func (k *keeper) reports(all []reconcile.Report) {
	now := map[string]bool{}
	for _, b := range all {
		id := b.Subject + " " + b.Reason.Code
		now[id] = true
		if !k.blocked[id] {
			k.log.Warn("cannot be repaired", "subject", b.Subject, "code", b.Reason.Code, "reason", b.Reason.Text, "next", b.Advice)
		}
		delete(k.blocked, id)
	}
	for id := range k.blocked {
		k.log.Info("no longer so", "what", id)
	}
	k.blocked = now
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
