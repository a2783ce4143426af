package home

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type created struct {
	Arg                       *string
	Cwd, Name, Status, Handle string
	HomeDir                   string `json:"home_dir"`
}

type registryVector struct {
	Broken struct {
		After, Content string
	} `json:"broken_registry"`
	Collisions   []created
	NamesFromCwd []created `json:"names_from_cwd"`
	Directories  []string
	ExtraKey     struct{ After string } `json:"extra_key"`
	Text         string                 `json:"registry_text"`
	List         []listed               `json:"session_list"`
	Destroy      struct {
		After struct {
			ByCwd map[string]string `json:"by_cwd"`
		} `json:"registry_after"`
		Directories []string
	} `json:"destroy_of_the_long_name"`
}

// TestRegistryVectors registers what the reference registered, by its rules, and wants its names, its
// directories and its map.
func TestRegistryVectors(t *testing.T) {
	v := load[registryVector](t, "registry-names.json")
	for name, rows := range map[string][]created{"collisions": v.Collisions, "names from cwd": v.NamesFromCwd} {
		root := root(t)
		m := Machine{Root: filepath.Join(root, "wh/sessions")}
		for _, row := range rows {
			err := m.UpdateRegistry(t.Context(), func(r *Registry) error {
				name := r.NameFor(row.Cwd)
				if row.Arg != nil {
					name = Sanitize(*row.Arg)
				} else if len(row.Name) > maxName {
					// Its directory is not its own (G6). Ours gets one; go on with what the reference left.
					if len(name) > maxName || m.Session(name).Name != name || m.Session(name).Exists() {
						t.Errorf("%s: %s is no name of a new directory", row.Cwd, name)
					}
					name = row.Name
				}
				s := m.Session(name)
				if name != row.Name || s.Dir != under(root, row.HomeDir) {
					t.Errorf("%s: %s becomes %s in %s, reference: %s in %s", row.Cwd, row.Cwd, name, s.Dir, row.Name, row.HomeDir)
				}
				if s.Exists() != (row.Status == "already_exists") {
					t.Errorf("%s: exists %v, reference: %s", row.Cwd, s.Exists(), row.Status)
				}
				r.Set(row.Cwd, name)
				return s.Ensure()
			})
			must(t, err)
		}
		if name != "collisions" {
			continue
		}
		theirs, err := parseRegistry([]byte(v.Text))
		must(t, err)
		ours, err := m.Registry()
		must(t, err)
		if d := cmp.Diff(theirs.Registry, ours); d != "" {
			t.Errorf("registry (-reference +here):\n%s", d)
		}
		sessions, err := m.Sessions()
		must(t, err)
		var dirs []string
		for _, s := range sessions {
			dirs = append(dirs, s.Name)
		}
		if !slices.Equal(dirs, v.Directories) {
			t.Errorf("directories (-reference +here):\n%s", cmp.Diff(v.Directories, dirs))
		}
		for _, l := range v.List {
			cwd, ok := ours.CwdOf(l.Name)
			// Of several working directories the reference shows any, ours the first in byte order.
			if ok != (l.Cwd != nil) || ok && cwd != *l.Cwd && l.Name != "billing" {
				t.Errorf("%s is listed with %q, reference: %v", l.Name, cwd, l.Cwd)
			}
		}
		// Destroying the 37-byte name takes the directory that it shares (5.4). The reference leaves its
		// registry entry, for it compares unsanitized; ours goes (quirk 18).
		long := "abcdefghijklmnopqrstuvwxyz012345-458e"
		_, err = m.Remove(m.Session(long), at, false)
		must(t, err)
		must(t, m.UpdateRegistry(t.Context(), func(r *Registry) error { r.Forget(long); return nil }))
		ours, err = m.Registry()
		must(t, err)
		delete(v.Destroy.After.ByCwd, "/home/dev/q/abcdefghijklmnopqrstuvwxyz012345")
		if d := cmp.Diff(v.Destroy.After.ByCwd, ours.ByCwd); d != "" {
			t.Errorf("registry after destroy (-reference without its leftover +here):\n%s", d)
		}
	}
}

// TestBrokenRegistryIsRefused: the reference takes what does not parse for empty and overwrites it with the
// next entry (broken_registry.after); we name the file and leave it.
func TestBrokenRegistryIsRefused(t *testing.T) {
	v := load[registryVector](t, "registry-names.json")
	for _, content := range []string{
		v.Broken.Content, "", "[]", `{"by_cwd":[]}`, `{"by_cwd":null}`, `{"by_cwd":{"/a":1}}`, `{"by_cwd":{"/a":null}}`,
		`{"by_cwd":{"/a":"b"}} x`, "{\"by_cwd\":{\"\xff\":\"b\"}}",
	} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			m := Machine{Root: filepath.Join(root(t), "sessions")}
			write(t, m.RegistryFile(), content)
			before, err := os.Stat(m.RegistryFile())
			must(t, err)
			var broken *FileError
			if reg, err := m.Registry(); !errors.As(err, &broken) || broken.Path != m.RegistryFile() {
				t.Errorf("%q reads as %v, %v", content, reg, err)
			}
			err = m.UpdateRegistry(t.Context(), func(r *Registry) error {
				t.Errorf("%q: the change was asked for", content)
				r.Set("/b", "b")
				return nil
			})
			if !errors.As(err, &broken) || !strings.Contains(err.Error(), m.RegistryFile()) {
				t.Errorf("%q: updating gives %v", content, err)
			}
			after, err := os.Stat(m.RegistryFile())
			must(t, err)
			if read(t, m.RegistryFile()) != content || !after.ModTime().Equal(before.ModTime()) {
				t.Errorf("%q was touched", content)
			}
			if env, line := (Env{Home: "/", XDGStateHome: "/none", Cwd: "/a"}).Adopt(); env.WireHomeSet || line != "" {
				t.Errorf("%q is adopted", content)
			}
		})
	}
}

