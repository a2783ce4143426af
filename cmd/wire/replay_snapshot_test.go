//go:build linux

package main_test

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// snapshot is what is below $ROOT. The name of a directory ends in "/", that of a link in "@".
type snapshot map[string]fileState

type fileState struct {
	empty bool // of a directory
	link  string
	mtime int64
	inode uint64
	hash  [sha256.Size]byte
}

func (w *world) snapshot() (snapshot, error) {
	s := snapshot{}
	err := filepath.WalkDir(w.root, func(path string, e fs.DirEntry, err error) error {
		if path == w.root || errors.Is(err, fs.ErrNotExist) { // somebody's temporary file
			return nil
		}
		if err != nil {
			return err
		}
		name, state, err := look(path, e)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		s[strings.TrimPrefix(name, w.root+"/")] = state
		return err
	})
	return s, err
}

func look(path string, e fs.DirEntry) (name string, state fileState, err error) {
	if e.IsDir() {
		list, err := os.ReadDir(path)
		return path + "/", fileState{empty: len(list) == 0}, err
	}
	info, err := e.Info()
	if err != nil {
		return path, state, err
	}
	state.mtime = info.ModTime().UnixNano()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		state.inode = st.Ino
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		state.link, err = os.Readlink(path)
		return path + "@", state, err
	case info.Size() > 1<<20: // the program
		return path, state, nil
	case info.Mode().IsRegular():
		data, err := os.ReadFile(path)
		state.hash = sha256.Sum256(data)
		return path, state, err
	}
	return path, state, nil
}

// changes are the letters of the vectors: A new, M changed, R rewritten with the same bytes, D removed. Of
// directories only the new empty ones are told, and those that are gone with all that was in them.
func (s snapshot) changes(after snapshot) []string {
	var list []string
	for name, a := range after {
		b, ok := s[name]
		switch dir := strings.HasSuffix(name, "/"); {
		case !ok && (!dir || a.empty):
			list = append(list, "A "+name)
		case !ok || dir:
		case a.hash != b.hash || a.link != b.link:
			list = append(list, "M "+name)
		case a.mtime != b.mtime || a.inode != b.inode:
			list = append(list, "R "+name)
		}
	}
	for name := range s {
		if _, ok := after[name]; ok {
			continue
		}
		up := filepath.Dir(strings.TrimSuffix(name, "/")) + "/"
		if _, there := after[up]; there || up == "./" {
			list = append(list, "D "+name)
		}
	}
	slices.Sort(list)
	return list
}
