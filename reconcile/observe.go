package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/health"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/mailbox"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/spec"
)

// Observer looks at one machine through the only doors to it: home, process and the relay client.
type Observer struct {
	Machine home.Machine
	Client  *client.Client
	Desired *spec.Desired
	File    string        // the wire.yaml, "-" for standard input, "" where no file speaks
	Probe   time.Duration // deadline for all relay probes together; 0 means 5 s
	Workers int           // 0 means 8
	// MoreNicks is how many nicks beside a session's handle count as its claim.
	MoreNicks int
}

// Observe reads the machine once. It writes nothing, on disk or relay: slots are asked for their state, for
// a list would count as a pull. What could not be found out is in the result as unknown, with its cause; an
// error is a sessions root that cannot be read.
func (ob Observer) Observe(ctx context.Context) (Observed, error) {
	o := Observed{Now: time.Now(), Sessions: map[string]SessionState{}}
	reg, err := ob.Machine.Registry()
	if err != nil {
		o.RegistryFault = err.Error()
	}
	o.ByCwd, o.Neighbours = reg.ByCwd, ob.Machine.Env.Neighbours()
	var note home.WatchNote
	o.Watcher, note = ob.watcher()
	sessions, err := ob.Machine.Sessions()
	if err != nil {
		return o, err
	}
	probes, cancel := context.WithTimeout(ctx, cmp.Or(ob.Probe, 5*time.Second))
	defer cancel()

	var table []process.Info
	var tableErr error
	var up errgroup.Group
	if ob.Desired.LocalRelay.URL != "" {
		up.Go(func() error {
			o.Relay = ob.relay(probes)
			return nil
		})
	}
	if slices.ContainsFunc(ob.Desired.Sessions, func(s spec.Session) bool { return s.Reach.Federates() }) {
		up.Go(func() error {
			o.Federation = ob.answer(probes, ob.Desired.Federation.URL, farProbe)
			return nil
		})
	}
	up.Go(func() error {
		table, tableErr = census.Table(ob.Machine)
		return nil
	})

	states := make([]SessionState, len(sessions))
	var homes errgroup.Group
	homes.SetLimit(ob.workers())
	for i, s := range sessions {
		homes.Go(func() error {
			states[i] = inspect(s)
			return nil
		})
	}
	_ = homes.Wait() // inspect keeps its errors in the state

	listed := ob.listed(sessions, states)
	survey, err := pairing.Look(ctx, listed, ob.workers())
	_ = up.Wait() // these keep theirs, too
	if err != nil {
		return o, err
	}
	var serving errgroup.Group
	serving.SetLimit(ob.workers())
	for i, s := range sessions {
		serving.Go(func() error {
			states[i].Daemon = census.ServingOf(s, table, tableErr)
			states[i].Notify = census.ShowingOf(s, table, tableErr)
			states[i].Pairing = pairingOf(s, states[i].Daemon, o.Now)
			return nil
		})
	}
	_ = serving.Wait()
	for i, s := range sessions {
		states[i].Crash = crashOf(note.Crashes[s.Name], s.DaemonLog())
		states[i].NotifyCrash = crashOf(note.NotifierCrashes[s.Name], s.NotifyLog())
		o.Sessions[s.Name] = states[i]
	}
	ob.leftovers(o.Sessions, table)
	ob.slots(probes, &o, survey)
	o.Mesh = meshOf(survey)
	o.Relay.Crash = relayCrashOf(ob.Machine, note.RelayCrash)
	o.Relay.OtherUses = ob.otherUses(sessions, states, func(url string) bool { return url == ob.Desired.LocalRelay.URL })
	if o.Relay.Elsewhere.PID != 0 {
		o.Relay.Elsewhere.Uses = ob.otherUses(sessions, states, o.Relay.Elsewhere.serves)
	}
	return o, ctx.Err()
}

func (ob Observer) workers() int { return cmp.Or(ob.Workers, 8) }

