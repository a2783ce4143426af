package spec

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gopkg.in/yaml.v3"
)

const (
	// maxValues ends the reading of a file whose aliases multiply each other.
	maxValues = 200_000
	// maxProblems is more than anybody reads at once.
	maxProblems = 200
)

// spot is where a value of the file stands.
type spot struct {
	line, column int
	faulty       bool // of the wrong type, which has been reported
}

// Load parses and checks the text of a wire.yaml. name is how errors call it. Errors are Problems: all of
// them in order of position, but after a syntax error or an unknown version, which leave nothing to judge,
// only that one.
func Load(name string, data []byte) (*File, error) {
	root, faults := parse(name, data)
	if faults != nil {
		return nil, faults
	}
	f := NewFile()
	f.name, f.at = name, map[string]spot{}
	l := &loader{file: f, fields: map[reflect.Type][]field{}}
	l.decode("", root, reflect.ValueOf(f).Elem())
	if f.has("version") && f.Version != Version {
		at := f.at["version"]
		return nil, Problems{f.problem(at, "version %d is not known here; this program reads version %d", f.Version, Version)}
	}
	if !l.full() {
		l.check()
	}
	if len(l.problems) > 0 {
		return nil, l.problems.sorted()
	}
	return f, nil
}

type loader struct {
	file     *File
	problems Problems
	values   int
	fields   map[reflect.Type][]field // each type's, listed once
}

func (f *File) problem(at spot, format string, args ...any) Problem {
	return Problem{File: f.name, Line: at.line, Column: at.column, Text: fmt.Sprintf(format, args...)}
}

// has says whether the file gives the value at path, and one of the right type.
func (f *File) has(path string) bool {
	at, ok := f.at[path]
	return ok && !at.faulty
}

func (l *loader) add(at spot, format string, args ...any) {
	if l.full() {
		return
	}
	l.problems = append(l.problems, l.file.problem(at, format, args...))
	if l.full() {
		l.problems = append(l.problems, l.file.problem(at, "and more; only the first %d are listed", maxProblems))
	}
}

// full says that so much is wrong that reading on is of no use.
func (l *loader) full() bool { return len(l.problems) >= maxProblems || l.values > maxValues }

// wrong reports the value at path as one of the wrong type.
func (l *loader) wrong(path string, at spot, format string, args ...any) {
	l.add(at, format, args...)
	at.faulty = true
	l.file.at[path] = at
}

func spotOf(n *yaml.Node) spot { return spot{line: n.Line, column: n.Column} }

// decode puts the value of n at path into v, whose type says what it may be.
func (l *loader) decode(path string, n *yaml.Node, v reflect.Value) {
	at := spotOf(n)
	l.file.at[path] = at
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if l.values++; l.full() {
		if l.values == maxValues+1 {
			l.problems = append(l.problems, l.file.problem(at, "more than %d values, aliases included", maxValues))
		}
		return
	}
	switch v := v.Addr().Interface().(type) {
	case *Daemon:
		l.daemon(path, at, n, v)
		return
	case *Mesh:
		l.mesh(path, at, n, v)
		return
	case *time.Duration:
		l.duration(path, at, n, v)
		return
	case *Reach:
		l.reach(path, at, n, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		l.mapping(path, at, n, v)
	case reflect.Slice:
		l.list(path, at, n, v)
	case reflect.String:
		if l.scalar(path, at, n, "!!str", "text") {
			v.SetString(n.Value)
		}
	case reflect.Bool:
		if l.scalar(path, at, n, "!!bool", "true or false") {
			v.SetBool(truth(n))
		}
	case reflect.Int:
		if l.scalar(path, at, n, "!!int", "a number") {
			i, err := strconv.Atoi(n.Value)
			if err != nil {
				l.wrong(path, at, "%s is not a plain decimal number: %s", last(path), quote(n.Value))
			}
			v.SetInt(int64(i))
		}
	default:
		panic("spec: no rule for " + v.Type().String())
	}
}

// truth reads a scalar that resolved to !!bool: true, True or TRUE, or their contraries.
func truth(n *yaml.Node) bool { return strings.EqualFold(n.Value, "true") }

// scalar says whether n is a scalar with the given tag, and reports it if not.
func (l *loader) scalar(path string, at spot, n *yaml.Node, tag, want string) bool {
	got := n.ShortTag()
	if n.Kind == yaml.ScalarNode && got == tag {
		return true
	}
	hint := ""
	switch {
	case n.Kind != yaml.ScalarNode || got == "!!null":
	case tag == "!!str":
		hint = fmt.Sprintf("; put it in quotes: %s", quote(n.Value))
	case tag == "!!bool" && slices.Contains([]string{"yes", "on", "y", "1"}, strings.ToLower(n.Value)):
		hint = "; write true"
	case tag == "!!bool" && slices.Contains([]string{"no", "off", "n", "0"}, strings.ToLower(n.Value)):
		hint = "; write false"
	case got == "!!str" && (&yaml.Node{Kind: yaml.ScalarNode, Value: n.Value}).ShortTag() == tag:
		hint = "; write it without quotes"
	}
	l.wrong(path, at, "%s must be %s, not %s%s", last(path), want, describe(n), hint)
	return false
}

// describe names what stands in the place of something else.
func describe(n *yaml.Node) string {
	switch tag := n.ShortTag(); {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case tag == "!!null":
		return "nothing"
	case tag == "!!bool", tag == "!!int", tag == "!!float":
		return n.Value
	case tag == "!!timestamp":
		return "the date " + n.Value
	case tag != "!!str":
		return "something tagged " + quote(tag)
	}
	return quote(n.Value)
}

// quote shows text of the file, shortened where it is long.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	return strconv.Quote(s)
}

