package reconcile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/spec"
)

// line is a difference as a test reads it.
func line(x Difference) string {
	s := fmt.Sprintf("%s: %s / %s", x.Subject, x.Wanted, x.Seen)
	if x.Apply != "" {
		return s + " -> " + string(x.Apply)
	}
	return s + " ! " + x.Ask
}

func lines(all []Difference) string {
	var b strings.Builder
	for _, x := range all {
		b.WriteString(line(x) + "\n")
	}
	return b.String()
}

func TestDifferences(t *testing.T) {
	cases := []struct {
		name string
		wish func(*spec.Desired)
		fact func(*Observed)
		want string
	}{
		{"none", nil, func(*Observed) {}, ""},
		{"the relay of sessions that another file's watcher keeps", func(d *spec.Desired) {
			d.LocalRelay.Managed = false
		}, func(o *Observed) {
			o.Relay = RelayState{Fact: RelayDown}
			o.Watcher = WatcherState{PID: 7, Other: true, Owner: "other", SameExe: true, Sessions: []string{"api", "docs", "web"}}
		}, `
http://127.0.0.1:8771: relay up / relay down ! start that relay, or set managed: true in the file
`},
		{"a lost slot", nil, func(o *Observed) {
			o.edit("web", func(s *SessionState) { s.Slots[0].Fact, s.Slots[0].Why = SlotLost, "404" })
		}, `
web: slot on http://127.0.0.1:8771 / slot lost -> allocate slot
api-web: paired / good -> pair mesh
docs-web: paired / good -> pair mesh
`},
		{"edges", nil, func(o *Observed) {
			o.Mesh.Set("api", "web", PinState{State: pairing.PinAbsent})
			o.Mesh.Set("web", "api", PinState{State: pairing.PinAbsent})
			o.Mesh.Set("api", "docs", PinState{State: pairing.PinAbsent})
			o.Mesh.Set("web", "docs", PinState{State: pairing.PinConflict, Why: "somebody else's"})
		}, `
api-docs: paired / half -> pair mesh
api-web: paired / absent -> pair mesh
docs-web: paired / conflict ! rename one of them, or ` + "`wire forget-peer docs`" + ` in session web
`},
		{"daemons", func(d *spec.Desired) {
			d.Sessions[1].Interval *= 2
			d.Sessions = append(d.Sessions, spec.Session{Name: "off", Reach: spec.ReachLocal})
		}, func(o *Observed) {
			o.edit("api", func(s *SessionState) {
				s.Daemon = census.Serving{Why: "not running"}
				s.Crash = Crash{home.Crash{Deaths: 6}, "boom"}
			})
			o.edit("docs", func(s *SessionState) { s.Daemon.Ours.SameExe, s.Daemon.Ours.Exe = false, "/old/wire" })
			o.Sessions["off"] = SessionState{
				Name: "off", Home: HomeWhole, StartedByApply: true, Slots: o.Sessions["api"].Slots,
				Daemon: census.Serving{Ours: &census.Daemon{PID: 77, SameExe: true}},
			}
		}, `
off: no daemon / daemon 77 -> stop daemon
api: daemon running / daemon down -> start daemon
web: interval 10s / interval 5s -> restart daemon
docs: daemon of this executable / daemon of /old/wire -> restart daemon
`},
		{"the relay, and a dir", func(d *spec.Desired) {
			d.LocalRelay.Managed = false
			d.Sessions[0].Dir, d.Sessions[0].DirExists = "/src/api", true
			d.Sessions[1].Dir, d.Sessions[1].DirExists = "/src/web", true
		}, func(o *Observed) {
			o.Relay = RelayState{Fact: RelayStranger, Why: "the port is taken"}
			o.ByCwd["/src/web"] = "docs"
		}, `
api: /src/api registered to it / not registered -> register dir
http://127.0.0.1:8771: relay up / relay stranger ! stop that program, or give the relay another URL in the file
web: its dir / dir of another session ! name that session in the file, or destroy it
`},
		{"a broken home", nil, func(o *Observed) {
			o.edit("web", func(s *SessionState) { s.Home, s.Why = HomeBroken, "torn" })
		}, "\nweb: session whole / session broken ! repair that file or put the right one back, then `wire apply`; nothing in this home was changed\n"},
	}
	for _, c := range cases {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			d, o := three(), converged()
			if c.wish != nil {
				c.wish(d)
			}
			c.fact(&o)
			got := Differences(d, o, Diff(d, o, Options{}))
			if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), lines(got)); diff != "" {
				t.Error(diff)
			}
			for _, x := range got {
				if x.Subject == "api" && x.Apply == StartDaemon && x.Ask != "mend what its log ends with:\nboom" {
					t.Errorf("%q", x.Ask)
				}
			}
		})
	}
}

