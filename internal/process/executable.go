package process

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// deletedSuffix is what Linux appends to the path of a running executable that was replaced or removed
// (quirk 31).
const deletedSuffix = " (deleted)"

// CheckExecutable says which file background processes would run, or why that would not last: it was built
// by `go run` or deleted. After an upgrade in place it is the new file.
func CheckExecutable() (path string, err error) {
	path, err = os.Executable()
	if err != nil {
		return "", fmt.Errorf("own executable: %w", err)
	}
	return checkExecutable(path, []string{os.TempDir(), os.Getenv("GOTMPDIR")}, os.Getenv("GOCACHE"))
}

// Would says whether the executable with that device and inode is the one that this process would start: the
// file that stands at its path now, which after an upgrade in place is another one than it runs itself. Where
// that is gone, it is its own.
func Would(dev, ino uint64) bool {
	var st unix.Stat_t
	if path, err := startable(); err == nil && unix.Stat(path, &st) == nil {
		return uint64(st.Dev) == dev && st.Ino == ino
	}
	own, err := own()
	return err == nil && own.ExeDev == dev && own.ExeIno == ino
}

// startable and own are asked for once for each daemon of a listing.
var (
	startable = sync.OnceValues(CheckExecutable)
	own       = sync.OnceValues(Self)
)

const installIt = "build or install it first: go install wirefleet.dev/wire/cmd/wire@latest, or make in the clone"

func checkExecutable(path string, tmp []string, cache string) (string, error) {
	plain := strings.TrimSuffix(path, deletedSuffix)
	if st, err := os.Stat(plain); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s no longer exists, so nothing could be started again from it; %s", plain, installIt)
	} else if err != nil {
		return "", err
	} else if !st.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no program any more; %s", plain, installIt)
	}
	if fleeting(plain, tmp, cache) {
		return "", fmt.Errorf("%s was built by go run or go test and will be gone soon; %s", plain, installIt)
	}
	return plain, nil
}

// fleeting recognises the work directories of the go command, <tmp>/go-build123/b001/exe/wire, and its
// build cache, <cache>/ab/ab01...-d/wire, from which go run starts a program it has built before.
func fleeting(path string, tmp []string, cache string) bool {
	for _, dir := range tmp {
		if rest, ok := below(path, dir); ok && strings.HasPrefix(rest, "go-build") {
			return true
		}
	}
	if _, ok := below(path, cache); ok {
		return true
	}
	entry, ok := strings.CutSuffix(filepath.Base(filepath.Dir(path)), "-d")
	shelf := filepath.Base(filepath.Dir(filepath.Dir(path)))
	hash, err := hex.DecodeString(entry)
	return ok && err == nil && len(hash) == 32 && shelf == entry[:2]
}

// below is path relative to dir, if it is inside. Both may reach the place through links.
func below(path, dir string) (rest string, ok bool) {
	if dir == "" {
		return "", false
	}
	for _, d := range []string{dir, Resolved(dir)} {
		for _, p := range []string{path, Resolved(path)} {
			if rel, err := filepath.Rel(d, p); err == nil && filepath.IsLocal(rel) {
				return rel, true
			}
		}
	}
	return "", false
}

// Resolved is the file that a path leads to; the path itself where that cannot be told.
func Resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// OnPath are the distinct executables of that name in the directories of path, as PATH lists them, each resolved
// to the file that it is; the first one is what a shell would run.
func OnPath(name, path string) []string {
	var found []string
	for _, dir := range filepath.SplitList(path) {
		if dir == "" {
			dir = "."
		}
		file := Resolved(filepath.Join(dir, name))
		st, err := os.Stat(file)
		if err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 && !slices.Contains(found, file) {
			found = append(found, file)
		}
	}
	return found
}
