package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/spec"
)

const (
	relayURL      = "http://127.0.0.1:8771"
	federationURL = "http://127.0.0.1:8770"
)

// scene is a generated wish and machine, and what a dead relay hides of its slots.
type scene struct {
	d      *spec.Desired
	o      Observed
	hidden map[string]SlotFact // by session, revealed when the relay starts
}

func genDesired(t *rapid.T) *spec.Desired {
	d := &spec.Desired{
		Owner:      rapid.SampledFrom([]string{"laptop", ""}).Draw(t, "owner"),
		Federation: spec.Relay{URL: federationURL},
		LocalRelay: spec.Relay{URL: relayURL, Bind: "127.0.0.1:8771", Managed: rapid.Bool().Draw(t, "managed")},
	}
	n := rapid.IntRange(0, 5).Draw(t, "sessions")
	for i := range n {
		s := spec.Session{Name: fmt.Sprintf("s%d", i), Interval: 5 * time.Second, DirExists: true}
		s.Reach = rapid.SampledFrom([]spec.Reach{spec.ReachLocal, spec.ReachLocal, spec.ReachFederation, spec.ReachBoth}).Draw(t, "reach")
		s.Daemon = rapid.Bool().Draw(t, "daemon")
		s.Takeover = s.Daemon && rapid.Bool().Draw(t, "takeover")
		s.Notify = rapid.Bool().Draw(t, "notify")
		if rapid.Bool().Draw(t, "dir") {
			s.Dir = "/src/" + s.Name
		}
		d.Sessions = append(d.Sessions, s)
	}
	for i := range n {
		for j := i + 1; j < n; j++ {
			if rapid.IntRange(0, 4).Draw(t, "edge") > 0 {
				d.Edges = append(d.Edges, [2]string{d.Sessions[i].Name, d.Sessions[j].Name})
			}
		}
	}
	return d
}

func genScene(t *rapid.T) scene {
	sc := scene{d: genDesired(t), hidden: map[string]SlotFact{}}
	now := time.Unix(1_800_000_000, 0).UTC()
	sc.o = Observed{Now: now, Sessions: map[string]SessionState{}, ByCwd: map[string]string{}}
	sc.o.Relay.Fact = rapid.SampledFrom([]RelayFact{RelayUp, RelayUp, RelayDown, RelayStranger, RelaySilent}).Draw(t, "relay")
	sc.o.Federation.Fact = rapid.SampledFrom([]RelayFact{RelayUp, RelayUp, RelayDown, RelaySilent}).Draw(t, "federation")
	if sc.o.Relay.Fact != RelayUp && rapid.IntRange(0, 2).Draw(t, "relay elsewhere") == 0 {
		sc.o.Relay.Elsewhere = Elsewhere{
			PID: 9, Bind: "127.0.0.1:9", ByApply: rapid.Bool().Draw(t, "elsewhere by apply"),
			Uses: rapid.SampledFrom([][]string{nil, nil, {"old"}}).Draw(t, "elsewhere uses"),
		}
	}
	since := now.Add(-time.Duration(rapid.IntRange(0, 300).Draw(t, "relay age")) * time.Second)
	sc.o.Relay.Since = &since
	var whole []string
	names := []string{"old", "foreign"}
	for _, s := range sc.d.Sessions {
		names = append(names, s.Name)
	}
	for _, name := range names {
		st := sc.genSession(t, name)
		if st.Home != HomeAbsent || len(st.Daemon.Others) > 0 {
			sc.o.Sessions[name] = st
		}
		if st.named() && name[0] == 's' {
			whole = append(whole, name)
		}
		if rapid.Bool().Draw(t, "registered") {
			sc.o.ByCwd["/src/"+name] = rapid.SampledFrom(names).Draw(t, "holder")
		}
	}
	if rapid.IntRange(0, 7).Draw(t, "registry") == 0 {
		sc.o.ByCwd, sc.o.RegistryFault = nil, "generated"
	}
	sc.o.Mesh = NewMesh(whole)
	states := []pairing.Pin{
		pairing.PinGood, pairing.PinGood, pairing.PinGood, pairing.PinAbsent, pairing.PinHalf,
		pairing.PinPending, pairing.PinStale, pairing.PinConflict, pairing.PinUnknown,
	}
	for _, a := range whole {
		for _, b := range whole {
			if a != b {
				sc.o.Mesh.Set(a, b, PinState{State: rapid.SampledFrom(states).Draw(t, "pin"), Why: "generated"})
			}
		}
	}
	return sc
}

