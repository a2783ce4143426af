package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// live is a session with all that a session may hold.
func live(t *testing.T, m Machine, name string) (Session, identity.Key) {
	t.Helper()
	s := m.Session(name)
	must(t, s.Ensure())
	key, err := identity.NewKey()
	must(t, err)
	must(t, s.CreateKey(key))
	must(t, s.WriteCard(identity.SignCard(identity.NewCard(name, "", key.Public()), key)))
	must(t, s.UpdateRelay(t.Context(), func(r *RelayFile) error {
		r.SetSelf([]Endpoint{local("http://127.0.0.1:1", "s", "t")})
		return nil
	}))
	must(t, s.UpdateTrust(t.Context(), func(trust *canon.Spans) error { trust.Set([]byte("{}"), "agents", "x"); return nil }))
	must(t, s.WriteManaged(Managed{Owner: "laptop", CreatedAt: at}))
	must(t, AppendLines(join(s.InboxDir(), "x.jsonl"), [][]byte{[]byte("{}")}, false))
	write(t, s.DaemonLog(), "log")
	return s, key
}

func files(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			paths = append(paths, rel)
		}
		return err
	})
	must(t, err)
	return paths
}

var trashed = []string{
	"config/wire/agent-card.json", "config/wire/private.key", "config/wire/relay.json", "state/wire/managed.json",
}

func TestRemove(t *testing.T) {
	m := Machine{Root: filepath.Join(root(t), "wh/sessions")}
	s, key := live(t, m, "api")
	must(t, os.Chmod(s.StateDir(), 0o755))
	other, _ := live(t, m, "web")
	trash, err := m.Remove(s, at, true)
	must(t, err)
	if want := filepath.Join(m.Root, "../trash/api-20261122T200744Z"); trash != want || s.Exists() {
		t.Errorf("trash %s, session there: %v", trash, s.Exists())
	}
	if d := cmp.Diff(trashed, files(t, trash)); d != "" {
		t.Errorf("in the trash:\n%s", d)
	}
	must(t, filepath.WalkDir(filepath.Dir(trash), func(path string, _ fs.DirEntry, err error) error {
		if perm(t, path)&0o077 != 0 {
			t.Errorf("%s is %v", path, perm(t, path))
		}
		return err
	}))
	if !other.Initialized() {
		t.Error("another session suffered")
	}
	// Moved back, it is the identity that it was.
	must(t, os.Rename(trash, s.Dir))
	back, _, err := s.Identity()
	must(t, err)
	r, err := s.ReadRelay()
	must(t, err)
	if string(back.Seed()) != string(key.Seed()) || len(r.Self()) != 1 {
		t.Error("what came back from the trash is not the session")
	}
	// The same name in the same second, twice.
	first, err := m.Remove(s, at, true)
	must(t, err)
	s, _ = live(t, m, "api")
	again, err := m.Remove(s, at, true)
	must(t, err)
	if first != trash || again != trash+".2" {
		t.Errorf("%s, %s", first, again)
	}
	if trash, err := m.Remove(s, at, true); trash != "" || err != nil {
		t.Errorf("what is gone: %s, %v", trash, err)
	}
	// Without keep nothing is left.
	trash, err = m.Remove(other, at, false)
	must(t, err)
	if names := list1(t, m.TrashDir()); trash != "" || other.Exists() || strings.Contains(names, "web") {
		t.Errorf("%q, %v, %s", trash, other.Exists(), names)
	}
	// A half-made one without anything worth keeping goes without trace.
	half := m.Session("half")
	must(t, half.Ensure())
	if trash, err := m.Remove(half, at, true); trash != "" || err != nil || half.Exists() {
		t.Errorf("half: %q, %v", trash, err)
	}
}