// listed are the sessions of the file that are there with key and card.
func (ob Observer) listed(sessions []home.Session, states []SessionState) []home.Session {
	want := make(map[string]bool, len(ob.Desired.Sessions))
	for _, s := range ob.Desired.Sessions {
		want[s.Name] = true
	}
	var out []home.Session
	for i, s := range sessions {
		// One that only lacks its trust.json has slots and sisters that pin it.
		if want[s.Name] && (states[i].Home == HomeWhole || states[i].Home == HomePartial && s.Initialized()) {
			out = append(out, s)
		}
	}
	return out
}

// relay finds out what is on the local relay's port, and whose process it is.
func (ob Observer) relay(ctx context.Context) RelayState {
	r, life, ok := ob.askRelay(ctx)
	bind := ob.Desired.LocalRelay.Bind
	if r.Fact == RelayStranger {
		if who := process.PortOwner(bind); who != "" {
			r.Why = "the port is taken by " + who + ", which is no relay"
		}
	}
	if !ok {
		if r.Fact == RelaySilent {
			if who := process.PortOwner(bind); who != "" {
				r.Why = who + " has the port: " + r.Why
			}
		}
		return r
	}
	if life.Bind != bind {
		r.Elsewhere = Elsewhere{PID: life.PID, Bind: life.Bind, ByApply: life.StartedBy == StartedByApply}
		return r
	}
	r.serves(life)
	if r.Fact == RelaySilent {
		r.Why = fmt.Sprintf("pid %d has the port: %s", life.PID, r.Why)
		if ob.hung(ctx, r) {
			r.Fact = RelayHung
		}
	}
	return r
}

// askRelay asks once more where somebody answered who does not serve this machine's state: he may have died since then.
func (ob Observer) askRelay(ctx context.Context) (r RelayState, life process.Life, ok bool) {
	began := time.Now()
	for range 2 {
		r = ob.answer(ctx, ob.Desired.LocalRelay.URL, probeTime)
		life, ok = ob.relayLife()
		if ok || r.Fact == RelayDown || time.Since(began) >= probeTime {
			break
		}
	}
	return r, life, ok
}

// relayLife is who serves this machine's relay state; false if nobody, or nobody who is proven.
func (ob Observer) relayLife() (process.Life, bool) {
	dir, err := ob.Machine.RelayState()
	if err != nil {
		return process.Life{}, false
	}
	life, held, proven, err := process.ReadLife(relay.LifeLock(dir))
	return life, err == nil && held && proven
}

// How a relay of ours that lives but does not answer is judged.
const (
	relayGrace    = 10 * time.Second // after its start
	relayProbes   = 3                // the first one included
	betweenProbes = 300 * time.Millisecond
)

// hung asks a silent relay of ours again, unless it has just started.
func (ob Observer) hung(ctx context.Context, r RelayState) bool {
	if !r.ByApply || r.Since == nil || time.Since(*r.Since) < relayGrace {
		return false
	}
	if i, ok := process.Lookup(r.PID); ok && i.State == 'T' {
		return true
	}
	for range relayProbes - 1 {
		select {
		case <-time.After(betweenProbes): // one that fails fast may just be ending
		case <-ctx.Done():
			return false
		}
		if ob.answer(ctx, ob.Desired.LocalRelay.URL, probeTime).Fact != RelaySilent {
			return false
		}
	}
	return true
}

// How long an answer of a relay is waited for.
const (
	probeTime = time.Second     // on this machine
	farProbe  = 3 * time.Second // elsewhere: several round trips, and everything on this machine waits for them
)

