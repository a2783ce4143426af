package pairing

import (
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// TestMembers: who cannot take part says why, writes nothing and holds nobody up.
func TestMembers(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, bad home.Session)
		check func(err error) bool
		says  string
	}{
		{
			name:  "no key",
			spoil: func(t *testing.T, bad home.Session) { remove(t, bad, "private.key") },
			check: func(err error) bool { return errors.Is(err, home.ErrNotInitialized) },
		},
		{
			name:  "no card",
			spoil: func(t *testing.T, bad home.Session) { remove(t, bad, "agent-card.json") },
			check: func(err error) bool { return errors.Is(err, home.ErrNotInitialized) },
		},
		{
			name:  "card cut short",
			spoil: func(t *testing.T, bad home.Session) { put(t, bad, "agent-card.json", []byte(`{"did": "did:w`)) },
			check: func(err error) bool { var e *home.FileError; return errors.As(err, &e) },
			says:  "agent-card.json",
		},
		{
			name: "card of another handle",
			spoil: func(t *testing.T, bad home.Session) {
				edit(t, bad, "agent-card.json", func(d canon.Doc) { d["handle"] = "alpha" })
			},
			check: cardError, says: "signature did not verify",
		},
		{
			name: "card whose DID is another key's",
			spoil: func(t *testing.T, bad home.Session) {
				key := keyOf(t, "bad")
				card := identity.NewCard("bad", "", key.Public())
				card["did"] = "did:wire:bad-00000000"
				put(t, bad, "agent-card.json", canon.Pretty(identity.SignCard(card, key)))
			},
			check: cardError, says: "another key",
		},
		{
			name: "card with a handle that is no file name",
			spoil: func(t *testing.T, bad home.Session) {
				key := keyOf(t, "bad")
				put(t, bad, "agent-card.json", canon.Pretty(identity.SignCard(identity.NewCard("../bad", "", key.Public()), key)))
			},
			check: cardError,
		},
		{
			name:  "home that everybody can write",
			spoil: func(t *testing.T, bad home.Session) { chmod(t, bad.Dir, 0o757) },
			check: func(err error) bool { var e *home.FileError; return errors.As(err, &e) },
			says:  "everybody can write",
		},
		{
			name: "card that everybody can write",
			spoil: func(t *testing.T, bad home.Session) {
				chmod(t, filepath.Join(bad.ConfigDir(), "agent-card.json"), 0o646)
			},
			check: func(err error) bool { var e *home.FileError; return errors.As(err, &e) },
			says:  "agent-card.json",
		},
		{
			name: "home of another user",
			spoil: func(t *testing.T, bad home.Session) {
				if os.Getuid() != 0 {
					t.Skip("only root can give a home away")
				}
				if err := os.Chown(bad.ConfigDir(), 4711, -1); err != nil {
					t.Fatal(err)
				}
			},
			check: func(err error) bool { var e *home.FileError; return errors.As(err, &e) },
			says:  "4711",
		},
		{
			name: "peers no object",
			spoil: func(t *testing.T, bad home.Session) {
				edit(t, bad, "relay.json", func(d canon.Doc) { d["peers"] = "x" })
			},
			check: func(err error) bool { var e *home.FileError; return err == nil || errors.As(err, &e) }, // Look reads on
			says:  "peers",
		},
		{
			name: "agents no object",
			spoil: func(t *testing.T, bad home.Session) {
				edit(t, bad, "trust.json", func(d canon.Doc) { d["agents"] = "x" })
			},
			check: func(err error) bool { var e *home.FileError; return errors.As(err, &e) },
			says:  "trust.json",
		},
		{
			name:  "a copy of alpha's home",
			spoil: func(t *testing.T, bad home.Session) { identify(t, bad, "alpha", "alpha") },
			check: func(err error) bool { var e *TwinError; return errors.As(err, &e) && e.SameDID },
			says:  "alpha and bad have the same identity alpha",
		},
		{
			name:  "alpha's handle",
			spoil: func(t *testing.T, bad home.Session) { identify(t, bad, "alpha", "bad") },
			check: func(err error) bool { var e *TwinError; return errors.As(err, &e) && !e.SameDID },
			says:  "alpha and bad have the same handle alpha",
		},
		{
			name:  "no slot",
			spoil: func(t *testing.T, bad home.Session) { remove(t, bad, "relay.json") },
			check: func(err error) bool { return err == nil || errors.Is(err, ErrNoSlot) },
			says:  "no slot",
		},
		{
			name: "slot without a token",
			spoil: func(t *testing.T, bad home.Session) {
				edit(t, bad, "relay.json", func(d canon.Doc) {
					d["self"] = canon.Doc{"relay_url": relayURL, "slot_id": "aa"}
				})
			},
			check: func(err error) bool { return err == nil || errors.Is(err, ErrNoSlot) },
			says:  "no slot",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			sessions := []home.Session{
				newSession(t, root, "alpha", "alpha"), newSession(t, root, "bad", "bad"),
				newSession(t, root, "cora", "cora"), newSession(t, root, "dora", "dora"),
			}
			tt.spoil(t, sessions[1])
			before := snapshot(t, sessions[1].Dir)
			survey := mustLook(t, sessions)
			err := survey.Members[1].Err
			if !tt.check(err) {
				t.Errorf("member: %v", err)
			}
			var twins *TwinError
			isTwin := errors.As(err, &twins)
			for i, m := range survey.Members {
				if (m.Err != nil) != (i == 1 && err != nil || i == 0 && isTwin) {
					t.Errorf("member %s: %v", m.Session.Name, m.Err)
				}
			}
			for _, p := range []Directed{survey.Pin(1, 2), survey.Pin(2, 1)} {
				if want := PinUnknown; err != nil && (p.State != want || p.Why != err.Error()) {
					t.Errorf("pin %+v, want %s", p, want)
				}
				if want := PinAbsent; err == nil && p.State != want {
					t.Errorf("pin %+v, want %s", p, want)
				}
			}
			for _, r := range mustWeave(t, sessions, all(4)) {
				bad := r.Edge.A == 1 || r.Edge.B == 1
				switch {
				case bad && (r.Err == nil || !tt.check(r.Err) || !strings.Contains(r.Err.Error(), tt.says) || !strings.HasPrefix(r.Err.Error(), "bad: ") && !isTwin):
					t.Errorf("edge %v: %v", r.Edge, r.Err)
				case isTwin && r.Edge.A == 0:
					if r.Err == nil {
						t.Errorf("edge %v: woven", r.Edge)
					}
				case !bad && (r.Err != nil || !r.Changed):
					t.Errorf("edge %v: %+v", r.Edge, r)
				}
			}
			if d := cmp.Diff(before, snapshot(t, sessions[1].Dir)); d != "" && tt.name != "peers no object" {
				t.Errorf("it was written to:\n%s", d)
			}
			for _, s := range sessions {
				if relay, err := s.ReadRelay(); err == nil {
					// Peers that are no object show when they are written, after trust.
					if _, pinned := relay.PeerRaw("bad"); pinned && tt.name != "peers no object" {
						t.Errorf("%s has a route to it", s.Name)
					}
				}
			}
		})
	}
}

