// Package home knows where the files of a machine and of a session are and how they change
// (reference/home-and-daemon.md sections 1 to 5, design.md section 8).
//
// Law of the room: nothing else builds a path below WIRE_HOME. A write holds the file's lock, re-reads
// under it, keeps unknown keys, and replaces the file whole (temp file, fsync, rename, fsync of the
// directory) or not at all; what would not change is not written. What does not parse is read again for
// 100 ms, since the reference truncates in place, and then an error naming the file, never an empty
// document. Files that hold a key or token are 0600 from creation, their directories 0700.
package home

import (
	"context"
	"errors"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// Env is the part of the process environment that decides where things are. Tests build it by hand.
type Env struct {
	WireHome      string // WIRE_HOME
	WireHomeSet   bool   // present, even if empty
	Home          string // HOME, else the password database
	XDGConfigHome string
	XDGStateHome  string
	Cwd           string // the kernel's physical path; "" if unreadable
}

// OSEnv reads the process environment.
func OSEnv() Env { panic("seam") }

// Adopt returns the environment with WIRE_HOME set to the session that cwd is registered to, if WIRE_HOME
// is unset and there is one (2.3); line is then what goes to stderr. Errors adopt nothing, silently.
func (e Env) Adopt() (out Env, line string) { panic("seam") }

// Session is the one home that this environment names (2.1, 2.2): that of `wire send`, `wire daemon`, ...
func (e Env) Session() (Session, error) { panic("seam") }

// Machine is the sessions root that this environment names (2.4) and its base.
func (e Env) Machine() (Machine, error) { panic("seam") }

// Machine is all sessions under one root.
type Machine struct {
	Root string // the sessions root, absolute
	Base string // the WIRE_HOME whose "sessions" Root is; "" for the default root
	Env  Env
}

// SessionDir is Root/<sanitize(name)> (5.3).
func (m Machine) Session(name string) Session { panic("seam") }

// Sessions are the directories under Root, sorted by name; none if Root is missing.
func (m Machine) Sessions() ([]Session, error) { panic("seam") }

// RelayState is the state directory of the managed relay (relay.md 1.2, --local-only) under Base.
func (m Machine) RelayState() (string, error) { panic("seam") }

// Registry is ROOT/registry.json: cwd -> session name (5.1).
type Registry struct {
	ByCwd map[string]string
}

// Registry reads it; a missing file is empty, an unparsable one a *FileError.
func (m Machine) Registry() (Registry, error) { panic("seam") }

// UpdateRegistry changes it under registry.lock. An unparsable file is refused, untouched.
func (m Machine) UpdateRegistry(ctx context.Context, change func(*Registry) error) error {
	panic("seam")
}

// Holder is who holds apply.lock or watch.lock.
type Holder struct {
	PID  int    `json:"pid"`
	Verb string `json:"verb"`
}

// LockApply takes ROOT/apply.lock, waiting until ctx ends; waiting is told of the holder once, when the
// lock is not free at once. The error after a wait is *LockedError.
func (m Machine) LockApply(ctx context.Context, verb string, waiting func(Holder)) (unlock func(), err error) {
	panic("seam")
}

// LockedError names who has a lock that did not come free in time.
type LockedError struct {
	Path   string
	Holder Holder
	Err    error
}

func (e *LockedError) Error() string { panic("seam") }
func (e *LockedError) Unwrap() error { return e.Err }

// Sanitize is home-and-daemon.md 5.2, for directory and session names.
func Sanitize(raw string) string { panic("seam") }

// DeriveName is 5.3 for a cwd that has no name yet: taken holds the names already in use.
func DeriveName(cwd string, taken map[string]bool) string { panic("seam") }

// Physical resolves the longest existing prefix of an absolute path to its physical path; exists says
// whether all of it was there.
func Physical(path string) (phys string, exists bool, err error) { panic("seam") }

// ErrNotInitialized is returned where a key and a card are needed and one is missing.
var ErrNotInitialized = errors.New("not initialized")

// FileError is a file that is not what it should be: unparsable, of the wrong length, of the wrong owner.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string { panic("seam") }
func (e *FileError) Unwrap() error { return e.Err }

// Session is one WIRE_HOME: CFG, ST and what is in them. The zero value is no session.
type Session struct {
	Name string // directory name under Root; "" outside a sessions root
	Dir  string // its WIRE_HOME; "" for the default home without one
	cfg  string
	st   string
}

// At is the session whose WIRE_HOME is dir.
func At(dir string) Session { panic("seam") }

// Paths that other rooms open, lock or watch.
func (s Session) ConfigDir() string  { panic("seam") } // CFG
func (s Session) StateDir() string   { panic("seam") } // ST
func (s Session) InboxDir() string   { panic("seam") }
func (s Session) OutboxDir() string  { panic("seam") }
func (s Session) DaemonPID() string  { panic("seam") } // ST/daemon.pid
func (s Session) DaemonLife() string { panic("seam") } // ST/daemon.lock
func (s Session) DaemonLog() string  { panic("seam") } // ST/daemon.log
func (s Session) PullLock() string   { panic("seam") } // ST/pull.lock
func (s Session) PushLock() string   { panic("seam") } // ST/push.lock
func (s Session) SentFile() string   { panic("seam") } // ST/outbox-sent.json
func (s Session) Quarantine() string { panic("seam") } // ST/quarantine.jsonl

// Inbox and Outbox are the files of one peer; a handle that CheckHandle refuses is an error.
func (s Session) Inbox(handle string) (string, error)  { panic("seam") }
func (s Session) Outbox(handle string) (string, error) { panic("seam") }

// Exists says whether the directory is there; Initialized whether key and card are (contents unchecked).
func (s Session) Exists() bool      { panic("seam") }
func (s Session) Initialized() bool { panic("seam") }

// Ensure makes CFG (0700), ST, inbox and outbox, and tightens group- or world-writable ones of ours.
func (s Session) Ensure() error { panic("seam") }

// CheckOwned is an error unless this user owns the home, CFG and the files in it and no other can write
// them (design.md section 6); group-writable is reported by loose, for Ensure tightens it.
func (s Session) CheckOwned() (loose bool, err error) { panic("seam") }

// ReadKey reads private.key; missing is fs.ErrNotExist, another length than 32 a *FileError.
func (s Session) ReadKey() (identity.Key, error) { panic("seam") }

// CreateKey writes private.key and fails if one exists, whatever it holds: a key is never replaced.
func (s Session) CreateKey(k identity.Key) error { panic("seam") }

// ReadCard reads agent-card.json; missing is fs.ErrNotExist, unparsable a *FileError.
func (s Session) ReadCard() (canon.Doc, error) { panic("seam") }

// WriteCard replaces agent-card.json.
func (s Session) WriteCard(card canon.Doc) error { panic("seam") }

// ReadTrust is trust.json as spans with "agents" nested; missing reads as the empty document.
func (s Session) ReadTrust() (*canon.Spans, error) { panic("seam") }

// ReadTrustDoc is trust.json as a tree, for verification.
func (s Session) ReadTrustDoc() (canon.Doc, error) { panic("seam") }

// ReadRelay is relay.json; missing reads as {"peers":{},"self":null}.
func (s Session) ReadRelay() (*RelayFile, error) { panic("seam") }

// UpdateTrust and UpdateRelay lock CFG/relay.lock (10 s), re-read, change and replace the file, unless
// change left it as it was or returned an error. UpdateRelay writes mode 0600.
func (s Session) UpdateTrust(ctx context.Context, change func(*canon.Spans) error) error {
	panic("seam")
}

func (s Session) UpdateRelay(ctx context.Context, change func(*RelayFile) error) error {
	panic("seam")
}

// Scope is where an endpoint can be reached from.
type Scope string

// The two scopes (home-and-daemon.md 4.1).
const (
	Federation Scope = "federation"
	Local      Scope = "local"
)

// Endpoint is one slot of a session or of a peer.
type Endpoint struct {
	RelayURL  string
	SlotID    string
	SlotToken identity.Token
	Scope     Scope
}

// RelayFile is relay.json, read as spans: changing a cursor in a file with 400 peers parses none of them.
type RelayFile struct {
	spans *canon.Spans // nest: peers
}

// Bound says whether self is there and not null.
func (r *RelayFile) Bound() bool { panic("seam") }

// Self are the own endpoints in file order, or the one synthesized from the flat fields (4.2).
func (r *RelayFile) Self() []Endpoint { panic("seam") }

// SelfFlat is the flat trio, all that a reference daemon serves; zero if absent.
func (r *RelayFile) SelfFlat() Endpoint { panic("seam") }

// SetSelf replaces self.endpoints and the flat trio (first federation, else first local); cursors and
// unknown keys stay, but the cursor of a scope whose slot changed is dropped.
func (r *RelayFile) SetSelf(endpoints []Endpoint) { panic("seam") }

// Cursor is the last pulled event of an own endpoint; SetCursor writes the scope's key and, where the
// endpoint is also the flat one, the plain key (design.md section 8). An id that is not 64 hex is ignored.
func (r *RelayFile) Cursor(e Endpoint) string        { panic("seam") }
func (r *RelayFile) SetCursor(e Endpoint, id string) { panic("seam") }

// Peers are the handles in peers, sorted.
func (r *RelayFile) Peers() []string { panic("seam") }

// PeerRaw is the text of a peer's record.
func (r *RelayFile) PeerRaw(handle string) ([]byte, bool) { panic("seam") }

// Peer are all endpoints of a peer, whatever can be reached (4.2 step 2).
func (r *RelayFile) Peer(handle string) []Endpoint { panic("seam") }

// Routes are a peer's endpoints in routing order (4.2 steps 1 to 4).
func (r *RelayFile) Routes(handle string) []Endpoint { panic("seam") }

// SetPeer replaces a peer's record by the full form; SetPeerRaw by text rendered at depth 2.
func (r *RelayFile) SetPeer(handle string, endpoints []Endpoint) { panic("seam") }
func (r *RelayFile) SetPeerRaw(handle string, raw []byte)        { panic("seam") }

// RemovePeer removes a peer's record if it is there.
func (r *RelayFile) RemovePeer(handle string) { panic("seam") }

// PeerRecord is the full form of a peer's record (pairing.md 1.3).
func PeerRecord(endpoints []Endpoint) canon.Doc { panic("seam") }

// Managed is ST/managed.json: what apply says of a session that it created (design.md section 2).
type Managed struct {
	Owner     string    `json:"owner"`            // name of the wire.yaml, else its physical path
	CreatedAt time.Time `json:"created_at"`       //
	Daemon    bool      `json:"daemon,omitempty"` // the daemon was started by an apply
}

// ReadManaged is the marker, nil if there is none.
func (s Session) ReadManaged() (*Managed, error) { panic("seam") }

// WriteManaged replaces the marker.
func (s Session) WriteManaged(m Managed) error { panic("seam") }

// Remove deletes the session's directory after moving key, card and relay.json to
// trash/<name>-<time> beside the sessions root (0700); trash older than 7 days goes. Without keep nothing
// is moved. The path of the trash is returned.
func (m Machine) Remove(s Session, now time.Time, keep bool) (trash string, err error) {
	panic("seam")
}

// WriteFile replaces path atomically with data (temp file, fsync, rename, fsync of the directory); it
// refuses to replace what is no regular file and skips equal bytes.
func WriteFile(path string, data []byte, mode uint32) error { panic("seam") }

// AppendLines appends whole lines to a JSONL file under flock on it, first ending a torn last line, 0600
// when created; sync says whether to fsync before returning.
func AppendLines(path string, lines [][]byte, sync bool) error { panic("seam") }
