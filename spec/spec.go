// Package spec is the desired state: the types of wire.yaml, strict loading with positions, defaults,
// validation, and its resolution against one machine (design.md section 2).
//
// Law of the room: pure. Load sees bytes, Resolve sees an Env of values and one function; neither opens a
// file. Every mistake is reported at once, each with file:line:column and what would be right.
//
// Three steps, three files: decode.go asks whether the shape is right, check.go whether it makes sense on
// any machine, resolve.go what it means on this one. The types in file.go are the only list of keys: the
// decoder, the JSON Schema and Encode all go by them.
package spec

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Reach is which relays a session has a slot on.
type Reach string

// The three values of reach.
const (
	ReachLocal      Reach = "local"
	ReachFederation Reach = "federation"
	ReachBoth       Reach = "both"
)

// ReachNone is no relay at all. A file cannot ask for it; a command that names no relay does.
const ReachNone Reach = "none"

// Locally says whether a session of this reach has a slot on the local relay.
func (r Reach) Locally() bool { return r == ReachLocal || r == ReachBoth }

// Federates says whether a session of this reach has a slot, and so a handle, on the federation relay.
func (r Reach) Federates() bool { return r == ReachFederation || r == ReachBoth }

// Problem is one mistake in a file.
type Problem struct {
	File         string // as given; "-" for standard input
	Line, Column int    // 1-based, the column in characters; 0 where the file as a whole is meant
	Text         string
}

// String is "file:line:column: text", or "file: text" without a position.
func (p Problem) String() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.File, p.Text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
}

// Problems is every mistake of a file, in order of position. Error prints one per line as
// "file:line:column: text".
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// sorted puts problems in order of position and drops repeats, which an alias used twice brings about.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return slices.Compact(p)
}

// Env is what Resolve needs to know of a machine.
type Env struct {
	Dir       string                             // physical directory of the file; "" for -
	Path      string                             // physical path of the file; "" for -
	HomeDir   string                             // for ~/
	LookupEnv func(string) (string, bool)        // for ${VAR}
	Physical  func(string) (string, bool, error) // home.Physical
	ByCwd     map[string]string                  // the registry
}

// Desired is a wire.yaml on one machine: what reconcile compares with what it observes.
type Desired struct {
	Owner      string // name of the file, else its physical path; "" for - without name
	LocalRelay Relay  // one without a URL is not asked
	Federation Relay
	Sessions   []Session   // in file order
	Edges      [][2]string // wanted pairs by session name, each sorted, the list sorted
}

// Relay is one relay of the file.
type Relay struct {
	URL     string // without trailing slash
	Bind    string // HOST:PORT of URL
	Managed bool   // never for the federation relay
}

// Session is one wanted session.
type Session struct {
	Name       string
	Dir        string // physical path; "" if the file gives none
	DirExists  bool   // false: the longest existing prefix was resolved
	DirAsTyped string
	Reach      Reach
	Daemon     bool
	Takeover   bool // daemon: {takeover: true}
	Notify     bool
	Interval   time.Duration // whole seconds, at least one
	Handle     string        // nick on the federation relay; the name where the file gives none
	Hidden     bool
	Pos        Problem // where it stands, without Text, for errors found later
}
