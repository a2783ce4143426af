package home

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestNeighbours: whose directory stands beside HOME is a person, unless it is oneself or the system.
func TestNeighbours(t *testing.T) {
	beside := t.TempDir()
	for _, name := range []string{"me", "bob", "eve", "lost+found"} {
		if err := os.Mkdir(filepath.Join(beside, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(beside, "a file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	home, me := filepath.Join(beside, "me"), uint32(os.Getuid())
	if got := neighbours(home, me); got != nil {
		t.Errorf("all is one's own: %q", got)
	}
	var want []string // as somebody else sees it, who has no directory there
	switch {
	case me >= firstPerson:
		want = []string{"bob", "eve", "lost+found", "me"}
	case me == 0:
		for name, uid := range map[string]int{"bob": 1000, "eve": 501, "lost+found": 2, "me": 65534} {
			if err := os.Chown(filepath.Join(beside, name), uid, -1); err != nil {
				t.Fatal(err)
			}
		}
		want = []string{"bob", "eve"}
	}
	if got := neighbours(home, me+1); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, odd := range []string{"", "me", "/root", "/", filepath.Join(beside, "none", "me")} {
		if got := neighbours(odd, me+1); got != nil {
			t.Errorf("%q: %q", odd, got)
		}
	}
}
