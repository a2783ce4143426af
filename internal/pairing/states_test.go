package pairing

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// pinFiles is what alpha's two files say of beth, for a case to spoil: a nil record is no record.
type pinFiles struct {
	trust, route any
	stranger     canon.Doc // a trust record of somebody else called beth
	former       canon.Doc // of the beth that was here before
}

// key is the first public_keys entry of the trust record.
func (f *pinFiles) key() canon.Doc { return f.doc().get("public_keys", 0) }
func (f *pinFiles) doc() getter    { return getter(f.trust.(canon.Doc)) }
func (f *pinFiles) peer() getter   { return getter(f.route.(canon.Doc)) }
func (f *pinFiles) element() canon.Doc {
	return f.peer().get("endpoints", 0)
}

type getter canon.Doc

func (g getter) get(list string, i int) canon.Doc { return g[list].([]any)[i].(canon.Doc) }

// far is an address on another machine.
var far = endpoint("https://wireup.net", home.Federation, "far away")

// pinStates are the states of design.md section 4 and every way into them that we know of.
var pinStates = []struct {
	name  string
	spoil func(f *pinFiles)
	state Pin
	why   string
}{
	{name: "as woven", spoil: func(*pinFiles) {}, state: PinGood},
	{name: "other times", spoil: func(f *pinFiles) { f.doc()["pinned_at"] = "2001-02-03T04:05:06Z" }, state: PinGood},
	{name: "odd times", spoil: func(f *pinFiles) { f.doc()["pinned_at"] = "yesterday"; f.key()["added_at"] = nil }, state: PinGood},
	{name: "unknown keys", spoil: func(f *pinFiles) {
		f.doc()["x"], f.peer()["x"], f.key()["x"], f.element()["x"] = true, "y", canon.Doc{}, []any{}
	}, state: PinGood},
	{name: "an older edition of her card", spoil: func(f *pinFiles) { f.doc()["card"] = canon.Doc{"did": "old"} }, state: PinGood},
	{name: "a former key beside hers", spoil: func(f *pinFiles) {
		f.doc()["public_keys"] = append(f.doc()["public_keys"].([]any), canon.Doc{"key_id": "beth:00000000", "key": "AA==", "active": false})
	}, state: PinGood},
	{name: "active missing means active", spoil: func(f *pinFiles) { delete(f.key(), "active") }, state: PinGood},
	{name: "attested", spoil: func(f *pinFiles) { f.doc()["tier"] = identity.TierAttested }, state: PinGood},
	{name: "a route of an unknown kind beside hers", spoil: func(f *pinFiles) {
		f.peer()["endpoints"] = append(f.peer()["endpoints"].([]any), canon.Doc{"scope": "nostr", "relay_url": "wss://relay.example"})
	}, state: PinGood},

	{name: "nothing", spoil: func(f *pinFiles) { f.trust, f.route = nil, nil }, state: PinAbsent, why: whyAbsent},
	{name: "null and null", spoil: func(f *pinFiles) { f.trust, f.route = "null", "null" }, state: PinAbsent, why: whyAbsent},
	{name: "trust only", spoil: func(f *pinFiles) { f.route = nil }, state: PinHalf, why: whyNoRoute},
	{name: "trust and a null route", spoil: func(f *pinFiles) { f.route = "null" }, state: PinHalf, why: whyNoRoute},
	{name: "route only", spoil: func(f *pinFiles) { f.trust = nil }, state: PinHalf, why: whyNoTrust},
	{name: "dead local route only", spoil: func(f *pinFiles) {
		f.trust, f.route = nil, home.PeerRecord([]home.Endpoint{endpoint(relayURL, home.Local, "dead")})
	}, state: PinHalf, why: whyNoTrust},

	{name: "no token", spoil: func(f *pinFiles) { f.peer()["slot_token"] = ""; delete(f.peer(), "endpoints") }, state: PinPending, why: "no token"},
	{name: "token missing in the trio", spoil: func(f *pinFiles) { delete(f.peer(), "slot_token") }, state: PinPending, why: "no token"},
	{name: "token missing in the list", spoil: func(f *pinFiles) { f.element()["slot_token"] = "" }, state: PinPending, why: "no token"},

	{name: "her former self", spoil: func(f *pinFiles) { f.trust = f.former }, state: PinStale, why: "pinned is did:wire:beth-"},
	{name: "her former self, no route", spoil: func(f *pinFiles) { f.trust, f.route = f.former, nil }, state: PinStale, why: "pinned is did:wire:beth-"},
	{name: "her key under the legacy DID", spoil: func(f *pinFiles) {
		f.doc()["did"] = "did:wire:beth"
		f.route = home.PeerRecord([]home.Endpoint{far})
	}, state: PinStale, why: "pinned is did:wire:beth,"},
	{name: "another key under her DID", spoil: func(f *pinFiles) { f.key()["key"] = "AAAA" }, state: PinStale, why: "another key is pinned as beth:"},
	{name: "her key is not pinned", spoil: func(f *pinFiles) { f.key()["key_id"] = "beth:00000000" }, state: PinStale, why: "is not pinned"},
	{name: "no keys", spoil: func(f *pinFiles) { delete(f.doc(), "public_keys") }, state: PinStale, why: "is not pinned"},
	{name: "untrusted", spoil: func(f *pinFiles) { f.doc()["tier"] = identity.TierUntrusted }, state: PinStale, why: "UNTRUSTED"},
	{name: "no tier", spoil: func(f *pinFiles) { delete(f.doc(), "tier") }, state: PinStale, why: "UNTRUSTED"},
	{name: "no did", spoil: func(f *pinFiles) { delete(f.doc(), "did") }, state: PinStale, why: "no did"},
	{name: "trust no object", spoil: func(f *pinFiles) { f.trust = "[1]" }, state: PinStale, why: "no object"},
	{name: "route no object", spoil: func(f *pinFiles) { f.route = `"x"` }, state: PinStale, why: "no object"},
	{name: "another slot", spoil: func(f *pinFiles) {
		f.route = home.PeerRecord([]home.Endpoint{endpoint(relayURL, home.Local, "dead")})
	}, state: PinStale, why: "her own is " + relayURL},
	{name: "another relay of hers, elsewhere", spoil: func(f *pinFiles) { f.route = home.PeerRecord([]home.Endpoint{far}) }, state: PinStale, why: far.RelayURL},
	{name: "another token", spoil: func(f *pinFiles) { f.peer()["slot_token"] = "other" }, state: PinStale, why: "another token"},
	{name: "short form", spoil: func(f *pinFiles) { delete(f.peer(), "endpoints") }, state: PinStale, why: "lists none"},
	{name: "no trio", spoil: func(f *pinFiles) {
		delete(f.peer(), "relay_url")
		delete(f.peer(), "slot_id")
		delete(f.peer(), "slot_token")
	}, state: PinStale, why: "daemons of the reference"},
	{name: "no endpoints at all", spoil: func(f *pinFiles) { f.route = home.PeerRecord(nil) }, state: PinStale, why: "its route is none"},
	{name: "wrong scope", spoil: func(f *pinFiles) { f.element()["scope"] = "federation" }, state: PinStale, why: "lists"},

	{name: "a stranger", spoil: func(f *pinFiles) { f.trust, f.route = f.stranger, home.PeerRecord([]home.Endpoint{far}) }, state: PinConflict, why: far.RelayURL},
	{name: "a stranger with a local slot, too", spoil: func(f *pinFiles) {
		f.trust, f.route = f.stranger, home.PeerRecord([]home.Endpoint{far, endpoint(relayURL, home.Local, "x")})
	}, state: PinConflict, why: far.RelayURL},
	{name: "a stranger whose ack is not here yet", spoil: func(f *pinFiles) {
		f.trust, f.route = f.stranger, canon.Doc{"relay_url": far.RelayURL, "slot_id": far.SlotID, "slot_token": ""}
	}, state: PinConflict, why: far.RelayURL},
	{name: "a route to elsewhere before its pin", spoil: func(f *pinFiles) { f.trust, f.route = nil, home.PeerRecord([]home.Endpoint{far}) }, state: PinConflict, why: "not the sister's"},
	{name: "trust no object, route to elsewhere", spoil: func(f *pinFiles) { f.trust, f.route = "7", home.PeerRecord([]home.Endpoint{far}) }, state: PinConflict, why: "not the sister's"},
	{name: "switched off by hand", spoil: func(f *pinFiles) { f.key()["active"] = false }, state: PinConflict, why: "switched off"},
}

