package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/pairing"
)

// The scripts that shells load. They know no command: for each key they ask this program (completeVerb), whose
// model of itself is never out of date. So a library would only add a second reading of command lines to that
// of usage.go, which decides what is accepted.
var (
	//go:embed completion/wire.bash
	bashScript string
	//go:embed completion/wire.zsh
	zshScript string
	//go:embed completion/wire.fish
	fishScript string
)

type completionCmd struct {
	Bash completionShell `cmd:"" help:"For ~/.bashrc: eval \"$(wire completion bash)\""`
	Zsh  completionShell `cmd:"" help:"For ~/.zshrc, after compinit: eval \"$(wire completion zsh)\""`
	Fish completionShell `cmd:"" help:"For config.fish: wire completion fish | source"`
}

type completionShell struct{}

func (completionShell) Run(a *app) error {
	script := map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}[a.node.Name]
	_, err := fmt.Fprint(a.out, script)
	return err
}

// completeVerb is what the scripts call, with the words after "wire" up to the cursor; the last one, which may be
// empty, is being typed. It prints a candidate a line, a tab, and what it is; completeFiles asks the shell for
// names of files.
const (
	completeVerb  = "__complete"
	completeFiles = ":files"
)

// candidate is a word that could stand at the cursor.
type candidate struct{ word, about string }

func (a *app) complete(words []string) error {
	if len(words) == 0 {
		return nil
	}
	words, prefix := joined(words)
	c := completer{app: a}
	for _, k := range c.at(words) {
		word, ok := strings.CutPrefix(k.word, prefix)
		if !ok && k.word != completeFiles {
			continue
		}
		fmt.Fprintf(a.out, "%s\t%s\n", word, plainText(k.about))
	}
	if c.files {
		fmt.Fprintln(a.out, completeFiles)
	}
	return nil
}

// joined puts --flag=value together again, which bash takes apart at the equals sign; prefix is what of the last
// word stands before it, which bash does not replace.
func joined(words []string) (out []string, prefix string) {
	for i := 0; i < len(words); i++ {
		last := len(out) - 1
		if words[i] != "=" || last < 0 || !strings.HasPrefix(out[last], "--") {
			out = append(out, words[i])
			continue
		}
		out[last] += "="
		if i == len(words)-1 {
			return out, out[last]
		}
		i++
		if i == len(words)-1 {
			prefix = out[last]
		}
		out[last] += words[i]
	}
	return out, prefix
}

type completer struct {
	app   *app
	files bool // the shell knows better
}

// at are the candidates for the last of words.
func (c *completer) at(words []string) []candidate {
	before, cur := words[:len(words)-1], words[len(words)-1]
	if len(before) == 0 {
		return starting(c.commands(), cur)
	}
	if before[0] == "help" {
		if before = before[1:]; len(before) == 0 {
			return starting(c.commands(), cur)
		}
	}
	parser, err := c.app.parser(before)
	if err != nil {
		return nil
	}
	r := reader{node: parser.Model.Node, seen: map[string]bool{}}
	pending, lost := follow(&r, before)
	if lost {
		return nil
	}
	name, typed, hasValue := strings.Cut(cur, "=")
	switch {
	case pending != nil:
		return starting(c.values(pending.Value), cur)
	case r.literal || !strings.HasPrefix(cur, "-"):
		return starting(c.words(&r), cur)
	case hasValue:
		f := r.find(name)
		if f == nil || f.IsBool() {
			return nil
		}
		var out []candidate
		for _, v := range starting(c.values(f.Value), typed) {
			out = append(out, candidate{name + "=" + v.word, v.about})
		}
		return out
	}
	return starting(flags(&r), cur)
}