// answer is what a relay URL answers within a limit.
func (ob Observer) answer(ctx context.Context, url string, limit time.Duration) RelayState {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := ob.Client.Identify(ctx, url)
	switch {
	case err == nil:
		return RelayState{Fact: RelayUp}
	case errors.Is(err, client.ErrRefused):
		return RelayState{Fact: RelayDown, Why: "nothing answers there"}
	case errors.Is(err, client.ErrNoRelay):
		return RelayState{Fact: RelayStranger, Why: "something that is no relay answers there"}
	}
	return RelayState{Fact: RelaySilent, Why: client.Describe(err)}
}

// Serving looks again at who serves the sessions of the file and the relay's state, and takes everything else from o,
// an earlier observation: enough to see who has died, at a tenth of the cost.
func (ob Observer) Serving(o Observed) Observed {
	table, err := census.Table(ob.Machine)
	o.Now, o.Sessions = time.Now(), maps.Clone(o.Sessions)
	for _, w := range ob.Desired.Sessions {
		s := ob.Machine.Session(w.Name)
		if have, ok := o.Sessions[w.Name]; ok && s.Initialized() {
			have.Daemon = census.ServingOf(s, table, err)
			o.Sessions[w.Name] = have
		}
	}
	o.Relay = ob.relayServing(o.Relay)
	return o
}

// relayServing is r, once that its process has gone or another one has taken its place.
func (ob Observer) relayServing(r RelayState) RelayState {
	switch l, ok := ob.relayLife(); {
	case ok && l.Bind == ob.Desired.LocalRelay.Bind && (l.PID != r.PID || l.StartTicks != r.StartTicks):
		r = RelayState{Fact: RelayUp, OtherUses: r.OtherUses, Crash: r.Crash}
		r.serves(l)
	case !ok && r.PID != 0 && !process.Alive(r.PID, r.StartTicks):
		r = RelayState{Fact: RelayDown, Why: "nothing answers there", OtherUses: r.OtherUses, Crash: r.Crash}
	}
	return r
}

// logLines is how much of a daemon.log a report shows.
const logLines = 5

// A watcher that has only just begun has its note written by then, and so has one whose note was removed.
const (
	noteTime  = 200 * time.Millisecond
	noteEvery = 10 * time.Millisecond
)

// watcher finds the continuous mode of the sessions root, if one runs, and what only that knows.
func (ob Observer) watcher() (WatcherState, home.WatchNote) {
	l, held, proven, err := process.ReadLife(ob.Machine.WatchLife())
	if err != nil || !held || !proven {
		return WatcherState{}, home.WatchNote{}
	}
	w := WatcherState{
		PID: l.PID, Owner: l.Owner, File: l.File, LastPass: ob.Machine.LastPass(),
		Self: l.PID == os.Getpid(), Other: ob.File != "" && !home.SameFile(l.File, ob.File),
	}
	if exe, err := process.CheckExecutable(); err == nil {
		w.SameExe = exe == l.Exe
	}
	n := ob.Machine.ReadWatchNote()
	for end := time.Now().Add(noteTime); n.PID != l.PID || n.StartTicks != l.StartTicks; n = ob.Machine.ReadWatchNote() {
		if w.Self || time.Now().After(end) {
			w.Unknown = true
			return w, home.WatchNote{}
		}
		time.Sleep(noteEvery)
	}
	w.Refused, w.Sessions, w.Listen = n.Refused, n.Sessions, n.Listen
	return w, n
}

// StartedByApply is what a life lock says of a process that an apply started.
const StartedByApply = "apply"

// inspect reads what the home of one session holds: everything but pins, slots and processes.
func inspect(s home.Session) SessionState {
	st := SessionState{Name: s.Name, Link: s.Alias()}
	st.Home, st.DID, st.Why = health.Identity(s)
	switch m, err := s.ReadManaged(); {
	case err != nil:
		st.MarkFault = err.Error()
	case m != nil:
		st.Marked, st.Owner, st.StartedByApply, st.NotifyByApply = true, m.Owner, m.Daemon, m.Notify
	}
	st.Remains = remainsOf(s)
	return st
}