// spoilt writes alpha's files as a case wants them. The sessions are alpha and beth, woven.
func spoilt(t testing.TB, alpha home.Session, files *pinFiles) {
	t.Helper()
	trust, err := alpha.ReadTrust()
	if err != nil {
		t.Fatal(err)
	}
	relay, err := alpha.ReadRelay()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := canon.ParseObject(relay.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	spans, err := canon.ReadSpans(canon.Pretty(doc), "peers")
	if err != nil {
		t.Fatal(err)
	}
	set := func(s *canon.Spans, rec any, path ...string) {
		switch rec := rec.(type) {
		case nil:
			s.Delete(path...)
		case string:
			s.Set([]byte(rec), path...)
		default:
			s.Set(canon.AppendPretty(nil, rec, 2), path...)
		}
	}
	set(trust, files.trust, "agents", "beth")
	set(spans, files.route, "peers", "beth")
	put(t, alpha, "trust.json", trust.Bytes())
	put(t, alpha, "relay.json", spans.Bytes())
}

// recordsOf reads alpha's records of beth as they are.
func recordsOf(t testing.TB, s home.Session, handle string) *pinFiles {
	t.Helper()
	trust, err := s.ReadTrust()
	if err != nil {
		t.Fatal(err)
	}
	relay, err := s.ReadRelay()
	if err != nil {
		t.Fatal(err)
	}
	f := &pinFiles{}
	if raw, ok := trust.Raw("agents", handle); ok {
		f.trust, _ = canon.Parse(raw)
	}
	if raw, ok := relay.PeerRaw(handle); ok {
		f.route, _ = canon.Parse(raw)
	}
	return f
}

func TestPinStates(t *testing.T) {
	for _, tt := range pinStates {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			sessions := []home.Session{newSession(t, root, "alpha", "alpha"), newSession(t, root, "beth", "beth")}
			mustWeave(t, sessions, all(2))
			files := recordsOf(t, sessions[0], "beth")
			files.former = pinOf(t, "beth", "a former beth")
			files.stranger = pinOf(t, "beth", "a stranger")
			tt.spoil(files)
			spoilt(t, sessions[0], files)
			before := snapshot(t, root)

			p := mustLook(t, sessions).Pin(0, 1)
			if p.State != tt.state || !strings.Contains(p.Why, tt.why) || (p.Why == "") != (tt.state == PinGood) {
				t.Errorf("state %s (%s), want %s (%s)", p.State, p.Why, tt.state, tt.why)
			}
			if d := cmp.Diff(before, snapshot(t, root)); d != "" {
				t.Errorf("looking wrote:\n%s", d)
			}

			r := mustWeave(t, sessions, all(2))[0]
			var conflict *ConflictError
			switch tt.state {
			case PinGood, PinConflict:
				if d := cmp.Diff(before, snapshot(t, root)); d != "" || r.Changed {
					t.Errorf("woven although %s, %+v:\n%s", tt.state, r, d)
				}
				if errors.As(r.Err, &conflict) != (tt.state == PinConflict) {
					t.Errorf("error %v", r.Err)
				}
				if conflict != nil && (conflict.Session != "alpha" || conflict.Handle != "beth") {
					t.Errorf("%+v", conflict)
				}
			default:
				if r.Err != nil || !r.Changed {
					t.Errorf("weave: %+v", r)
				}
				if p := mustLook(t, sessions).Pin(0, 1); p.State != PinGood {
					t.Errorf("after weaving: %+v", p)
				}
			}
		})
	}
}

