//go:build linux

package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
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

func (w *world) diffJSONLine(d *differences, r *record, out string) {
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	last, before := lines[len(lines)-1], lines[:len(lines)-1]
	if len(before) > 0 { // the reference's children print there; saying less is allowed (cli.md 1.1)
		if r.Before == nil {
			d.add("stdout: lines before the JSON line: %q", before)
		}
		if len(r.Before) > 0 {
			diffText(d, "stdout before the JSON line", r.Before, nil, strings.Join(before, "\n")+"\n")
		}
	}
	w.diffDocument(d, r, last, r.JSON)
	if !strings.HasSuffix(out, "\n") {
		d.add("stdout: no final newline")
	}
}

func (w *world) diffJSONLines(d *differences, r *record, out string) {
	lines := strings.SplitAfter(out, "\n")
	if n := len(lines) - 1; lines[n] == "" {
		lines = lines[:n]
	}
	if len(lines) != len(r.JSONLines) {
		d.add("stdout: %d lines, want %d:\n%s", len(lines), len(r.JSONLines), out)
		return
	}
	for i, l := range lines {
		w.diffDocument(d, r, strings.TrimSuffix(l, "\n"), r.JSONLines[i])
	}
}

func (w *world) diffDocument(d *differences, r *record, line string, want json.RawMessage) {
	got, err := parseOrdered([]byte(line))
	if err != nil {
		d.add("stdout: not JSON: %v: %q", err, line)
		return
	}
	expected, err := parseOrdered(want)
	if err != nil {
		d.add("record: %v", err)
		return
	}
	w.diffNode(d, "", expected, got)
	var b strings.Builder
	if printNode(&b, got, 0, 0); b.String() != line {
		d.add("stdout: not compact: %s", line)
	}
	orders := map[string][][]string{}
	keyOrders(got, "", orders)
	for path, raw := range r.KeyOrder {
		var wanted [][]string
		if json.Unmarshal(raw, &wanted) != nil {
			wanted = [][]string{nil}
			if err := json.Unmarshal(raw, &wanted[0]); err != nil {
				d.add("record: %v", err)
			}
		}
		if len(wanted) == 0 { // one object without keys
			wanted = [][]string{nil}
		}
		diffOrder(d, masked(path), wanted, orders)
	}
}

// diffOrder holds every object at path to one of the wanted orders. A map whose keys are data has none.
func diffOrder(d *differences, path string, wanted [][]string, orders map[string][][]string) {
	if path == "local" || path == "by_cwd" { // "reference: unordered" (cli.md 0.6, 1.3)
		return
	}
	for _, got := range orders[path] {
		ok := slices.ContainsFunc(wanted, func(keys []string) bool {
			keys = slices.Clone(keys)
			for i, k := range keys {
				keys[i] = masked(k)
			}
			return slices.Equal(keys, got)
		})
		if !ok {
			d.add("order of keys at %q: %q, want one of %q", path, got, wanted)
		}
	}
}

// keyOrders collects the orders of keys in n by path, as in record.KeyOrder.
func keyOrders(n node, path string, into map[string][][]string) {
	switch n := n.(type) {
	case []node:
		for _, e := range n {
			keyOrders(e, path+"[]", into)
		}
	case *object:
		keys := slices.Clone(n.keys)
		for i, k := range keys {
			keys[i] = masked(k)
			keyOrders(n.values[k], strings.TrimPrefix(path+"."+keys[i], "."), into)
		}
		into[path] = append(into[path], keys)
	}
}

func (w *world) diffNode(d *differences, path string, want, got node) {
	switch want := want.(type) {
	case *object:
		o, ok := got.(*object)
		if !ok {
			d.add("%s: %s, want an object", path, show(got))
			return
		}
		w.diffObject(d, path, want, o)
	case []node:
		list, ok := got.([]node)
		if ok && strings.HasSuffix(path, ".all_running_pids") {
			list = w.mine(list)
		}
		if !ok || len(list) != len(want) {
			d.add("%s: %s, want %s", path, show(got), show(node(want)))
			return
		}
		for i := range want {
			w.diffNode(d, fmt.Sprintf("%s[%d]", path, i), want[i], list[i])
		}
	case json.Number:
		n, ok := got.(json.Number)
		key, _, _ := strings.Cut(path[strings.LastIndexByte(path, '.')+1:], "[")
		if !ok || n != want && !clock[key] {
			d.add("%s: %s, want %s", path, show(got), want)
		}
	case string:
		s, ok := got.(string)
		if !ok || !w.same(want, s) {
			d.add("%s: %s, want %q", path, show(got), want)
		}
	default: // bool, null
		if want != got {
			d.add("%s: %s, want %v", path, show(got), show(want))
		}
	}
}