// pairingOf says which pairing by code phrase a daemon of the reference has in hand. The phrase is a secret.
func pairingOf(s home.Session, who census.Serving, now time.Time) string {
	if who.Ours != nil || len(who.Others) == 0 {
		return ""
	}
	p, err := pairing.InFlight(s, now)
	switch {
	case err != nil:
		return "a pairing by code phrase may be in flight: " + err.Error()
	case p != nil:
		return fmt.Sprintf("a pairing by code phrase is in flight (%s, begun %s)", p.Status, p.CreatedAt)
	}
	return ""
}

// slots asks each own slot of the listed sessions for its state, each distinct one once.
func (ob Observer) slots(ctx context.Context, o *Observed, survey *pairing.Survey) {
	var g errgroup.Group
	g.SetLimit(16)
	found := make([][]SlotState, len(survey.Members))
	for i, m := range survey.Members {
		found[i] = make([]SlotState, len(m.Endpoints))
		for j, e := range m.Endpoints {
			found[i][j] = SlotState{URL: trim(e.RelayURL), Scope: e.Scope, Fact: SlotUnknown, Why: "its relay was not asked"}
			at, asked := ob.relayOf(o, found[i][j].URL)
			if !asked {
				continue
			}
			if at.Fact != RelayUp {
				found[i][j].Why = "its relay: " + at.Why
				continue
			}
			g.Go(func() error {
				found[i][j] = health.Slot(ctx, ob.Client, e)
				found[i][j].Since = m.Session.RelayChanged()
				return nil
			})
		}
	}
	claims := ob.claims(ctx, &g, o, survey)
	_ = g.Wait() // slot and claim keep their errors in the state
	for i, m := range survey.Members {
		st := o.Sessions[m.Session.Name]
		st.Slots, st.Claim, st.Remains.Record = found[i], claims[i], m.SelfFault
		if m.Unpinned {
			st.Remains.Stray, _ = mailbox.Stray(m.Session)
		}
		if m.Err != nil {
			st.Home, st.Why = HomeBroken, m.Err.Error()
			_ = errors.As(m.Err, &st.Twins)
		}
		o.Sessions[m.Session.Name] = st
	}
}

// relayOf is the state of the relay at url, if the file names it.
func (ob Observer) relayOf(o *Observed, url string) (RelayState, bool) {
	switch url {
	case ob.Desired.LocalRelay.URL:
		return o.Relay, true
	case ob.Desired.Federation.URL:
		return o.Federation, o.Federation.Fact != ""
	}
	return RelayState{}, false
}

// claims asks the federation relay's directory for the handles of the sessions that reach it.
func (ob Observer) claims(ctx context.Context, g *errgroup.Group, o *Observed, survey *pairing.Survey) []ClaimState {
	out := make([]ClaimState, len(survey.Members))
	if o.Federation.Fact != RelayUp {
		return out
	}
	for _, w := range ob.Desired.Sessions {
		i := slices.IndexFunc(survey.Members, func(m pairing.Member) bool { return m.Session.Name == w.Name })
		if i < 0 || !w.Reach.Federates() {
			continue
		}
		g.Go(func() error {
			out[i] = ob.claim(ctx, w.Handle, survey.Members[i])
			return nil
		})
	}
	return out
}

// claim finds out who has a session's handle and, where it may have another nick, the nearest one that it has.
func (ob Observer) claim(ctx context.Context, handle string, m pairing.Member) ClaimState {
	st := ClaimState{Fact: ClaimTaken}
	for try := range 1 + ob.MoreNicks {
		switch one := ob.claimOf(ctx, Nick(handle, try), m); one.Fact {
		case ClaimGood, ClaimStale, ClaimUnknown:
			return one
		case ClaimAbsent:
			st = one // free; but it may have a later one
		case ClaimTaken:
			if st.Why == "" {
				st.Why = one.Why
			}
		}
	}
	return st
}

