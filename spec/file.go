package spec

import "time"

// Version is the only version of wire.yaml so far.
const Version = 1

// What a wire.yaml means that says nothing about it.
const (
	DefaultLocalURL      = "http://127.0.0.1:8771"
	DefaultFederationURL = "https://wireup.net"
	DefaultInterval      = 5 * time.Second
)

// What a name may be, in the loader and in the JSON Schema alike.
const (
	// namePattern describes what home.Sanitize leaves as it is.
	namePattern   = `^[a-z0-9_]+(-[a-z0-9_]+)*$`
	nameMax       = 32
	ownerPattern  = `^[A-Za-z0-9][A-Za-z0-9._-]*$`
	ownerMax      = 64
	handlePattern = `^[a-z0-9_-]{2,32}$`
	// intervalPattern is the part of Go's durations that can be whole seconds at a glance.
	intervalPattern = `^([0-9]+h)?([0-9]+m)?([0-9]+s)?$`
)

// File is a wire.yaml: the agent sessions that a machine should have.
type File struct {
	// Version of this format: 1.
	Version int `yaml:"version" spec:"required"`
	// Name of the owner that is written on every session this file creates; only its owner prunes a
	// session. Default: the file's physical path.
	Name string `yaml:"name"`
	// Relays that the sessions meet on.
	Relays Relays `yaml:"relays"`
	// Defaults of all sessions; each can be set per session.
	Defaults Settings `yaml:"defaults"`
	// Sessions that should exist. Removing one from the list does not destroy it (see apply --prune).
	Sessions []Entry `yaml:"sessions" spec:"required"`
	// Mesh is which sessions trust each other and can send to each other: all of them (full, the
	// default), none, or those that stand in a group together.
	Mesh Mesh `yaml:"mesh"`

	name string
	at   map[string]spot
}

// Relays that the sessions meet on.
type Relays struct {
	// Local is the relay on this machine.
	Local LocalRelay `yaml:"local"`
	// Federation is the relay for other machines, contacted only for sessions that reach it.
	Federation FederationRelay `yaml:"federation"`
}

// LocalRelay is the relay on this machine.
type LocalRelay struct {
	// URL of the local relay: http, a loopback address and a port.
	URL string `yaml:"url"`
	// Managed relays are started when nothing answers at their URL; others are only probed.
	Managed bool `yaml:"managed"`
}

// FederationRelay is the relay for other machines.
type FederationRelay struct {
	// URL of the federation relay.
	URL string `yaml:"url"`
}

// Settings can be given in defaults and in each session.
type Settings struct {
	// Reach is which relays a session has a slot on.
	Reach Reach `yaml:"reach"`
	// Daemon is whether a sync daemon runs for the session. {takeover: true} also replaces a running
	// daemon of the reference implementation.
	Daemon Daemon `yaml:"daemon"`
	// Notify is whether new messages are shown on the desktop.
	Notify bool `yaml:"notify"`
	// Interval of the daemon's safety net, a duration of whole seconds such as 5s or 2m; messages are
	// delivered at once, whatever it is.
	Interval time.Duration `yaml:"interval"`
}

// Entry is one session as the file has it: name, dir or both.
type Entry struct {
	// Name of the session. Default: derived from dir as `wire session new` derives it.
	Name string `yaml:"name"`
	// Dir is the working directory whose commands act as this session. ~/ and ${VAR} are expanded; a
	// relative path is relative to this file. It need not exist yet.
	Dir      string `yaml:"dir"`
	Settings `yaml:",inline"`
	// Handle is the nick claimed on the federation relay. Default: the name.
	Handle string `yaml:"handle"`
	// Hidden claims the handle without an entry in the relay's phonebook.
	Hidden bool `yaml:"hidden"`
}

// Daemon is a wish for a daemon: true, false or {takeover: true}.
type Daemon struct {
	On       bool
	Takeover bool // only with On
}

// Mesh is full, none (the zero value) or a list of groups of session names.
type Mesh struct {
	Full   bool
	Groups [][]string
}

// NewFile is a file that says nothing: the defaults and no session.
func NewFile() *File {
	return &File{
		Version: Version,
		Relays: Relays{
			Local:      LocalRelay{URL: DefaultLocalURL, Managed: true},
			Federation: FederationRelay{URL: DefaultFederationURL},
		},
		Defaults: Settings{Reach: ReachLocal, Daemon: Daemon{On: true}, Interval: DefaultInterval},
		Sessions: []Entry{},
		Mesh:     Mesh{Full: true},
	}
}
