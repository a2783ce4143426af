package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/spec"
)

var noon = time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC)

// three is a file with three sessions in a full mesh.
func three() *spec.Desired {
	d := &spec.Desired{
		Owner:      "laptop",
		LocalRelay: spec.Relay{URL: relayURL, Bind: "127.0.0.1:8771", Managed: true},
		Federation: spec.Relay{URL: federationURL},
		Edges:      [][2]string{{"api", "docs"}, {"api", "web"}, {"docs", "web"}},
	}
	for _, n := range []string{"api", "web", "docs"} {
		d.Sessions = append(d.Sessions, spec.Session{Name: n, Reach: spec.ReachLocal, Daemon: true, Interval: 5 * time.Second})
	}
	return d
}

// converged is the machine that three asks for.
func converged() Observed {
	old := noon.Add(-time.Hour)
	fresh := noon.Add(-2 * time.Second)
	o := Observed{
		Now: noon, ByCwd: map[string]string{}, Sessions: map[string]SessionState{},
		Relay: RelayState{Fact: RelayUp, Since: &old, ByApply: true, PID: 40},
		Mesh:  NewMesh([]string{"api", "web", "docs"}),
	}
	for i, n := range []string{"api", "web", "docs"} {
		o.Sessions[n] = SessionState{
			Name: n, Home: HomeWhole, DID: "did:wire:" + n + "-00000000", Marked: true, Owner: "laptop", StartedByApply: true,
			Slots:  []SlotState{{URL: relayURL, Scope: home.Local, Fact: SlotGood, LastPull: &fresh, Since: old}},
			Daemon: census.Serving{Ours: &census.Daemon{PID: 50 + i, Started: old, Interval: 5, SameExe: true, Build: "x", Exe: "/old/wire"}},
		}
		for _, to := range []string{"api", "web", "docs"} {
			if to != n {
				o.Mesh.Set(n, to, PinState{State: pairing.PinGood})
			}
		}
	}
	return o
}

// moveRelay makes the machine's relay, and all slots, be elsewhere.
func (o *Observed) moveRelay(e Elsewhere) {
	o.Relay = RelayState{Fact: RelayDown, Elsewhere: e}
	for _, n := range []string{"api", "web", "docs"} {
		o.edit(n, func(s *SessionState) {
			s.Slots = []SlotState{{URL: "http://" + e.Bind, Scope: home.Local, Fact: SlotUnknown}}
		})
	}
}

// edit changes one session of a machine.
func (o Observed) edit(name string, change func(*SessionState)) {
	s := o.Sessions[name]
	change(&s)
	o.Sessions[name] = s
}

// text is a plan as a test reads it: changes, then reports.
func text(p Plan) string {
	var b strings.Builder
	for _, c := range p.Changes {
		fmt.Fprintf(&b, "%s: %s", c.ID(), c.Reason.Text)
		if len(c.Needs) > 0 {
			fmt.Fprintf(&b, " <- %v", c.Needs)
		}
		b.WriteString("\n")
	}
	for _, r := range p.Blocked {
		fmt.Fprintf(&b, "blocked %s: %s\n", r.Subject, r.Reason.Text)
	}
	for _, r := range p.Notes {
		fmt.Fprintf(&b, "note %s: %s\n", r.Subject, r.Reason.Text)
	}
	for _, u := range p.Unmanaged {
		fmt.Fprintf(&b, "unmanaged %s\n", u)
	}
	return b.String()
}

