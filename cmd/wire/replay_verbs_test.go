//go:build linux

package main_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// laterCommands parse their arguments and say that they are not there yet. Their own work is not replayed.
var laterCommands = map[string]bool{
	"pair": true, "pair-host": true, "pair-join": true, "join": true, "pair-confirm": true, "pair-cancel": true,
	"pair-watch": true, "pair-abandon": true, "invite": true, "accept": true, "mcp": true, "setup": true,
}

func later(r *record) string {
	usage := r.Exit != nil && *r.Exit == 2
	uninitialized := slices.ContainsFunc(r.Stderr, func(s string) bool { return strings.Contains(s, "not initialized") })
	if len(r.Argv) > 1 && laterCommands[r.Argv[1]] && !usage && !uninitialized {
		return r.Argv[1]
	}
	return ""
}

// verbs are the commands that the binary has, as its help names them.
type verbs struct {
	mu    sync.Mutex
	below map[string][]string // by command line: its subcommands
}

// referenceVerbs are the reference's commands; "mesh role" has some below it.
var referenceVerbs = map[string]string{
	"": `init whoami peers send tail monitor verify push pull daemon notify relay-server bind-relay rotate-slot
		add-peer-slot pin forget-peer add pair-accept pair-reject pair-list-inbound pair-list claim whois profile
		responder mesh session reactor up doctor upgrade service diag status
		pair pair-host pair-join join pair-confirm pair-cancel pair-watch pair-abandon invite accept mcp setup`,
	"session":   "new list list-local pair-all-local mesh-status env current destroy",
	"mesh":      "status role broadcast route",
	"mesh role": "set get list clear",
	"profile":   "set get clear",
	"responder": "set get",
	"service":   "install uninstall status",
	"diag":      "tail enable disable status",
}

// missing names the reference's command in argv that we do not have yet.
func (v *verbs) missing(argv []string) string {
	if len(argv) < 2 {
		return ""
	}
	path, rest := "", argv[1:]
	if rest[0] == "help" {
		rest = rest[1:]
	}
	for _, word := range rest {
		if strings.HasPrefix(word, "-") {
			continue
		}
		if !slices.Contains(strings.Fields(referenceVerbs[path]), word) {
			return ""
		}
		below := v.subcommands(path)
		path = strings.TrimSpace(path + " " + word)
		if !slices.Contains(below, word) {
			return path
		}
		if path == "status" && !v.helpSays("status", "--peer") { // that of a wire.yaml only
			return path
		}
	}
	return ""
}

func (v *verbs) subcommands(path string) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	list, ok := v.below[path]
	if !ok {
		list = commandsIn(help(path))
		v.below[path] = list
	}
	return list
}

func (v *verbs) helpSays(path, text string) bool { return strings.Contains(help(path), text) }

func help(path string) string {
	cmd := exec.Command(filepath.Join(suite.bin, "wire"), append(strings.Fields(path), "--help")...)
	cmd.Env = []string{"HOME=" + suite.root}
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return string(out)
}

// commandRow is one subcommand with its help, commandList are names alone.
var (
	commandRow  = regexp.MustCompile(`(?m)^  ([a-z][a-z-]*)\s`)
	commandList = regexp.MustCompile(`(?m)^  [a-z-]+(?:, [a-z-]+)*,?$`)
)

func commandsIn(help string) []string {
	help, _, _ = strings.Cut(help, "\nOptions:\n")
	var list []string
	for _, names := range commandList.FindAllString(help, -1) {
		for _, n := range strings.Split(names, ",") {
			list = append(list, strings.TrimSpace(n))
		}
	}
	for _, m := range commandRow.FindAllStringSubmatch(help, -1) {
		list = append(list, m[1])
	}
	return list
}
