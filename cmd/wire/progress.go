package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"wirefleet.dev/wire/reconcile"
)

// progress renders the events of a run: each change with its reason on stdout when it is over, what is
// under way on stderr if that is a terminal. With --json only the document goes to stdout.
type progress struct {
	app     *app
	fleet   *fleet
	verbose bool
	json    bool
	began   time.Time
	total   int
	ended   int
	drawn   int // width of the live line that stands on the terminal
	failed  int
	skipped int
}

func newProgress(a *app, f *fleet, verbose, json bool) *progress {
	return &progress{app: a, fleet: f, verbose: verbose, json: json, began: time.Now()}
}

func (p *progress) report(e reconcile.Event) {
	switch e := e.(type) {
	case reconcile.Planned:
		p.total += len(e.Plan.Changes)
	case reconcile.Started:
		p.live(fmt.Sprintf("[%d/%d] %s %s ...", p.ended+1, p.total, e.Change.Kind, subject(e.Change)))
	case reconcile.Ended:
		p.ended++
		p.live("")
		p.line(e.Result)
	}
}

// live redraws the one line of what is under way; "" takes it away. Blanks wipe what was longer: no escape
// sequence is needed for that.
func (p *progress) live(text string) {
	if !p.app.terminal || text == "" && p.drawn == 0 {
		return
	}
	width := utf8.RuneCountInString(text)
	fmt.Fprintf(p.app.err, "\r%s%s\r%s", text, strings.Repeat(" ", max(0, p.drawn-width)), text)
	p.drawn = width
}

func (p *progress) line(r reconcile.Result) {
	switch r.Outcome {
	case reconcile.Done:
		if !p.json {
			p.app.printChange(r.Change, p.verbose)
		}
	case reconcile.Failed:
		p.failed++
		p.explain(r)
	case reconcile.Skipped:
		p.skipped++
	case reconcile.Already, reconcile.Begun:
	}
}

// explain names the session, the step, the cause and what to do.
func (p *progress) explain(r reconcile.Result) {
	fmt.Fprintf(p.app.err, "error: %s\n", plainLines(fmt.Sprintf("%s: %s failed: %v", subject(r.Change), r.Change.Kind, r.Err)))
	var partial *reconcile.Partial
	if errors.As(r.Err, &partial) && p.verbose {
		for _, f := range partial.Failed {
			fmt.Fprintf(p.app.err, "  %s\n", plainLines(fmt.Sprintf("%s-%s: %v", f.Pair.A, f.Pair.B, f.Err)))
		}
	}
	fmt.Fprintf(p.app.err, "  next: %s\n", p.advice(r))
}

func (p *progress) advice(r reconcile.Result) string {
	again := "wire apply"
	if p.fleet.name != "wire.yaml" {
		again += " -f " + p.fleet.name
	}
	switch r.Change.Kind {
	case reconcile.StartRelay, reconcile.RestartRelay:
		return "free the port or set relays.local.url, then `" + again + "`"
	case reconcile.StartDaemon, reconcile.RestartDaemon:
		return "read " + p.fleet.machine.Session(r.Change.Subjects[0]).DaemonLog() + ", then `" + again + "`"
	case reconcile.StartNotify, reconcile.RestartNotify:
		return "read " + p.fleet.machine.Session(r.Change.Subjects[0]).NotifyLog() + ", then `" + again + "`"
	case reconcile.PairMesh:
		return "repair the named homes, then `" + again + "`; the other edges are done"
	case reconcile.StopAll, reconcile.StopDaemon, reconcile.StopDuplicate, reconcile.StopLeftover, reconcile.StopNotify, reconcile.StopRelay, reconcile.DestroySession:
		return "look at the process or file it names, then run it again"
	}
	return "remove the cause, then `" + again + "` goes on from here"
}

// finish prints what is left and turns a run into an exit status.
func (p *progress) finish(ctx context.Context, s reconcile.Summary) error {
	p.live("")
	if p.json {
		if err := p.app.printJSON(documentOf(s, false)); err != nil {
			return err
		}
	} else {
		p.summary(s)
	}
	for _, b := range s.Remaining.Blocked {
		p.app.printReport(p.app.err, b)
	}
	switch {
	case s.Interrupted && errors.Is(ctx.Err(), context.DeadlineExceeded):
		fmt.Fprintln(p.app.err, "error: --timeout ended it; the next run goes on from here")
		return exit(1)
	case s.Interrupted:
		fmt.Fprintln(p.app.err, "interrupted: the next run goes on from here")
		return exit(1)
	case !s.Remaining.Empty() || len(s.Remaining.Blocked) > 0:
		return exit(1)
	}
	return nil
}

func (p *progress) summary(s reconcile.Summary) {
	a := p.app
	for _, n := range s.Remaining.Notes {
		a.printReport(a.out, n)
	}
	done := 0
	for _, r := range s.Results {
		if r.Outcome == reconcile.Done {
			done++
		}
	}
	var parts []string
	switch {
	case done == 0 && p.failed == 0 && s.Remaining.Empty():
		parts = append(parts, "nothing to do")
	default:
		parts = append(parts, fmt.Sprintf("%s in %s", plural(done, "change"), round(time.Since(p.began))))
	}
	if p.failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", p.failed))
	}
	switch {
	case p.skipped > 0 && p.failed > 0:
		parts = append(parts, fmt.Sprintf("%d skipped because of that", p.skipped))
	case p.skipped > 0:
		parts = append(parts, fmt.Sprintf("%d skipped", p.skipped))
	}
	if n := len(s.Remaining.Changes); n > 0 {
		parts = append(parts, fmt.Sprintf("%d left", n))
	}
	if n := len(s.Remaining.Unmanaged); n > 0 {
		parts = append(parts, fmt.Sprintf("%d unmanaged left alone", n))
	}
	fmt.Fprintf(a.out, "%s (%s)\n", strings.Join(parts, "; "), p.fleet.size())
}

// size is what the file asks for: "4 sessions, 6 edges".
func (f *fleet) size() string {
	return plural(len(f.desired.Sessions), "session") + ", " + plural(len(f.desired.Edges), "edge")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func round(d time.Duration) time.Duration {
	switch {
	case d > 10*time.Second:
		return d.Round(100 * time.Millisecond)
	case d > 100*time.Millisecond:
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}