// The reference drops keys that it does not know (extra_key.after); ours stay, and what is written is what
// the reference writes, sorted.
func TestRegistryKeepsUnknownKeys(t *testing.T) {
	v := load[registryVector](t, "registry-names.json")
	m := Machine{Root: root(t)}
	write(t, m.RegistryFile(), `{"version":3,"by_cwd":{"/home/dev/src/billing":"billing"},"agents":["x"]}`)
	set := func(r *Registry) error { r.Set("/home/dev/zzz", "zzz"); return nil }
	must(t, m.UpdateRegistry(t.Context(), set))
	want := "{\n  \"agents\": [\n    \"x\"\n  ],\n  \"by_cwd\": {\n    \"/home/dev/src/billing\": \"billing\",\n    \"/home/dev/zzz\": \"zzz\"\n  },\n  \"version\": 3\n}"
	if got := read(t, m.RegistryFile()); got != want {
		t.Errorf("written:\n%s", got)
	}
	theirs, err := parseRegistry([]byte(v.ExtraKey.After))
	must(t, err)
	ours, err := m.Registry()
	must(t, err)
	if d := cmp.Diff(theirs.Registry, ours); d != "" {
		t.Error(d)
	}
	before, err := os.Stat(m.RegistryFile())
	must(t, err)
	must(t, m.UpdateRegistry(t.Context(), set)) // nothing changes: nothing is written
	after, err := os.Stat(m.RegistryFile())
	must(t, err)
	if !os.SameFile(before, after) {
		t.Error("an update that changes nothing replaced the file")
	}
	refused := errors.New("no")
	if err := m.UpdateRegistry(t.Context(), func(r *Registry) error { r.Set("/q", "q"); return refused }); err != refused {
		t.Errorf("error of the change: %v", err)
	}
	if got := read(t, m.RegistryFile()); got != want {
		t.Error("a refused change was written")
	}
}

func TestRegistryConcurrently(t *testing.T) {
	m := Machine{Root: filepath.Join(root(t), "sessions")}
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"}
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			err := m.UpdateRegistry(context.Background(), func(r *Registry) error { r.Set("/src/"+name, name); return nil })
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	reg, err := m.Registry()
	must(t, err)
	if len(reg.ByCwd) != len(names) {
		t.Errorf("%d of %d entries survived", len(reg.ByCwd), len(names))
	}
	if perm(t, m.RegistryFile()) != 0o600 || perm(t, m.Root) != 0o700 {
		t.Error("registry and root are not private")
	}
}

func FuzzRegistry(f *testing.F) {
	v := load[registryVector](f, "registry-names.json")
	for _, seed := range []string{v.Text, v.Broken.Content, v.Broken.After, "{}", `{"by_cwd":{},"by_cwd":{"a":"b"},"x":1.50}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		reg, err := parseRegistry(data)
		if err != nil {
			return
		}
		again, err := parseRegistry(reg.render())
		if err != nil {
			t.Fatalf("what we write does not parse: %v", err)
		}
		if d := cmp.Diff(reg.Registry, again.Registry); d != "" {
			t.Errorf("entries: %s", d)
		}
		if len(again.rest) < len(reg.rest) || len(again.rest) > len(reg.rest)+1 {
			t.Errorf("members: %d became %d", len(reg.rest), len(again.rest))
		}
		for cwd := range reg.ByCwd {
			if name := reg.NameFor(cwd); name != reg.ByCwd[cwd] {
				t.Errorf("%q has the name %q and gets %q", cwd, reg.ByCwd[cwd], name)
			}
		}
	})
}

// TestTornRegistryIsReadAgain: the reference truncates and writes in place. Who reads meanwhile never takes the
// registry for an empty one (field-failures B6).
func TestTornRegistryIsReadAgain(t *testing.T) {
	m := Machine{Root: root(t)}
	whole := `{"by_cwd":{"/src/a":"a"}}`
	write(t, m.RegistryFile(), "")
	d := m.registry()
	looks := 0
	d.parse = func(data []byte) (registryDoc, error) {
		looks++
		switch looks {
		case 1:
			write(t, m.RegistryFile(), whole[:9])
		case 2:
			write(t, m.RegistryFile(), whole)
		}
		return parseRegistry(data)
	}
	reg, _, err := d.read()
	if err != nil || looks != 3 || reg.ByCwd["/src/a"] != "a" {
		t.Errorf("after %d looks: %v, %v", looks, reg.ByCwd, err)
	}
	// One that stays torn is an error that names the file.
	write(t, m.RegistryFile(), whole[:9])
	var broken *FileError
	if reg, err := m.Registry(); !errors.As(err, &broken) || broken.Path != m.RegistryFile() {
		t.Errorf("%v, %v", reg.ByCwd, err)
	}
}