func (sc scene) genSession(t *rapid.T, name string) SessionState {
	st := SessionState{Name: name}
	st.Home = rapid.SampledFrom([]HomeFact{HomeAbsent, HomePartial, HomeWhole, HomeWhole, HomeWhole, HomeBroken}).Draw(t, "home")
	if st.Home == HomeAbsent {
		if name[0] == 's' && rapid.IntRange(0, 3).Draw(t, "leftover") == 0 {
			st.Daemon.Others = []census.Daemon{{PID: 77}}
		}
		return st
	}
	st.Why = "generated"
	if st.Home == HomeWhole && rapid.IntRange(0, 3).Draw(t, "remains") == 0 {
		st.Remains = Remains{Answered: []string{"x"}, Stray: []string{"y@z.jsonl"}, Record: "generated"}
	}
	if st.Home == HomeWhole || st.Home == HomePartial && rapid.Bool().Draw(t, "only a directory is missing") {
		st.DID = "did:wire:" + name + "-00000000"
	}
	if rapid.Bool().Draw(t, "marked") {
		st.Marked, st.Owner = true, rapid.SampledFrom([]string{"laptop", "other", ""}).Draw(t, "marker")
		st.StartedByApply = rapid.Bool().Draw(t, "by apply")
		st.NotifyByApply = rapid.Bool().Draw(t, "notifier by apply")
	}
	if st.named() {
		st.Slots = sc.genSlots(t, name)
		if sc.o.Federation.Fact == RelayUp {
			st.Claim.Fact = rapid.SampledFrom([]ClaimFact{ClaimGood, ClaimGood, ClaimAbsent, ClaimStale, ClaimTaken, ClaimUnknown}).Draw(t, "claim")
		}
	}
	one := func(label string) census.Daemon {
		return census.Daemon{
			PID: rapid.IntRange(2, 9999).Draw(t, label), SameExe: rapid.Bool().Draw(t, "same exe"),
			Interval: rapid.SampledFrom([]int{0, 5, 9}).Draw(t, "interval"), Stopped: rapid.IntRange(0, 5).Draw(t, "stopped") == 0,
			Started: sc.o.Now.Add(-time.Duration(rapid.IntRange(0, 300).Draw(t, "age")) * time.Second),
		}
	}
	st.Daemon, st.Notify = serving(t, "daemon", one), serving(t, "notifier", one)
	st.Crash, st.NotifyCrash = genCrash(t), genCrash(t)
	st.Pairing = rapid.SampledFrom([]string{"", "", "a pairing is in flight"}).Draw(t, "pairing")
	return st
}

// named says whether a session is in the mesh: whole, or some of what can be made anew is missing.
func (s SessionState) named() bool {
	return s.Home == HomeWhole || s.Home == HomePartial && s.DID != ""
}

func genCrash(t *rapid.T) Crash {
	return Crash{
		home.Crash{
			Deaths: rapid.SampledFrom([]int{0, 0, crashLoop}).Draw(t, "deaths"),
			Failed: rapid.SampledFrom([]string{"", "no room"}).Draw(t, "failed"),
		},
		rapid.SampledFrom([]string{"", "error: no room", "panic"}).Draw(t, "log"),
	}
}

