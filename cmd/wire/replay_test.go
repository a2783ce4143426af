//go:build linux

package main_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestReplay runs every record of testdata/cli, which the reference left, on our binary and our relay, and
// compares what comes of it. What differs on purpose is named, record by record, with the row of
// docs/differences.md that gives the reason; any other difference fails.
//
// A file's records follow each other on one state; they are all run, whichever of them -run selects.
func TestReplay(t *testing.T) {
	rows, err := differenceTable()
	if err != nil {
		t.Fatal(err)
	}
	names, err := vectorNames()
	if err != nil {
		t.Fatal(err)
	}
	verbs := &verbs{below: map[string][]string{}}
	count := &tally{}
	t.Cleanup(func() {
		t.Log(count)
		if len(count.perFile) < len(names) || len(count.pending()) > 0 {
			return // a selection, or not all verbs are there
		}
		for row, tests := range rows {
			if slices.Contains(tests, "TestReplay") && count.byRow[row] == 0 {
				t.Errorf("docs/differences.md: no record differs by %s", row)
			}
		}
	})
	for _, name := range names {
		s, ok := replayScripts[name]
		if !ok {
			t.Errorf("%s.json: nothing says what was prepared by hand between its records", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replayFile(t, name, s, &replay{world: newWorld(t), verbs: verbs, rows: rows, count: count})
		})
	}
}

// script is what a file's records leave to prose, or unsaid: what was prepared by hand.
type script struct {
	start func(*world) error // before the first record

	daemonsWork bool // daemons run: what they write meanwhile is not compared

	steps map[string]step // by the name of a record
}

// step is what belongs to one record.
type step struct {
	before func(*world) error                    // what was prepared by hand just before
	edit   func(*world, *record)                 // puts in what the record only describes, such as a long input
	run    func(*world, *record) (result, error) // instead of running argv to its end
	check  func(*world, *record) error           // instead of comparing a result: an observation
	after  func(*world) error                    // what was done by hand afterwards

	row    string                // of docs/differences.md, or several: we differ here
	ours   func(*world, *record) // turns the record into what we do
	skip   string                // not replayed, and why
	unless func() string         // why it cannot be replayed here, if so
	needs  []string              // commands that the record speaks of beside its own
	home   string                // WIRE_HOME, where the record does not tell it

	daemonsWork bool // as of the script
}

// replayScripts are those of the files, each in a Go file of its own.
var replayScripts = map[string]script{
	"conventions":                 conventionsScript,
	"environment":                 environmentScript,
	"identity":                    identityScript,
	"mesh":                        meshScript,
	"messages":                    messagesScript,
	"operations":                  operationsScript,
	"pairing":                     pairingScript,
	"relay":                       relayScript,
	"responder-reactor":           responderScript,
	"scenarios":                   scenariosScript,
	"session-env-current-destroy": sessionEnvScript,
	"session-list":                sessionListScript,
	"session-mesh-status":         meshStatusScript,
	"session-new":                 sessionNewScript,
	"session-pair-all-local":      pairAllScript,
	"status-doctor":               statusScript,
	"sync":                        syncScript,
}

type replay struct {
	*world
	verbs *verbs
	rows  map[string][]string
	count *tally

	// unmade are the directories below $ROOT whose state is not that of the record, with the reason: a
	// record that would have made it was skipped.
	unmade map[string]string
}

func replayFile(t *testing.T, name string, s script, p *replay) {
	records, err := vectorFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if s.start != nil {
		if err := s.start(p.world); err != nil {
			t.Fatal(err)
		}
	}
	p.unmade = map[string]string{}
	known := map[string]bool{}
	for _, r := range records {
		known[r.Name], r.daemonsWork = true, s.daemonsWork
		o := p.play(r, s.steps[r.Name])
		p.count.add(name, r, o)
		t.Run(r.Name, func(t *testing.T) {
			switch {
			case o.skipped != "":
				t.Skip(o.skipped)
			case o.row != "":
				t.Log("differs: " + o.row)
			}
			for _, d := range o.wrong {
				t.Error(d)
			}
		})
	}
	for step := range s.steps {
		if !known[step] {
			t.Errorf("%s.json has no record %q", name, step)
		}
	}
}

// outcome is what became of one record: skipped, or compared.
type outcome struct {
	skipped string
	row     string
	wrong   []string
}

