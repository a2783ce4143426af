package home

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Spot is a name in a directory, no link in the directory's path.
type Spot struct {
	Dir, Name string
	Through   bool // a directory that leads on
}

// Path is the spot as one path.
func (s Spot) Path() string { return filepath.Join(s.Dir, s.Name) }

// maxLinks is how many links the kernel follows in one path.
const maxLinks = 40

// Trail is every name whose change may change what the paths lead to, each once: the directories and symbolic links
// on the way, in whatever component they stand, and what the paths name. Where something is missing, that name is the
// last. ends are where each path leads, without a link, as far as something is there.
func Trail(paths ...string) (spots []Spot, ends []string) {
	t := trail{seen: map[string]standing{}}
	for _, path := range paths {
		if abs, err := filepath.Abs(path); err == nil {
			ends = append(ends, t.walk(abs))
		}
	}
	return t.spots, ends
}

type trail struct {
	spots []Spot
	seen  map[string]standing
}

// standing is what stands at a spot.
type standing struct {
	to      string // where the link leads
	link    bool
	missing bool
	spot    int
}

func (t *trail) walk(abs string) (end string) {
	dir, rest := string(filepath.Separator), parts(abs)
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			dir = filepath.Dir(dir)
			continue
		}
		here := filepath.Join(dir, name)
		at := t.look(dir, name)
		switch {
		case at.missing:
			return here
		case at.link:
			if links++; links > maxLinks {
				return here
			}
			if filepath.IsAbs(at.to) {
				dir = string(filepath.Separator)
			}
			rest = append(parts(at.to), rest...)
		default:
			dir = here
			t.spots[at.spot].Through = t.spots[at.spot].Through || len(rest) > 0
		}
	}
	return dir
}

func (t *trail) look(dir, name string) standing {
	here := Spot{Dir: dir, Name: name}
	at, ok := t.seen[here.Path()]
	if ok {
		return at
	}
	info, err := os.Lstat(here.Path())
	at.link = err == nil && info.Mode()&os.ModeSymlink != 0
	if at.link {
		at.to, err = os.Readlink(here.Path())
	}
	at.missing, at.spot = err != nil, len(t.spots)
	t.seen[here.Path()] = at
	t.spots = append(t.spots, here)
	return at
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