func TestDiff(t *testing.T) {
	silent := noon.Add(-10 * time.Minute)
	cases := []struct {
		name string
		wish func(*spec.Desired)
		fact func(*Observed)
		opt  Options
		want string
	}{
		{name: "converged"},
		{
			name: "an empty machine",
			fact: func(o *Observed) { *o = Observed{Now: noon, Relay: RelayState{Fact: RelayDown}} },
			want: `
start relay http://127.0.0.1:8771: nothing answers there
create session api: absent
create session web: absent
create session docs: absent
allocate slot api on http://127.0.0.1:8771: no slot on http://127.0.0.1:8771 <- [create session api start relay http://127.0.0.1:8771]
allocate slot web on http://127.0.0.1:8771: no slot on http://127.0.0.1:8771 <- [create session web start relay http://127.0.0.1:8771]
allocate slot docs on http://127.0.0.1:8771: no slot on http://127.0.0.1:8771 <- [create session docs start relay http://127.0.0.1:8771]
pair mesh: 3 edges: 3 new
start daemon api: not running <- [create session api allocate slot api on http://127.0.0.1:8771]
start daemon web: not running <- [create session web allocate slot web on http://127.0.0.1:8771]
start daemon docs: not running <- [create session docs allocate slot docs on http://127.0.0.1:8771]
`,
		},
		{
			name: "notifiers: none yet, one of ours, one of the reference, a stopped one",
			wish: func(d *spec.Desired) {
				for i := range d.Sessions {
					d.Sessions[i].Notify = true
				}
				d.Sessions = append(d.Sessions, spec.Session{Name: "news", Reach: spec.ReachLocal, Notify: true})
			},
			fact: func(o *Observed) {
				o.edit("api", func(s *SessionState) { s.Notify.Ours = &census.Daemon{PID: 60, SameExe: true, Interval: 2} })
				o.edit("web", func(s *SessionState) { s.Notify.Others = []census.Daemon{{PID: 61}} })
				o.edit("docs", func(s *SessionState) { s.Notify.Others = []census.Daemon{{PID: 62, Stopped: true}} })
			},
			want: `
create session news: absent
allocate slot news on http://127.0.0.1:8771: no slot on http://127.0.0.1:8771 <- [create session news]
start notifier news: not running <- [create session news allocate slot news on http://127.0.0.1:8771]
restart notifier docs: pid 62 is stopped (state T)
note web: what arrives is shown by a notifier of the reference (pid 61)
`,
		},
		{
			name: "notifiers: dead, of another build, beside one of the reference",
			wish: func(d *spec.Desired) {
				for i := range d.Sessions {
					d.Sessions[i].Notify = true
				}
			},
			fact: func(o *Observed) {
				o.edit("api", func(s *SessionState) { s.Notify.Why = "pid 4711 in the record is not alive" })
				o.edit("web", func(s *SessionState) { s.Notify.Ours = &census.Daemon{PID: 61, Interval: 2} })
				o.edit("docs", func(s *SessionState) {
					s.Notify.Ours = &census.Daemon{PID: 62, SameExe: true}
					s.Notify.Others = []census.Daemon{{PID: 63}}
				})
			},
			want: `
start notifier api: pid 4711 in the record is not alive
restart notifier web: pid 61 runs another executable than this one
note docs: pid 63 shows what arrives beside ours (pid 62)
`,
		},
		{
			name: "notifiers that the file does not want",
			fact: func(o *Observed) {
				o.edit("api", func(s *SessionState) { s.Notify.Ours, s.NotifyByApply = &census.Daemon{PID: 60}, true })
				o.edit("web", func(s *SessionState) { s.Notify.Ours = &census.Daemon{PID: 61} })
				o.edit("docs", func(s *SessionState) { s.Notify.Unknown = "notify.lock is held" })
			},
			want: `
stop notifier api: notify: false in the file
note web: notify: false, but pid 61 was not started by an apply: left alone
`,
		},
		{
			name: "a notifier that nobody knows of",
			wish: func(d *spec.Desired) { d.Sessions[0].Notify = true },
			fact: func(o *Observed) {
				o.edit("api", func(s *SessionState) { s.Notify.Unknown = "notify.lock is held" })
			},
			want: "blocked api: notify.lock is held\n",
		},
		{
			name: "a dead daemon",
			fact: func(o *Observed) {
				o.edit("web", func(s *SessionState) { s.Daemon = census.Serving{Why: "pid 4711 in the record is not alive"} })
			},
			want: "start daemon web: pid 4711 in the record is not alive\n",
		},
		{
			name: "a stopped daemon, one of another build, one of another interval",
			fact: func(o *Observed) {
				o.edit("api", func(s *SessionState) { s.Daemon.Ours.Stopped = true })
				o.edit("web", func(s *SessionState) { s.Daemon.Ours.SameExe = false })
				o.edit("docs", func(s *SessionState) { s.Daemon.Ours.Interval = 9 })
			},
			want: `
restart daemon api: pid 50 is stopped (state T)
restart daemon web: pid 51 runs another executable than this one: /old/wire
restart daemon docs: pid 52 runs with interval 9 s, the file says 5 s
`,
		},
		{
			name: "a daemon that does not pull",
			fact: func(o *Observed) { o.edit("api", func(s *SessionState) { s.Slots[0].LastPull = &silent }) },
			want: "restart daemon api: pid 50 has not pulled for 10m0s\n",
		},
		{
			name: "nobody pulled since the relay came back: it has just come back",
			fact: func(o *Observed) {
				back := noon.Add(-50 * time.Second)
				o.Relay.Since = &back
				o.edit("api", func(s *SessionState) { s.Slots[0].LastPull = &silent })
				o.edit("web", func(s *SessionState) { s.Slots[0].LastPull = nil })
			},
		},
		{
			name: "nobody pulled since the relay came back, long ago",
			fact: func(o *Observed) {
				o.edit("api", func(s *SessionState) { s.Slots[0].LastPull = &silent })
				o.edit("web", func(s *SessionState) { s.Slots[0].LastPull = nil })
			},
			want: "restart daemon api: pid 50 has not pulled for 10m0s\nrestart daemon web: pid 51 has never pulled from the relay\n",
		},
		{
			name: "nor one of the reference",
			fact: func(o *Observed) {
				o.edit("api", func(s *SessionState) {
					s.Daemon = census.Serving{Others: []census.Daemon{{PID: 99, Started: noon.Add(-time.Hour)}}}
					s.Slots[0].LastPull = &silent
				})
			},
			want: "restart daemon api: pid 99 has not pulled for 10m0s\n",
		},
		{
			name: "nor one that is slow on purpose",
			fact: func(o *Observed) {
				o.edit("api", func(s *SessionState) {
					s.Daemon = census.Serving{Others: []census.Daemon{{PID: 99, Started: noon.Add(-time.Hour), Interval: 300}}}
					s.Slots[0].LastPull = &silent
				})
			},
			want: "note api: served by a daemon of the reference (pid 99, interval 300 s)\n",
		},
		{
			name: "two daemons: ours stays",
			fact: func(o *Observed) {
				o.edit("api", func(s *SessionState) { s.Daemon.Others = []census.Daemon{{PID: 99}} })
			},
			want: "stop duplicate daemon api: pid 99 serves it beside ours (pid 50)\n",
		},
		{
			name: "a daemon of the reference is enough",
			fact: func(o *Observed) {
				o.edit("api", func(s *SessionState) { s.Daemon = census.Serving{Others: []census.Daemon{{PID: 99}}} })
			},
			want: "note api: served by a daemon of the reference (pid 99)\n",
		},
		{
			name: "but not with takeover",
			wish: func(d *spec.Desired) { d.Sessions[0].Takeover = true },
			fact: func(o *Observed) {
				o.edit("api", func(s *SessionState) { s.Daemon = census.Serving{Others: []census.Daemon{{PID: 99}}} })
			},
			want: "restart daemon api: pid 99 is a daemon of the reference and takeover is set\n",
		},
		{
			name: "nor while it has a pairing in hand",
			wish: func(d *spec.Desired) { d.Sessions[0].Takeover = true },
			fact: func(o *Observed) {
				o.edit("api", func(s *SessionState) {
					s.Daemon, s.Pairing = census.Serving{Others: []census.Daemon{{PID: 99}, {PID: 98}}}, "a pairing is in flight"
				})
			},
			want: "blocked api: pid 99 is a daemon of the reference and takeover is set, but a pairing is in flight\n",
		},
		{
			name: "unless it does nothing",
			wish: func(d *spec.Desired) { d.Sessions[0].Takeover = true },
			fact: func(o *Observed) {
				o.edit("api", func(s *SessionState) {
					s.Daemon = census.Serving{Others: []census.Daemon{{PID: 99, Started: noon.Add(-time.Hour)}}}
					s.Slots[0].LastPull, s.Pairing = &silent, "a pairing is in flight"
				})
			},
			want: "restart daemon api: pid 99 has not pulled for 10m0s\n",
		},
		{
			name: "a lost slot moves all edges of its session",
			fact: func(o *Observed) {
				o.edit("web", func(s *SessionState) {
					s.Slots[0].Fact, s.Slots[0].Why = SlotLost, "the relay does not know its slot (404)"
				})
			},
			want: `
allocate slot web on http://127.0.0.1:8771: the relay does not know its slot (404)
pair mesh: 2 edges: 2 moved
`,
		},
		{
			name: "a relay that is down hides the slots; nothing is planned on what is unknown",
			wish: func(d *spec.Desired) { d.LocalRelay.Managed = false },
			fact: func(o *Observed) {
				o.Relay = RelayState{Fact: RelayDown}
				for _, n := range []string{"api", "web", "docs"} {
					o.edit(n, func(s *SessionState) { s.Slots[0].Fact = SlotUnknown })
				}
			},
			want: "blocked http://127.0.0.1:8771: nothing answers there\n",
		},
		{
			name: "a stopped daemon may hold the lock that its slot needs",
			fact: func(o *Observed) {
				o.edit("docs", func(s *SessionState) { s.Slots[0].Fact, s.Slots[0].Why = SlotLost, "404" })
				o.edit("docs", func(s *SessionState) { s.Daemon.Ours.Stopped = true })
				o.edit("web", func(s *SessionState) { s.Daemon = census.Serving{Others: []census.Daemon{{PID: 99, Stopped: true}}} })
			},
			want: `
restart daemon web: pid 99 is stopped (state T)
restart daemon docs: pid 52 is stopped (state T)
allocate slot docs on http://127.0.0.1:8771: 404
pair mesh: 2 edges: 2 moved
`,
		},
		{
			name: "the file has moved the relay",
			fact: func(o *Observed) { o.moveRelay(Elsewhere{PID: 40, Bind: "127.0.0.1:9", ByApply: true}) },
			want: `
restart relay http://127.0.0.1:8771: pid 40 serves on 127.0.0.1:9: the file has moved it
allocate slot api on http://127.0.0.1:8771: its local slot is on another relay than http://127.0.0.1:8771 <- [restart relay http://127.0.0.1:8771]
allocate slot web on http://127.0.0.1:8771: its local slot is on another relay than http://127.0.0.1:8771 <- [restart relay http://127.0.0.1:8771]
allocate slot docs on http://127.0.0.1:8771: its local slot is on another relay than http://127.0.0.1:8771 <- [restart relay http://127.0.0.1:8771]
pair mesh: 3 edges: 3 moved
`,
		},
		{
			name: "one that others use stays where it is",
			fact: func(o *Observed) {
				o.moveRelay(Elsewhere{PID: 40, Bind: "127.0.0.1:9", ByApply: true, Uses: []string{"old"}})
			},
			want: `
blocked http://127.0.0.1:8771: pid 40 serves this machine's relay state, but on 127.0.0.1:9, for old
blocked api: its local slot is on another relay than http://127.0.0.1:8771, and the relay cannot be used
blocked web: its local slot is on another relay than http://127.0.0.1:8771, and the relay cannot be used
blocked docs: its local slot is on another relay than http://127.0.0.1:8771, and the relay cannot be used
`,
		},
		{
			name: "for --only leaves them there, too",
			opt:  Options{Only: []string{"api"}},
			fact: func(o *Observed) { o.moveRelay(Elsewhere{PID: 40, Bind: "127.0.0.1:9", ByApply: true}) },
			want: `
blocked http://127.0.0.1:8771: pid 40 serves this machine's relay state, but on 127.0.0.1:9, for web, docs
blocked api: its local slot is on another relay than http://127.0.0.1:8771, and the relay cannot be used
`,
		},
		{
			name: "and one that no apply has started",
			fact: func(o *Observed) { o.moveRelay(Elsewhere{PID: 40, Bind: "127.0.0.1:9"}) },
			want: `
blocked http://127.0.0.1:8771: pid 40 serves this machine's relay state, but on 127.0.0.1:9
blocked api: its local slot is on another relay than http://127.0.0.1:8771, and the relay cannot be used
blocked web: its local slot is on another relay than http://127.0.0.1:8771, and the relay cannot be used
blocked docs: its local slot is on another relay than http://127.0.0.1:8771, and the relay cannot be used
`,
		},
		{
			name: "the relay is there, and one of an earlier file, too",
			fact: func(o *Observed) { o.Relay.Elsewhere = Elsewhere{PID: 41, Bind: "127.0.0.1:9", ByApply: true} },
			want: "note http://127.0.0.1:8771: pid 41, started by an apply, serves on 127.0.0.1:9, which the file does not name\n",
		},
		{
			name: "by another name of this machine it is the same",
			fact: func(o *Observed) { o.Relay.Elsewhere = Elsewhere{PID: 40, Bind: "localhost:8771", ByApply: true} },
		},
		{
			name: "a half edge, a stale one and a stranger's",
			fact: func(o *Observed) {
				o.Mesh.Set("web", "api", PinState{State: pairing.PinAbsent})
				o.Mesh.Set("docs", "api", PinState{State: pairing.PinStale, Why: "docs pins another key"})
				o.Mesh.Set("docs", "web", PinState{State: pairing.PinConflict, Why: "web is somebody else's"})
			},
			want: `
pair mesh: 2 edges: 1 half, 1 stale
blocked docs-web: web is somebody else's
`,
		},
		{
			name: "a broken home blocks itself and its edges only",
			fact: func(o *Observed) {
				o.edit("api", func(s *SessionState) { s.Home, s.Why = HomeBroken, "trust.json: does not parse" })
				o.Mesh.Set("web", "docs", PinState{State: pairing.PinAbsent})
			},
			want: `
pair mesh: half: web does not pin docs
blocked api: trust.json: does not parse
`,
		},
		{
			name: "unlisted sessions stay without --prune",
			fact: func(o *Observed) { o.Sessions["old"] = SessionState{Name: "old", Home: HomeWhole, Owner: "laptop"} },
			want: "unmanaged old\n",
		},
		{
			name: "with it only the owner's go",
			opt:  Options{Prune: true},
			fact: func(o *Observed) {
				o.Sessions["old"] = SessionState{Name: "old", Home: HomeWhole, Owner: "laptop"}
				o.Sessions["else"] = SessionState{Name: "else", Home: HomeWhole, Owner: "other"}
				o.Sessions["hand"] = SessionState{Name: "hand", Home: HomeWhole}
			},
			want: `
destroy session old: not in the file, created by it (--prune): its key goes
unmanaged else
unmanaged hand
`,
		},
		{
			name: "an edge that the file does not ask for",
			wish: func(d *spec.Desired) { d.Edges = d.Edges[:2] },
			want: "note docs-web: paired, but not in the file's mesh\n",
		},
		{
			name: "a dir of another session",
			wish: func(d *spec.Desired) { d.Sessions[0].Dir, d.Sessions[0].DirExists = "/src/api", true },
			fact: func(o *Observed) { o.ByCwd["/src/api"] = "web" },
			want: "blocked api: /src/api is registered to session \"web\"\n",
		},
		{
			name: "a dir that does not exist yet, with a stale entry",
			wish: func(d *spec.Desired) { d.Sessions[0].Dir, d.Sessions[0].DirAsTyped = "/src/api", "~/src/api" },
			fact: func(o *Observed) { o.ByCwd["/src/api"] = "gone" },
			want: `
register dir api: /src/api is not registered
note api: ~/src/api does not exist yet; registered as /src/api
`,
		},
		{
			name: "daemon: false stops only what an apply started",
			wish: func(d *spec.Desired) { d.Sessions[0].Daemon, d.Sessions[1].Daemon = false, false },
			fact: func(o *Observed) { o.edit("web", func(s *SessionState) { s.StartedByApply = false }) },
			want: `
stop daemon api: daemon: false in the file
note web: daemon: false, but pid 51 was not started by an apply: left alone
`,
		},
		{
			name: "--only",
			opt:  Options{Only: []string{"web"}},
			fact: func(o *Observed) {
				o.edit("web", func(s *SessionState) { s.Daemon = census.Serving{Why: "not running"} })
				o.edit("api", func(s *SessionState) { s.Daemon = census.Serving{Why: "not running"} })
				o.Mesh.Set("api", "web", PinState{State: pairing.PinAbsent})
				o.Mesh.Set("api", "docs", PinState{State: pairing.PinAbsent})
			},
			want: `
pair mesh: half: api does not pin web
start daemon web: not running
`,
		},
		{
			name: "both relays, the federation one silent",
			wish: func(d *spec.Desired) { d.Sessions[0].Reach = spec.ReachBoth },
			fact: func(o *Observed) { o.Federation = RelayState{Fact: RelaySilent, Why: "timeout"} },
			want: `
blocked http://127.0.0.1:8770: timeout
blocked api: no slot on http://127.0.0.1:8770, and the relay cannot be used
`,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d, o := three(), converged()
			if c.wish != nil {
				c.wish(d)
			}
			if c.fact != nil {
				c.fact(&o)
			}
			if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), text(Diff(d, o, c.opt))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDownAndDestroy(t *testing.T) {
	d, o := three(), converged()
	o.edit("docs", func(s *SessionState) { s.Owner, s.Marked = "", false })
	want := "stop daemons api: running\nstop daemons web: running\nstop daemons docs: running\nstop relay http://127.0.0.1:8771: running\n"
	if diff := cmp.Diff(want, text(Down(d, o, nil))); diff != "" {
		t.Error("down", diff)
	}
	o.edit("docs", func(s *SessionState) { s.Daemon, s.Notify.Ours = census.Serving{}, &census.Daemon{PID: 60} })
	o.edit("web", func(s *SessionState) { s.Notify.Ours = &census.Daemon{PID: 61} })
	o.edit("api", func(s *SessionState) { s.Notify.Unknown = "held" })
	want = "stop daemons web: running\nstop daemons docs: its notifier is running\nstop relay http://127.0.0.1:8771: running\nblocked api: held\n"
	if diff := cmp.Diff(want, text(Down(d, o, nil))); diff != "" {
		t.Error("down with notifiers", diff)
	}
	o.edit("api", func(s *SessionState) { s.Notify.Unknown = "" })
	o.Relay.OtherUses = []string{"else"}
	want = "stop daemons web: running\n"
	if diff := cmp.Diff(want, text(Down(d, o, []string{"web"}))); diff != "" {
		t.Error("down --only", diff)
	}
	want = "destroy session api: its key goes to the trash\ndestroy session web: its key goes to the trash\n" +
		"blocked docs: it was not created by this file\nnote http://127.0.0.1:8771: left running for else\n"
	if diff := cmp.Diff(want, text(Destroy(d, o, nil))); diff != "" {
		t.Error("destroy", diff)
	}
	want = "destroy session docs: its key goes to the trash\n"
	if diff := cmp.Diff(want, text(Destroy(d, o, []string{"docs"}))); diff != "" {
		t.Error("destroy --only", diff)
	}
}