// Whatever a machine looks like: a difference for each change and edge and report, each with all it needs to
// be understood, and none where nothing differs.
func TestDifferencesAreWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sc := genScene(t)
		p := Diff(sc.d, sc.o, Options{})
		all := Differences(sc.d, sc.o, p)
		want := len(p.Blocked)
		for _, c := range p.Changes {
			want += max(1, len(c.Pairs))
		}
		if len(all) != want || (len(all) == 0) != p.Converged() {
			t.Fatalf("%d differences, want %d", len(all), want)
		}
		for _, x := range all {
			if x.Subject == "" || x.Wanted == "" || x.Seen == "" || x.Reason.Code == "" || x.Seen == notSaid {
				t.Errorf("%+v", x)
			}
			for _, s := range x.Sessions {
				if s == "" || strings.Contains(s, "http") {
					t.Errorf("%+v", x)
				}
			}
		}
	})
}

// One who keeps dying is one difference, dead or alive for a moment, and nobody is converged with it; so is one whom a
// watcher holds back.
func TestCrashIsOneDifference(t *testing.T) {
	crash := Crash{home.Crash{Deaths: 5, Failed: "no room"}, "last words"}
	for name, c := range map[string]struct {
		daemon, notifier census.Serving
		want             string
	}{
		"dead": {census.Serving{Why: "not running"}, census.Serving{Why: "not running"}, `
web: daemon running / daemon down -> start daemon
web: notifier running / notifier down -> start notifier
`},
		"alive": {converged().Session("web").Daemon, converged().Session("web").Daemon, `
web: daemon running / daemon crash-looping ! mend why its last start failed: no room; its log ends:
last words
web: notifier running / notifier crash-looping ! mend why its last start failed: no room; its log ends:
last words
`},
		"served by the reference": {
			census.Serving{Others: []census.Daemon{{PID: 99}}}, census.Serving{Others: []census.Daemon{{PID: 98}}}, "\n",
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			d, o := three(), converged()
			d.Sessions[1].Notify = true
			o.edit("web", func(s *SessionState) {
				s.Daemon, s.Notify, s.Crash, s.NotifyCrash = c.daemon, c.notifier, crash, crash
			})
			p := Look(d, o)
			if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), lines(Differences(d, o, p))); diff != "" {
				t.Error(diff)
			}
			held := p
			held.Changes, held.Held = nil, p.Changes
			if diff := cmp.Diff(Differences(d, o, p), Differences(d, o, held)); diff != "" {
				t.Errorf("a watcher says something else: %s", diff)
			}
			if st := StatusOf(d, o); st.Converged != (c.want == "\n") {
				t.Errorf("converged: %v", st.Converged)
			}
			if n := len(Missing(d, o, GoalDaemons)); (n == 0) != (c.want == "\n") {
				t.Errorf("%d daemons missing", n)
			}
		})
	}
}

