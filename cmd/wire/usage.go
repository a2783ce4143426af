package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// misuse is a command line that does not fit: what is wrong, and the usage line of the command it was meant
// for. A missing subcommand has no text: the help of that level says it.
type misuse struct {
	node  *kong.Node
	text  string
	given []string // flags given, which the reference names in some usage lines
}

func (m *misuse) Error() string { return m.text }

// strict reads args by the rules of the reference (cli.md 0.1), which kong's own differ from: a flag only
// once, no value for a boolean, no value that starts with a dash unless after "=", no abbreviations. It
// returns nil for what kong may parse.
func strict(model *kong.Node, args []string) error {
	r := reader{node: model, seen: map[string]bool{}}
	for i := 0; i < len(args); i++ {
		var err error
		switch arg := args[i]; {
		case r.literal || arg == "-" || !strings.HasPrefix(arg, "-"):
			err = r.word(arg)
		case arg == "--":
			r.literal = true
		default:
			var took int
			took, err = r.flag(args[i:])
			i += took
		}
		if err != nil || r.help {
			return err
		}
	}
	return r.end()
}

type reader struct {
	node    *kong.Node
	words   int
	seen    map[string]bool
	given   []string
	literal bool // after --
	help    bool
}

func (r *reader) wrong(format string, args ...any) error {
	return &misuse{node: r.node, text: fmt.Sprintf(format, args...), given: r.given}
}

func (r *reader) word(arg string) error {
	if len(r.node.Children) > 0 {
		for _, c := range r.node.Children {
			if c.Name == arg || slices.Contains(c.Aliases, arg) {
				r.node = c
				return nil
			}
		}
		return r.wrong("unrecognized subcommand '%s'", arg)
	}
	if r.words >= len(r.node.Positional) {
		if n := len(r.node.Positional); n == 0 || !r.node.Positional[n-1].IsSlice() {
			return r.wrong("unexpected argument '%s' found", arg)
		}
	}
	r.words++
	return nil
}

// flag reads the flag at the head of args and says how many more arguments it took.
func (r *reader) flag(args []string) (took int, err error) {
	arg := args[0]
	name, value, hasValue := strings.Cut(arg, "=")
	f := r.find(name)
	if f == nil {
		return 0, r.unexpected(arg)
	}
	if f.Name == "help" || f.Name == "version" {
		r.help = true
		return 0, nil
	}
	shown := "--" + f.Name
	if f.IsBool() {
		r.given = append(r.given, shown)
		if hasValue {
			return 0, r.wrong("unexpected value '%s' for '%s' found; no more were expected", value, shown)
		}
		return 0, r.once(f, shown)
	}
	shown += " <" + placeholder(f) + ">"
	if !hasValue {
		if len(args) == 1 || r.find(args[1]) != nil {
			return 0, r.wrong("a value is required for '%s' but none was supplied", shown)
		}
		if strings.HasPrefix(args[1], "-") && args[1] != "-" {
			return 0, r.unexpected(args[1])
		}
		took, value = 1, args[1]
	}
	if err := r.once(f, shown); err != nil {
		return took, err
	}
	if number(f.Target) && !digits(value) {
		return took, r.wrong("invalid value '%s' for '%s': invalid digit found in string", value, shown)
	}
	return took, nil
}

// unexpected names a flag that is not there: a short one by its letter.
func (r *reader) unexpected(arg string) error {
	name, _, _ := strings.Cut(arg, "=")
	if !strings.HasPrefix(name, "--") {
		_, size := firstRune(name[1:])
		name = name[:1+size]
	}
	return r.wrong("unexpected argument '%s' found", name)
}

func firstRune(s string) (rune, int) {
	for i, c := range s {
		if i > 0 {
			return c, i
		}
	}
	return 0, len(s)
}

// once refuses a flag that was given before; --exclude and --only may be repeated.
func (r *reader) once(f *kong.Flag, shown string) error {
	if r.seen[f.Name] && !f.IsSlice() {
		return r.wrong("the argument '%s' cannot be used multiple times", shown)
	}
	r.seen[f.Name] = true
	return nil
}

// find is the flag of that spelling, "--name" or "-n", on the current command; -V exists at the top only.
func (r *reader) find(spelling string) *kong.Flag {
	for n := r.node; n != nil; n = n.Parent {
		for _, f := range n.Flags {
			if f.Name == "version" && r.node.Parent != nil {
				continue
			}
			if "--"+f.Name == spelling || f.Short != 0 && "-"+string(f.Short) == spelling {
				return f
			}
		}
	}
	return nil
}

func (r *reader) end() error {
	if len(r.node.Children) > 0 {
		return &misuse{node: r.node}
	}
	var missing []string
	for _, f := range r.node.Flags {
		if f.Required && !r.seen[f.Name] {
			missing = append(missing, "  --"+f.Name+" <"+placeholder(f)+">")
		}
	}
	for i, p := range r.node.Positional {
		if p.Required && i >= r.words {
			missing = append(missing, "  <"+upper(p.Name)+">")
		}
	}
	if len(missing) > 0 {
		return r.wrong("the following required arguments were not provided:\n%s", strings.Join(missing, "\n"))
	}
	return nil
}

// number says whether a flag takes a plain count; durations have a type of their own.
func number(t reflect.Value) bool {
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64 && t.Type() != reflect.TypeFor[time.Duration]()
}

func digits(s string) bool {
	s = strings.TrimPrefix(s, "+")
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func placeholder(f *kong.Flag) string {
	if f.PlaceHolder != "" {
		return f.PlaceHolder
	}
	return upper(f.Name)
}

func upper(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }

// usageLine is "Usage: wire init [OPTIONS] <HANDLE>".
func usageLine(n *kong.Node) string {
	var b strings.Builder
	b.WriteString("Usage: " + strings.Join(path(n), " "))
	if len(n.Children) > 0 {
		return b.String() + " <COMMAND>"
	}
	optional := false
	for _, f := range n.Flags {
		optional = optional || !f.Required && !f.Hidden
	}
	if optional {
		b.WriteString(" [OPTIONS]")
	}
	for _, f := range n.Flags {
		if f.Required {
			b.WriteString(" --" + f.Name + " <" + placeholder(f) + ">")
		}
	}
	for _, p := range n.Positional {
		b.WriteString(" " + argument(p))
	}
	return b.String()
}

func argument(p *kong.Positional) string {
	switch name := upper(p.Name); {
	case p.IsSlice():
		return "[" + name + "]..."
	case p.Required:
		return "<" + name + ">"
	default:
		return "[" + name + "]"
	}
}

func path(n *kong.Node) []string {
	if n.Parent == nil {
		return []string{"wire"}
	}
	return append(path(n.Parent), n.Name)
}

// complain prints a misuse and returns its exit status: 2, but 1 where 2 means that something differs.
func (a *app) complain(m *misuse) int {
	status := 2
	if p := path(m.node); len(p) > 1 && (p[1] == "plan" || p[1] == "apply" || p[1] == "drift") {
		status = 1
	}
	if m.text == "" {
		a.printHelp(a.err, m.node)
		return status
	}
	line := usageLine(m.node)
	if strings.HasPrefix(m.text, "unexpected value") && len(m.given) > 0 {
		line = "Usage: " + strings.Join(append(path(m.node), m.given...), " ")
	}
	fmt.Fprintf(a.err, "error: %s\n\n%s\n\nFor more information, try '--help'.\n", m.text, line)
	return status
}
