package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/home"
)

// Resolve settles what depends on the machine: names, dirs, owner, edges. Errors are Problems.
//
// A session without a name gets the one that `wire session new` would give it in its dir
// (home-and-daemon.md 5.3), after all explicit names and in file order: what the registry has for the dir,
// verbatim, else one derived from the dir that neither the registry nor the file has. That name must be its
// own directory name, and no other session's: two sessions in one directory would share a key.
//
// A dir that the registry gives to another session than the file does is no Problem here: whether that is
// drift or a conflict depends on whether the other session lives, which only an observer knows. ByCwd and
// Session.Dir say all that it takes.
func Resolve(f *File, env Env) (*Desired, error) {
	r := &resolver{file: f, env: env, lines: map[string]int{}, guests: map[string]string{}}
	d := &Desired{
		Owner:      f.Name,
		LocalRelay: Relay{URL: f.Relays.Local.URL, Managed: f.Relays.Local.Managed},
		Federation: Relay{URL: f.Relays.Federation.URL},
		Sessions:   make([]Session, len(f.Sessions)),
	}
	d.LocalRelay.Bind = strings.TrimPrefix(d.LocalRelay.URL, "http://")
	if d.Owner == "" {
		d.Owner = env.Path
	}
	for i := range f.Sessions {
		d.Sessions[i] = r.session(i)
	}
	r.dirs(d.Sessions)
	r.names(d.Sessions)
	r.handles(d.Sessions)
	if len(r.problems) == 0 {
		// Faulty names would each be called unknown again.
		names := make([]string, len(d.Sessions))
		for i, s := range d.Sessions {
			names[i] = s.Name
		}
		r.problems = append(r.problems, f.groupProblems(names)...)
	}
	if len(r.problems) > 0 {
		return nil, r.problems.sorted()
	}
	d.Edges = edges(f.Mesh, d.Sessions)
	return d, nil
}

type resolver struct {
	file     *File
	env      Env
	taken    map[string]bool
	lines    map[string]int    // of the session that has a name
	guests   map[string]string // directory name to the cwd whose longer name is stored there
	problems Problems
}

func (r *resolver) add(at spot, format string, args ...any) {
	r.problems = append(r.problems, r.file.problem(at, format, args...))
}

// where is the spot of a key of session i, or of the session if the file lacks it (one made by NewFile).
func (r *resolver) where(i int, key string) spot {
	path := item("sessions", i)
	if at, ok := r.file.at[join(path, key)]; ok {
		return at
	}
	return r.file.at[path]
}

func (r *resolver) session(i int) Session {
	e := r.file.Sessions[i]
	at := r.file.at[item("sessions", i)]
	s := Session{
		Name:       e.Name,
		DirAsTyped: e.Dir,
		Reach:      e.Reach,
		Daemon:     e.Daemon.On,
		Takeover:   e.Daemon.Takeover,
		Notify:     e.Notify,
		Interval:   e.Interval,
		Handle:     e.Handle,
		Hidden:     e.Hidden,
		Pos:        r.file.problem(at, ""),
	}
	if e.Dir == "" {
		return s
	}
	path, err := r.absolute(e.Dir)
	if err == nil {
		s.Dir, s.DirExists, err = r.env.Physical(path)
	}
	if err != nil {
		s.Dir = ""
		r.add(r.where(i, "dir"), "dir %s: %v", quote(e.Dir), err)
	}
	return s
}

// absolute is a dir as typed with ~/, ${VAR} and the file's directory put in. It is not cleaned: what ".."
// means behind a symbolic link, only the kernel knows.
func (r *resolver) absolute(dir string) (string, error) {
	rest, atHome := strings.CutPrefix(dir, "~")
	path, err := expand(rest, func(name string) (string, error) {
		v, ok := r.env.LookupEnv(name)
		switch {
		case !ok:
			return "", fmt.Errorf("${%s} is not set", name)
		case v == "":
			return "", fmt.Errorf("${%s} is empty", name)
		case strings.ContainsRune(v, 0):
			return "", fmt.Errorf("${%s} holds a NUL byte", name)
		}
		return v, nil
	})
	switch {
	case err != nil:
		return "", err
	case atHome && r.env.HomeDir == "":
		return "", fmt.Errorf("~ is unknown: HOME is not set")
	case atHome:
		return r.env.HomeDir + path, nil
	case strings.HasPrefix(path, "/"):
		return path, nil
	case r.env.Dir == "":
		return "", fmt.Errorf("a relative dir is relative to the file, and standard input has no place; write an absolute one")
	}
	return r.env.Dir + "/" + path, nil
}