func cardError(err error) bool { var e *identity.CardError; return errors.As(err, &e) }

func remove(t testing.TB, s home.Session, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(s.ConfigDir(), name)); err != nil {
		t.Fatal(err)
	}
}

func chmod(t testing.TB, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// edit changes a file of CFG as a tree.
func edit(t testing.TB, s home.Session, name string, change func(canon.Doc)) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.ConfigDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := canon.ParseObject(data)
	if err != nil {
		t.Fatal(err)
	}
	change(doc)
	put(t, s, name, canon.Pretty(doc))
}

// TestLooseHome: a home made under umask 002 takes part, is left alone by looking and tightened by weaving.
func TestLooseHome(t *testing.T) {
	root := t.TempDir()
	sessions := []home.Session{newSession(t, root, "alpha", "alpha"), newSession(t, root, "beth", "beth")}
	card := filepath.Join(sessions[1].ConfigDir(), "agent-card.json")
	chmod(t, sessions[1].Dir, 0o775)
	chmod(t, card, 0o664)
	before := snapshot(t, root)
	if s := mustLook(t, sessions); s.Members[1].Err != nil {
		t.Fatal(s.Members[1].Err)
	}
	if d := cmp.Diff(before, snapshot(t, root)); d != "" {
		t.Errorf("looking wrote:\n%s", d)
	}
	if r := mustWeave(t, sessions, all(2))[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	for _, path := range []string{sessions[1].Dir, card} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o022 != 0 {
			t.Errorf("%s is still %v", path, info.Mode())
		}
	}
}