// last is what messages call the value at path: its key, if it has one.
func last(path string) string {
	switch path = path[strings.LastIndexByte(path, '.')+1:]; {
	case path == "":
		return "the file"
	case strings.HasPrefix(path, "sessions["):
		return "a session"
	case strings.Contains(path, "]["):
		return "a name in a group"
	case strings.HasPrefix(path, "mesh["):
		return "a group of the mesh"
	}
	return path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func item(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// field is one key of a mapping.
type field struct {
	key      string
	index    []int
	required bool
}

// fieldsOf are the keys of a type of the file, in its order.
func fieldsOf(t reflect.Type) (fields []field) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("yaml")
		switch {
		case tag == ",inline":
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				fields = append(fields, inner)
			}
		case tag != "":
			fields = append(fields, field{key: tag, index: []int{i}, required: f.Tag.Get("spec") == "required"})
		}
	}
	return fields
}

func (l *loader) mapping(path string, at spot, n *yaml.Node, v reflect.Value) {
	fields := l.fields[v.Type()]
	if fields == nil {
		fields = fieldsOf(v.Type())
		l.fields[v.Type()] = fields
	}
	values := l.keys(path, at, n, fields)
	for _, f := range fields {
		if n := values[f.key]; n != nil {
			l.decode(join(path, f.key), n, v.FieldByIndex(f.index))
		} else if f.required && !l.file.at[path].faulty {
			l.add(at, "%s lacks %q%s", last(path), f.key, example(f.key))
		}
	}
}

// example shows how a required key looks.
func example(key string) string {
	switch key {
	case "version":
		return fmt.Sprintf("; write version: %d", Version)
	case "sessions":
		return "; write sessions: [] if there shall be none"
	}
	return ""
}

// keys are the values of a mapping that may have no other keys than fields. It reports all else.
func (l *loader) keys(path string, at spot, n *yaml.Node, fields []field) map[string]*yaml.Node {
	if n.Kind != yaml.MappingNode {
		l.wrong(path, at, "%s must be a mapping with %s, not %s", last(path), list(fields), describe(n))
		return nil
	}
	values := map[string]*yaml.Node{}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, at := n.Content[i], spotOf(n.Content[i])
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		switch {
		case k.ShortTag() == "!!merge":
			l.add(at, "merge keys (<<) are not supported; what sessions share belongs in defaults")
		case k.Kind != yaml.ScalarNode:
			l.add(at, "a key must be text, not %s", describe(k))
		case lines[k.Value] > 0:
			l.add(at, "%s stands twice in this mapping, first on line %d", quote(k.Value), lines[k.Value])
		case !slices.ContainsFunc(fields, func(f field) bool { return f.key == k.Value }):
			lines[k.Value] = at.line
			l.add(at, "unknown key %s%s", quote(k.Value), orKnown(k.Value, fields, last(path)))
		default:
			lines[k.Value] = at.line
			values[k.Value] = n.Content[i+1]
		}
	}
	return values
}

