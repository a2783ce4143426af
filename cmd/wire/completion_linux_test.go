package main_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wirefleet.dev/wire/internal/home"
)

// TestCompletionKnowsTheHelp: every command, subcommand and flag that the help of this program names is offered,
// and where the help says PEER or the name of a session, those are.
func TestCompletionKnowsTheHelp(t *testing.T) {
	t.Parallel()
	p := placeFor(t)
	s := home.At(filepath.Join(p.wh, "sessions", "api"))
	const trust = `{"agents":{"bob":{"did":"did:wire:bob-00000000","tier":"VERIFIED"}},"version":1}`
	const request = `{"peer_handle":"eve","peer_did":"did:wire:eve-00000000","peer_card":{},"peer_relay_url":"","peer_slot_id":"",` +
		`"peer_slot_token":"","event_id":"","event_timestamp":"","received_at":""}`
	check(t, errors.Join(s.Ensure(), os.WriteFile(s.TrustFile(), []byte(trust), 0o600), os.MkdirAll(s.Inbound(), 0o700),
		os.WriteFile(filepath.Join(s.Inbound(), "eve.json"), []byte(request), 0o600)))

	offered := func(words ...string) []string {
		t.Helper()
		var list []string
		for line := range strings.Lines(must(t, p.wireAt(s.Dir, append([]string{"__complete"}, words...)...))) {
			word, _, _ := strings.Cut(line, "\t")
			list = append(list, word)
		}
		return list
	}
	var walk func(path []string)
	seen := 0
	walk = func(path []string) {
		text := help(strings.Join(path, " "))
		below := commandsIn(text)
		if len(path) == 0 { // its only group with the commands below it
			below = slices.DeleteFunc(below, func(name string) bool { return name == "" })
			below = append(below, "session")
		} else if _, list, ok := strings.Cut(text, "\nCommands:\n"); ok {
			below = commandsIn(list)
		} else {
			below = nil
		}
		got := offered(append(slices.Clone(path), "")...)
		for _, name := range below {
			if !slices.Contains(got, name) {
				t.Errorf("wire %s: %q is not offered", strings.Join(path, " "), name)
			}
			walk(append(slices.Clone(path), name))
		}
		if len(path) == 0 {
			return
		}
		seen++
		got = offered(append(slices.Clone(path), "--")...)
		for _, m := range flagRow.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(got, m[1]) {
				t.Errorf("wire %s: %s is not offered", strings.Join(path, " "), m[1])
			}
			if want := namesFor(m[2]); want != nil {
				holds(t, offered(append(slices.Clone(path), m[1], "")...), want, path, m[1])
			}
		}
		if m := firstArgument.FindStringSubmatch(text); m != nil {
			if want := namesFor(m[1]); want != nil {
				holds(t, offered(append(slices.Clone(path), "")...), want, path, m[1])
			}
		}
	}
	walk(nil)
	if seen < 60 {
		t.Errorf("only %d commands were looked at", seen)
	}
}

var (
	flagRow       = regexp.MustCompile(`(?m)^  (?:-\w, |    )(--[a-z-]+)(?: <(\w+)>)?`)
	firstArgument = regexp.MustCompile(`(?m)^Usage: wire [a-z -]+(?: \[OPTIONS\])?(?: --[a-z]+ <\w+>)* [<\[](\w+)[>\]]`)
)

// namesFor are what could stand for an argument that the help calls so: any of them.
func namesFor(argument string) []string {
	switch argument {
	case "PEER":
		return []string{"bob", "eve"}
	case "FILE", "CARD_FILE", "PATH":
		return []string{":files"}
	}
	return nil
}

func holds(t *testing.T, got, want []string, path []string, what string) {
	t.Helper()
	for i, g := range got {
		got[i] = strings.TrimSpace(g)
	}
	if !slices.ContainsFunc(want, func(name string) bool { return slices.Contains(got, name) }) {
		t.Errorf("wire %s: %q for %s, want one of %q", strings.Join(path, " "), got, what, want)
	}
}
