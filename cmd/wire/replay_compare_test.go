//go:build linux

package main_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// result is what one of our commands did. Its texts are as the reference would print them on the recorder's
// machine: see world.plain.
type result struct {
	exit     int // negative: died of that signal
	out, err string
	changed  []string // letter and path, like record.Changed without the mode
}

// mask finds what differs from run to run in a text: ids, keys, signatures, times.
var mask = regexp.MustCompile(strings.Join([]string{
	`[A-Za-z0-9+/]{86}==`, `[A-Za-z0-9+/]{43}=`,
	`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`,
	`\b[0-9a-f]{64}\b`, `\b[0-9a-f]{32}\b`, `\b[0-9a-f]{8}\b`, `\([0-9a-f]{12}\)`,
	`\bpids?[ =:][0-9, ]*[0-9]`, `silent \d+s`, `fresh \(\d+s\)`, `\(\d+ms`, `\b\d+[smh] ago`, `^\[\d{10}\]`,
	`\b202\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?`,
}, "|"))

// ids are those of them that stand for one thing all through a file.
var ids = regexp.MustCompile(`^(?:[0-9a-f]{8}(?:-[0-9a-f-]+)?|[0-9a-f]{32}|[0-9a-f]{64}|[A-Za-z0-9+/]{43,86}=+)$`)

// clock are the numbers that tell time, sizes or processes: only that they are numbers is compared.
var clock = map[string]bool{
	"pid": true, "new_pid": true, "latency_ms": true, "rtt_ms": true, "last_pull_at_unix": true, "silent_secs": true,
	"age_seconds": true, "expires_unix": true, "log_size_bytes": true, "ts": true, "all_running_pids": true, "orphans": true,
	"running_pids": true, "would_kill": true, "killed": true,
}

func masked(s string) string { return mask.ReplaceAllString(s, "<id>") }

// diff compares a result with what the record says. No line: no difference.
func (w *world) diff(r *record, got result) []string {
	var d differences
	if r.Exit != nil && *r.Exit != got.exit {
		d.add("exit %d, want %d (stderr: %s)", got.exit, *r.Exit, strings.TrimSpace(got.err))
	}
	switch {
	case r.JSON != nil:
		w.diffJSONLine(&d, r, got.out)
	case r.JSONLines != nil:
		w.diffJSONLines(&d, r, got.out)
	case r.Lines != nil:
		f := r.Format
		if isHelp(r.Argv) { // its words are ours, and how many
			f = nil
		}
		diffText(&d, "stdout", r.Lines, f, got.out)
	}
	if r.Stderr != nil {
		diffText(&d, "stderr", r.Stderr, nil, got.err)
	}
	w.diffModes(&d, got.changed)
	if r.Changed != nil {
		diffChanges(&d, r.Changed, got.changed, r.daemonsWork)
	}
	if len(d) == 0 {
		w.diffEvent(&d, r, got.out)
	}
	return d
}

func isHelp(argv []string) bool {
	return slices.ContainsFunc(argv, func(a string) bool { return a == "help" || a == "--help" || a == "-h" })
}

type differences []string

func (d *differences) add(f string, args ...any) { *d = append(*d, fmt.Sprintf(f, args...)) }

// diffText compares lines: each entry is a pattern of one line, or a line, or a part of one, in order. No
// entry: nothing may be printed. Where there is one entry for each line they are compared one by one.
func diffText(d *differences, what string, want []string, f *format, got string) {
	if len(want) == 0 {
		if got != "" {
			d.add("%s: %q, want nothing", what, got)
		}
		return
	}
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if f != nil && f.Lines != len(lines) {
		d.add("%s: %d lines, want %d:\n%s", what, len(lines), f.Lines, got)
		return
	}
	exact := f != nil && f.Lines == len(want)
	at := 0
	for i, entry := range want {
		if exact {
			at = i
		}
		j := at
		for j < len(lines) && !matches(entry, lines[j], exact) && !exact {
			j++
		}
		if j == len(lines) || !matches(entry, lines[j], exact) {
			d.add("%s: no line with %q in:\n%s", what, entry, got)
			return
		}
		at = j
	}
	if f != nil && f.FinalNewline != strings.HasSuffix(got, "\n") {
		d.add("%s: final newline: %v", what, !f.FinalNewline)
	}
}

func matches(entry, line string, whole bool) bool {
	if len(entry) > 1 && strings.HasPrefix(entry, "/") && strings.HasSuffix(entry, "/") {
		re, err := regexp.Compile(strings.ReplaceAll(entry[1:len(entry)-1], `\/`, `/`))
		return err == nil && re.MatchString(line)
	}
	if entry == "" {
		return line == ""
	}
	if cut, ok := strings.CutSuffix(entry, "…"); ok {
		return strings.Contains(masked(line), strings.TrimRight(masked(cut), "0123456789abcdef"))
	}
	return strings.Contains(masked(line), masked(entry))
}
