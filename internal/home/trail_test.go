package home

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestTrail(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(path string) string { return filepath.Join(dir, path) }
	for _, d := range []string{"real/deep", "cfg", "away"} {
		if err := os.MkdirAll(at(d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(at("real/deep/fleet.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{
		"link":             "real",
		"cfg/wire.yaml":    "../link/./deep/fleet.yaml",
		"cfg/absolute":     at("link/deep/../deep/fleet.yaml"),
		"cfg/dangling":     "../away/nothing/wire.yaml",
		"loop":             "pool",
		"pool":             "loop",
		"cfg/first":        "second",
		"cfg/second":       "wire.yaml",
		"real/deep/up":     "..",
		"away/to-the-root": "/",
	} {
		if err := os.Symlink(to, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string][]string{
		"real/deep/fleet.yaml":            {"real/deep/fleet.yaml"},
		"link/deep/fleet.yaml":            {"link", "real/deep/fleet.yaml"},
		"cfg/wire.yaml":                   {"cfg/wire.yaml", "link", "real/deep/fleet.yaml"},
		"cfg/../cfg/wire.yaml":            {"cfg/wire.yaml", "link", "real/deep/fleet.yaml"},
		"cfg/absolute":                    {"cfg/absolute", "link", "real/deep/fleet.yaml"},
		"cfg/first":                       {"cfg/first", "cfg/second", "cfg/wire.yaml", "link", "real/deep/fleet.yaml"},
		"cfg/dangling":                    {"cfg/dangling", "away/nothing"},
		"nowhere/at/all":                  {"nowhere"},
		"real/deep/up/deep/fleet.yaml":    {"real/deep/up", "real/deep/fleet.yaml"},
		"away/to-the-root" + at("absent"): {"away/to-the-root", "absent"},
	} {
		var got []string
		for _, s := range Trail(at(path)) {
			rel, ok := strings.CutPrefix(s.Path(), dir+"/")
			if !ok {
				t.Errorf("%s leads out: %s", path, s.Path())
			}
			got = append(got, rel)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	if n := len(Trail(at("loop"))); n < 2 || n > maxLinks+1 {
		t.Errorf("a loop has %d spots", n)
	}
	t.Chdir(at("cfg"))
	if got := Trail("wire.yaml"); len(got) != 3 || got[0].Path() != at("cfg/wire.yaml") {
		t.Errorf("a relative path: %v", got)
	}
}

func TestSameFile(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := os.WriteFile(a, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", b); err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(dir, "gone")
	for _, c := range []struct {
		x, y string
		want bool
	}{{a, a, true}, {a, b, true}, {b, a, true}, {a, gone, false}, {gone, gone, true}, {"", "", false}, {a, "", false}, {"-", "-", true}, {a, "-", false}} {
		if got := SameFile(c.x, c.y); got != c.want {
			t.Errorf("%q and %q: %v", c.x, c.y, got)
		}
	}
}

func TestWatchNote(t *testing.T) {
	m := Machine{Root: t.TempDir()}
	if n := m.ReadWatchNote(); n.PID != 0 || n.Text != "" {
		t.Errorf("%+v where there is none", n)
	}
	n := WatchNote{PID: 7, Text: "version: 1\n", Refused: "bad", Crashes: map[string]Crash{"api": {5, "no room"}}}
	if err := m.WriteWatchNote(n); err != nil {
		t.Fatal(err)
	}
	if got := m.ReadWatchNote(); got.PID != 7 || got.Text != n.Text || got.Refused != "bad" || got.Crashes["api"] != (Crash{5, "no room"}) {
		t.Errorf("%+v", got)
	}
	info, err := os.Stat(m.watchNote())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.WriteFile(m.watchNote(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := m.ReadWatchNote(); got.PID != 0 {
		t.Errorf("a torn note says %+v", got)
	}
	if err := errors.Join(os.Remove(m.watchNote()), syscall.Mkfifo(m.watchNote(), 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := m.ReadWatchNote(); got.PID != 0 {
		t.Errorf("a FIFO says %+v", got)
	}
}
