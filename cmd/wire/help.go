package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// helpFor is kong's help printer in our layout.
func (a *app) helpFor(_ kong.HelpOptions, ctx *kong.Context) error {
	n := ctx.Selected()
	if n == nil {
		n = ctx.Model.Node
	}
	a.printHelp(a.out, n)
	return nil
}

// printHelp prints what a command is for, how it is called, its arguments, options and subcommands. That of
// the program itself lists every command, in groups, on one screen.
func (a *app) printHelp(w io.Writer, n *kong.Node) {
	if text := about(n); text != "" {
		fmt.Fprintf(w, "%s\n\n", text)
	}
	fmt.Fprintln(w, usageLine(n))
	switch {
	case n.Parent == nil:
		printGroups(w, n)
	case len(n.Children) > 0:
		fmt.Fprint(w, "\nCommands:\n")
		var rows [][2]string
		for _, c := range n.Children {
			rows = append(rows, [2]string{c.Name, c.Help})
		}
		printRows(w, rows)
	}
	if len(n.Positional) > 0 {
		fmt.Fprint(w, "\nArguments:\n")
		var rows [][2]string
		for _, p := range n.Positional {
			rows = append(rows, [2]string{argument(p), p.Help})
		}
		printRows(w, rows)
	}
	fmt.Fprint(w, "\nOptions:\n")
	printRows(w, optionRows(n))
}

func about(n *kong.Node) string {
	if n.Detail != "" {
		return n.Help + "\n\n" + n.Detail
	}
	return n.Help
}

func optionRows(n *kong.Node) [][2]string {
	var rows [][2]string
	for _, f := range n.Flags {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			continue
		}
		name := "    --" + f.Name
		if f.Short != 0 {
			name = "-" + string(f.Short) + ", --" + f.Name
		}
		if !f.IsBool() {
			name += " <" + placeholder(f) + ">"
		}
		text := f.Help
		if f.Default != "" && !f.IsBool() {
			text += " [default: " + f.Default + "]"
		}
		rows = append(rows, [2]string{name, strings.TrimSpace(text)})
	}
	rows = append(rows, [2]string{"-h, --help", "Print help"})
	if n.Parent == nil {
		rows = append(rows, [2]string{"-V, --version", "Print version"})
	}
	return rows
}

// printRows prints two columns, the first as wide as its widest entry but for very wide ones.
func printRows(w io.Writer, rows [][2]string) {
	width := 0
	for _, r := range rows {
		if len(r[0]) <= 30 {
			width = max(width, len(r[0]))
		}
	}
	for _, r := range rows {
		switch {
		case r[1] == "":
			fmt.Fprintf(w, "  %s\n", r[0])
		case len(r[0]) > width:
			fmt.Fprintf(w, "  %s\n  %*s  %s\n", r[0], width, "", r[1])
		default:
			fmt.Fprintf(w, "  %-*s  %s\n", width, r[0], r[1])
		}
	}
}

// printGroups lists the command table: names with a help line for the fleet, names alone for the rest, so
// that everything fits on one screen; `session` has most of its own group's behind it.
func printGroups(w io.Writer, program *kong.Node) {
	all := commands()
	for _, g := range groups {
		fmt.Fprintf(w, "\n%s\n", g.Title)
		var rows [][2]string
		var names []string
		for _, c := range all {
			if c.group == g.Key {
				rows = append(rows, [2]string{c.name, c.help})
				names = append(names, c.names()...)
				if g.Key == "sessions" {
					names = append(names[:len(names)-1], below(program, c.name)...)
				}
			}
		}
		if g.Key == "fleet" {
			printRows(w, rows)
		} else {
			printNames(w, names)
		}
	}
}

// below are the subcommands of a command, in full.
func below(program *kong.Node, name string) []string {
	var list []string
	for _, c := range program.Children {
		if c.Name == name {
			for _, sub := range c.Children {
				list = append(list, name+" "+sub.Name)
			}
		}
	}
	return list
}

// names are the command's own and its aliases.
func (c command) names() []string {
	names := []string{c.name}
	for alias, name := range aliases {
		if name == c.name {
			names = append(names, alias)
		}
	}
	slices.Sort(names[1:])
	return names
}

const screen = 80 // columns

// printNames prints names with commas, as many to a line as a screen takes.
func printNames(w io.Writer, names []string) {
	line := ""
	for i, n := range names {
		if i < len(names)-1 {
			n += ","
		}
		switch {
		case line == "":
			line = "  " + n
		case len(line)+1+len(n) > screen:
			fmt.Fprintln(w, line)
			line = "  " + n
		default:
			line += " " + n
		}
	}
	fmt.Fprintln(w, line)
}
