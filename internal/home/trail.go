package home

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Spot is a name in a directory, no link in the directory's path.
type Spot struct{ Dir, Name string }

// Path is the spot as one path.
func (s Spot) Path() string { return filepath.Join(s.Dir, s.Name) }

// maxLinks is how many links the kernel follows in one path.
const maxLinks = 40

// Trail is every name whose change may change what path leads to: each symbolic link on the way, in whatever
// component it stands, and the file itself. Where something is missing, that name is the last.
func Trail(path string) []Spot {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	var trail []Spot
	dir, rest := string(filepath.Separator), parts(abs)
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			dir = filepath.Dir(dir)
			continue
		}
		here := Spot{dir, name}
		info, err := os.Lstat(here.Path())
		switch {
		case err != nil:
			return append(trail, here)
		case info.Mode()&os.ModeSymlink != 0:
			trail = append(trail, here)
			to, err := os.Readlink(here.Path())
			if links++; err != nil || links > maxLinks {
				return trail
			}
			if filepath.IsAbs(to) {
				dir = string(filepath.Separator)
			}
			rest = append(parts(to), rest...)
		case len(rest) == 0:
			trail = append(trail, here)
		default:
			dir = here.Path()
		}
	}
	return trail
}

func parts(path string) []string {
	names := strings.FieldsFunc(path, func(r rune) bool { return r == filepath.Separator })
	return slices.DeleteFunc(names, func(name string) bool { return name == "." })
}

// SameFile says whether two paths, links followed, are one file, or would be if it were there.
func SameFile(a, b string) bool {
	if a == b {
		return a != ""
	}
	x, errX := filepath.EvalSymlinks(a)
	y, errY := filepath.EvalSymlinks(b)
	return a != "" && b != "" && errX == nil && errY == nil && x == y
}