// serving is who has a post, as one makes them.
func serving(t *rapid.T, label string, one func(string) census.Daemon) (who census.Serving) {
	if rapid.Bool().Draw(t, label+" ours") {
		d := one(label + " pid")
		who.Ours = &d
	}
	for range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, label+" others") {
		who.Others = append(who.Others, one(label+" other pid"))
	}
	if who.Ours == nil && len(who.Others) == 0 && rapid.IntRange(0, 8).Draw(t, label+" unknown") == 0 {
		who.Unknown = "generated"
	}
	return who
}

// obey is a machine that does what it is told: o after plan p. It knows nothing of why.
func (sc scene) obey(p Plan) Observed {
	o := sc.o
	o.Sessions, o.ByCwd = maps.Clone(o.Sessions), maps.Clone(o.ByCwd)
	now := o.Now
	fresh := func(name string) *census.Daemon {
		w := sc.d.Sessions[slices.IndexFunc(sc.d.Sessions, func(s spec.Session) bool { return s.Name == name })]
		return &census.Daemon{PID: 7, SameExe: true, Interval: int(w.Interval / time.Second), Started: now}
	}
	good := map[[2]string]PinState{}
	for _, a := range o.Names() {
		for _, b := range o.Names() {
			good[[2]string{a, b}] = o.Mesh.At(a, b)
		}
	}
	for _, c := range p.Changes {
		var s SessionState
		name := ""
		if len(c.Pairs) == 0 {
			name = c.Subjects[0]
			s = o.Session(name)
		}
		switch c.Kind {
		case StartRelay, RestartRelay:
			if c.Kind == StartRelay && o.Relay.Elsewhere.PID != 0 {
				continue // it has this machine's relay state
			}
			o.Relay = RelayState{Fact: RelayUp, Since: &now, ByApply: true, PID: 8}
			for n, fact := range sc.hidden {
				st := o.Session(n)
				st.Slots = slices.Clone(st.Slots)
				for i := range st.Slots {
					if st.Slots[i].URL == relayURL {
						st.Slots[i].Fact = fact
					}
				}
				o.Sessions[n] = st
			}
			continue
		case StopRelay:
			o.Relay = RelayState{Fact: RelayDown}
			continue
		case StopLeftover:
			s.Daemon.Others = nil
		case MendRecord:
			s.Remains.Record = ""
		case DropRequests:
			s.Remains.Answered = nil
		case CreateSession:
			if s.Home = HomeWhole; s.DID == "" {
				s.DID = "did:wire:" + name + "-11111111"
			}
		case AllocateSlot:
			scope := home.Local
			if c.Relay == sc.d.Federation.URL {
				scope = home.Federation
			}
			s.Slots = slices.DeleteFunc(slices.Clone(s.Slots), func(e SlotState) bool { return e.Scope == scope })
			if scope == home.Federation && s.Claim.Fact == ClaimGood {
				s.Claim = ClaimState{Fact: ClaimStale}
			}
			s.Remains.Record = ""
			s.Slots = append(s.Slots, SlotState{URL: c.Relay, Scope: scope, Fact: SlotGood, Since: now})
			for pair, pin := range good {
				if pair[1] == name && pin.State == pairing.PinGood {
					good[pair] = PinState{State: pairing.PinStale, Why: "old slot"}
				}
			}
		case ClaimHandle:
			s.Claim = ClaimState{Fact: ClaimGood}
		case RegisterDir:
			w := sc.d.Sessions[slices.IndexFunc(sc.d.Sessions, func(s spec.Session) bool { return s.Name == name })]
			o.ByCwd[w.Dir] = name
			continue
		case PairMesh:
			for _, p := range c.Pairs {
				good[[2]string{p.A, p.B}], good[[2]string{p.B, p.A}] = PinState{State: pairing.PinGood}, PinState{State: pairing.PinGood}
			}
			continue
		case RemovePins:
			for _, p := range c.Pairs {
				delete(good, [2]string{p.A, p.B})
				delete(good, [2]string{p.B, p.A})
			}
			continue
		case StartDaemon:
			s.Daemon = census.Serving{Ours: fresh(name)}
			s.StartedByApply = true
		case RestartDaemon:
			s.Daemon = census.Serving{Ours: fresh(name)}
			s.StartedByApply = true
		case StopDaemon:
			s.Daemon.Ours, s.StartedByApply = nil, false
		case StopDuplicate:
			if s.Daemon.Ours != nil {
				s.Daemon.Others = nil
			} else {
				s.Daemon.Others = s.Daemon.Others[:1]
			}
		case StartNotify, RestartNotify:
			s.Notify = census.Serving{Ours: fresh(name)}
			s.NotifyByApply = true
		case StopNotify:
			s.Notify.Ours, s.NotifyByApply = nil, false
		case StopAll:
			s.Daemon, s.Notify = census.Serving{}, census.Serving{}
		case DestroySession:
			delete(o.Sessions, name)
			continue
		}
		o.Sessions[name] = s
	}
	var whole []string
	for _, n := range o.Names() {
		if o.Sessions[n].named() && n[0] == 's' {
			whole = append(whole, n)
		}
	}
	o.Mesh = NewMesh(whole)
	for _, a := range whole {
		for _, b := range whole {
			if a != b {
				o.Mesh.Set(a, b, good[[2]string{a, b}])
			}
		}
	}
	return o
}