func (ob Observer) claimOf(ctx context.Context, nick string, m pairing.Member) ClaimState {
	if err := identity.CheckClaim(nick); err != nil {
		return ClaimState{ClaimTaken, err.Error()}
	}
	r, err := ob.Client.Resolve(ctx, ob.Desired.Federation.URL, nick)
	switch {
	case errors.Is(err, client.ErrNotFound):
		return ClaimState{Fact: ClaimAbsent}
	case err != nil:
		return ClaimState{ClaimUnknown, client.Describe(err)}
	case r.DID != string(m.Info.DID):
		return ClaimState{ClaimTaken, fmt.Sprintf("the handle %s belongs to %s", nick, r.DID)}
	}
	for _, e := range m.Endpoints {
		if e.Scope == home.Federation && e.SlotID == r.SlotID {
			return ClaimState{Fact: ClaimGood}
		}
	}
	return ClaimState{ClaimStale, fmt.Sprintf("the directory's %s leads to another slot", nick)}
}

// Nick is the nick that a session tries where others have its handle and all those before: handle, handle-1,
// handle-2, ... (home-and-daemon.md 5.4).
func Nick(handle string, try int) string {
	if try == 0 {
		return handle
	}
	return fmt.Sprintf("%s-%d", handle, try)
}

// Processes looks only at who serves homes, by the names that changes use for them, and whether anybody could: one
// without key or card is HomeBroken.
func (ob Observer) Processes(homes map[string]home.Session) Observed {
	o := Observed{Now: time.Now(), Sessions: map[string]SessionState{}}
	table, err := census.Table(ob.Machine)
	for name, h := range homes {
		st := SessionState{Name: name, Daemon: census.ServingOf(h, table, err), Notify: census.ShowingOf(h, table, err)}
		if !h.Initialized() {
			st.Home, st.Why = HomeBroken, "key or card is missing"
		}
		o.Sessions[name] = st
	}
	return o
}

// Lone looks at one session alone: its home and who serves it. It asks no relay, reads no sister, and does not
// mind a broken registry.
func (ob Observer) Lone(name string) Observed {
	s := ob.Machine.Session(name)
	o := Observed{Now: time.Now(), Sessions: map[string]SessionState{}}
	o.Watcher, _ = ob.watcher()
	if s.Exists() {
		st := inspect(s)
		table, err := census.Table(ob.Machine)
		st.Daemon = census.ServingOf(s, table, err)
		st.Notify = census.ShowingOf(s, table, err)
		o.Sessions[s.Name] = st
	}
	return o
}

func meshOf(survey *pairing.Survey) Mesh {
	names := make([]string, len(survey.Members))
	for i, m := range survey.Members {
		names[i] = m.Session.Name
	}
	mesh := NewMesh(names)
	for i := range names {
		for j := range names {
			if i != j {
				d := survey.Pin(i, j)
				mesh.Set(names[i], names[j], PinState{State: d.State, Why: d.Why})
			}
		}
	}
	return mesh
}

// otherUses are the sessions outside the file with a live daemon and a slot on a relay.
func (ob Observer) otherUses(sessions []home.Session, states []SessionState, on func(url string) bool) []string {
	listed := make(map[string]bool, len(ob.Desired.Sessions))
	for _, s := range ob.Desired.Sessions {
		listed[s.Name] = true
	}
	var names []string
	for i, s := range sessions {
		if listed[s.Name] || states[i].Daemon.Ours == nil && len(states[i].Daemon.Others) == 0 {
			continue
		}
		rf, err := s.ReadRelay()
		if err != nil {
			continue
		}
		if slices.ContainsFunc(rf.Self(), func(e home.Endpoint) bool { return on(trim(e.RelayURL)) }) {
			names = append(names, s.Name)
		}
	}
	return names
}

// trim is a relay URL as it is compared: without trailing slashes (home-and-daemon.md 4.1).
func trim(u string) string { return strings.TrimRight(u, "/") }
