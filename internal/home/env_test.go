package home

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAdoptionVectors replays adoption.json: which home each command of the reference used. What the
// recording did between the steps is only named in their notes, so it is done here.
func TestAdoptionVectors(t *testing.T) {
	root := root(t)
	session := filepath.Join(root, ".local/state/wire/sessions/proj")
	registry := filepath.Join(root, ".local/state/wire/sessions/registry.json")
	must(t, os.MkdirAll(filepath.Join(root, "src/proj/sub"), 0o755))
	must(t, os.Symlink("proj", filepath.Join(root, "src/link")))

	before := map[string]func(){
		"registered, directory gone": func() { must(t, os.Rename(session, session+".away")) },
		"registry unparsable": func() {
			must(t, os.Rename(session+".away", session))
			write(t, registry, `{"by_cwd": {"`)
		},
		"inside a session: the root is the parent": func() {
			write(t, registry, under(root, `{"by_cwd":{"/home/dev/src/proj":"proj"}}`))
		},
		"a session home with its own sessions directory": func() {
			must(t, os.Mkdir(filepath.Join(session, "sessions"), 0o755))
		},
	}
	seen := 0
	for _, s := range load[vector](t, "adoption.json").Steps {
		if strings.Contains(s.Do, "session new") || strings.Contains(s.Do, "init ") {
			continue // the state that they made comes next
		}
		if s.Tree != nil {
			s.apply(t, root)
			continue
		}
		if s.Change != nil {
			// The later states are differences against one that the vector does not hold; what they add is
			// enough here.
			plant(t, root, s.Change.Added)
			continue
		}
		if do := before[s.Note]; do != nil {
			do()
			delete(before, s.Note)
		}
		env := s.environment(root)
		if s.Note == "symlink, PWD names the link" {
			t.Chdir(filepath.Join(root, "src/link"))
			t.Setenv("PWD", filepath.Join(root, "src/link"))
			env.Cwd = OSEnv().Cwd
		}
		if s.RelayIn != nil {
			env.Cwd = filepath.Join(root, "src/proj")
		}
		out, line := env.Adopt()
		seen++
		switch {
		case strings.HasPrefix(s.Do, "wire session list"):
			wantSessions(t, out, s.Stdout)
			continue
		case s.RelayIn != nil:
			// Quirk 28: there, with adoption; ours is told not to adopt, and then serves the default.
			dir, err := out.RelayState(true)
			must(t, err)
			if want := under(root, s.RelayIn[0]) + "/local"; dir != want {
				t.Errorf("%s: %s, want %s", s.Do, dir, want)
			}
			continue
		case s.Exit == 0:
			wantIdentity(t, root, out, s.Stdout)
		default:
			if s, err := out.Session(); err != nil || s.Initialized() {
				t.Errorf("%+v: uses %s (%v), where the reference found nothing", env, s.ConfigDir(), err)
			}
		}
		want := ""
		for _, l := range s.Stderr {
			if strings.HasPrefix(l, "wire cli:") {
				want = under(root, l)
			}
		}
		if line != want {
			t.Errorf("%s (%s): line %q, want %q", s.Do, s.Note, line, want)
		}
	}
	if seen != 14 || len(before) != 0 {
		t.Fatalf("%d steps compared, preparations left: %v", seen, before)
	}
}

func TestWireHome(t *testing.T) {
	for _, tc := range []struct{ home, cfg, dir string }{
		{"/x", "/x/config/wire", "/x"},
		{"/x/", "/x/config/wire", "/x/"},
		{"/x//y/../z", "/x//y/../z/config/wire", "/x//y/../z"},
		{"~/x", "~/x/config/wire", "~/x"},
		{"sub/x", "sub/x/config/wire", "sub/x"},
		{"", "config/wire", "."},
	} {
		s, err := Env{WireHome: tc.home, WireHomeSet: true, Cwd: "/w"}.Session()
		must(t, err)
		if s.ConfigDir() != tc.cfg || s.Dir != tc.dir {
			t.Errorf("WIRE_HOME=%q: %s in %s, want %s in %s", tc.home, s.ConfigDir(), s.Dir, tc.cfg, tc.dir)
		}
	}
	s, err := At("sub/x").Abs(Env{Cwd: "/w"})
	must(t, err)
	if s.Dir != "/w/sub/x" || s.StateDir() != "/w/sub/x/state/wire" {
		t.Errorf("absolute: %+v", s)
	}
	if _, err := At("sub/x").Abs(Env{}); err == nil {
		t.Error("a relative home is absolute without a working directory")
	}
}

