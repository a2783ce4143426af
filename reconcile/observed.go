package reconcile

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/health"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay"
)

// Observed is what a machine is, as far as a plan needs to know: facts with their cause, no wishes. It holds
// every session under the root, listed in the file or not.
type Observed struct {
	Now        time.Time               // when the observation began: the clock of Diff
	Relay      RelayState              // the file's local relay
	Federation RelayState              // the file's federation relay; asked only where a session reaches it
	Sessions   map[string]SessionState // by directory name
	ByCwd      map[string]string       // the registry
	// RegistryFault is why the registry cannot be read; "" if it can. Then nothing is known of it.
	RegistryFault string
	Mesh          Mesh
	Watcher       WatcherState
	Neighbours    []string // other people with a home on this machine
}

// Session is the state of a session; one that is not there is HomeAbsent.
func (o Observed) Session(name string) SessionState {
	if s, ok := o.Sessions[name]; ok {
		return s
	}
	return SessionState{Name: name, Home: HomeAbsent}
}

// Names are the observed sessions, sorted.
func (o Observed) Names() []string {
	names := make([]string, 0, len(o.Sessions))
	for n := range o.Sessions {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// WatcherState is the continuous mode of this sessions root.
type WatcherState struct {
	PID      int // 0: none runs
	Owner    string
	File     string    // the wire.yaml it keeps, as it was named
	LastPass time.Time // zero until the first one is over
	Self     bool      // it is this process
	Other    bool      // it keeps another file than the one that was observed for
	SameExe  bool      // it runs the executable that this process would start
	Refused  string    // why its file, as it is now, is not in force; "" if it is
	Sessions []string  // that the file in force lists
	Unknown  bool      // its note is missing: what it has in force cannot be told
	Listen   string    // where it answers over HTTP; "" if it does not
}

// keeps says whether a watcher runs to whose file s belongs, as far as can be told.
func (w WatcherState) keeps(s SessionState) bool {
	return w.PID != 0 && (w.Unknown || slices.Contains(w.Sessions, s.Name) || s.Owner != "" && s.Owner == w.Owner)
}

// restores says whether a watcher runs that would make s anew, as far as can be told. One that left its file is still
// its owner's, but nobody brings it back.
func (w WatcherState) restores(s SessionState) bool {
	return w.PID != 0 && (w.Unknown || slices.Contains(w.Sessions, s.Name))
}

// claim says so in words.
func (w WatcherState) claim() string {
	if w.Unknown {
		return fmt.Sprintf("pid %d may keep it as %s says: which sessions it has in force cannot be told", w.PID, w.File)
	}
	return fmt.Sprintf("pid %d keeps it as %s says", w.PID, w.File)
}

// RelayFact is whether the file's local relay answers.
type RelayFact string

// The states of a relay.
const (
	RelayUp       RelayFact = "up"
	RelayDown     RelayFact = "down"     // refused: nothing listens there
	RelayStranger RelayFact = "stranger" // something else answers on the port
	RelayHung     RelayFact = "hung"     // ours, up long enough, and does not answer
	RelaySilent   RelayFact = "silent"   // it takes connections and does not answer: unknown
)

// RelayState is one relay of the file.
type RelayState struct {
	Fact       RelayFact
	Why        string     // cause of anything but up
	Since      *time.Time // start of the process, where it is proven
	ByApply    bool       // proven, and an apply started it
	PID        int        // proven; 0 otherwise
	StartTicks uint64     // of the proven process
	OtherUses  []string   // sessions outside the file with a live daemon and a slot on it
	Elsewhere  Elsewhere
	Crash      Crash // of the local one, where it is ours
}

// serves enters whose process it is.
func (r *RelayState) serves(l process.Life) {
	r.PID, r.StartTicks, r.ByApply = l.PID, l.StartTicks, l.StartedBy == StartedByApply
	if i, ok := process.Lookup(l.PID); ok {
		r.Since = &i.StartedAt
	}
}

// process is the proven one; nil if there is none.
func (r RelayState) process() *census.Daemon {
	if r.PID == 0 {
		return nil
	}
	p := &census.Daemon{PID: r.PID, StartTicks: r.StartTicks}
	if r.Since != nil {
		p.Started = *r.Since
	}
	return p
}

// Elsewhere is the relay of this machine's own state where it listens on another address than the file's; the zero
// value is one that does not. There is one for each state.
type Elsewhere struct {
	PID     int
	Bind    string // HOST:PORT
	ByApply bool
	Uses    []string // sessions outside the file with a live daemon and a slot on it
}

// serves says whether a relay URL is the one that it listens on, by whatever name of this machine.
func (e Elsewhere) serves(url string) bool {
	_, port, err := net.SplitHostPort(e.Bind)
	return err == nil && pairing.OnLoopback(url) && strings.HasSuffix(trim(url), ":"+port)
}

// HomeFact is how much of an identity a session's home holds; doctor takes the same fact.
type HomeFact = health.HomeFact

// The states of a home.
const (
	HomeAbsent  = health.HomeAbsent
	HomePartial = health.HomePartial
	HomeWhole   = health.HomeWhole
	HomeBroken  = health.HomeBroken
)

// SessionState is one session.
type SessionState struct {
	Name   string
	Home   HomeFact
	Why    string // what is missing or broken
	DID    string
	Twins  *pairing.TwinError // why it is broken, where another listed session has its handle
	Link   bool               // its directory is a link: another name of a home
	Slots  []SlotState
	Claim  ClaimState // of a session that reaches the federation relay
	Daemon census.Serving
	Notify census.Serving // who shows on the desktop what arrives
	// Pairing says which pairing by code phrase a daemon of the reference has in hand, which would end with it; "" if
	// it has none.
	Pairing string
	Owner   string // of the marker; "" if nobody marked it
	Marked  bool
	// StartedByApply says that the marker records a daemon that an apply started.
	StartedByApply bool
	NotifyByApply  bool   // likewise a notifier
	MarkFault      string // why the marker cannot be read; "" if it can, or there is none
	Remains        Remains
	Crash          Crash // of its daemon
	NotifyCrash    Crash // of its notifier
}

// Crash is one who keeps dying, as a watcher finds it; the zero value is one who does not.
type Crash struct {
	home.Crash
	LogTail string // the end of its log
}

func relayCrashOf(m home.Machine, c home.Crash) Crash {
	dir, err := m.RelayState()
	if err != nil {
		return Crash{}
	}
	return crashOf(c, relay.LogFile(dir))
}

func crashOf(c home.Crash, log string) Crash {
	if c.Deaths == 0 {
		return Crash{}
	}
	return Crash{c, process.Tail(log, logLines)}
}

// SlotFact is what a relay says of an own slot; doctor takes the same fact.
type SlotFact = health.SlotFact

// The states of a slot.
const (
	SlotGood    = health.SlotGood
	SlotLost    = health.SlotLost
	SlotUnknown = health.SlotUnknown
)

// SlotState is one own endpoint of a session.
type SlotState = health.SlotState

// ClaimFact is what the federation relay's directory says of a session's handle.
type ClaimFact string

// The states of a claim; the zero value is one that was not asked for.
const (
	ClaimGood    ClaimFact = "good"
	ClaimAbsent  ClaimFact = "absent"
	ClaimStale   ClaimFact = "stale"   // ours, with another slot
	ClaimTaken   ClaimFact = "taken"   // another DID has it
	ClaimUnknown ClaimFact = "unknown" //
)

// ClaimState is one claim.
type ClaimState struct {
	Fact ClaimFact
	Why  string
}

// Mesh is the state of the directed pins among the listed sessions.
type Mesh struct {
	index map[string]int
	pins  []PinState
}

// PinState is one directed pin.
type PinState struct {
	State pairing.Pin
	Why   string
}

// NewMesh is a mesh among names in which nobody has pinned anybody.
func NewMesh(names []string) Mesh {
	m := Mesh{index: make(map[string]int, len(names)), pins: make([]PinState, len(names)*len(names))}
	for i, n := range names {
		m.index[n] = i
	}
	return m
}

// Set records from's pin of to; both must be among the mesh's names.
func (m Mesh) Set(from, to string, p PinState) {
	m.pins[m.index[from]*len(m.index)+m.index[to]] = p
}

// At is from's pin of to; absent where one of them is not in the mesh.
func (m Mesh) At(from, to string) PinState {
	i, ok := m.index[from]
	j, also := m.index[to]
	if !ok || !also {
		return PinState{State: pairing.PinAbsent}
	}
	p := m.pins[i*len(m.index)+j]
	if p.State == "" {
		p.State = pairing.PinAbsent
	}
	return p
}