// So it is with the relay, as long as it is ours to start and nobody else has its port.
func TestRelayCrash(t *testing.T) {
	const looping = relayURL + ": relay up / relay crash-looping ! mend what its log ends with:\nlast words\n"
	for name, c := range map[string]struct {
		relay   RelayState
		managed bool
		want    string
	}{
		"dead":        {RelayState{Fact: RelayDown}, true, relayURL + ": relay up / relay down -> start relay\n"},
		"alive":       {converged().Relay, true, looping},
		"not managed": {converged().Relay, false, ""},
		"somebody's":  {RelayState{Fact: RelayUp}, true, ""},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			d, o := three(), converged()
			d.LocalRelay.Managed = c.managed
			o.Relay = c.relay
			o.Relay.Crash = Crash{home.Crash{Deaths: 5}, "last words"}
			p := Look(d, o)
			all := Differences(d, o, p)
			if diff := cmp.Diff(c.want, lines(all)); diff != "" {
				t.Error(diff)
			}
			held := p
			held.Changes, held.Held = nil, p.Changes
			if diff := cmp.Diff(all, Differences(d, o, held)); diff != "" {
				t.Errorf("a watcher says something else: %s", diff)
			}
			if len(all) == 1 && (!strings.Contains(all[0].Ask, "last words") || !strings.Contains(all[0].Reason.Text, "every 2s at most")) {
				t.Errorf("%+v", all[0])
			}
		})
	}
}

// Why the last start failed is said where the log does not say it.
func TestCrashAdvice(t *testing.T) {
	for _, c := range []struct{ failed, tail, want string }{
		{"no room", "", "mend why its last start failed: no room"},
		{"no room", "error: no room", "mend what its log ends with:\nerror: no room"},
		{"no room", "hello", "mend why its last start failed: no room; its log ends:\nhello"},
		{"", "hello", "mend what its log ends with:\nhello"},
		{"", "", "its log says nothing: `wire daemon` in its home shows why"},
	} {
		if got := (Crash{home.Crash{Deaths: 5, Failed: c.failed}, c.tail}).advice("`wire daemon` in its home"); got != c.want {
			t.Errorf("%q, %q: %q", c.failed, c.tail, got)
		}
	}
}

// Every kind of change has its words, and a place in the order.
func TestEveryKindIsSaid(t *testing.T) {
	if len(Kinds) != len(rank) {
		t.Errorf("%d kinds, %d in order", len(Kinds), len(rank))
	}
	for _, k := range Kinds {
		if _, ok := rank[k]; !ok {
			t.Errorf("%s has no place in the order", k)
		}
		if k == PairMesh || k == RemovePins {
			continue // edge by edge
		}
		d, o := three(), converged()
		o.edit("api", func(s *SessionState) { s.Notify.Ours = s.Daemon.Ours })
		if wanted, seen := sides(d, o, Change{Kind: k, Subjects: []string{"api"}}); wanted == "" || seen == "" || seen == notSaid {
			t.Errorf("%s: wanted %q, seen %q", k, wanted, seen)
		}
	}
}

func TestMissing(t *testing.T) {
	d, o := three(), converged()
	o.edit("api", func(s *SessionState) { s.Daemon = census.Serving{Why: "not running"} })
	o.edit("docs", func(s *SessionState) { s.Daemon.Ours.Interval = 60 }) // it differs, and serves
	o.Mesh.Set("docs", "web", PinState{State: pairing.PinStale, Why: "old key"})
	for goal, want := range map[Goal]string{
		GoalConverged: `
docs-web: paired / stale -> pair mesh
api: daemon running / daemon down -> start daemon
docs: interval 5s / interval 60s -> restart daemon
`,
		GoalDaemons: "\napi: daemon running / daemon down -> start daemon\n",
		GoalMesh:    "\ndocs-web: paired / stale -> pair mesh\n",
		"api":       "\napi: daemon running / daemon down -> start daemon\n",
		"web":       "\ndocs-web: paired / stale -> pair mesh\n",
	} {
		if diff := cmp.Diff(want[1:], lines(Missing(d, o, goal))); diff != "" {
			t.Errorf("%s: %s", goal, diff)
		}
	}

	// What cannot even be planned is missing all the same.
	o = converged()
	o.edit("web", func(s *SessionState) { s.Home, s.Daemon = HomeBroken, census.Serving{Why: "not running"} })
	o.Mesh = NewMesh([]string{"api", "docs"})
	o.Mesh.Set("api", "docs", PinState{State: pairing.PinGood})
	o.Mesh.Set("docs", "api", PinState{State: pairing.PinGood})
	for goal, want := range map[Goal]string{
		GoalDaemons: "\nweb: daemon running / daemon down ! \n",
		GoalMesh:    "\napi-web: paired / absent ! \ndocs-web: paired / absent ! \n",
		"docs":      "\n",
	} {
		if diff := cmp.Diff(want[1:], lines(Missing(d, o, goal))); diff != "" {
			t.Errorf("%s: %s", goal, diff)
		}
	}
}