func TestRestore(t *testing.T) {
	m := Machine{Root: filepath.Join(root(t), "wh/sessions")}
	var gone *NotInTrashError
	if _, _, err := m.Restore("api"); !errors.As(err, &gone) || gone.Name != "api" {
		t.Errorf("without a trash: %v", err)
	}
	// Of several the newest; within one second the last; another session's entry and foreign ones never.
	var last identity.Key
	for _, when := range []time.Time{at.Add(time.Hour), at.Add(24 * time.Hour), at.Add(24 * time.Hour), at.Add(2 * time.Hour)} {
		s, key := live(t, m, "api")
		_, err := m.Remove(s, when, true)
		must(t, err)
		if when.Equal(at.Add(24 * time.Hour)) {
			last = key
		}
	}
	later, _ := live(t, m, "api-x")
	_, err := m.Remove(later, at.Add(48*time.Hour), true)
	must(t, err)
	must(t, os.Mkdir(filepath.Join(m.TrashDir(), "api-99991231T235959Z.old-notes"), 0o700))
	must(t, os.Mkdir(filepath.Join(m.TrashDir(), "notes"), 0o700))

	s, from, err := m.Restore("API")
	must(t, err)
	if want := filepath.Join(m.TrashDir(), "api-20261123T200744Z.2"); from != want || exists(from) {
		t.Errorf("from %s (still there: %v), want %s", from, exists(from), want)
	}
	key, _, err := s.Identity()
	must(t, err)
	if string(key.Seed()) != string(last.Seed()) || s.HasTrust() {
		t.Error("it is not what was destroyed last, or more than was kept")
	}
	if perm(t, s.Dir) != 0o700 || perm(t, s.KeyFile()) != 0o600 {
		t.Errorf("modes %v, %v", perm(t, s.Dir), perm(t, s.KeyFile()))
	}

	// Never over a home, not even an empty one, and the entry stays.
	before := list1(t, m.TrashDir())
	if _, _, err := m.Restore("api"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a living session: %v", err)
	}
	must(t, os.RemoveAll(s.Dir))
	must(t, os.Mkdir(s.Dir, 0o700))
	if _, _, err := m.Restore("api"); !errors.Is(err, fs.ErrExist) || list1(t, m.TrashDir()) != before {
		t.Errorf("over an empty directory: %v", err)
	}

	// What a crash left hidden is finished first.
	must(t, os.Remove(s.Dir))
	s, key = live(t, m, "api")
	must(t, os.Rename(s.Dir, filepath.Join(m.TrashDir(), ".api-20270101T000000Z")))
	s, _, err = m.Restore("api")
	must(t, err)
	if back, _, err := s.Identity(); err != nil || string(back.Seed()) != string(key.Seed()) || exists(s.DaemonLog()) {
		t.Errorf("the unfinished one: %v, log there: %v", err, exists(s.DaemonLog()))
	}
}

// TestDestroyVector removes the session that the reference destroyed and wants the same paths gone, and the
// same registry.
func TestDestroyVector(t *testing.T) {
	root := root(t)
	m := Machine{Root: filepath.Join(root, "wh/sessions")}
	done := false
	for _, s := range load[vector](t, "session-destroy.json").Steps {
		if s.Tree != nil {
			plant(t, root, s.Tree)
			continue
		}
		if s.Change == nil {
			continue
		}
		for _, keep := range []bool{true, false} { // the second finds nothing more to do
			_, err := m.Remove(m.Session("Alpha"), at, keep)
			must(t, err)
		}
		must(t, m.UpdateRegistry(t.Context(), func(r *Registry) error { r.Forget("Alpha"); return nil }))
		for _, path := range s.Change.Removed {
			if exists(under(root, path)) {
				t.Errorf("%s is still there", path)
			}
		}
		want := under(root, text(t, s.Change.Changed, made+"/wh/sessions/registry.json"))
		if got := read(t, m.RegistryFile()); got != want {
			t.Errorf("registry: %s", cmp.Diff(want, got))
		}
		if sessions, err := m.Sessions(); err != nil || len(sessions) != 1 || sessions[0].Name != "beth" {
			t.Errorf("left: %v, %v", sessions, err)
		}
		done = true
		break
	}
	if !done {
		t.Fatal("the vector has no state after destroy")
	}
}

func TestTrashExpires(t *testing.T) {
	m := Machine{Root: filepath.Join(root(t), "sessions")}
	s, _ := live(t, m, "api")
	old, err := m.Remove(s, at.Add(-8*24*time.Hour), true)
	must(t, err)
	s, _ = live(t, m, "api")
	young, err := m.Remove(s, at.Add(-6*24*time.Hour), true)
	must(t, err)
	foreign := filepath.Join(m.TrashDir(), "holiday pictures")
	write(t, filepath.Join(foreign, "1.jpg"), "")
	// Any destroy looks, also one that keeps nothing.
	s, _ = live(t, m, "web")
	_, err = m.Remove(s, at, false)
	must(t, err)
	if exists(old) || !exists(young) || !exists(foreign) {
		t.Errorf("old %v, young %v, foreign %v", exists(old), exists(young), exists(foreign))
	}
}

// A crash at any line leaves the key in the session or in the trash, and the next Remove finishes.
func TestRemoveResumes(t *testing.T) {
	m := Machine{Root: filepath.Join(root(t), "sessions")}
	s, key := live(t, m, "api")
	// As after the rename: the whole session under its hidden name.
	must(t, m.makeTrash())
	hidden := filepath.Join(m.TrashDir(), ".api-20261122T200744Z")
	must(t, os.Rename(s.Dir, hidden))
	other, _ := live(t, m, "web")
	_, err := m.Remove(other, at.Add(time.Hour), true)
	must(t, err)
	shown := filepath.Join(m.TrashDir(), "api-20261122T200744Z")
	if d := cmp.Diff(trashed, files(t, shown)); d != "" || exists(hidden) {
		t.Errorf("finished:\n%s", d)
	}
	if got, err := At(shown).ReadKey(); err != nil || string(got.Seed()) != string(key.Seed()) {
		t.Errorf("key in the trash: %v", err)
	}
}

