package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Ensure makes CFG (0700), ST, inbox and outbox, and tightens group- or world-writable ones of ours. Key and
// relay.json, which holds slot tokens, end as 0600. What belongs to somebody else stays as it is; CheckOwned
// is who complains.
func (s Session) Ensure() error {
	for _, dir := range []string{s.cfg, s.InboxDir(), s.OutboxDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	secret := map[string]bool{s.KeyFile(): true, s.RelayFile(): true}
	return s.eachOwned(true, func(path string, info fs.FileInfo) error {
		perm := info.Mode().Perm()
		want := perm &^ 0o022
		switch {
		case path == s.cfg:
			want = 0o700
		case secret[path]:
			want = perm &^ 0o077
		}
		if want == perm || uidOf(info) != os.Geteuid() {
			return nil
		}
		return os.Chmod(path, want)
	})
}

// Lacks names one of the directories that Ensure makes and that is not there; "" if all are. An error is something else in
// the place of one.
func (s Session) Lacks() (string, error) {
	for _, dir := range []struct{ path, name string }{
		{s.cfg, "configuration"}, {s.st, "state"}, {s.InboxDir(), "inbox"}, {s.OutboxDir(), "outbox"},
	} {
		info, err := os.Stat(dir.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return dir.name, nil
		case err != nil:
			return "", err
		case !info.IsDir():
			return "", &FileError{dir.path, errors.New("no directory")}
		}
	}
	return "", nil
}

// CheckOwned is an error unless this user owns the home, CFG and the files in it and no other can write
// them (design.md section 6); group-writable is reported by loose, for Ensure tightens it. Links are judged
// by what they lead to.
func (s Session) CheckOwned() (loose bool, err error) {
	me := os.Geteuid()
	err = s.eachOwned(false, func(path string, info fs.FileInfo) error {
		if uid := uidOf(info); uid != me {
			return &FileError{path, fmt.Errorf("belongs to uid %d, this is uid %d", uid, me)}
		}
		perm := info.Mode().Perm()
		if perm&0o002 != 0 {
			return &FileError{path, fmt.Errorf("mode %04o: everybody can write it", perm)}
		}
		loose = loose || perm&0o020 != 0
		return nil
	})
	return loose, err
}

// eachOwned visits what decides who speaks for this session: the home, the way to CFG, CFG and what lies in
// it; with all also ST, inbox and outbox. What is missing is passed over, but CFG must be there.
func (s Session) eachOwned(all bool, visit func(string, fs.FileInfo) error) error {
	var paths []string
	if s.Dir != "" {
		paths = append(paths, s.Dir, join(s.Dir, "config"))
		if all {
			paths = append(paths, join(s.Dir, "state"))
		}
	}
	if all && s.st != s.cfg {
		paths = append(paths, s.st)
	}
	if all {
		paths = append(paths, s.InboxDir(), s.OutboxDir())
	}
	entries, err := os.ReadDir(s.cfg)
	if err != nil {
		return err
	}
	paths = append(paths, s.cfg)
	for _, e := range entries {
		if !e.IsDir() {
			paths = append(paths, join(s.cfg, e.Name()))
		}
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := visit(path, info); err != nil {
			return err
		}
	}
	return nil
}

func uidOf(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}