// orKnown is the key that was meant, else all that its owner may have.
func orKnown(key string, fields []field, owner string) string {
	if hint := didYouMean(key, keys(fields)); hint != "" {
		return hint
	}
	return fmt.Sprintf("; %s has %s", owner, list(fields))
}

func keys(fields []field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.key
	}
	return names
}

func list(fields []field) string { return strings.Join(keys(fields), ", ") }

func (l *loader) list(path string, at spot, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		hint := ""
		if n.ShortTag() == "!!null" {
			hint = "; write [] for none"
		}
		l.wrong(path, at, "%s must be a list, not %s%s", last(path), describe(n), hint)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, child := range n.Content {
		if e, ok := v.Index(i).Addr().Interface().(*Entry); ok {
			e.Settings = l.file.Defaults // decoded before sessions, whatever the order in the file
		}
		l.decode(item(path, i), child, v.Index(i))
	}
}

func (l *loader) daemon(path string, at spot, n *yaml.Node, d *Daemon) {
	if n.Kind != yaml.MappingNode {
		if l.scalar(path, at, n, "!!bool", "true, false or {takeover: true}") {
			*d = Daemon{On: truth(n)}
		}
		return
	}
	values := l.keys(path, at, n, []field{{key: "takeover"}})
	takeover := values["takeover"]
	if takeover == nil {
		if len(n.Content) == 0 {
			l.add(at, "daemon must be true, false or {takeover: true}, not an empty mapping")
		}
		return
	}
	*d = Daemon{On: true}
	l.decode(join(path, "takeover"), takeover, reflect.ValueOf(&d.Takeover).Elem())
}

func (l *loader) mesh(path string, at spot, n *yaml.Node, m *Mesh) {
	const want = "full, none or a list of groups such as [[api, web], [web, press]]"
	*m = Mesh{}
	switch {
	case n.Kind == yaml.ScalarNode && n.Value == "full":
		m.Full = true
	case n.Kind == yaml.ScalarNode && n.Value == "none":
	case n.Kind == yaml.SequenceNode && len(n.Content) == 0:
		l.wrong(path, at, "mesh has no group; write none if nobody shall be paired")
	case n.Kind == yaml.SequenceNode && !slices.ContainsFunc(n.Content, isList):
		l.wrong(path, at, "mesh must be a list of groups, each a list itself: [[api, web]], not [api, web]")
	case n.Kind == yaml.SequenceNode:
		l.list(path, at, n, reflect.ValueOf(&m.Groups).Elem())
	default:
		l.wrong(path, at, "mesh must be %s, not %s%s", want, describe(n), didYouMean(n.Value, []string{"full", "none"}))
	}
}

func isList(n *yaml.Node) bool {
	return n.Kind == yaml.SequenceNode || n.Kind == yaml.AliasNode && n.Alias.Kind == yaml.SequenceNode
}

func (l *loader) reach(path string, at spot, n *yaml.Node, r *Reach) {
	all := []string{string(ReachLocal), string(ReachFederation), string(ReachBoth)}
	if n.Kind != yaml.ScalarNode || !slices.Contains(all, n.Value) {
		l.wrong(path, at, "reach must be local, federation or both, not %s%s", describe(n), didYouMean(n.Value, all))
		return
	}
	*r = Reach(n.Value)
}

var intervalRegexp = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(intervalPattern) })

func (l *loader) duration(path string, at spot, n *yaml.Node, d *time.Duration) {
	const want = "a duration of whole seconds such as 5s or 2m"
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!int":
		l.wrong(path, at, "%s must be %s, not a bare number; write %ss", last(path), want, n.Value)
	case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str":
		l.wrong(path, at, "%s must be %s, not %s", last(path), want, describe(n))
	case n.Value == "" || !intervalRegexp().MatchString(n.Value):
		l.wrong(path, at, "%s must be %s, not %s", last(path), want, quote(n.Value))
	default:
		v, err := time.ParseDuration(n.Value)
		if err != nil || v < time.Second || v > 24*time.Hour {
			l.wrong(path, at, "%s must be between 1s and 24h, not %s", last(path), n.Value)
			return
		}
		*d = v
	}
}
