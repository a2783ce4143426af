//go:build linux

package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

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