// TestHerRouteUnderAnotherDID: where a sister is reached at another machine's relay, too, a DID that is not hers
// decides, even beside her own slots.
func TestHerRouteUnderAnotherDID(t *testing.T) {
	for _, dual := range []bool{true, false} {
		root := t.TempDir()
		sessions := []home.Session{newSession(t, root, "alpha", "alpha"), newSession(t, root, "beth", "beth")}
		want := PinStale
		if dual {
			bind(t, sessions[1], endpoint("https://wireup.net", home.Federation, "beth"), endpoint(relayURL, home.Local, "beth"))
			want = PinConflict
		}
		mustWeave(t, sessions, all(2))
		f := recordsOf(t, sessions[0], "beth")
		f.trust = pinOf(t, "beth", "a stranger")
		spoilt(t, sessions[0], f)
		if p := mustLook(t, sessions).Pin(0, 1); p.State != want {
			t.Errorf("dual %v: %+v, want %s", dual, p, want)
		}
	}
}

// pinOf is a trust record of an identity that no session here has.
func pinOf(t testing.TB, handle, seed string) canon.Doc {
	t.Helper()
	key := keyOf(t, seed)
	card := identity.SignCard(identity.NewCard(handle, "", key.Public()), key)
	_, rec, err := identity.PinRecord(card, identity.TierVerified, someTime, nil)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}