func genOptions(t *rapid.T) Options {
	return Options{Prune: rapid.Bool().Draw(t, "prune")}
}

// Whatever differs or is reported says of what it speaks and what to do next: apply, or the user.
func TestLawEverythingAdvises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sc := genScene(t)
		sc.o.Relay.Why, sc.o.Federation.Why = "generated", "generated"
		sc.o.Neighbours = rapid.SampledFrom([][]string{nil, {"eve"}}).Draw(t, "neighbours")
		sc.o.Watcher = rapid.SampledFrom([]WatcherState{{}, {PID: 7, Other: true, Owner: "laptop"}, {PID: 7, Owner: "laptop"}}).Draw(t, "watcher")
		for name, have := range sc.o.Sessions {
			have.Claim.Why = "generated"
			sc.o.Sessions[name] = have
		}
		plan := Diff(sc.d, sc.o, genOptions(t))
		for _, x := range Differences(sc.d, sc.o, plan) {
			if x.Subject == "" || x.Wanted == "" || x.Seen == "" || x.Apply == "" && x.Ask == "" {
				t.Fatalf("%+v", x)
			}
		}
		down, gone := Down(sc.d, sc.o, nil), Destroy(sc.d, sc.o, nil)
		for _, r := range slices.Concat(StatusOf(sc.d, sc.o).Findings, down.Blocked, down.Notes, gone.Blocked, gone.Notes,
			Upgrade(sc.o, sc.o, "").Blocked) {
			if r.Subject == "" || r.Reason.Code == "" || r.Reason.Text == "" || r.Advice == "" {
				t.Fatalf("%+v", r)
			}
		}
	})
}

// What another file's watcher keeps is not changed, and differs as if there were no watcher.
func TestLawOthersKeepTheirs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sc, opt := genScene(t), genOptions(t)
		alone := Diff(sc.d, sc.o, opt)
		sc.o.Watcher = WatcherState{PID: 7, Other: true, Owner: "other", SameExe: true, Sessions: []string{"s0", "s2"}}
		p := Diff(sc.d, sc.o, opt)
		for _, c := range p.Changes {
			for _, name := range c.Subjects {
				if sc.o.Watcher.keeps(sc.o.Session(name)) {
					t.Fatalf("%v", c)
				}
			}
		}
		if alone.Converged() != p.Converged() {
			t.Fatalf("alone %v %v, beside the other %v %v", alone.Changes, alone.Blocked, p.Changes, p.Blocked)
		}
	})
}