// mine are the processes of this world among those of this user, of whom others run tests, too.
func (w *world) mine(pids []node) []node {
	own := map[string]bool{}
	for _, i := range carriers(w.dir) {
		own[strconv.Itoa(i.PID)] = true
	}
	return slices.DeleteFunc(slices.Clone(pids), func(pid node) bool { return !own[show(pid)] })
}

func (w *world) diffObject(d *differences, path string, want, got *object) {
	byMask := map[string]string{}
	for _, k := range got.keys {
		byMask[masked(k)] = k
	}
	for _, k := range want.keys {
		key, ok := byMask[masked(k)]
		if !ok {
			d.add("%s.%s: missing", path, k)
			continue
		}
		delete(byMask, masked(k))
		if !w.same(k, key) {
			d.add("%s: key %q, want %q", path, key, k)
		}
		w.diffNode(d, path+"."+k, want.values[k], got.values[key])
	}
	for _, k := range slices.Sorted(maps.Values(byMask)) {
		d.add("%s.%s: not in the reference: %s", path, k, show(got.values[k]))
	}
}

func show(n node) string {
	var b strings.Builder
	printNode(&b, n, 0, 0)
	return b.String()
}

// same compares two strings but for what differs from run to run; ids stay the same ones all through a file:
// what was A with the reference is always the same A' with us, and nothing else is.
func (w *world) same(want, got string) bool {
	if cut, ok := strings.CutSuffix(want, "…"); ok { // cut by the recorder, perhaps within an id
		cut = strings.TrimRight(masked(cut), "0123456789abcdef")
		return strings.HasPrefix(masked(got), cut)
	}
	if masked(want) != masked(got) {
		return false
	}
	theirs, ours := mask.FindAllString(want, -1), mask.FindAllString(got, -1)
	for i, id := range theirs {
		if !ids.MatchString(id) {
			continue // a time, a number, the beginning of an id
		}
		if !w.bind(id, ours[i]) {
			return false
		}
	}
	return true
}

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

// diffChanges compares what was written. R, a file rewritten with the same bytes, may be missing: we do not
// write what does not differ. What running daemons write meanwhile is not the command's.
func diffChanges(d *differences, want, got []string, daemonsWork bool) {
	expected := map[string]string{}
	for _, line := range want {
		letter, path := changed(line)
		if !ourOwn(path) && !(daemonsWork && byDaemon(path)) {
			expected[path] = letter
		}
	}
	actual := map[string]string{}
	for _, line := range got {
		letter, path, _ := strings.Cut(line, " ")
		if !ourOwn(path) && !(daemonsWork && byDaemon(path)) {
			actual[path] = letter
		}
	}
	for _, path := range slices.Sorted(maps.Keys(expected)) {
		letter := expected[path]
		if actual[path] == letter || letter == "R" && actual[path] == "" {
			delete(actual, path)
			continue
		}
		if strings.HasSuffix(path, "/") && letter == "A" && underneath(actual, path) {
			continue // not empty with us
		}
		d.add("files: %s %s is %q with us", letter, path, actual[path])
		delete(actual, path)
	}
	for _, path := range slices.Sorted(maps.Keys(actual)) {
		d.add("files: %s %s is not in the reference", actual[path], path)
	}
}

// diffModes: what holds a key or a token is for its owner alone, whatever the reference did.
func (w *world) diffModes(d *differences, changed []string) {
	for _, line := range changed {
		letter, path, _ := strings.Cut(line, " ")
		if base := filepath.Base(path); letter == "D" || base != "private.key" && base != "relay.json" && !strings.Contains(path, "/pending-inbound-pairs/") {
			continue
		}
		info, err := os.Lstat(w.path(path))
		if errors.Is(err, fs.ErrNotExist) { // a daemon's doing
			continue
		}
		if err != nil || info.Mode().IsRegular() && info.Mode().Perm() != 0o600 {
			d.add("%s: mode %v (%v), want 0600", path, info.Mode(), err)
		}
	}
}

// changed reads a line of files_changed: letter, mode (not of a directory), path.
func changed(line string) (letter, path string) {
	letter, path, _ = strings.Cut(line, " ")
	if mode, rest, ok := strings.Cut(path, " "); ok && len(mode) == 4 && strings.Trim(mode, "01234567") == "" {
		path = rest
	}
	return letter, path
}

