package spec

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// machine is an Env in which /home/ada is home, /link is a symbolic link to /real and nothing below
// /home/ada/new exists.
func machine(registry map[string]string) Env {
	vars := map[string]string{"PROJECTS": "/srv/projects", "EMPTY": "", "SUB": "src", "NUL": "a\x00b"}
	return Env{
		Dir:     "/etc/wire",
		Path:    "/etc/wire/wire.yaml",
		HomeDir: "/home/ada",
		LookupEnv: func(name string) (string, bool) {
			v, ok := vars[name]
			return v, ok
		},
		Physical: func(path string) (string, bool, error) {
			if strings.HasPrefix(path, "/broken") {
				return "", false, errors.New("too many links")
			}
			if rest, ok := strings.CutPrefix(path, "/link"); ok {
				path = "/real" + rest
			}
			return path, !strings.HasPrefix(path, "/home/ada/new"), nil
		},
		ByCwd: registry,
	}
}

func TestResolve(t *testing.T) {
	f := load(t, "testdata/good/full.yaml")
	got, err := Resolve(f, machine(map[string]string{"/home/ada/src/web": "web", "/elsewhere": "other"}))
	if err != nil {
		t.Fatal(err)
	}
	at := func(line int) Problem {
		return Problem{File: "testdata/good/full.yaml", Line: line, Column: 5}
	}
	want := &Desired{
		Owner:      "laptop",
		LocalRelay: Relay{URL: "http://127.0.0.1:8771", Bind: "127.0.0.1:8771", Managed: true},
		Federation: Relay{URL: "https://wireup.net"},
		Sessions: []Session{
			{
				Name: "api", Dir: "/home/ada/src/api", DirExists: true, DirAsTyped: "~/src/api", Handle: "api",
				Reach: ReachLocal, Daemon: true, Interval: 5 * time.Second, Pos: at(16),
			},
			{
				Name: "web", Dir: "/home/ada/src/web", DirExists: true, DirAsTyped: "~/src/web", Handle: "web",
				Reach: ReachLocal, Daemon: true, Interval: 5 * time.Second, Pos: at(18),
			},
			{
				Name: "press", Handle: "press-desk", Hidden: true, Reach: ReachBoth, Daemon: true, Takeover: true,
				Notify: true, Interval: 90 * time.Second, Pos: at(19),
			},
		},
		Edges: [][2]string{{"api", "web"}, {"press", "web"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestResolveDirs pins how a dir as typed becomes a physical path.
func TestResolveDirs(t *testing.T) {
	for typed, want := range map[string]string{
		"/srv/api":              "/srv/api true",
		"~":                     "/home/ada true",
		"~/src/api":             "/home/ada/src/api true",
		"~/${SUB}/api":          "/home/ada/src/api true",
		"${PROJECTS}/api":       "/srv/projects/api true",
		"${SUB}/${SUB}":         "/etc/wire/src/src true",
		"api":                   "/etc/wire/api true",
		"./api":                 "/etc/wire/./api true",
		"../api":                "/etc/wire/../api true", // what .. means, only home.Physical knows
		"/link/api":             "/real/api true",
		"~/new/api":             "/home/ada/new/api false",
		"${NOPE}/api":           `3:10: dir "${NOPE}/api": ${NOPE} is not set`,
		"${EMPTY}/api":          `3:10: dir "${EMPTY}/api": ${EMPTY} is empty`,
		"${NUL}/api":            `3:10: dir "${NUL}/api": ${NUL} holds a NUL byte`,
		"/broken/api":           `3:10: dir "/broken/api": too many links`,
		"/srv/a b/c:d":          "/srv/a b/c:d true",
		"/srv/üñî/${SUB}/x~y/~": "/srv/üñî/src/x~y/~ true",
	} {
		t.Run(typed, func(t *testing.T) {
			text := fmt.Sprintf("version: 1\nsessions:\n  - dir: %q\n    name: api\n", typed)
			f, err := Load("f", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if d, err := Resolve(f, machine(nil)); err != nil {
				got = strings.TrimPrefix(err.Error(), "f:")
			} else {
				got = fmt.Sprint(d.Sessions[0].Dir, " ", d.Sessions[0].DirExists)
			}
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// TestResolveStandardInput: a file without a place owns nothing and has no relative dirs.
func TestResolveStandardInput(t *testing.T) {
	env := machine(nil)
	env.Dir, env.Path, env.HomeDir = "", "", ""
	f, err := Load("-", []byte("version: 1\nsessions:\n  - {name: a1, dir: src}\n  - {name: b1, dir: ~/src}\n  - name: c1\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Resolve(f, env)
	want := `-:3:21: dir "src": a relative dir is relative to the file, and standard input has no place; write an absolute one
-:4:21: dir "~/src": ~ is unknown: HOME is not set`
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	f, err = Load("-", []byte("version: 1\nsessions: [{name: c1}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := Resolve(f, env); err != nil || d.Owner != "" {
		t.Errorf("Owner = %q, %v, want none", d.Owner, err)
	}
}

// TestResolveNames pins the names of sessions that give only a dir, and which of them are refused.
func TestResolveNames(t *testing.T) {
	const long = "abcdefghijklmnopqrstuvwxyz012345" // 32 characters
	for _, tc := range []struct {
		what     string
		sessions string
		mesh     string
		registry map[string]string
		want     string
	}{
		{
			what:     "the last component of the path",
			sessions: "{dir: /srv/web}, {dir: '/srv/My Project!'}, {dir: /}",
			want:     "web my-project wire-session",
		}, {
			what:     "what the registry has, verbatim",
			sessions: "{dir: /srv/web}",
			registry: map[string]string{"/srv/web": "front"},
			want:     "front",
		}, {
			what:     "of the physical path",
			sessions: "{dir: /link}",
			registry: map[string]string{"/real": "front", "/link": "back"},
			want:     "front",
		}, {
			what:     "explicit names come first, then the file's order",
			sessions: "{dir: /srv/work/billing}, {dir: /home/dev/src/billing}, {name: billing}",
			want:     "billing-177d billing-" + hash4(t, "/home/dev/src/billing") + " billing",
		}, {
			what:     "names of the registry are taken",
			sessions: "{dir: /home/dev/archive/billing}",
			registry: map[string]string{"/home/dev/src/billing": "billing"},
			want:     "billing-dc39",
		}, {
			what:     "registered as the name of another session of the file",
			sessions: "{name: api}, {dir: /srv/web}",
			registry: map[string]string{"/srv/web": "api"},
			want:     `f:2:31: dir "/srv/web" is registered as "api", which is the session on line 2; set name`,
		}, {
			what:     "two dirs registered as one name",
			sessions: "{dir: /srv/a}, {dir: /srv/b}",
			registry: map[string]string{"/srv/a": "api", "/srv/b": "api"},
			want:     `f:2:33: dir "/srv/b" is registered as "api", which is the session on line 2; set name`,
		}, {
			what:     "a name that would be longer than its directory gets a shorter base",
			sessions: "{dir: /srv/" + long + "}",
			registry: map[string]string{"/home/" + long: long},
			want:     long[:27] + "-" + hash4(t, "/srv/"+long),
		}, {
			what:     "a directory that a longer name has is taken",
			sessions: "{dir: /home/" + long + "}",
			registry: map[string]string{"/srv/x": long + "-7613"},
			want:     long[:27] + "-" + hash4(t, "/home/"+long),
		}, {
			what:     "a longer name that the reference registered",
			sessions: "{dir: /srv/x}",
			registry: map[string]string{"/srv/x": long + "-7613"},
			want:     `f:2:18: dir "/srv/x" is registered as "` + long + `-7613", which would be stored as "` + long + `"; set name`,
		}, {
			what:     "two sessions in one directory",
			sessions: "{name: api, dir: /link/a}, {dir: /real/a}",
			want:     `f:2:45: dir "/real/a" is /real/a, the dir of the session on line 2`,
		}, {
			what:     "the mesh may use derived names",
			sessions: "{name: api}, {dir: /srv/web}",
			mesh:     "[[api, web]]",
			want:     "api web",
		}, {
			what:     "the mesh names nobody, seen once all names are known",
			sessions: "{name: api}, {dir: /srv/web}",
			mesh:     "[[api, wbe]]",
			want:     `f:3:14: mesh names "wbe", which is no session; did you mean "web"?`,
		}, {
			what:     "a derived name that is no handle",
			sessions: "{dir: /srv/admin, reach: both}, {dir: /srv/x, reach: federation}, {dir: /srv/root}",
			want: `f:2:12: name "admin" cannot be the handle too, for it is reserved on every relay; set handle
f:2:44: name "x" cannot be the handle too, for it is not 2 to 32 of a-z, 0-9, - and _; set handle`,
		}, {
			what:     "a derived name that is another's handle",
			sessions: "{name: desk, handle: web, reach: both}, {dir: /srv/web, reach: both}",
			want:     `f:2:52: handle "web" is taken by the session on line 2`,
		}, {
			what:     "a dir registered to a session outside the file is for the observer to judge",
			sessions: "{name: api, dir: /srv/api}",
			registry: map[string]string{"/srv/api": "other"},
			want:     "api",
		},
	} {
		t.Run(tc.what, func(t *testing.T) {
			if tc.mesh == "" {
				tc.mesh = "none"
			}
			f, err := Load("f", []byte("version: 1\nsessions: ["+tc.sessions+"]\nmesh: "+tc.mesh+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			d, err := Resolve(f, machine(tc.registry))
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				var names []string
				for _, s := range d.Sessions {
					names = append(names, s.Name)
				}
				got = strings.Join(names, " ")
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestResolveEdges(t *testing.T) {
	for mesh, want := range map[string]string{
		"full":                           "[[a1 b1] [a1 c1] [a1 d1] [b1 c1] [b1 d1] [c1 d1]]",
		"none":                           "[]",
		"[[d1, a1, b1], [b1, a1, c1]]":   "[[a1 b1] [a1 c1] [a1 d1] [b1 c1] [b1 d1]]",
		"[[c1, d1], [d1, c1], [a1, d1]]": "[[a1 d1] [c1 d1]]",
	} {
		f, err := Load("f", []byte("version: 1\nsessions: [{name: c1}, {name: a1}, {name: d1}, {name: b1}]\nmesh: "+mesh+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		d, err := Resolve(f, machine(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(d.Edges); got != want {
			t.Errorf("mesh %s: got %s, want %s", mesh, got, want)
		}
		if d.Owner != "/etc/wire/wire.yaml" {
			t.Errorf("Owner = %q, want the path of the file", d.Owner)
		}
	}
}

// BenchmarkLoadAndResolve is what every apply pays before it looks at the machine.
func BenchmarkLoadAndResolve(b *testing.B) {
	for _, n := range []int{4, 24, 100, 410} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := NewFile()
			for i := range n {
				f.Sessions = append(f.Sessions, Entry{Dir: fmt.Sprintf("~/src/project-%d", i), Settings: f.Defaults})
			}
			text, env := f.Encode(), machine(nil)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				f, err := Load("wire.yaml", text)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := Resolve(f, env); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
