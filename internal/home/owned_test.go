package home

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// umask sets the process's umask for the test; such tests do not run in parallel.
func umask(t *testing.T, mask int) {
	t.Helper()
	old := syscall.Umask(mask)
	t.Cleanup(func() { syscall.Umask(old) })
}

type modesVector struct {
	Modes map[string]map[string]string
}

func octal(t *testing.T, text string) fs.FileMode {
	t.Helper()
	mode := fs.FileMode(0)
	for _, c := range text {
		mode = mode<<3 | fs.FileMode(c-'0')
	}
	return mode
}

// TestModesVector gives a session the modes that the reference left under three umasks: all of it is read,
// and judged by who could have written it; Ensure then leaves nothing that others can write.
func TestModesVector(t *testing.T) {
	v := load[modesVector](t, "modes.json")
	for mask, wantErr := range map[string]bool{"022": false, "077": false, "000": true} {
		root := root(t)
		m := Machine{Root: filepath.Join(root, "sessions")}
		s := m.Session("beth")
		must(t, s.Ensure())
		key, err := identity.NewKey()
		must(t, err)
		must(t, s.CreateKey(key))
		must(t, s.WriteCard(identity.SignCard(identity.NewCard("beth", "", key.Public()), key)))
		var paths []string
		for path, modes := range v.Modes {
			if strings.HasPrefix(path, "sessions/beth") && !strings.Contains(path, "<") {
				paths = append(paths, path)
				full := filepath.Join(root, path)
				if !exists(full) {
					if filepath.Ext(path) == "" {
						must(t, os.MkdirAll(full, 0o700))
					} else {
						write(t, full, "{}")
					}
				}
				must(t, os.Chmod(full, octal(t, modes[mask])))
			}
		}
		if len(paths) < 15 {
			t.Fatalf("only %d paths of beth", len(paths))
		}
		loose, err := s.CheckOwned()
		var broken *FileError
		if errors.As(err, &broken) != wantErr || loose && !wantErr {
			t.Errorf("umask %s: loose %v, %v", mask, loose, err)
		}
		for _, err := range []error{second(s.ReadKey()), second(s.ReadCard()), second(s.ReadTrust()), second(s.ReadRelay())} {
			if err != nil {
				t.Errorf("umask %s: %v", mask, err)
			}
		}
		must(t, s.Ensure())
		if loose, err := s.CheckOwned(); err != nil || loose {
			t.Errorf("umask %s, after Ensure: %v, %v", mask, loose, err)
		}
		for _, path := range []string{s.KeyFile(), s.RelayFile(), s.ConfigDir()} {
			if perm(t, path)&0o077 != 0 {
				t.Errorf("umask %s, after Ensure: %s is %v", mask, path, perm(t, path))
			}
		}
		for _, path := range []string{s.StateDir(), s.InboxDir(), s.OutboxDir(), filepath.Dir(s.StateDir()), s.Dir} {
			if perm(t, path)&0o022 != 0 {
				t.Errorf("umask %s, after Ensure: %s is %v", mask, path, perm(t, path))
			}
		}
	}
}

// Under every umask ours is 0700 and 0600, and never more than what the reference would have left.
func TestOwnModes(t *testing.T) {
	v := load[modesVector](t, "modes.json")
	for _, mask := range []int{0, 0o002, 0o022, 0o077} {
		umask(t, mask)
		root := root(t)
		m := Machine{Root: filepath.Join(root, "sessions")}
		s := m.Session("alpha")
		must(t, s.Ensure())
		key, err := identity.NewKey()
		must(t, err)
		must(t, s.CreateKey(key))
		must(t, s.WriteCard(canon.Doc{}))
		must(t, s.UpdateRelay(t.Context(), func(r *RelayFile) error { r.SetPeer("beth", nil); return nil }))
		must(t, s.UpdateTrust(t.Context(), func(trust *canon.Spans) error { trust.Set([]byte("{}"), "agents", "beth"); return nil }))
		must(t, m.UpdateRegistry(t.Context(), func(r *Registry) error { r.Set("/x", "alpha"); return nil }))
		must(t, s.WriteManaged(Managed{Owner: "x", CreatedAt: at}))
		unlock, err := m.LockApply(t.Context(), "apply", nil)
		must(t, err)
		unlock()
		for _, dir := range []string{s.InboxDir(), s.OutboxDir()} {
			must(t, AppendLines(filepath.Join(dir, "beth.jsonl"), [][]byte{[]byte("{}")}, true))
		}
		seen := 0
		must(t, filepath.WalkDir(m.Root, func(path string, d fs.DirEntry, err error) error {
			must(t, err)
			seen++
			want := fs.FileMode(0o600)
			if d.IsDir() {
				want = 0o700
			}
			if got := perm(t, path); got != want {
				t.Errorf("umask %03o: %s is %v", mask, path, got)
			}
			rel, err := filepath.Rel(root, path)
			must(t, err)
			if theirs, ok := v.Modes[rel]; ok && perm(t, path)&^octal(t, theirs["022"]) != 0 {
				t.Errorf("%s is more open than the reference's", rel)
			}
			return nil
		}))
		if seen < 19 {
			t.Fatalf("only %d paths", seen)
		}
		if loose, err := s.CheckOwned(); loose || err != nil {
			t.Errorf("umask %03o: our own session is judged %v, %v", mask, loose, err)
		}
	}
}