// dirs refuses two sessions in one physical directory.
func (r *resolver) dirs(sessions []Session) {
	first := map[string]int{}
	for i, s := range sessions {
		if s.Dir == "" {
			continue
		}
		if j, ok := first[s.Dir]; ok {
			r.add(r.where(i, "dir"), "dir %s is %s, the dir of the session on line %d", quote(s.DirAsTyped), s.Dir, sessions[j].Pos.Line)
			continue
		}
		first[s.Dir] = i
	}
}

// names fills in the names that the file leaves to the dir.
func (r *resolver) names(sessions []Session) {
	r.taken = home.Registry{ByCwd: r.env.ByCwd}.Names()
	for _, cwd := range slices.Sorted(maps.Keys(r.env.ByCwd)) {
		name := r.env.ByCwd[cwd]
		if dir := home.Sanitize(name); dir != name && r.guests[dir] == "" {
			r.guests[dir] = cwd
		}
	}
	for _, s := range sessions {
		if s.Name != "" {
			r.taken[s.Name] = true
			r.lines[s.Name] = s.Pos.Line
		}
	}
	for i := range sessions {
		s := &sessions[i]
		if s.Name != "" || s.Dir == "" {
			continue
		}
		name, registered := r.env.ByCwd[s.Dir]
		if !registered {
			name = home.DeriveName(s.Dir, r.taken)
		}
		if text := r.nameFault(*s, name, registered); text != "" {
			r.add(r.where(i, "dir"), "%s; set name", text)
			continue
		}
		s.Name = name
		r.taken[name] = true
		r.lines[name] = s.Pos.Line
	}
}

// nameFault is why a session cannot be called what its dir says.
func (r *resolver) nameFault(s Session, name string, registered bool) string {
	verb := "gives the name"
	if registered {
		verb = "is registered as"
	}
	dir := home.Sanitize(name)
	if line, ok := r.lines[name]; ok {
		return fmt.Sprintf("dir %s %s %q, which is the session on line %d", quote(s.DirAsTyped), verb, name, line)
	}
	if dir != name {
		return fmt.Sprintf("dir %s %s %s, which would be stored as %q", quote(s.DirAsTyped), verb, quote(name), dir)
	}
	if cwd, ok := r.guests[name]; ok {
		return fmt.Sprintf("dir %s %s %q, where the session of %s is stored", quote(s.DirAsTyped), verb, name, cwd)
	}
	return ""
}

// handles fills in the handles that the file leaves to the name, and checks those of derived names, which
// Load did not know.
func (r *resolver) handles(sessions []Session) {
	first := map[string]int{}
	for i := range sessions {
		s := &sessions[i]
		text, at := r.file.handleFault(i, s.Name)
		if text != "" {
			r.add(at, "%s", text)
			continue
		}
		if handle, at := r.file.handle(i, s.Name); handle != "" {
			if j, ok := first[handle]; ok {
				r.add(at, "handle %q is taken by the session on line %d", handle, sessions[j].Pos.Line)
				continue
			}
			first[handle] = i
		}
		if s.Handle == "" {
			s.Handle = s.Name
		}
	}
}

// edges are the wanted pairs, each and all sorted.
func edges(m Mesh, sessions []Session) [][2]string {
	names := make([]string, len(sessions))
	for i, s := range sessions {
		names[i] = s.Name
	}
	slices.Sort(names)
	groups := m.Groups
	if m.Full {
		groups = [][]string{names}
	}
	place := map[string]int{}
	for i, n := range names {
		place[n] = i
	}
	// A table, not a set: groups that overlap much are cheap in it, and it is read in order.
	wanted := make([]bool, len(names)*len(names))
	count := 0
	for _, g := range groups {
		places := make([]int, len(g))
		for i, name := range g {
			places[i] = place[name]
		}
		for i, a := range places {
			for _, b := range places[i+1:] {
				lo, hi := min(a, b), max(a, b)
				if at := &wanted[lo*len(names)+hi]; !*at {
					*at = true
					count++
				}
			}
		}
	}
	pairs := make([][2]string, 0, count)
	for at, yes := range wanted {
		if yes {
			pairs = append(pairs, [2]string{names[at/len(names)], names[at%len(names)]})
		}
	}
	return pairs
}
