package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// fileFlag names the wire.yaml of a fleet command.
type fileFlag struct {
	File string `short:"f" placeholder:"FILE" help:"The wire.yaml; - for standard input. Default: ./wire.yaml, else the one in wire's config directory."`
}

// jsonFlag asks for one document on stdout.
type jsonFlag struct {
	JSON bool `name:"json" help:"Print one JSON document."`
}

// onlyFlag limits a fleet command to some sessions.
type onlyFlag struct {
	Only []string `placeholder:"NAME" help:"Only this session; may be repeated."`
}

// fleet is a wire.yaml on this machine. It takes no session from the working directory: the result is the
// same in a project directory or with WIRE_HOME naming one session (design.md section 3).
type fleet struct {
	app     *app
	machine home.Machine
	client  *client.Client
	desired *spec.Desired
	name    string // of the file, as messages call it
	path    string // absolute, links not followed; "" for standard input
}

func (a *app) fleet(file string) (*fleet, error) {
	m, err := a.env.Machine()
	if err != nil {
		return nil, err
	}
	name, path, data, err := a.readSpec(file, m)
	if err != nil {
		return nil, err
	}
	loaded, err := spec.Load(name, data)
	if err != nil {
		return nil, err
	}
	reg, err := m.Registry()
	if err != nil {
		return nil, fmt.Errorf("%w\n  next: repair the file or move it away; nothing was changed", err)
	}
	env := spec.Env{
		HomeDir: a.env.Home, LookupEnv: os.LookupEnv, Physical: home.Physical,
		ByCwd: reg.ByCwd,
	}
	typed := ""
	if path != "" {
		env.Path, env.Dir = path, filepath.Dir(path)
		if typed, err = filepath.Abs(name); err != nil {
			return nil, err
		}
	}
	desired, err := spec.Resolve(loaded, env)
	if err != nil {
		return nil, err
	}
	return &fleet{app: a, machine: m, client: client.New(10 * time.Second), desired: desired, name: name, path: typed}, nil
}

// readSpec reads the wire.yaml that a command means; path is its physical one, "" for standard input.
func (a *app) readSpec(file string, m home.Machine) (name, path string, data []byte, err error) {
	if file == "-" {
		data, err = io.ReadAll(a.in)
		return "-", "", data, err
	}
	candidates := []string{file}
	if file == "" {
		candidates = []string{"wire.yaml"}
		if dir, err := m.ConfigDir(); err == nil {
			candidates = append(candidates, filepath.Join(dir, "wire.yaml"))
		}
	}
	for _, name := range candidates {
		data, err = os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return name, "", nil, err
		}
		if path, err = filepath.Abs(name); err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		return name, path, data, err
	}
	if file != "" {
		return file, "", nil, fmt.Errorf("%s: no such file", file)
	}
	return "", "", nil, fmt.Errorf("no wire.yaml here or in %s\n  next: write one (`wire export` prints one for the sessions that exist), or name it with -f",
		filepath.Dir(candidates[len(candidates)-1]))
}

func (f *fleet) observer() reconcile.Observer {
	return reconcile.Observer{Machine: f.machine, Client: f.client, Desired: f.desired}
}

// checkOnly refuses names that the file does not list.
func (f *fleet) checkOnly(only []string, alsoThere bool) error {
	for _, name := range only {
		found := false
		for _, s := range f.desired.Sessions {
			found = found || s.Name == name
		}
		if !found && !(alsoThere && f.machine.Session(name).Exists()) {
			return fmt.Errorf("--only %s: %s lists no such session", name, f.name)
		}
	}
	return nil
}