func TestDefaultHome(t *testing.T) {
	for _, tc := range []struct {
		goos         string
		env          Env
		cfg, st, err string
	}{
		{"linux", Env{Home: "/u"}, "/u/.config/wire", "/u/.local/state/wire", ""},
		{"linux", Env{Home: "/u", XDGConfigHome: "/c", XDGStateHome: "/s"}, "/c/wire", "/s/wire", ""},
		{"linux", Env{Home: "/u", XDGConfigHome: "c", XDGStateHome: ""}, "/u/.config/wire", "/u/.local/state/wire", ""},
		{"linux", Env{XDGConfigHome: "/c", XDGStateHome: "/s"}, "/c/wire", "/s/wire", ""},
		{"linux", Env{XDGConfigHome: "/c"}, "", "", "XDG_STATE_HOME"},
		{"linux", Env{XDGStateHome: "/s"}, "", "", "XDG_CONFIG_HOME"},
		{"darwin", Env{Home: "/u", XDGConfigHome: "/c"}, "/u/Library/Application Support/wire", "/u/Library/Application Support/wire", ""},
		{"darwin", Env{XDGConfigHome: "/c", XDGStateHome: "/s"}, "", "", "WIRE_HOME"},
	} {
		s, err := tc.env.defaultSession(tc.goos)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) || !strings.Contains(err.Error(), "WIRE_HOME") {
				t.Errorf("%+v: error %v, want one naming %s and WIRE_HOME", tc.env, err, tc.err)
			}
			continue
		}
		if err != nil || s.ConfigDir() != tc.cfg || s.StateDir() != tc.st || s.Dir != "" {
			t.Errorf("%s %+v: %+v, %v", tc.goos, tc.env, s, err)
		}
	}
}