func TestRemoveRefuses(t *testing.T) {
	root := root(t)
	m := Machine{Root: filepath.Join(root, "sessions")}
	must(t, os.MkdirAll(m.Root, 0o700))
	outside := At(filepath.Join(root, "elsewhere"))
	must(t, outside.Ensure())
	for _, s := range []Session{{}, outside, At(m.Root), At(root), {Name: "..", Dir: root}, {Name: ".", Dir: m.Root}} {
		if _, err := m.Remove(s, at, false); err == nil {
			t.Errorf("%+v was removed", s)
		}
	}
	// A link goes, what it leads to stays.
	write(t, outside.KeyFile(), "k")
	must(t, os.Symlink(outside.Dir, filepath.Join(m.Root, "link")))
	trash, err := m.Remove(m.session("link"), at, true)
	if err != nil || trash != "" || exists(filepath.Join(m.Root, "link")) || !exists(outside.KeyFile()) {
		t.Errorf("link: %s, %v", trash, err)
	}
	// Keys go into no trash but our own.
	s, _ := live(t, m, "api")
	write(t, m.TrashDir(), "a file")
	var broken *FileError
	if _, err := m.Remove(s, at, true); !errors.As(err, &broken) || !s.Initialized() {
		t.Errorf("a file in place of the trash: %v, session there: %v", err, s.Initialized())
	}
	must(t, os.Remove(m.TrashDir()))
	if os.Geteuid() == 0 {
		must(t, os.Mkdir(m.TrashDir(), 0o777))
		must(t, os.Chown(m.TrashDir(), 12345, -1))
		if _, err := m.Remove(s, at, true); !errors.As(err, &broken) || !s.Initialized() {
			t.Errorf("trash of another user: %v, session there: %v", err, s.Initialized())
		}
	}
}

// Where the trash is on another file system it gets copies, and the session goes after that.
func TestTrashOnAnotherFileSystem(t *testing.T) {
	dir := root(t)
	far, err := os.MkdirTemp("/dev/shm", "wire-home-test-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(far) })
	if here, there := device(t, dir), device(t, far); here == there {
		t.Skip("/dev/shm is no other file system")
	}
	m := Machine{Root: filepath.Join(dir, "sessions")}
	must(t, os.Symlink(far, m.Root))
	s, key := live(t, m, "api")
	trash, err := m.Remove(s, at, true)
	must(t, err)
	if d := cmp.Diff(trashed, files(t, trash)); d != "" || s.Exists() {
		t.Errorf("session there: %v, in the trash:\n%s", s.Exists(), d)
	}
	if got, err := At(trash).ReadKey(); err != nil || string(got.Seed()) != string(key.Seed()) {
		t.Errorf("copied key: %v", err)
	}
}

func device(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return uint64(info.Sys().(*syscall.Stat_t).Dev)
}

func TestRemoveInParallel(t *testing.T) {
	m := Machine{Root: filepath.Join(root(t), "sessions")}
	var wg sync.WaitGroup
	for i := range 12 {
		s, _ := live(t, m, fmt.Sprintf("s%d", i))
		wg.Go(func() {
			if trash, err := m.Remove(s, at, true); err != nil || trash == "" {
				t.Errorf("%s: %q, %v", s.Name, trash, err)
			}
		})
	}
	wg.Wait()
	sessions, err := m.Sessions()
	must(t, err)
	if got := len(files(t, m.TrashDir())); len(sessions) != 0 || got != 12*len(trashed)+1 {
		t.Errorf("%d sessions left, %d files in the trash", len(sessions), got)
	}
}

func TestManaged(t *testing.T) {
	s := At(root(t))
	if m, err := s.ReadManaged(); m != nil || err != nil {
		t.Errorf("no marker: %v, %v", m, err)
	}
	must(t, s.Ensure())
	write(t, s.Managed(), `{"later":[1],"daemon":true}`)
	want := Managed{Owner: "laptop", CreatedAt: at, Notify: true}
	must(t, s.WriteManaged(want))
	got, err := s.ReadManaged()
	must(t, err)
	if d := cmp.Diff(&want, got); d != "" {
		t.Error(d)
	}
	text := "{\n  \"created_at\": \"2026-11-22T20:07:44.072842373Z\",\n  \"later\": [\n    1\n  ],\n  \"notify\": true,\n  \"owner\": \"laptop\"\n}"
	if d := cmp.Diff(text, read(t, s.Managed())); d != "" {
		t.Error(d)
	}
	write(t, s.Managed(), `{"created_at":"yesterday"}`)
	var broken *FileError
	if _, err := s.ReadManaged(); !errors.As(err, &broken) {
		t.Errorf("a marker without time: %v", err)
	}
}