// follow reads words as usage.go does and says for which flag the next one would be a value. It is lost behind
// what is no command; other mistakes are not its affair.
func follow(r *reader, words []string) (pending *kong.Flag, lost bool) {
	for i := 0; i < len(words); i++ {
		switch arg := words[i]; {
		case r.literal || arg == "-" || !strings.HasPrefix(arg, "-"):
			if err := r.word(arg); err != nil && len(r.node.Children) > 0 {
				return nil, true
			}
		case arg == "--":
			r.literal = true
		default:
			f := r.find(arg)
			if f != nil && !f.IsBool() && f.Name != "help" && f.Name != "version" && i == len(words)-1 {
				return f, false
			}
			took, _ := r.flag(words[i:])
			i += took
		}
	}
	return nil, false
}

func starting(list []candidate, with string) []candidate {
	return slices.DeleteFunc(list, func(k candidate) bool { return !strings.HasPrefix(k.word, with) })
}

// commands are those of the program, in the order of its help.
func (c *completer) commands() []candidate {
	var out []candidate
	for _, cmd := range commands() {
		for _, name := range cmd.names() {
			out = append(out, candidate{name, cmd.help})
		}
	}
	return append(out, candidate{"help", "Print the help of a command."})
}

// words are subcommands, or what the next positional may be; flags where there is none.
func (c *completer) words(r *reader) []candidate {
	var out []candidate
	for _, sub := range r.node.Children {
		out = append(out, candidate{sub.Name, sub.Help})
	}
	n := len(r.node.Positional)
	switch {
	case len(out) > 0:
		return out
	case r.words < n:
		return c.values(r.node.Positional[r.words])
	case n > 0 && r.node.Positional[n-1].IsSlice():
		return c.values(r.node.Positional[n-1])
	case r.literal:
		return nil
	}
	return flags(r)
}

// flags are those that may still be given.
func flags(r *reader) []candidate {
	var out []candidate
	for n := r.node; n != nil; n = n.Parent {
		for _, f := range n.Flags {
			if f.Hidden || f.Name == "help" || r.seen[f.Name] && !f.IsSlice() || r.find("--"+f.Name) == nil {
				continue
			}
			out = append(out, candidate{"--" + f.Name, f.Help})
		}
	}
	return append(out, candidate{"--help", "Print help"})
}

// values are what a flag or positional may be, by its tag `complete`: sessions, peers, requests, files, or the
// words themselves with commas between them.
func (c *completer) values(v *kong.Value) []candidate {
	source := v.Tag.Get("complete")
	switch source {
	case "":
		return nil
	case "files":
		c.files = true
		return nil
	case "sessions":
		return c.sessions()
	case "peers":
		return c.peers()
	case "requests":
		return c.requests()
	}
	var out []candidate
	for _, word := range strings.Split(source, ",") {
		if word == "sessions" {
			out = append(out, c.sessions()...)
			continue
		}
		out = append(out, candidate{word, ""})
	}
	return out
}

// home is the session of the working directory or WIRE_HOME; nothing is said of the adoption, for somebody types.
func (c *completer) home() (home.Session, bool) {
	env, _ := c.app.env.Adopt()
	s, err := env.Session()
	return s, err == nil
}

func (c *completer) sessions() []candidate {
	env, _ := c.app.env.Adopt()
	m, err := env.Machine()
	if err != nil {
		return nil
	}
	names, err := census.Names(m)
	if err != nil {
		return nil
	}
	var out []candidate
	for _, n := range names {
		out = offer(out, n, "session")
	}
	return out
}

// offer adds a name. One that is no handle is left out: others chose it, and a shell would take it as it stands.
func offer(list []candidate, name, about string) []candidate {
	if identity.CheckHandle(name) != nil {
		return list
	}
	return append(list, candidate{name, about})
}

func (c *completer) peers() []candidate {
	s, ok := c.home()
	if !ok {
		return nil
	}
	peers, err := pairing.Peers(s)
	if err != nil {
		return nil
	}
	var out []candidate
	for _, p := range peers.List {
		out = offer(out, p.Handle, p.Tier)
	}
	return out
}

func (c *completer) requests() []candidate {
	s, ok := c.home()
	if !ok {
		return nil
	}
	requests, err := s.InboundRequests()
	if err != nil {
		return nil
	}
	var out []candidate
	for _, r := range requests {
		out = offer(out, r.Handle, string(r.DID))
	}
	return out
}