func TestCheckOwned(t *testing.T) {
	fresh := func() Session {
		s := At(filepath.Join(root(t), "sessions/api"))
		must(t, s.Ensure())
		write(t, s.TrustFile(), "{}")
		write(t, s.RelayFile(), "{}")
		return s
	}
	if _, err := At(root(t)).CheckOwned(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no session: %v", err)
	}
	for _, tc := range []struct {
		name string
		path func(Session) string
	}{
		{"home", func(s Session) string { return s.Dir }},
		{"config", func(s Session) string { return filepath.Dir(s.ConfigDir()) }},
		{"CFG", Session.ConfigDir},
		{"trust.json", Session.TrustFile},
		{"relay.json", Session.RelayFile},
	} {
		s := fresh()
		path := tc.path(s)
		mode := perm(t, path)
		must(t, os.Chmod(path, mode|0o020))
		if loose, err := s.CheckOwned(); err != nil || !loose {
			t.Errorf("%s group-writable: %v, %v", tc.name, loose, err)
		}
		must(t, s.Ensure())
		if loose, err := s.CheckOwned(); err != nil || loose || perm(t, path)&0o022 != 0 {
			t.Errorf("%s tightened: %v, %v, %v", tc.name, loose, err, perm(t, path))
		}
		must(t, os.Chmod(path, mode|0o002))
		var broken *FileError
		if _, err := s.CheckOwned(); !errors.As(err, &broken) || broken.Path != path {
			t.Errorf("%s world-writable: %v", tc.name, err)
		}
		if os.Geteuid() != 0 {
			continue // only root can give files away
		}
		must(t, os.Chmod(path, mode))
		must(t, os.Lchown(path, 12345, -1))
		if _, err := s.CheckOwned(); !errors.As(err, &broken) || broken.Path != path || !strings.Contains(err.Error(), "12345") {
			t.Errorf("%s of another user: %v", tc.name, err)
		}
	}
	// The state directory may be open to others: nothing in it says who we are.
	s := fresh()
	must(t, os.Chmod(s.StateDir(), 0o777))
	if loose, err := s.CheckOwned(); loose || err != nil {
		t.Errorf("open ST: %v, %v", loose, err)
	}
	// A link is judged by its target, a temp file that is gone again by nothing.
	elsewhere := filepath.Join(root(t), "trust.json")
	write(t, elsewhere, "{}")
	must(t, os.Chmod(elsewhere, 0o666))
	must(t, os.Remove(s.TrustFile()))
	must(t, os.Symlink(elsewhere, s.TrustFile()))
	must(t, os.Symlink("gone", filepath.Join(s.ConfigDir(), ".x.tmp-1")))
	if _, err := s.CheckOwned(); err == nil || !strings.Contains(err.Error(), "trust.json") {
		t.Errorf("link to a file that all can write: %v", err)
	}
}

func TestEnsureKeepsReadersModes(t *testing.T) {
	s := At(root(t))
	must(t, s.Ensure())
	for _, path := range []string{s.StateDir(), s.InboxDir()} {
		must(t, os.Chmod(path, 0o755)) // somebody lets others read: theirs to decide
	}
	must(t, os.Chmod(s.ConfigDir(), 0o755)) // but never here (3)
	must(t, s.Ensure())
	if perm(t, s.StateDir()) != 0o755 || perm(t, s.InboxDir()) != 0o755 || perm(t, s.ConfigDir()) != 0o700 {
		t.Errorf("%v, %v, %v", perm(t, s.StateDir()), perm(t, s.InboxDir()), perm(t, s.ConfigDir()))
	}
}