// late is how many more rounds a machine takes where a relay was dead: a session may first have to leave it where it
// listened before, so that it can be moved, and then it shows what it hid. A run has four rounds.
func (sc *scene) late() int {
	if sc.o.Relay.Fact == RelayDown {
		return 2
	}
	return 0
}

// Law 1: on a machine that does what it is told, the next plan is empty; or a later one, where a dead relay hid
// something.
func TestLawConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sc, opt := genScene(t), genOptions(t)
		first := Diff(sc.d, sc.o, opt)
		more := sc.late()
		sc.o = sc.obey(first)
		second := Diff(sc.d, sc.o, opt)
		for range more {
			sc.o = sc.obey(second)
			second = Diff(sc.d, sc.o, opt)
		}
		if !second.Empty() {
			t.Fatalf("after %v\nthe plan is still %v", first.Changes, second.Changes)
		}
	})
}

// Law 2: a plan never holds two changes that undo each other, and asks for each thing once.
func TestLawNoContradiction(t *testing.T) {
	removes := map[Kind][]Kind{
		StopDaemon:     {StartDaemon, RestartDaemon, StopDuplicate},
		StopDuplicate:  {StartDaemon, RestartDaemon},
		StopNotify:     {StartNotify, RestartNotify},
		DestroySession: {CreateSession, AllocateSlot, RegisterDir, StartDaemon, RestartDaemon, StartNotify, RestartNotify},
		StopRelay:      {StartRelay},
	}
	rapid.Check(t, func(t *rapid.T) {
		sc, opt := genScene(t), genOptions(t)
		p := Diff(sc.d, sc.o, opt)
		seen := map[ID]bool{}
		for i, c := range p.Changes {
			if seen[c.ID()] {
				t.Fatalf("twice: %v", c)
			}
			for _, n := range c.Needs {
				if !seen[n] {
					t.Fatalf("change %d needs %q, which does not come before it", i, n)
				}
			}
			seen[c.ID()] = true
			for _, other := range p.Changes {
				if slices.Contains(removes[c.Kind], other.Kind) && cmp.Equal(c.Subjects, other.Subjects) {
					t.Fatalf("%v undoes %v", c, other)
				}
			}
		}
		woven, removed := map[[2]string]bool{}, map[[2]string]bool{}
		for _, c := range p.Changes {
			for _, pair := range c.Pairs {
				if c.Kind == PairMesh {
					woven[[2]string{pair.A, pair.B}] = true
				} else {
					removed[[2]string{pair.A, pair.B}] = true
				}
			}
		}
		for e := range woven {
			if removed[e] {
				t.Fatalf("%v is both woven and removed", e)
			}
		}
	})
}

// Law 3: nothing destructive appears unless asked for, and then only on what this owner created and the file
// does not list.
func TestLawNothingDestroyedUnasked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sc, opt := genScene(t), genOptions(t)
		for _, c := range Diff(sc.d, sc.o, opt).Changes {
			if c.Kind != DestroySession && c.Kind != RemovePins {
				if c.Destroys {
					t.Fatalf("%v destroys", c)
				}
				continue
			}
			if !opt.Prune {
				t.Fatalf("%v without --prune", c)
			}
			if c.Kind == RemovePins {
				continue
			}
			s := sc.o.Session(c.Subjects[0])
			listed := slices.ContainsFunc(sc.d.Sessions, func(w spec.Session) bool { return w.Name == s.Name })
			if sc.d.Owner == "" || s.Owner != sc.d.Owner || listed || !c.Destroys {
				t.Fatalf("%v of %+v", c, s)
			}
		}
	})
}

