package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// fileFlag names the wire.yaml of a fleet command.
type fileFlag struct {
	File string `short:"f" placeholder:"FILE" complete:"files" help:"The wire.yaml; - for standard input. Default: ./wire.yaml, else the one in wire's config directory."`
}

// jsonFlag asks for one document on stdout.
type jsonFlag struct {
	JSON bool `name:"json" help:"Print one JSON document."`
}

// onlyFlag limits a fleet command to some sessions.
type onlyFlag struct {
	Only []string `placeholder:"NAME" complete:"sessions" help:"Only this session; may be repeated."`
}

// fleet is a wire.yaml on this machine. It takes no session from the working directory: the result is the
// same in a project directory or with WIRE_HOME naming one session (design.md section 3).
type fleet struct {
	source
	app     *app
	machine home.Machine
	client  *client.Client
	desired *spec.Desired
	refused error // the file as it is now, where the one that a watcher has in force stands for it
}

// source is where a wire.yaml came from.
type source struct {
	name     string // as messages call it
	path     string // absolute, links not followed; "" for standard input
	physical string // links followed; "" for standard input
	text     []byte
}

func (a *app) fleet(file string) (*fleet, error) {
	if file == "" {
		return a.fleetRead(file, home.ReadFile)
	}
	return a.fleetRead(file, os.ReadFile) // also from a pipe, where somebody names one
}

func (a *app) fleetRead(file string, read func(string) ([]byte, error)) (*fleet, error) {
	m, err := a.env.Machine()
	if err != nil {
		return nil, err
	}
	src, err := a.readSpec(file, m, read)
	if err != nil {
		return nil, err
	}
	return a.fleetOf(m, src)
}

func (a *app) fleetOf(m home.Machine, src source) (*fleet, error) {
	d, err := a.resolve(m, src)
	if err != nil {
		return nil, err
	}
	return &fleet{source: src, app: a, machine: m, client: client.New(10 * time.Second), desired: d}, nil
}

// fleetInForce is the fleet of a file, or if that cannot be used now, of the one that a watcher of it has in
// force. left says that one which was killed counts as well.
func (a *app) fleetInForce(file string, left bool) (*fleet, error) {
	m, err := a.env.Machine()
	if err != nil {
		return nil, err
	}
	note := m.ReadWatchNote()
	name := ""
	for _, c := range candidates(file, m) {
		if path, err := filepath.Abs(c); err == nil && path == note.File {
			name = c
		}
	}
	if file == "-" || name == "" && !left {
		return a.fleet(file)
	}
	f, err := a.fleetRead(file, home.ReadFile) // what is watched is read again and again
	if err == nil || name == "" || !left && !process.Alive(note.PID, note.StartTicks) {
		return f, err
	}
	last, lerr := a.fleetOf(m, source{name: name, path: note.File, physical: note.Path, text: []byte(note.Text)})
	if lerr != nil {
		return nil, err
	}
	last.refused, last.desired.Owner = err, note.Owner
	return last, nil
}

// resolve is what a wire.yaml means on this machine.
func (a *app) resolve(m home.Machine, src source) (*spec.Desired, error) {
	loaded, err := spec.Load(src.name, src.text)
	if err != nil {
		return nil, err
	}
	reg, err := m.Registry()
	if err != nil && !named(loaded, m.ReadWatchNote(), src) {
		return nil, fmt.Errorf("%w\n  next: repair the file or move it away, or set `name` for each session; nothing was changed", err)
	}
	env := spec.Env{
		HomeDir: a.env.Home, LookupEnv: os.LookupEnv, Physical: home.Physical,
		ByCwd: reg.ByCwd,
	}
	if src.physical != "" {
		env.Path, env.Dir = src.physical, filepath.Dir(src.physical)
	}
	return spec.Resolve(loaded, env)
}

// named says whether a file can do without a registry that cannot be read: each session has a name, or the one that
// a watcher has given it which has this very file in force, or had when it was killed.
func named(f *spec.File, note home.WatchNote, src source) bool {
	known := note.Text == string(src.text) && note.Path == src.physical && len(note.Sessions) == len(f.Sessions)
	for i := range f.Sessions {
		if s := &f.Sessions[i]; s.Name == "" && known {
			s.Name = note.Sessions[i]
		}
	}
	return !slices.ContainsFunc(f.Sessions, func(s spec.Entry) bool { return s.Name == "" })
}

// candidates are where the wire.yaml that -f names may be.
func candidates(file string, m home.Machine) []string {
	if file != "" {
		return []string{file}
	}
	places := []string{"wire.yaml"}
	if dir, err := m.ConfigDir(); err == nil {
		places = append(places, filepath.Join(dir, "wire.yaml"))
	}
	return places
}

// readSpec reads the wire.yaml that a command means.
func (a *app) readSpec(file string, m home.Machine, read func(string) ([]byte, error)) (source, error) {
	if file == "-" {
		text, err := io.ReadAll(a.in)
		return source{name: "-", text: text}, err
	}
	places := candidates(file, m)
	for _, name := range places {
		text, err := read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		src := source{name: name, text: text}
		if err == nil {
			src.path, err = filepath.Abs(name)
		}
		if err == nil {
			src.physical, err = filepath.EvalSymlinks(src.path)
		}
		return src, err
	}
	if file != "" {
		return source{name: file}, fmt.Errorf("%s: no such file", file)
	}
	return source{}, fmt.Errorf("no wire.yaml here or in %s\n  next: write one (`wire export` prints one for the sessions that exist), or name it with -f",
		filepath.Dir(places[len(places)-1]))
}

func (f *fleet) observer() reconcile.Observer {
	return f.observerFor(f.desired)
}

func (f *fleet) observerFor(d *spec.Desired) reconcile.Observer {
	return reconcile.Observer{Machine: f.machine, Client: f.client, Desired: d, File: cmp.Or(f.path, "-")}
}

// checkOnly refuses names that the file does not list.
func (f *fleet) checkOnly(only []string, alsoThere bool) error {
	for _, name := range only {
		if err := f.lists(name); err != nil && !(alsoThere && f.machine.Session(name).Exists()) {
			return fmt.Errorf("--only %w", err)
		}
	}
	return nil
}

func (f *fleet) lists(name string) error {
	for _, s := range f.desired.Sessions {
		if s.Name == name {
			return nil
		}
	}
	return fmt.Errorf("%s: %s lists no such session", name, f.name)
}
