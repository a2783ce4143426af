//go:build linux

package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// record is one entry of testdata/cli/*.json (README.md there): one command that the reference ran and what
// came of it, or one observation between two commands.
type record struct {
	Name   string             `json:"name"`
	Setup  []string           `json:"setup"`
	Argv   []string           `json:"argv"`
	Env    map[string]*string `json:"env"` // null: removed
	Cwd    string             `json:"cwd"`
	Stdin  *string            `json:"stdin"`
	Exit   *int               `json:"exit"` // nil with EndedBy; negative: died of that signal
	Ended  string             `json:"ended_by"`
	Signal string             `json:"signal"`

	JSON      json.RawMessage            `json:"stdout_json"`
	JSONLines []json.RawMessage          `json:"stdout_json_lines"`
	KeyOrder  map[string]json.RawMessage `json:"stdout_key_order"`
	Before    []string                   `json:"stdout_lines_before_json"`
	Lines     []string                   `json:"stdout_lines"`
	Format    *format                    `json:"stdout_format"`
	Stderr    []string                   `json:"stderr_contains"`
	Changed   []string                   `json:"files_changed"`

	// Of send: what the queued event holds.
	KindAndType []json.RawMessage `json:"event_kind_and_type"`
	Body        json.RawMessage   `json:"event_body"`
	Deadline    string            `json:"event_time_sensitive_until"`
	Timestamp   string            `json:"event_timestamp"`
	To          string            `json:"event_to"`

	// Of a state file.
	File         string              `json:"file"`
	Mode         string              `json:"mode"`
	Content      json.RawMessage     `json:"content_json"`
	FileKeyOrder map[string][]string `json:"key_order"`
	FileFormat   *format             `json:"format"`

	daemonsWork bool // see script

	// All of it, for observations that only one record has.
	All map[string]json.RawMessage `json:"-"`
}

// format is how a text is laid out.
type format struct {
	Lines        int  `json:"lines"`
	FinalNewline bool `json:"final_newline"`
	Compact      bool `json:"compact"`
	Indented     bool `json:"indented"`
}

func (r *record) UnmarshalJSON(data []byte) error {
	type plain record
	if err := json.Unmarshal(data, (*plain)(r)); err != nil {
		return err
	}
	return json.Unmarshal(data, &r.All)
}

func (r *record) has(key string) bool { _, ok := r.All[key]; return ok }

// wireHome is the WIRE_HOME that the record sets, or that of somebody without one.
func (r *record) wireHome() string {
	if v := r.Env["WIRE_HOME"]; v != nil {
		return *v
	}
	return "$ROOT/user"
}

// vectorFile reads one file. A scenario's records are named after it; a name that comes again gets a number.
func vectorFile(name string) ([]*record, error) {
	data, err := os.ReadFile(filepath.Join("testdata", "cli", name+".json"))
	if err != nil {
		return nil, err
	}
	var all []*record
	if name == "scenarios" {
		var stories []struct {
			Scenario string    `json:"scenario"`
			Steps    []*record `json:"steps"`
		}
		if err := json.Unmarshal(data, &stories); err != nil {
			return nil, err
		}
		byName := map[string][]*record{}
		for _, s := range stories {
			for _, r := range s.Steps {
				r.Name = s.Scenario + "." + r.Name
				byName[s.Scenario] = append(byName[s.Scenario], r)
			}
		}
		// The order in which they were recorded, on one machine state.
		for _, s := range []string{"first-session", "three-sisters", "message", "broken-daemon", "destroy"} {
			all = append(all, byName[s]...)
		}
		return all, nil
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	times := map[string]int{}
	for _, r := range all {
		if times[r.Name]++; times[r.Name] > 1 {
			r.Name = fmt.Sprintf("%s#%d", r.Name, times[r.Name])
		}
	}
	return all, nil
}

func vectorNames() ([]string, error) {
	paths, err := filepath.Glob(filepath.Join("testdata", "cli", "*.json"))
	for i, p := range paths {
		paths[i] = strings.TrimSuffix(filepath.Base(p), ".json")
	}
	return paths, err
}

// node is JSON that remembers the order of keys: nil, bool, string, json.Number, []node or *object.
type node any

type object struct {
	keys   []string
	values map[string]node
}

func parseOrdered(data []byte) (node, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	n, err := readNode(d)
	if err == nil && d.More() {
		err = fmt.Errorf("more than one JSON value")
	}
	return n, err
}

func readNode(d *json.Decoder) (node, error) {
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch tok {
	case json.Delim('['):
		list := []node{}
		for d.More() {
			n, err := readNode(d)
			if err != nil {
				return nil, err
			}
			list = append(list, n)
		}
		_, err = d.Token()
		return list, err
	case json.Delim('{'):
		o := &object{values: map[string]node{}}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			n, err := readNode(d)
			if err != nil {
				return nil, err
			}
			o.keys = append(o.keys, key.(string))
			o.values[key.(string)] = n
		}
		_, err = d.Token()
		return o, err
	}
	return tok, nil
}

// printNode prints as the reference does: compact, or indented by two; only `"`, `\` and control characters
// escaped.
func printNode(b *strings.Builder, n node, indent, level int) {
	line := func(level int) {
		if indent > 0 {
			b.WriteString("\n" + strings.Repeat(" ", indent*level))
		}
	}
	switch n := n.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		fmt.Fprint(b, n)
	case json.Number:
		b.WriteString(n.String())
	case string:
		printString(b, n)
	case []node:
		b.WriteByte('[')
		for i, e := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			line(level + 1)
			printNode(b, e, indent, level+1)
		}
		if len(n) > 0 {
			line(level)
		}
		b.WriteByte(']')
	case *object:
		b.WriteByte('{')
		for i, k := range n.keys {
			if i > 0 {
				b.WriteByte(',')
			}
			line(level + 1)
			printString(b, k)
			b.WriteByte(':')
			if indent > 0 {
				b.WriteByte(' ')
			}
			printNode(b, n.values[k], indent, level+1)
		}
		if len(n.keys) > 0 {
			line(level)
		}
		b.WriteByte('}')
	}
}

func printString(b *strings.Builder, s string) {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}
	b.WriteByte('"')
	for _, c := range s {
		switch e, ok := short[c]; {
		case ok:
			b.WriteString(e)
		case c < 0x20:
			fmt.Fprintf(b, `\u%04x`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
}