// Law 4: a partial create is completed from any prefix of its steps.
func TestLawResumes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sc, opt := genScene(t), genOptions(t)
		p := Diff(sc.d, sc.o, opt)
		cut := rapid.IntRange(0, len(p.Changes)).Draw(t, "cut")
		more := sc.late()
		sc.o = sc.obey(Plan{Changes: p.Changes[:cut]})
		for range max(2, 1+more) {
			sc.o = sc.obey(Diff(sc.d, sc.o, opt))
		}
		if left := Diff(sc.d, sc.o, opt); !left.Empty() {
			t.Fatalf("cut after %d of %v: left %v", cut, p.Changes, left.Changes)
		}
	})
}

// Law 5: a process is stopped only if the same change starts it again, another serves its home, it was ours and
// is unwanted, or the identity that it served is gone.
func TestLawStopsWithReason(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sc, opt := genScene(t), genOptions(t)
		for _, c := range Diff(sc.d, sc.o, opt).Changes {
			if len(c.Pairs) > 0 {
				continue
			}
			s := sc.o.Session(c.Subjects[0])
			serving := len(s.Daemon.Others)
			if s.Daemon.Ours != nil {
				serving++
			}
			var w spec.Session
			for _, one := range sc.d.Sessions {
				if one.Name == s.Name {
					w = one
				}
			}
			switch c.Kind {
			case StopDuplicate:
				if serving < 2 {
					t.Fatalf("%v stops the only daemon", c)
				}
			case StopDaemon:
				if w.Daemon || !s.StartedByApply || s.Daemon.Ours == nil {
					t.Fatalf("%v of %+v", c, s)
				}
			case RestartDaemon:
				if !w.Daemon || serving == 0 || c.Takeover && s.Pairing != "" {
					t.Fatalf("%v of %+v", c, s)
				}
			case StopLeftover:
				if s.DID != "" || len(s.Daemon.Others) == 0 {
					t.Fatalf("%v of %+v", c, s)
				}
			case StopNotify:
				if w.Notify || !s.NotifyByApply || s.Notify.Ours == nil {
					t.Fatalf("%v of %+v", c, s)
				}
			case RestartNotify:
				if !w.Notify || len(s.Notify.All()) == 0 {
					t.Fatalf("%v of %+v", c, s)
				}
			case RestartRelay:
				if e := sc.o.Relay.Elsewhere; !e.ByApply || len(e.Uses) > 0 || sc.o.Relay.Fact != RelayDown {
					t.Fatalf("%v of %+v", c, sc.o.Relay)
				}
			case StopAll, StopRelay:
				t.Fatalf("%v in a plan of apply", c)
			}
		}
	})
}

// Diff reads no clock and no map order: same input, same plan.
func TestLawDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sc, opt := genScene(t), genOptions(t)
		if diff := cmp.Diff(Diff(sc.d, sc.o, opt), Diff(sc.d, sc.o, opt)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// genSlots has at most one slot of each scope, on the relay of the file or another one.
func (sc scene) genSlots(t *rapid.T, name string) []SlotState {
	var out []SlotState
	for _, p := range []place{{home.Federation, federationURL}, {home.Local, relayURL}} {
		if rapid.IntRange(0, 3).Draw(t, "slot") == 0 {
			continue
		}
		slot := SlotState{URL: rapid.SampledFrom([]string{p.url, p.url, "http://127.0.0.1:9"}).Draw(t, "slot relay"), Scope: p.scope}
		truth := rapid.SampledFrom([]SlotFact{SlotGood, SlotGood, SlotLost}).Draw(t, "slot fact")
		slot.Fact = SlotUnknown
		switch {
		case slot.URL == relayURL && sc.o.Relay.Fact == RelayUp, slot.URL == federationURL && sc.o.Federation.Fact == RelayUp:
			slot.Fact = truth
		case slot.URL == relayURL:
			sc.hidden[name] = truth
		}
		if slot.Fact == SlotGood && rapid.Bool().Draw(t, "pulled") {
			at := sc.o.Now.Add(-time.Duration(rapid.IntRange(0, 120).Draw(t, "silent")) * time.Second)
			slot.LastPull = &at
		}
		out = append(out, slot)
	}
	return out
}
