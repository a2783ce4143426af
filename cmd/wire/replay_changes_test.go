//go:build linux

package main_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

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
	case "outbox-sent.json", "inbox-read.json", "quarantine.jsonl", "managed.json", "refused-pairs.json":
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