// TestNoRouteWithoutTrust: where one side's trust cannot be written, neither side gets a route, and the rest of
// the mesh is made.
func TestNoRouteWithoutTrust(t *testing.T) {
	root := t.TempDir()
	sessions := []home.Session{
		newSession(t, root, "alpha", "alpha"), newSession(t, root, "beth", "beth"), newSession(t, root, "cora", "cora"),
	}
	// A lock that cannot be opened stops every write of beth's and no reading.
	if err := os.Mkdir(filepath.Join(sessions[1].ConfigDir(), "relay.lock"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, r := range mustWeave(t, sessions, all(3)) {
		bad := r.Edge.A == 1 || r.Edge.B == 1
		if bad != (r.Err != nil) || bad && !strings.HasPrefix(r.Err.Error(), "beth: ") {
			t.Errorf("edge %v: %v", r.Edge, r.Err)
		}
	}
	survey := mustLook(t, sessions)
	for _, from := range []int{0, 2} {
		if p := survey.Pin(from, 1); p.State != PinHalf || p.Why != whyNoRoute {
			t.Errorf("pin of beth: %+v", p)
		}
		if p := survey.Pin(1, from); p.State != PinAbsent {
			t.Errorf("pin by beth: %+v", p)
		}
	}
	if a, b := survey.Pin(0, 2), survey.Pin(2, 0); a.State != PinGood || b.State != PinGood {
		t.Errorf("alpha and cora: %+v, %+v", a, b)
	}
}

// TestOnlyTheEdges: sessions without an edge are neither read nor written, and edges not asked for not made.
func TestOnlyTheEdges(t *testing.T) {
	root := t.TempDir()
	var sessions []home.Session
	for _, name := range []string{"alpha", "beth", "cora", "dora"} {
		sessions = append(sessions, newSession(t, root, name, name))
	}
	put(t, sessions[3], "relay.json", []byte("{")) // would be waited for and reported
	results := mustWeave(t, sessions, []Edge{{1, 0}, {1, 2}, {0, 1}})
	for i, want := range []Edge{{1, 0}, {1, 2}, {0, 1}} {
		if r := results[i]; r.Err != nil || !r.Changed || r.Edge != want {
			t.Errorf("%+v, want %v", r, want)
		}
	}
	if s := mustLook(t, sessions[:3]); s.Pin(0, 2).State != PinAbsent || s.Pin(2, 0).State != PinAbsent || s.Pin(1, 2).State != PinGood {
		t.Errorf("%+v %+v %+v", s.Pin(0, 2), s.Pin(2, 0), s.Pin(1, 2))
	}
	for _, bad := range [][]Edge{{{0, 0}}, {{0, 4}}, {{-1, 0}}} {
		if _, err := Weave(context.Background(), sessions, bad, someTime, 1); err == nil {
			t.Errorf("edges %v were taken", bad)
		}
	}
}

func TestCancelled(t *testing.T) {
	root := t.TempDir()
	sessions := []home.Session{newSession(t, root, "alpha", "alpha"), newSession(t, root, "beth", "beth")}
	before := snapshot(t, root)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Look(ctx, sessions, 2); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := Weave(ctx, sessions, all(2), someTime, 2); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := Unpin(ctx, sessions[0], "beth", "did:wire:beth"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if d := cmp.Diff(before, snapshot(t, root)); d != "" {
		t.Errorf("written after the end:\n%s", d)
	}
}

// TestCardMadeOfTimes: the time by which renderings are cut may stand in a card.
func TestCardMadeOfTimes(t *testing.T) {
	root := t.TempDir()
	sessions := []home.Session{newSession(t, root, "alpha", "alpha"), newSession(t, root, "beth", "beth")}
	key := keyOf(t, "beth")
	card := identity.NewCard("beth", "", key.Public())
	card["since"] = identity.FormatTime(time.Unix(0, 0))
	card["pinned_at"] = []any{identity.FormatTime(time.Unix(1, 0)), identity.FormatTime(someTime)}
	put(t, sessions[1], "agent-card.json", canon.Pretty(identity.SignCard(card, key)))
	if r := mustWeave(t, sessions, all(2))[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	rec := recordsOf(t, sessions[0], "beth").trust.(canon.Doc)
	want := identity.SignCard(card, key)
	if d := cmp.Diff(want, rec["card"]); d != "" {
		t.Errorf("pinned card (-hers +pinned):\n%s", d)
	}
	if rec["pinned_at"] != identity.FormatTime(someTime) {
		t.Errorf("pinned_at %v", rec["pinned_at"])
	}
}

// TestRepinKeeps: what an operator or a later version made of a pin survives its repair.
func TestRepinKeeps(t *testing.T) {
	root := t.TempDir()
	sessions := []home.Session{newSession(t, root, "alpha", "alpha"), newSession(t, root, "beth", "beth")}
	key, second := keyOf(t, "beth"), keyOf(t, "beth's second")
	card := identity.NewCard("beth", "", key.Public())
	card["verify_keys"].(canon.Doc)["ed25519:beth:zz"] = canon.Doc{
		"alg": "ed25519", "active": true, "key": base64.StdEncoding.EncodeToString(second.Public()),
	}
	put(t, sessions[1], "agent-card.json", canon.Pretty(identity.SignCard(card, key)))
	mustWeave(t, sessions, all(2))
	f := recordsOf(t, sessions[0], "beth")
	f.doc()["tier"] = identity.TierAttested
	f.doc().get("public_keys", 1)["active"] = false
	f.key()["key"] = "AAAA" // what is to be repaired
	spoilt(t, sessions[0], f)
	if r := mustWeave(t, sessions, all(2))[0]; r.Err != nil || !r.Changed {
		t.Fatalf("%+v", r)
	}
	f = recordsOf(t, sessions[0], "beth")
	if f.doc()["tier"] != identity.TierAttested {
		t.Errorf("tier is %v", f.doc()["tier"])
	}
	if off := f.doc().get("public_keys", 1); off["key_id"] != "beth:zz" || off["active"] != false {
		t.Errorf("the key that was switched off is now %v", off)
	}
	if f.key()["active"] != true || f.key()["key"] == "AAAA" {
		t.Errorf("her key is %v", f.key())
	}
}
