//go:build linux

package main_test

import "slices"

var conventionsScript = script{steps: map[string]step{
	"help": {row: "help-in-groups", ours: func(_ *world, r *record) { r.Lines = without(r.Lines, "Commands:") }},
	"flag-empty-value-eq": {row: "next-steps", ours: func(_ *world, r *record) {
		r.Lines[len(r.Lines)-1] = "next step: `wire bind-relay <url>` to get a slot on a relay"
	}},
	"positional-dash-after-double-dash": {row: "os-error-words", ours: says("error: reading -x: no such file or directory")},
	"session-help":                      {needs: []string{"session new", "session pair-all-local", "session destroy"}},
}}

// without is a list without one of its entries.
func without(list []string, entry string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == entry })
}
