package reconcile

import (
	"strings"
	"time"
)

// Kind is what a change does; it completes the sentence "wire will ...".
type Kind string

// The closed set of kinds, in the order in which a create runs.
const (
	StartRelay     Kind = "start relay"
	CreateSession  Kind = "create session"       // key, card, trust: whatever of them is missing
	StopLeftover   Kind = "stop leftover daemon" // of a home that is gone, before it is made anew
	AllocateSlot   Kind = "allocate slot"        // none yet, or lost (404, 403, 413)
	ClaimHandle    Kind = "claim handle"         // the nick on the federation relay
	MendRecord     Kind = "mend record"          // the flat trio of self in relay.json
	RegisterDir    Kind = "register dir"         // cwd -> name
	PairMesh       Kind = "pair mesh"            // all edges as one change
	DropRequests   Kind = "drop requests"        // pair requests of those who are pinned since
	StartDaemon    Kind = "start daemon"         //
	RestartDaemon  Kind = "restart daemon"       // other executable, build or interval; hung; takeover
	StopDaemon     Kind = "stop daemon"          // ours, where the file wants none
	StopDuplicate  Kind = "stop duplicate daemon"
	StartNotify    Kind = "start notifier"   //
	RestartNotify  Kind = "restart notifier" // other executable; hung
	StopNotify     Kind = "stop notifier"    // ours, where the file wants none
	StopAll        Kind = "stop daemons"     // whatever serves the session, its notifier too: down and destroy
	RemovePins     Kind = "remove pins"      // sisters' routes and pins of a session that goes, extra edges
	DestroySession Kind = "destroy session"  // daemon, sisters' pins, home and key, registry
	RestartRelay   Kind = "restart relay"    // ours lives and does not answer
	StopRelay      Kind = "stop relay"       // down only
)

// Kinds are all of them.
var Kinds = []Kind{
	StartRelay, CreateSession, StopLeftover, AllocateSlot, ClaimHandle, MendRecord, RegisterDir, PairMesh, DropRequests,
	StartDaemon, RestartDaemon, StopDaemon, StopDuplicate, StartNotify, RestartNotify, StopNotify, StopAll, RemovePins,
	DestroySession, RestartRelay, StopRelay,
}

// ID names a change within its plan: kind and subjects.
type ID string

// Reason is which observation differs from which wish. It is for people and never steers a run.
type Reason struct {
	Code string `json:"code"` // closed set, e.g. "daemon-dead", "slot-lost", "edge-half"
	Text string `json:"text"` // "pid 4711 in the record is not alive"
}

// Pair is one edge of the mesh, by session name, sorted, with what is wrong with it.
type Pair struct {
	A, B   string
	Reason Reason
}

// Change is one thing to do.
type Change struct {
	Kind     Kind
	Subjects []string // session names, or the relay's URL
	Reason   Reason
	Needs    []ID // changes of this plan that must have succeeded before
	Destroys bool
	Pairs    []Pair // PairMesh and RemovePins
	Relay    string // AllocateSlot: the URL of the relay that shall have the slot
	Roll     bool   // RestartDaemon: the old one works, so the next such change waits until the new one is ready
	First    bool   // RestartDaemon: of one that is stopped, and may hold the locks that the rest of the plan takes
	Takeover bool   // RestartDaemon: of the reference's, which may have a pairing by code phrase in hand
	// Suspect is of RestartDaemon, where only silence speaks against the old one: how long a watcher waits for it to be
	// heard again.
	Suspect time.Duration
	Takes   bool // RegisterDir: also from another session
}

// ID is the change's name within its plan.
func (c Change) ID() ID {
	if c.Kind == PairMesh {
		return ID(c.Kind)
	}
	id := string(c.Kind) + " " + strings.Join(c.Subjects, " ")
	if c.Relay != "" {
		id += " on " + c.Relay
	}
	return ID(id)
}

// Report is something that differs and that no change repairs: a conflict, an unknown, a foreign process.
type Report struct {
	Subject  string   `json:"subject"`
	Reason   Reason   `json:"reason"`
	Advice   string   `json:"advice,omitempty"`
	Sessions []string `json:"-"` // that it concerns; nil: the subject, or all
}

// Plan is what Diff found. Changes are in an order that respects Needs.
type Plan struct {
	Changes   []Change
	Held      []Change // starts of who keeps dying, and what needs them, for later (continuous mode)
	Blocked   []Report // differs from the file and cannot be repaired by apply
	Notes     []Report // beside the file: unmanaged sessions, extra edges, versions of the reference
	Unmanaged []string
}

// Empty says that nothing is left to do; every caller asks here.
func (p Plan) Empty() bool { return len(p.Changes) == 0 }

// Converged says that nothing differs from the file.
func (p Plan) Converged() bool { return p.Empty() && len(p.Held) == 0 && len(p.Blocked) == 0 }
