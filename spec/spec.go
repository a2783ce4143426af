// Package spec is the desired state: the types of wire.yaml, strict loading with positions, defaults,
// validation, and its resolution against one machine (design.md section 2).
//
// Law of the room: pure. Load sees bytes, Resolve sees an Env of values and functions; neither opens a
// file. Every mistake is reported at once, each with file:line:column and what would be right.
package spec

import "time"

// Reach is which relays a session has a slot on.
type Reach string

// The three values of reach.
const (
	ReachLocal      Reach = "local"
	ReachFederation Reach = "federation"
	ReachBoth       Reach = "both"
)

// Problem is one mistake in a file.
type Problem struct {
	File         string // as given; "-" for standard input
	Line, Column int    // 1-based; 0 where the file as a whole is meant
	Text         string
}

// Problems is every mistake of a file, in order of position. Error prints one per line as
// "file:line:column: text".
type Problems []Problem

func (p Problems) Error() string { panic("seam") }

// File is a loaded wire.yaml before it meets a machine. Load fills defaults and keeps positions.
type File struct{}

// Load parses and checks the text of a wire.yaml. name is how errors call it. Errors are Problems.
func Load(name string, data []byte) (*File, error) { panic("seam") }

// Env is what Resolve needs to know of a machine.
type Env struct {
	Dir       string                               // physical directory of the file; "" for -
	Path      string                               // physical path of the file; "" for -
	HomeDir   string                               // for ~/
	LookupEnv func(string) (string, bool)          // for ${VAR}
	Physical  func(string) (string, bool, error)   // home.Physical
	ByCwd     map[string]string                    // the registry
	Sanitize  func(string) string                  // home.Sanitize
	Derive    func(string, map[string]bool) string // home.DeriveName
}

// Desired is a wire.yaml on one machine: what reconcile compares with what it observes.
type Desired struct {
	Owner      string // name of the file, else its physical path; "" for - without name
	LocalRelay Relay
	Federation Relay
	Sessions   []Session   // in file order
	Edges      [][2]string // wanted pairs by session name, each sorted, the list sorted
}

// Relay is one relay of the file.
type Relay struct {
	URL     string // without trailing slash
	Bind    string // HOST:PORT of URL
	Managed bool
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
	Interval   time.Duration
	Handle     string
	Hidden     bool
	Pos        Problem // where it stands, for errors found later
}

// Resolve settles what depends on the machine: names, dirs, owner, edges. Errors are Problems.
func Resolve(f *File, env Env) (*Desired, error) { panic("seam") }

// Schema is the JSON Schema (draft 2020-12) of wire.yaml.
func Schema() []byte { panic("seam") }