func underneath(paths map[string]string, dir string) bool {
	for p := range paths {
		if strings.HasPrefix(p, dir) && p != dir {
			return true
		}
	}
	return false
}

// ourOwn are files that the reference does not have: "an implementation may have other lock files", and the
// state that design.md 8 adds.
func ourOwn(path string) bool {
	switch base := filepath.Base(path); base {
	case "outbox-sent.json", "quarantine.jsonl", "managed.json", "refused-pairs.json":
		return true
	default:
		return strings.HasSuffix(base, ".lock") || strings.Contains(path, "/trash/")
	}
}

// byDaemon are the files in which a daemon's work shows, and those that it only makes for a moment.
func byDaemon(path string) bool {
	switch base := filepath.Base(path); base {
	case "daemon.log", "daemon.pid", "relay.json":
		return true
	default:
		return strings.HasPrefix(base, ".") || strings.Contains(path, "/state/wire/inbox/") ||
			strings.Contains(path, "/state/wire/pending-inbound-pairs/")
	}
}

// diffEvent holds the event that send queued to what the record says of it.
func (w *world) diffEvent(d *differences, r *record, out string) {
	if r.KindAndType == nil && r.Body == nil && r.Deadline == "" && r.To == "" {
		return
	}
	var said struct{ Outbox string }
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		d.add("event: %v", err)
		return
	}
	event, err := lastEvent(w.local(said.Outbox))
	if err != nil {
		d.add("event: %v", err)
		return
	}
	compare := func(key string, want json.RawMessage) {
		n, err := parseOrdered(want)
		if err != nil {
			d.add("record: %v", err)
			return
		}
		w.diffNode(d, "event."+key, n, event.values[key])
	}
	if len(r.KindAndType) == 2 {
		compare("kind", r.KindAndType[0])
		compare("type", r.KindAndType[1])
	}
	if r.Body != nil {
		compare("body", r.Body)
	}
	if r.To != "" && event.values["to"] != r.To {
		d.add("event.to: %v, want %s", event.values["to"], r.To)
	}
	if r.Deadline != "" {
		diffDeadline(d, r, event)
	}
}

// diffDeadline: a deadline given as a duration counts from the event's own time.
func diffDeadline(d *differences, r *record, event *object) {
	got, _ := event.values["time_sensitive_until"].(string)
	if strings.HasPrefix(r.Deadline, "2030") {
		if got != r.Deadline {
			d.add("event.time_sensitive_until: %q, want %q", got, r.Deadline)
		}
		return
	}
	stamp, _ := event.values["timestamp"].(string)
	span := func(from, to string) time.Duration {
		a, err1 := time.Parse(time.RFC3339Nano, from)
		b, err2 := time.Parse(time.RFC3339Nano, to)
		if err1 != nil || err2 != nil {
			d.add("event: times %q, %q", from, to)
		}
		return b.Sub(a).Round(time.Minute)
	}
	if g, x := span(stamp, got), span(r.Timestamp, r.Deadline); g != x {
		d.add("event.time_sensitive_until: after %s, want %s", g, x)
	}
}

func lastEvent(path string) (*object, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	n, err := parseOrdered([]byte(lines[len(lines)-1]))
	if err != nil {
		return nil, err
	}
	o, ok := n.(*object)
	if !ok {
		return nil, fmt.Errorf("%s: no object", path)
	}
	return o, nil
}

// diffFile compares a state file.
func (w *world) diffFile(r *record) []string {
	var d differences
	path := filepath.Join(w.root, r.File)
	data, err := os.ReadFile(path)
	if err != nil {
		return []string{err.Error()}
	}
	text := w.plain(string(data))
	got, err := parseOrdered([]byte(text))
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", r.File, err)}
	}
	want, err := parseOrdered(r.Content)
	if err != nil {
		return []string{err.Error()}
	}
	w.diffNode(&d, r.File+":", want, got)
	orders := map[string][][]string{}
	keyOrders(got, "", orders)
	for path, keys := range r.FileKeyOrder {
		diffOrder(&d, masked(path), [][]string{keys}, orders)
	}
	if info, err := os.Stat(path); err != nil || r.Mode == "0600" && info.Mode().Perm() != 0o600 {
		d.add("%s: mode %v, want %s", r.File, info.Mode(), r.Mode)
	}
	if f := r.FileFormat; f != nil {
		var b strings.Builder
		indent := 0
		if f.Indented {
			indent = 2
		}
		if printNode(&b, got, indent, 0); f.FinalNewline {
			b.WriteByte('\n')
		}
		if b.String() != text {
			d.add("%s: another layout:\n%s", r.File, text)
		}
	}
	return d
}