// What a watcher keeps is its own: another file's apply does not touch it, and nobody stops it beside it.
func TestWatched(t *testing.T) {
	watched := WatcherState{PID: 9, Owner: "laptop", File: "/w/wire.yaml", Sessions: []string{"api", "web"}, SameExe: true}
	drifted := func() Observed {
		o := converged()
		for _, n := range []string{"api", "docs"} {
			o.edit(n, func(s *SessionState) { s.Daemon = census.Serving{Why: "not running"} })
		}
		o.edit("api", func(s *SessionState) { s.Owner, s.Marked = "", false }) // adopted, and listed by it
		o.edit("docs", func(s *SessionState) { s.Owner = "other" })
		o.Mesh.Set("api", "docs", PinState{State: pairing.PinAbsent})
		o.Sessions["gone"] = SessionState{Name: "gone", Home: HomeWhole, Owner: "laptop"}
		return o
	}
	d := three()
	say := "blocked api: pid 9 keeps it as /w/wire.yaml says, and this one wants it otherwise: api-docs: half: api does not pin docs\n" +
		"note web: pid 9 keeps it as /w/wire.yaml says\n"

	o := drifted()
	o.Watcher = watched
	o.Watcher.Other = true
	if diff := cmp.Diff("start daemon docs: not running\n"+say+"unmanaged gone\n", text(Diff(d, o, Options{Prune: true}))); diff != "" {
		t.Error("another file", diff)
	}
	if diff := cmp.Diff("start daemon docs: not running\nunmanaged gone\n", text(Diff(d, o, Options{Only: []string{"docs"}}))); diff != "" {
		t.Error("another file, only docs", diff)
	}
	d.Edges = nil
	o.Mesh = converged().Mesh
	if p := Diff(d, o, Options{Prune: true}); len(p.Changes) != 1 || p.Changes[0].Kind != StartDaemon {
		t.Errorf("another file takes edges apart: %s", text(p))
	}
	d = three()

	o = drifted()
	o.Watcher = watched
	want := "pair mesh: half: api does not pin docs\nstart daemon api: not running\nstart daemon docs: not running\nunmanaged gone\n"
	if diff := cmp.Diff(want, text(Diff(d, o, Options{}))); diff != "" {
		t.Error("the same file", diff)
	}

	o = converged()
	o.Watcher = watched
	down := text(Down(d, o, nil))
	if !strings.HasPrefix(down, "stop daemons docs") && !strings.HasPrefix(down, "blocked api") || strings.Contains(down, "stop relay") ||
		!strings.Contains(down, "blocked api: pid 9 keeps it as /w/wire.yaml says, and would bring it back") {
		t.Errorf("down beside a watcher:\n%s", down)
	}
	gone := "destroy session docs: its key goes to the trash\n" + // which its file does not list any more
		"blocked api: pid 9 keeps it as /w/wire.yaml says, and would bring it back\n" +
		"blocked web: pid 9 keeps it as /w/wire.yaml says, and would bring it back\n"
	if diff := cmp.Diff(gone, text(Destroy(d, o, nil))); diff != "" {
		t.Error("destroy beside a watcher", diff)
	}
	o.Watcher.Self = true
	if got := text(Down(d, o, []string{"api"})); got != "stop daemons api: running\n" {
		t.Errorf("down by the watcher itself:\n%s", got)
	}
}

// Beside a watcher of another executable nobody replaces daemons that it would replace again.
func TestForeignExecutable(t *testing.T) {
	d, o := three(), converged()
	o.edit("api", func(s *SessionState) { s.Daemon.Ours.SameExe = false })
	o.Watcher = WatcherState{PID: 9, File: "/w/wire.yaml"}
	if p := Diff(d, o, Options{}); !p.Empty() || len(p.Notes) != 1 {
		t.Error(text(p))
	}
	o.Watcher.SameExe = true
	if p := Diff(d, o, Options{}); len(p.Changes) != 1 || !p.Changes[0].Roll {
		t.Error(text(p))
	}
}