func TestCreateKey(t *testing.T) {
	key, err := identity.NewKey()
	must(t, err)
	other, err := identity.NewKey()
	must(t, err)
	for name, plant := range map[string]func(path string) error{
		"another key":            func(path string) error { return os.WriteFile(path, other.Seed(), 0o600) },
		"an empty file":          func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a directory":            func(path string) error { return os.Mkdir(path, 0o700) },
		"a link that dangles":    func(path string) error { return os.Symlink("away", path) },
		"a file of 33 bytes":     func(path string) error { return os.WriteFile(path, append(other.Seed(), '\n'), 0o600) },
		"a file nobody can read": func(path string) error { return os.WriteFile(path, other.Seed(), 0) },
	} {
		s := At(root(t))
		must(t, s.Ensure())
		must(t, plant(s.KeyFile()))
		before, err := os.Lstat(s.KeyFile())
		must(t, err)
		if err := s.CreateKey(key); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
		after, err := os.Lstat(s.KeyFile())
		must(t, err)
		if !os.SameFile(before, after) || before.Size() != after.Size() || exists(filepath.Join(s.ConfigDir(), "away")) {
			t.Errorf("%s was replaced", name)
		}
		entries, err := os.ReadDir(s.ConfigDir())
		must(t, err)
		if len(entries) != 1 {
			t.Errorf("%s: %v left behind", name, entries)
		}
	}
	s := At(root(t))
	if err := s.CreateKey(key); !errors.Is(err, fs.ErrNotExist) || exists(s.ConfigDir()) {
		t.Errorf("without directory: %v", err)
	}
	must(t, s.Ensure())
	must(t, s.CreateKey(key))
	got, err := s.ReadKey()
	must(t, err)
	if string(got.Seed()) != string(key.Seed()) || perm(t, s.KeyFile()) != 0o600 {
		t.Error("the key that was written is not the one that is read")
	}
	must(t, s.WriteCard(canon.Doc{"did": "did:wire:a"}))
	if !s.Initialized() {
		t.Error("key and card are there")
	}
	key2, card, err := s.Identity()
	if err != nil || string(key2.Seed()) != string(key.Seed()) || card["did"] != "did:wire:a" {
		t.Errorf("identity: %v, %v", card, err)
	}
	must(t, os.Remove(s.KeyFile())) // small-readers.json, "no private.key"
	if _, _, err := s.Identity(); !errors.Is(err, ErrNotInitialized) || s.Initialized() {
		t.Errorf("without key: %v", err)
	}
}

// TestSmallReadersVector: the file contents that small-readers.json names, and what its commands said.
func TestSmallReadersVector(t *testing.T) {
	texts := map[string]string{}
	for _, s := range load[vector](t, "small-readers.json").Steps {
		for _, line := range s.Stderr {
			texts[s.Note+"/"+s.Do] = line
		}
	}
	s := At(root(t))
	must(t, s.Ensure())
	write(t, s.CardFile(), "{}")
	write(t, s.KeyFile(), strings.Repeat("k", 33))
	_, err := s.ReadKey()
	if want := strings.TrimPrefix(texts["private.key of 33 bytes/wire send alpha claim x --json"], "error: "); want == "" ||
		err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("key of 33 bytes: %v, reference: %q", err, want)
	}
	must(t, os.Remove(s.KeyFile()))
	_, _, err = s.Identity()
	if want := texts["no private.key/wire whoami --json"]; err == nil || !strings.Contains(want, err.Error()) {
		t.Errorf("no key: %v, reference: %q", err, want)
	}
}

// TestLacks: the first of the directories that is not there, and what is none.
func TestLacks(t *testing.T) {
	s := At(t.TempDir())
	lacks := func(want string) {
		t.Helper()
		if got, err := s.Lacks(); got != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	lacks("configuration")
	for _, gone := range []struct{ path, name string }{{s.OutboxDir(), "outbox"}, {s.InboxDir(), "inbox"}, {s.st, "state"}, {s.cfg, "configuration"}} {
		if err := s.Ensure(); err != nil {
			t.Fatal(err)
		}
		lacks("")
		if err := os.RemoveAll(gone.path); err != nil {
			t.Fatal(err)
		}
		lacks(gone.name)
	}
	if err := s.Ensure(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.InboxDir()); err != nil {
		t.Fatal(err)
	}
	write(t, s.InboxDir(), "a file")
	var bad *FileError
	if got, err := s.Lacks(); got != "" || !errors.As(err, &bad) || bad.Path != s.InboxDir() {
		t.Errorf("%q, %v", got, err)
	}
}
