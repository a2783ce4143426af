package home

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// What was destroyed stays this long.
const (
	trashKeep  = 7 * 24 * time.Hour
	trashStamp = "20060102T150405Z"
)

// kept is what the trash holds of a session, at its place below WIRE_HOME: moving the entry back to
// Root/<name> brings the identity back.
var kept = []string{
	"config/wire/private.key",
	"config/wire/agent-card.json",
	"config/wire/relay.json",
	"state/wire/managed.json",
}

// TrashDir is where destroyed sessions go, beside the sessions root.
func (m Machine) TrashDir() string { return filepath.Join(filepath.Dir(m.Root), "trash") }

// Remove deletes the session's directory after moving key, card, relay.json and marker to
// trash/<name>-<time> beside the sessions root (0700); trash older than 7 days goes. Without keep nothing
// is moved. The path of the trash is returned, "" if nothing went there. A missing session is no error.
//
// The whole directory moves with one rename, so there is no moment at which half a session stands under
// Root, and only what lies in the trash, durably, is thinned out, under a hidden name. A crash in between
// leaves that, and the next Remove finishes it. A link under Root is unlinked; what it leads to is not ours
// to delete.
func (m Machine) Remove(s Session, now time.Time, keep bool) (trash string, err error) {
	if s.Name == "" || s.Dir != filepath.Join(m.Root, s.Name) || filepath.Base(s.Dir) != s.Name {
		return "", fmt.Errorf("%q is no session below %s", s.Dir, m.Root)
	}
	info, err := os.Lstat(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	there := err == nil
	keep = keep && there && info.IsDir() && holdsKept(s.Dir)
	if keep {
		if err := m.makeTrash(); err != nil {
			return "", err
		}
	}
	lock := filepath.Join(m.TrashDir(), "trash.lock")
	if keep || exists(lock) {
		// Sessions are removed in parallel, and tidying must not meet an entry that is being made.
		unlock, err := Lock(context.Background(), lock)
		if err != nil {
			return "", err
		}
		defer unlock()
		if keep {
			if trash, err = m.moveToTrash(s, now); err != nil {
				return trash, err
			}
		}
		if err := m.tidyTrash(now); err != nil {
			return trash, err
		}
	}
	switch {
	case !there:
		return "", nil
	case info.IsDir():
		err = os.RemoveAll(s.Dir)
	default:
		err = os.Remove(s.Dir)
	}
	if err != nil {
		return trash, err
	}
	return trash, syncDirAt(m.Root)
}

// NotInTrashError says that nothing is kept of a session.
type NotInTrashError struct {
	Name string
	Dir  string // the trash
}

func (e *NotInTrashError) Error() string {
	return fmt.Sprintf("nothing of a session %q is in %s", e.Name, e.Dir)
}

// Restore moves the newest that the trash has of a session back to its place and says which entry it was.
// What is missing there (trust.json, state) is for the caller to make anew. A home that exists, however
// empty, is fs.ErrExist; nothing kept is *NotInTrashError. The caller holds apply.lock.
func (m Machine) Restore(name string) (s Session, from string, err error) {
	s = m.Session(name)
	lock := filepath.Join(m.TrashDir(), "trash.lock")
	if !exists(lock) {
		return s, "", &NotInTrashError{s.Name, m.TrashDir()}
	}
	unlock, err := Lock(context.Background(), lock)
	if err != nil {
		return s, "", err
	}
	defer unlock()
	entry, err := m.newestInTrash(s.Name)
	if err != nil {
		return s, "", err
	}
	from = filepath.Join(m.TrashDir(), entry)
	if name, hidden := strings.CutPrefix(entry, "."); hidden { // a crash left it unfinished
		if from, err = m.finishTrash(name); err != nil {
			return s, "", err
		}
	}
	if _, err := os.Lstat(s.Dir); err == nil {
		return s, "", &fs.PathError{Op: "restore", Path: s.Dir, Err: fs.ErrExist}
	}
	err = os.Rename(from, s.Dir)
	if errors.Is(err, syscall.EXDEV) {
		if err = copyKept(from, s.Dir); err == nil {
			err = os.RemoveAll(from)
		}
	}
	if err != nil {
		return s, "", err
	}
	return s, from, errors.Join(syncDirAt(m.Root), syncDirAt(m.TrashDir()))
}

// newestInTrash is the entry of that name that was made last.
func (m Machine) newestInTrash(name string) (string, error) {
	entries, err := os.ReadDir(m.TrashDir())
	if err != nil {
		return "", err
	}
	var found []os.DirEntry
	for _, e := range entries {
		shown := strings.TrimPrefix(e.Name(), ".")
		if _, ok := trashedAt(shown); ok && e.IsDir() && shown[:strings.LastIndexByte(shown, '-')] == name {
			found = append(found, e)
		}
	}
	if len(found) == 0 {
		return "", &NotInTrashError{name, m.TrashDir()}
	}
	return slices.MaxFunc(found, func(a, b os.DirEntry) int {
		// Times are of one length; of one second, the one with the higher number has a longer name or a later one.
		x, y := strings.TrimPrefix(a.Name(), "."), strings.TrimPrefix(b.Name(), ".")
		n := len(name) + 1 + len(trashStamp)
		return cmp.Or(cmp.Compare(x[:n], y[:n]), cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
	}).Name(), nil
}

func holdsKept(dir string) bool {
	for _, rel := range kept {
		if _, err := os.Lstat(filepath.Join(dir, rel)); err == nil {
			return true
		}
	}
	return false
}

// moveToTrash returns with what is kept of the session in the trash, durably; its directory is gone unless
// the trash is on another file system, where the files are copies.
func (m Machine) moveToTrash(s Session, now time.Time) (string, error) {
	name := s.Name + "-" + now.UTC().Format(trashStamp)
	for n := 2; ; n++ {
		_, err1 := os.Lstat(filepath.Join(m.TrashDir(), name))
		_, err2 := os.Lstat(filepath.Join(m.TrashDir(), "."+name))
		if errors.Is(err1, fs.ErrNotExist) && errors.Is(err2, fs.ErrNotExist) {
			break
		}
		name = fmt.Sprintf("%s-%s.%d", s.Name, now.UTC().Format(trashStamp), n)
	}
	hidden := filepath.Join(m.TrashDir(), "."+name)
	err := os.Rename(s.Dir, hidden)
	switch {
	case errors.Is(err, syscall.EXDEV), errors.Is(err, syscall.EBUSY): // a mount point
		err = copyKept(s.Dir, hidden)
	case err == nil:
		err = errors.Join(syncDirAt(m.TrashDir()), syncDirAt(m.Root))
	}
	if err != nil {
		return "", err
	}
	return m.finishTrash(name)
}

// finishTrash thins out a hidden entry and shows it.
func (m Machine) finishTrash(name string) (string, error) {
	hidden, shown := filepath.Join(m.TrashDir(), "."+name), filepath.Join(m.TrashDir(), name)
	if err := thin(hidden); err != nil {
		return hidden, err
	}
	if err := os.Rename(hidden, shown); err != nil {
		return hidden, err
	}
	return shown, syncDirAt(m.TrashDir())
}

// makeTrash makes the trash and insists that it is ours alone: it holds keys.
func (m Machine) makeTrash() error {
	dir := m.TrashDir()
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.Mkdir(dir, 0o700); err == nil || errors.Is(err, fs.ErrExist) {
			info, err = os.Lstat(dir)
		}
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &FileError{dir, errors.New("no directory, but the trash belongs there")}
	}
	if uid, me := uidOf(info), os.Geteuid(); uid != me {
		return &FileError{dir, fmt.Errorf("belongs to uid %d, this is uid %d", uid, me)}
	}
	if info.Mode().Perm() != 0o700 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}

func copyKept(from, to string) error {
	for _, rel := range kept {
		data, _, err := readRegular(filepath.Join(from, rel))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		path := filepath.Join(to, rel)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := replace(path, data, 0o600, nil); err != nil {
			return err
		}
	}
	return syncDirAt(filepath.Dir(to))
}

// thin removes from an entry of the trash all but what is kept, and makes that its owner's only.
func thin(entry string) error {
	keep := map[string]bool{}
	for _, rel := range kept {
		for p := rel; p != "."; p = filepath.Dir(p) {
			keep[filepath.Join(entry, p)] = true
		}
	}
	return filepath.WalkDir(entry, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o600)
		switch {
		case path != entry && !keep[path]:
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			mode = 0o700
		case !d.Type().IsRegular():
			return nil
		}
		if info, err := d.Info(); err != nil || info.Mode().Perm() == mode {
			return err
		}
		return os.Chmod(path, mode)
	})
}

// tidyTrash finishes what a crash left hidden and removes what is older than 7 days. Only names that Remove
// gives are touched.
func (m Machine) tidyTrash(now time.Time) error {
	entries, err := os.ReadDir(m.TrashDir())
	if err != nil {
		return err
	}
	for _, e := range entries {
		when, ok := trashedAt(e.Name())
		if !ok || !e.IsDir() {
			continue
		}
		name, hidden := strings.CutPrefix(e.Name(), ".")
		switch {
		case now.Sub(when) > trashKeep:
			err = errors.Join(err, os.RemoveAll(filepath.Join(m.TrashDir(), e.Name())))
		case hidden:
			_, ferr := m.finishTrash(name)
			err = errors.Join(err, ferr)
		}
	}
	return err
}

// trashedAt reads the time in "<name>-<time>" and "<name>-<time>.<n>".
func trashedAt(entry string) (time.Time, bool) {
	stamp, _, _ := strings.Cut(entry[strings.LastIndexByte(entry, '-')+1:], ".")
	when, err := time.Parse(trashStamp, stamp)
	return when, err == nil
}