func (p *replay) play(r *record, s step) (o outcome) {
	if s.home != "" {
		r.Env = map[string]*string{"WIRE_HOME": &s.home}
	}
	if o.skipped = p.skips(r, s); o.skipped != "" {
		p.spoil(r, s, o.skipped)
		return o
	}
	for _, row := range strings.Fields(s.row) {
		if _, ok := p.rows[row]; !ok {
			o.wrong = append(o.wrong, "docs/differences.md has no row "+row)
		}
	}
	o.row = s.row
	r.daemonsWork = r.daemonsWork || s.daemonsWork
	if s.edit != nil {
		s.edit(p.world, r)
	}
	wrong, err := p.compared(r, s)
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	o.wrong = append(o.wrong, wrong...)
	return o
}

func (p *replay) compared(r *record, s step) (wrong []string, err error) {
	if s.before != nil {
		if err := s.before(p.world); err != nil {
			return nil, fmt.Errorf("preparing: %w", err)
		}
	}
	diff := func() []string { return nil }
	switch {
	case s.check != nil:
		if s.ours != nil {
			s.ours(p.world, r)
		}
		err = s.check(p.world, r)
	case r.Argv == nil && r.File != "":
		diff = func() []string { return p.diffFile(r) }
	case r.Argv == nil:
		return nil, errors.New("no code for this observation")
	default:
		run := (*world).run
		if s.run != nil {
			run = s.run
		}
		var got result
		if got, err = run(p.world, r); err == nil {
			diff = func() []string { return p.diff(r, got) }
		}
	}
	if err != nil {
		return nil, err
	}
	if s.ours != nil && s.check == nil {
		kept := [2]map[string]string{maps.Clone(p.theirs), maps.Clone(p.ours)}
		if len(diff()) == 0 {
			wrong = append(wrong, "no difference, though it is listed as "+s.row)
		}
		p.theirs, p.ours = kept[0], kept[1]
		s.ours(p.world, r)
	}
	wrong = append(wrong, diff()...)
	if s.after != nil {
		err = s.after(p.world)
	}
	return wrong, err
}

// skips says why a record cannot be replayed: by decision, or because a verb is not there yet, its own or
// that of a record whose work it needs.
func (p *replay) skips(r *record, s step) string {
	if s.skip != "" {
		return s.skip
	}
	if s.unless != nil {
		if why := s.unless(); why != "" {
			return why
		}
	}
	if verb := later(r); verb != "" {
		return "later command: " + verb
	}
	if verb := p.verbs.missing(r.Argv); verb != "" {
		return "pending: " + verb
	}
	for _, n := range s.needs {
		if verb := p.verbs.missing(append([]string{"wire"}, strings.Fields(n)...)); verb != "" {
			return "pending: " + verb
		}
	}
	where := strings.TrimPrefix(r.wireHome(), "$ROOT/")
	if r.File != "" {
		where = r.File
	}
	return p.unmade[stateOf(where)]
}

// spoil remembers what a skipped record would have made.
func (p *replay) spoil(r *record, s step, why string) {
	paths := []string{strings.TrimPrefix(r.wireHome(), "$ROOT/")}
	if r.has("files_changed") || s.check == nil && r.Argv == nil {
		paths = nil
		for _, line := range r.Changed {
			if _, path := changed(line); !strings.HasSuffix(path, "/pending-pair/") { // what status makes; nothing depends on it
				paths = append(paths, path)
			}
		}
	}
	for _, path := range paths {
		if top := stateOf(path); p.unmade[top] == "" {
			p.unmade[top] = why
		}
	}
}

// stateOf is the home that a path below $ROOT belongs to. Somebody without WIRE_HOME has other files as well.
func stateOf(path string) string {
	top, rest, _ := strings.Cut(path, "/")
	if top == "user" && rest != "" && !strings.HasPrefix(rest, ".local/") && !strings.HasPrefix(rest, ".config/wire/") {
		return path
	}
	return top
}

// interrupted starts the record's command, waits until it has printed what the record says, and ends it as the
// recorder did.
func interrupted(w *world, r *record) (result, error) {
	p, err := w.start(r)
	if err != nil {
		return result{}, err
	}
	if err := p.prints(max(len(r.JSONLines), len(r.Lines))); err != nil {
		_, _ = p.end(syscall.SIGKILL)
		return result{}, err
	}
	return p.end(syscall.SIGTERM)
}
