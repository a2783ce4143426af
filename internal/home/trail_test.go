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
		"real/deep/fleet.yaml":            {"real/", "real/deep/", "real/deep/fleet.yaml"},
		"link/deep/fleet.yaml":            {"link", "real/", "real/deep/", "real/deep/fleet.yaml"},
		"cfg/wire.yaml":                   {"cfg/", "cfg/wire.yaml", "link", "real/", "real/deep/", "real/deep/fleet.yaml"},
		"cfg/../cfg/wire.yaml":            {"cfg/", "cfg/wire.yaml", "link", "real/", "real/deep/", "real/deep/fleet.yaml"},
		"cfg/absolute":                    {"cfg/", "cfg/absolute", "link", "real/", "real/deep/", "real/deep/fleet.yaml"},
		"cfg/first":                       {"cfg/", "cfg/first", "cfg/second", "cfg/wire.yaml", "link", "real/", "real/deep/", "real/deep/fleet.yaml"},
		"cfg/dangling":                    {"cfg/", "cfg/dangling", "away/", "away/nothing"},
		"nowhere/at/all":                  {"nowhere"},
		"real/deep/up/deep/fleet.yaml":    {"real/", "real/deep/", "real/deep/up", "real/deep/fleet.yaml"},
		"away/to-the-root" + at("absent"): {"away/", "away/to-the-root", "absent"},
	} {
		spots, ends := Trail(at(path))
		if got := below(t, dir, spots); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
		if want := at(want[len(want)-1]); len(ends) != 1 || ends[0] != want {
			t.Errorf("%s leads to %v, want %s", path, ends, want)
		}
	}
	spots, ends := Trail(at("cfg"), at("link/deep"), at("real/none"), at("cfg"))
	if got, want := below(t, dir, spots), []string{"cfg", "link", "real/", "real/deep", "real/none"}; !slices.Equal(got, want) {
		t.Errorf("of several paths: %v, want %v", got, want)
	}
	if got, want := ends, []string{at("cfg"), at("real/deep"), at("real/none"), at("cfg")}; !slices.Equal(got, want) {
		t.Errorf("several paths lead to %v, want %v", got, want)
	}
	spots, _ = Trail(at("loop"))
	if n := len(below(t, dir, spots)); n != 2 {
		t.Errorf("a loop has %d spots", n)
	}
	t.Chdir(at("cfg"))
	spots, _ = Trail("wire.yaml")
	if got := below(t, dir, spots); len(got) != 6 || got[1] != "cfg/wire.yaml" {
		t.Errorf("a relative path: %v", got)
	}
}

// below are those of the spots that are in dir, whose own way is no concern of the test.
func below(t *testing.T, dir string, spots []Spot) (names []string) {
	t.Helper()
	for _, s := range spots {
		if rel, ok := strings.CutPrefix(s.Path(), dir+"/"); ok {
			if s.Through {
				rel += "/"
			}
			names = append(names, rel)
		} else if !strings.HasPrefix(dir+"/", s.Path()+"/") {
			t.Errorf("it leads out: %s", s.Path())
		}
	}
	return names
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
	info, err := os.Stat(m.WatchNoteFile())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.WriteFile(m.WatchNoteFile(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := m.ReadWatchNote(); got.PID != 0 {
		t.Errorf("a torn note says %+v", got)
	}
	if err := errors.Join(os.Remove(m.WatchNoteFile()), syscall.Mkfifo(m.WatchNoteFile(), 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := m.ReadWatchNote(); got.PID != 0 {
		t.Errorf("a FIFO says %+v", got)
	}
}
