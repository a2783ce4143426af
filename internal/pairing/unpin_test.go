package pairing

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

func didOf(t testing.TB, s home.Session) identity.DID {
	t.Helper()
	card, err := s.ReadCard()
	if err != nil {
		t.Fatal(err)
	}
	info, err := identity.ReadCard(card)
	if err != nil {
		t.Fatal(err)
	}
	return info.DID
}

// TestUnpin takes each way to have or not to have beth's pin.
func TestUnpin(t *testing.T) {
	tests := []struct {
		name         string
		spoil        func(f *pinFiles)
		changed      bool
		trust, route bool // what is left
	}{
		{name: "whole pin", spoil: func(*pinFiles) {}, changed: true},
		{name: "trust only", spoil: func(f *pinFiles) { f.route = nil }, changed: true},
		{name: "local route only", spoil: func(f *pinFiles) { f.trust = nil }, changed: true},
		{name: "route to elsewhere only", spoil: func(f *pinFiles) { f.trust, f.route = nil, home.PeerRecord([]home.Endpoint{far}) }, route: true},
		{name: "her pin with a route to elsewhere", spoil: func(f *pinFiles) { f.route = home.PeerRecord([]home.Endpoint{far}) }, changed: true},
		{name: "somebody else", spoil: func(f *pinFiles) { f.trust = f.stranger }, trust: true, route: true},
		{name: "nothing", spoil: func(f *pinFiles) { f.trust, f.route = nil, nil }},
		{name: "no object", spoil: func(f *pinFiles) { f.trust = "7" }, trust: true, route: true},
		{name: "a self record", spoil: func(f *pinFiles) { delete(f.doc(), "card"); delete(f.doc(), "pinned_at") }, trust: true, route: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			sessions := []home.Session{newSession(t, root, "alpha", "alpha"), newSession(t, root, "beth", "beth"), newSession(t, root, "cora", "cora")}
			mustWeave(t, sessions, all(3))
			did := didOf(t, sessions[1])
			files := recordsOf(t, sessions[0], "beth")
			files.stranger = pinOf(t, "beth", "a stranger")
			tt.spoil(files)
			spoilt(t, sessions[0], files)
			edit(t, sessions[0], "trust.json", func(d canon.Doc) { d["x"] = "kept" })
			before := snapshot(t, root)
			cora := recordsOf(t, sessions[0], "cora")

			changed, err := Unpin(context.Background(), sessions[0], "beth", did)
			if err != nil || changed != tt.changed {
				t.Errorf("changed %v, %v", changed, err)
			}
			left := recordsOf(t, sessions[0], "beth")
			if (left.trust != nil) != tt.trust || (left.route != nil) != tt.route {
				t.Errorf("left: trust %v, route %v", left.trust, left.route)
			}
			after := snapshot(t, root)
			if d := cmp.Diff(before, after); d != "" && !tt.changed {
				t.Errorf("written:\n%s", d)
			}
			if d := cmp.Diff(cora, recordsOf(t, sessions[0], "cora"), cmp.AllowUnexported(pinFiles{})); d != "" {
				t.Errorf("cora's records changed:\n%s", d)
			}
			for path, f := range before {
				if strings.Contains(path, "beth") && after[path] != f {
					t.Errorf("%s was written", path)
				}
			}
			if changed, err := Unpin(context.Background(), sessions[0], "beth", did); changed || err != nil {
				t.Errorf("again: changed %v, %v", changed, err)
			}
		})
	}
}

// TestUnpinMany takes two sisters out of a mesh of five and leaves the rest whole.
func TestUnpinMany(t *testing.T) {
	root := t.TempDir()
	var sessions []home.Session
	for _, name := range []string{"alpha", "beth", "cora", "dora", "emma"} {
		sessions = append(sessions, newSession(t, root, name, name))
	}
	mustWeave(t, sessions, all(5))
	// One whose file is broken and one that is gone hold nobody up.
	put(t, sessions[2], "trust.json", []byte("{"))
	if err := os.RemoveAll(sessions[3].Dir); err != nil {
		t.Fatal(err)
	}
	var removals []Removal
	for _, from := range sessions {
		for _, gone := range sessions[:2] {
			if gone.Name != from.Name {
				removals = append(removals, Removal{From: from, Handle: gone.Name, DID: didOf(t, gone)})
			}
		}
	}
	results, err := UnpinMany(context.Background(), removals, 4)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		switch from := removals[i].From.Name; from {
		case "cora":
			if r.Err == nil || !strings.HasPrefix(r.Err.Error(), "cora: ") || r.Changed {
				t.Errorf("cora: %+v", r)
			}
		case "dora":
			if r.Err != nil || r.Changed {
				t.Errorf("dora: %+v", r)
			}
		default:
			if r.Err != nil || !r.Changed {
				t.Errorf("%s: %+v", from, r)
			}
		}
	}
	if _, err := os.Stat(sessions[3].Dir); err == nil {
		t.Error("dora's home is back")
	}
	s := mustLook(t, []home.Session{sessions[0], sessions[1], sessions[4]})
	for _, d := range []Edge{{0, 1}, {1, 0}, {2, 0}, {2, 1}} {
		if p := s.Pin(d.A, d.B); p.State != PinAbsent {
			t.Errorf("%+v", p)
		}
	}
	for _, d := range []Edge{{0, 2}, {1, 2}} {
		if p := s.Pin(d.A, d.B); p.State != PinGood {
			t.Errorf("%+v", p)
		}
	}
	left := filepath.Join(sessions[2].ConfigDir(), "trust.json")
	if data, err := os.ReadFile(left); err != nil || string(data) != "{" {
		t.Errorf("cora's trust.json is %q, %v", data, err)
	}
}