func TestMachine(t *testing.T) {
	root := root(t)
	for _, dir := range []string{
		"outer/sessions/api", "outer/sessions/nested/sessions", "state/wire/sessions/web", "deep/sessions/a/b", "file",
	} {
		must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	write(t, filepath.Join(root, "file/sessions"), "")
	for _, tc := range []struct{ home, root, base string }{
		{"outer", "outer/sessions", "outer"},
		{"outer/sessions/api", "outer/sessions", "outer"},
		{"outer/sessions/api/", "outer/sessions", "outer"},
		{"outer/sessions/none", "outer/sessions", "outer"},
		{"outer/sessions/nested", "outer/sessions/nested/sessions", "outer/sessions/nested"},
		{"deep/sessions/a/b", "deep/sessions/a/b/sessions", "deep/sessions/a/b"}, // not its immediate parent
		{"nowhere", "nowhere/sessions", "nowhere"},
		{"file", "file/sessions", "file"}, // exists, whatever it is
		{"state/wire/sessions/web", "state/wire/sessions", ""},
		{"state/wire", "state/wire/sessions", ""},
	} {
		for _, rel := range []bool{false, true} {
			e := Env{WireHome: tc.home, WireHomeSet: true, Home: root, XDGStateHome: filepath.Join(root, "state"), Cwd: root}
			if !rel {
				e.WireHome = join(root, tc.home)
			} else {
				t.Chdir(root)
			}
			m, err := e.Machine()
			must(t, err)
			base := tc.base
			if base != "" {
				base = filepath.Join(root, base)
			}
			if m.Root != filepath.Join(root, tc.root) || m.Base != base {
				t.Errorf("WIRE_HOME=%s: root %s, base %q, want %s, %q", e.WireHome, m.Root, m.Base, tc.root, tc.base)
			}
			st, err := m.RelayState()
			must(t, err)
			want := filepath.Join(base, "state/wire-relay/local")
			if base == "" {
				want = filepath.Join(root, "state/wire-relay/local")
			}
			if st != want {
				t.Errorf("WIRE_HOME=%s: the relay is in %s, want %s", e.WireHome, st, want)
			}
		}
	}
	// It is the text of WIRE_HOME that names a session, not where it leads.
	for home, want := range map[string]string{
		"api": "api/sessions", "": "sessions", ".": "sessions", "..": "../sessions",
		"../sessions/api": "", "../sessions/./api/.": "", "api/../../sessions/none": "", "../sessions/x/..": "sessions",
	} {
		dir := filepath.Join(root, "outer/sessions")
		m := machine(t, Env{WireHome: home, WireHomeSet: true, Home: root, Cwd: dir})
		if m.Root != filepath.Join(dir, want) {
			t.Errorf("WIRE_HOME=%q in %s: root %s, want %s", home, dir, m.Root, want)
		}
	}
	// Without WIRE_HOME, from a session or from its project: the same machine.
	bare, err := Env{Home: root, XDGStateHome: filepath.Join(root, "state"), Cwd: root}.Machine()
	must(t, err)
	if bare.Root != filepath.Join(root, "state/wire/sessions") || bare.Base != "" {
		t.Errorf("default machine: %+v", bare)
	}
	if cfg, err := bare.ConfigDir(); err != nil || cfg != filepath.Join(root, ".config/wire") {
		t.Errorf("configuration of the default machine: %s, %v", cfg, err)
	}
	inside := machine(t, Env{WireHome: join(root, "outer/sessions/api"), WireHomeSet: true, Home: root})
	if cfg, err := inside.ConfigDir(); err != nil || cfg != filepath.Join(root, "outer/config/wire") {
		t.Errorf("configuration beside the session: %s, %v", cfg, err)
	}
	if _, err := (Env{WireHome: "rel", WireHomeSet: true}).Machine(); err == nil {
		t.Error("a relative WIRE_HOME without working directory is no machine")
	}
	if _, err := (Env{}).Machine(); err == nil {
		t.Error("nothing known is no machine")
	}
}

func TestSessionsAreDirectories(t *testing.T) {
	root := root(t)
	m := Machine{Root: join(root, "sessions")}
	if got, err := m.Sessions(); got != nil || err != nil {
		t.Fatalf("missing root: %v, %v", got, err)
	}
	for _, dir := range []string{"b", "a", ".hidden", "by-key", "Odd Name"} {
		must(t, os.MkdirAll(filepath.Join(m.Root, dir), 0o755))
	}
	must(t, os.Mkdir(filepath.Join(root, "elsewhere"), 0o755))
	must(t, os.Symlink(filepath.Join(root, "elsewhere"), filepath.Join(m.Root, "link")))
	must(t, os.Symlink("nothing", filepath.Join(m.Root, "dangling")))
	write(t, m.RegistryFile(), "{}")
	got, err := m.Sessions()
	must(t, err)
	var names []string
	for _, s := range got {
		names = append(names, s.Name)
		if s.Dir != filepath.Join(m.Root, s.Name) || !s.Exists() || s.Initialized() {
			t.Errorf("%+v", s)
		}
	}
	if want := []string{".hidden", "Odd Name", "a", "b", "by-key", "link"}; !slices.Equal(names, want) {
		t.Error(cmp.Diff(want, names))
	}
}

// OSEnv is the only reader of the process environment.
func TestOSEnv(t *testing.T) {
	for _, v := range []string{"WIRE_HOME", "WIRE_QUIET_AUTOSESSION"} {
		t.Setenv(v, "") // so that the test's end restores it
		must(t, os.Unsetenv(v))
	}
	t.Setenv("HOME", "/u")
	t.Setenv("XDG_STATE_HOME", "rel")
	if e := OSEnv(); e.WireHomeSet || e.Quiet || e.Home != "/u" || e.XDGStateHome != "rel" {
		t.Errorf("%+v", e)
	}
	t.Setenv("WIRE_QUIET_AUTOSESSION", "")
	t.Setenv("WIRE_HOME", "")
	if e := OSEnv(); !e.WireHomeSet || e.WireHome != "" || !e.Quiet {
		t.Errorf("set but empty: %+v", e)
	}
	// The reference found no home to use and made none there.
	checked := slices.ContainsFunc(load[vector](t, "small-checks.json").Steps, func(s step) bool {
		return s.Do == "WIRE_HOME not UTF-8: treated as unset" && s.Exit == 1
	})
	if !checked {
		t.Error("small-checks.json says otherwise")
	}
	t.Setenv("WIRE_HOME", "/x/\xff")
	if e := OSEnv(); e.WireHomeSet {
		t.Errorf("not UTF-8: %+v", e)
	}
	t.Setenv("HOME", "")
	if e := OSEnv(); !filepath.IsAbs(e.Home) {
		t.Errorf("home by the password database: %q", e.Home)
	}
}
