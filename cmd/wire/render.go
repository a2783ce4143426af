package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"wirefleet.dev/wire/reconcile"
)

// sign and noun of a change, as a diff shows it (+ made, ~ repaired, - taken away).
func sign(c reconcile.Change) (mark, noun string) {
	switch c.Kind {
	case reconcile.StartRelay:
		return "+", "relay"
	case reconcile.RestartRelay:
		return "~", "relay"
	case reconcile.StopRelay:
		return "-", "relay"
	case reconcile.CreateSession:
		return made(c, "absent"), "session"
	case reconcile.AllocateSlot:
		return made(c, "slot-absent"), "slot"
	case reconcile.MendRecord:
		return "~", "record"
	case reconcile.DropRequests:
		return "-", "request"
	case reconcile.ClaimHandle:
		return made(c, "handle-absent", "handle-new"), "handle"
	case reconcile.RegisterDir:
		return "+", "dir"
	case reconcile.PairMesh:
		return made(c, "edge-absent", "edge-new"), "mesh"
	case reconcile.RemovePins:
		return "-", "mesh"
	case reconcile.StartDaemon:
		if c.Reason.Text == "not running" {
			return "+", "daemon"
		}
		return "~", "daemon"
	case reconcile.RestartDaemon:
		return "~", "daemon"
	case reconcile.StopDaemon, reconcile.StopDuplicate, reconcile.StopLeftover, reconcile.StopAll:
		return "-", "daemon"
	case reconcile.StartNotify:
		if c.Reason.Text == "not running" {
			return "+", "notifier"
		}
		return "~", "notifier"
	case reconcile.RestartNotify:
		return "~", "notifier"
	case reconcile.StopNotify:
		return "-", "notifier"
	case reconcile.DestroySession:
		return "-", "session"
	}
	return "?", string(c.Kind)
}

// made is "+" where the reason says that there was nothing before, else "~".
func made(c reconcile.Change, fresh ...string) string {
	for _, f := range fresh {
		if c.Reason.Code == f {
			return "+"
		}
	}
	return "~"
}

// subject is what a line calls the object of a change.
func subject(c reconcile.Change) string {
	switch {
	case len(c.Pairs) == 1:
		return c.Pairs[0].A + "-" + c.Pairs[0].B
	case len(c.Pairs) > 0:
		return plural(len(c.Subjects), "session")
	case len(c.Subjects) == 0:
		return "-"
	}
	return c.Subjects[0]
}

var colours = map[string]string{"+": "\x1b[32m", "~": "\x1b[33m", "-": "\x1b[31m"}

func (a *app) printChange(c reconcile.Change, verbose bool) {
	mark, noun := sign(c)
	text := c.Reason.Text
	if c.Destroys {
		text += ": DELETES ITS KEY"
	}
	a.printRow(mark, noun, subject(c), text)
	if verbose && len(c.Pairs) > 1 {
		for _, p := range c.Pairs {
			a.printRow(mark, "  edge", p.A+"-"+p.B, p.Reason.Text)
		}
	}
}

func (a *app) printRow(mark, noun, subject, text string) {
	if a.colour {
		mark = colours[mark] + mark + "\x1b[0m"
	}
	fmt.Fprintf(a.out, "%s %-8s %-14s %s\n", mark, noun, plainText(subject), plainText(text))
}

// printReport prints what no change repairs.
func (a *app) printReport(w io.Writer, r reconcile.Report) {
	fmt.Fprintf(w, "! %s: %s\n", plainText(r.Subject), plainText(r.Reason.Text))
	if r.Advice != "" {
		next, more, _ := strings.Cut(r.Advice, "\n")
		fmt.Fprintf(w, "  next: %s\n", plainText(next))
		printQuoted(w, more)
	}
}

// printQuoted prints lines of a log or of an error below what they belong to.
func printQuoted(w io.Writer, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(w, "  | %s\n", plainText(strings.TrimRight(line, "\n")))
	}
}

func (a *app) printPlan(f *fleet, p reconcile.Plan, verbose bool) {
	for _, c := range p.Changes {
		a.printChange(c, verbose)
	}
	for _, r := range p.Blocked {
		a.printReport(a.out, r)
	}
	for _, r := range p.Notes {
		a.printReport(a.out, r)
	}
	fmt.Fprintln(a.out, totals(f, p))
}

// totals is the last line of a plan.
func totals(f *fleet, p reconcile.Plan) string {
	create, repair, remove := 0, 0, 0
	for _, c := range p.Changes {
		switch mark, _ := sign(c); mark {
		case "+":
			create++
		case "-":
			remove++
		default:
			repair++
		}
	}
	var parts []string
	for _, n := range []struct {
		n    int
		what string
	}{{create, "to create"}, {repair, "to repair"}, {remove, "to remove"}} {
		if n.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n.n, n.what))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing to do")
	}
	line := strings.Join(parts, ", ") + " (" + f.size() + ")"
	if n := len(p.Blocked); n > 0 {
		line += fmt.Sprintf("; %d cannot be repaired by apply", n)
	}
	if n := len(p.Unmanaged); n > 0 {
		line += fmt.Sprintf("; %d unmanaged left alone", n)
	}
	return line
}

// document is what plan and apply print with --json (design.md section 3). Keys stand in byte order.
type document struct {
	Blocked   []reconcile.Report `json:"blocked"`
	Changed   bool               `json:"changed"` // plan: whether apply would change anything
	Changes   []changeJSON       `json:"changes"`
	Notes     []reconcile.Report `json:"notes"`
	Remaining []changeJSON       `json:"remaining"`
	Unmanaged []string           `json:"unmanaged"`
	Version   int                `json:"version"`
}

type changeJSON struct {
	Destroys bool             `json:"destroys"`
	Edges    [][2]string      `json:"edges,omitempty"`
	Error    string           `json:"error,omitempty"`
	Kind     string           `json:"kind"`
	Outcome  string           `json:"outcome,omitempty"`
	Reason   reconcile.Reason `json:"reason"`
	Subjects []string         `json:"subjects"`
}

func changeOf(c reconcile.Change) changeJSON {
	j := changeJSON{Kind: string(c.Kind), Subjects: c.Subjects, Reason: c.Reason, Destroys: c.Destroys}
	for _, p := range c.Pairs {
		j.Edges = append(j.Edges, [2]string{p.A, p.B})
	}
	return j
}

func documentOf(s reconcile.Summary, planned bool) document {
	d := document{
		Version: 1, Changed: s.Changed(),
		Changes: []changeJSON{}, Remaining: []changeJSON{},
		Blocked: orEmpty(s.Remaining.Blocked), Notes: orEmpty(s.Remaining.Notes), Unmanaged: orEmpty(s.Remaining.Unmanaged),
	}
	for _, r := range s.Results {
		j := changeOf(r.Change)
		j.Outcome = string(r.Outcome)
		if r.Err != nil {
			j.Error = r.Err.Error()
		}
		d.Changes = append(d.Changes, j)
	}
	for _, c := range s.Remaining.Changes {
		if planned {
			d.Changes = append(d.Changes, changeOf(c))
		} else {
			d.Remaining = append(d.Remaining, changeOf(c))
		}
	}
	if planned {
		d.Changed = !s.Remaining.Empty()
	}
	return d
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// printJSON prints v as one compact line.
func (a *app) printJSON(v any) error {
	return encodeJSON(a.out, v)
}

func encodeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
