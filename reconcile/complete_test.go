package reconcile

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/spec"
)

// TestComplete: what `session new` asks of a diff, for one session.
func TestComplete(t *testing.T) {
	create := Options{Complete: true, InOrder: true, TakeDirs: true}
	exists := Options{Complete: true, TakeDirs: true}
	old := noon.Add(-time.Hour)
	federated := SlotState{URL: federationURL, Scope: home.Federation, Fact: SlotGood, Since: old}
	local := SlotState{URL: relayURL, Scope: home.Local, Fact: SlotGood, Since: old}
	whole := func(slots ...SlotState) SessionState {
		return SessionState{Name: "api", Home: HomeWhole, DID: "did:wire:api-00000000", Slots: slots, Claim: ClaimState{Fact: ClaimGood}}
	}
	by := func(s SessionState, d census.Daemon) SessionState {
		s.Daemon.Ours = &d
		return s
	}
	for _, tc := range []struct {
		what    string
		reach   spec.Reach
		daemon  bool
		opt     Options
		have    *SessionState // nil: absent
		relays  [2]RelayFact  // local, federation; "" is up
		by      map[string]string
		others  []string
		planned string
	}{
		{
			what: "a new one, each step after those before it", reach: spec.ReachBoth, daemon: true, opt: create,
			planned: `create session api: absent
allocate slot api on http://127.0.0.1:8770: no slot on http://127.0.0.1:8770 <- [create session api]
allocate slot api on http://127.0.0.1:8771: no slot on http://127.0.0.1:8771 <- [create session api allocate slot api on http://127.0.0.1:8770]
claim handle api: api leads to its new slot <- [create session api allocate slot api on http://127.0.0.1:8770 allocate slot api on http://127.0.0.1:8771]
start daemon api: not running <- [create session api allocate slot api on http://127.0.0.1:8770 allocate slot api on http://127.0.0.1:8771 claim handle api]
register dir api: /srv/api is not registered <- [create session api allocate slot api on http://127.0.0.1:8770 allocate slot api on http://127.0.0.1:8771 claim handle api]
`,
		}, {
			what: "a new one whose relay is down gets an identity and no directory", reach: spec.ReachFederation, daemon: true, opt: create,
			relays: [2]RelayFact{"", RelayDown},
			planned: `create session api: absent
blocked http://127.0.0.1:8770: nothing answers there
blocked api: no slot on http://127.0.0.1:8770, and the relay cannot be used
`,
		}, {
			what: "one that exists, nothing named", reach: spec.ReachNone, opt: exists, have: ptr(whole(federated)),
			planned: "register dir api: /srv/api is not registered\n",
		}, {
			what: "its running daemon is neither stopped nor replaced", reach: spec.ReachNone, opt: exists,
			have: ptr(by(whole(federated), census.Daemon{PID: 7, Interval: 60})), by: map[string]string{"/srv/api": "api"},
		}, {
			what: "nor where one is wanted", reach: spec.ReachNone, daemon: true, opt: exists,
			have: ptr(by(whole(federated), census.Daemon{PID: 7, Interval: 60})), by: map[string]string{"/srv/api": "api"},
		}, {
			what: "unless it is hung", reach: spec.ReachNone, daemon: true, opt: exists,
			have: ptr(by(whole(federated), census.Daemon{PID: 7, Stopped: true})), by: map[string]string{"/srv/api": "api"},
			planned: "restart daemon api: pid 7 is stopped (state T)\n",
		}, {
			what: "a slot elsewhere stays", reach: spec.ReachFederation, opt: exists,
			have: ptr(whole(SlotState{URL: "https://other.example", Scope: home.Federation, Fact: SlotUnknown})), by: map[string]string{"/srv/api": "api"},
		}, {
			what: "a missing local slot, and the handle needs nothing", reach: spec.ReachBoth, opt: exists,
			have: ptr(whole(federated)), by: map[string]string{"/srv/api": "api"},
			planned: "allocate slot api on http://127.0.0.1:8771: no slot on http://127.0.0.1:8771\n",
		}, {
			what: "a lost slot on the relay that is named", reach: spec.ReachLocal, opt: exists,
			have: ptr(whole(SlotState{URL: relayURL, Scope: home.Local, Fact: SlotLost, Why: "404"})), by: map[string]string{"/srv/api": "api"},
			planned: "allocate slot api on http://127.0.0.1:8771: 404\n",
		}, {
			what: "a relay that is down hides nothing that is known to be missing", reach: spec.ReachLocal, opt: exists,
			have: ptr(whole(local)), by: map[string]string{"/srv/api": "api"}, relays: [2]RelayFact{RelayDown, ""},
			planned: "blocked http://127.0.0.1:8771: nothing answers there\n",
		}, {
			what: "a broken one still gets the directory", reach: spec.ReachNone, daemon: true, opt: exists,
			have: &SessionState{Name: "api", Home: HomeBroken, Why: "a card without its private.key"},
			planned: `register dir api: /srv/api is not registered
blocked api: a card without its private.key
`,
		}, {
			what: "a directory of another session is taken", reach: spec.ReachNone, opt: exists, have: ptr(whole(local)),
			by: map[string]string{"/srv/api": "web"}, others: []string{"web"},
			planned: "register dir api: /srv/api is not registered\nunmanaged web\n",
		}, {
			what: "not by an apply", reach: spec.ReachNone, have: ptr(whole(local)),
			by: map[string]string{"/srv/api": "web"}, others: []string{"web"},
			planned: "blocked api: /srv/api is registered to session \"web\"\nunmanaged web\n",
		}, {
			what: "a longer name of the reference leads here, too", reach: spec.ReachNone, opt: exists, have: ptr(whole(local)),
			by: map[string]string{"/srv/api": "API!"},
		},
	} {
		t.Run(tc.what, func(t *testing.T) {
			d := &spec.Desired{
				LocalRelay: spec.Relay{URL: relayURL, Bind: "127.0.0.1:8771"}, Federation: spec.Relay{URL: federationURL},
				Sessions: []spec.Session{{
					Name: "api", Handle: "api", Dir: "/srv/api", DirExists: true,
					Reach: tc.reach, Daemon: tc.daemon, Interval: 5 * time.Second,
				}},
			}
			fact := func(f RelayFact) RelayFact {
				if f == "" {
					return RelayUp
				}
				return f
			}
			o := Observed{
				Now: noon, ByCwd: tc.by, Sessions: map[string]SessionState{},
				Relay: RelayState{Fact: fact(tc.relays[0])}, Federation: RelayState{Fact: fact(tc.relays[1])},
			}
			if tc.have != nil {
				o.Sessions["api"] = *tc.have
			}
			for _, name := range tc.others {
				o.Sessions[name] = SessionState{Name: name, Home: HomeWhole}
			}
			if diff := cmp.Diff(tc.planned, text(Diff(d, o, tc.opt))); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

// TestWeave: the mesh and nothing else, whatever is wrong with relays and daemons.
func TestWeave(t *testing.T) {
	d, o := three(), converged()
	o.Relay = RelayState{Fact: RelayDown}
	for _, name := range []string{"api", "web", "docs"} {
		o.edit(name, func(s *SessionState) {
			s.Daemon = census.Serving{Why: "not running"}
			s.Slots[0].Fact = SlotUnknown
		})
	}
	if p := Weave(d, o); !p.Empty() || len(p.Blocked) > 0 {
		t.Errorf("a dead relay unpairs somebody:\n%s", text(p))
	}
	o.Mesh.Set("api", "web", PinState{State: pairing.PinStale, Why: "another slot"})
	o.Mesh.Set("docs", "web", PinState{State: pairing.PinAbsent})
	o.edit("docs", func(s *SessionState) { s.Home, s.Why = HomeBroken, "agent-card.json: no JSON" })
	want := "pair mesh: another slot\n"
	if diff := cmp.Diff(want, text(Weave(d, o))); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}
