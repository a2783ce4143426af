package home

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"
)

// Env is the part of the process environment that decides where things are. Tests build it by hand.
type Env struct {
	WireHome      string // WIRE_HOME
	WireHomeSet   bool   // present, even if empty
	Home          string // HOME, else the password database
	XDGConfigHome string
	XDGStateHome  string
	Cwd           string // the kernel's physical path; "" if unreadable
	Quiet         bool   // WIRE_QUIET_AUTOSESSION is present: Adopt says nothing
}

// OSEnv reads the process environment. Cwd never comes from $PWD: the reference keys its registry by what
// the kernel says (home-and-daemon.md 2.3).
func OSEnv() Env {
	e := Env{
		Home:          os.Getenv("HOME"),
		XDGConfigHome: os.Getenv("XDG_CONFIG_HOME"),
		XDGStateHome:  os.Getenv("XDG_STATE_HOME"),
	}
	if v, ok := os.LookupEnv("WIRE_HOME"); ok && utf8.ValidString(v) {
		e.WireHome, e.WireHomeSet = v, true
	}
	_, e.Quiet = os.LookupEnv("WIRE_QUIET_AUTOSESSION")
	if e.Home == "" {
		if u, err := user.LookupId(strconv.Itoa(os.Getuid())); err == nil {
			e.Home = u.HomeDir
		}
	}
	if wd, err := syscall.Getwd(); err == nil {
		e.Cwd = wd
	}
	return e
}

// Adopt returns the environment with WIRE_HOME set to the session that cwd is registered to, if WIRE_HOME
// is unset and there is one (2.3); line is then what goes to stderr. Errors adopt nothing, silently.
func (e Env) Adopt() (out Env, line string) {
	if e.WireHomeSet || e.Cwd == "" {
		return e, ""
	}
	m, err := e.Machine()
	if err != nil {
		return e, ""
	}
	reg, err := m.Registry()
	if err != nil {
		return e, ""
	}
	name, ok := reg.Lookup(e.Cwd)
	if !ok {
		return e, ""
	}
	dir := m.Session(name).Dir
	if !exists(dir) {
		return e, ""
	}
	out = e
	out.WireHome, out.WireHomeSet = dir, true
	if !e.Quiet {
		line = "wire cli: auto-detected session for cwd `" + RegistryKey(e.Cwd) + "` → WIRE_HOME=`" + dir + "`"
	}
	return out, line
}

// Session is the one home that this environment names (2.1, 2.2): that of `wire send`, `wire daemon`, ...
// A relative WIRE_HOME gives relative paths, as in the reference; see Session.Abs.
func (e Env) Session() (Session, error) {
	if e.WireHomeSet {
		return At(e.WireHome), nil
	}
	return e.defaultSession(runtime.GOOS)
}

func (e Env) defaultSession(goos string) (Session, error) {
	cfg, err := e.configBase(goos)
	if err != nil {
		return Session{}, err
	}
	st, err := e.stateBase(goos)
	if err != nil {
		return Session{}, err
	}
	return Session{cfg: join(cfg, "wire"), st: join(st, "wire")}, nil
}

// Machine is the sessions root that this environment names (2.4) and its base. Whether it was WIRE_HOME or
// nothing that led to the default root makes no difference to the result.
func (e Env) Machine() (Machine, error) { return e.machine(runtime.GOOS) }

func (e Env) machine(goos string) (Machine, error) {
	def := ""
	if st, err := e.stateBase(goos); err == nil {
		if def, err = e.abs(join(st, "wire", "sessions")); err != nil {
			return Machine{}, err
		}
	} else if !e.WireHomeSet {
		return Machine{}, err
	}
	if !e.WireHomeSet {
		return Machine{Root: def, Env: e}, nil
	}
	base, err := e.abs(e.WireHome)
	if err != nil {
		return Machine{}, err
	}
	root := filepath.Join(base, "sessions")
	if parent, ok := insideRoot(e.WireHome); ok && !exists(root) {
		if root, err = e.abs(parent); err != nil {
			return Machine{}, err
		}
		base = filepath.Dir(root)
	}
	if root == def {
		base = ""
	}
	return Machine{Root: root, Base: base, Env: e}, nil
}

// insideRoot says whether a WIRE_HOME names a session: its parent is called "sessions". As in the reference the
// text decides, so "api" in a directory called sessions names none.
func insideRoot(wireHome string) (parent string, ok bool) {
	for {
		trimmed := strings.TrimSuffix(strings.TrimRight(wireHome, "/"), "/.")
		if trimmed == wireHome {
			break
		}
		wireHome = trimmed
	}
	parent = wireHome[:strings.LastIndexByte(wireHome, '/')+1]
	name, _ := lastComponent(parent)
	return parent, name == "sessions"
}

// RelayState is the state directory of a relay that runs in this environment (relay.md 1.2).
func (e Env) RelayState(localOnly bool) (string, error) { return e.relayState(runtime.GOOS, localOnly) }

func (e Env) relayState(goos string, localOnly bool) (string, error) {
	dir := join(e.WireHome, "state", "wire-relay")
	if !e.WireHomeSet {
		st, err := e.stateBase(goos)
		if err != nil {
			return "", err
		}
		dir = join(st, "wire-relay")
	}
	if localOnly {
		dir = join(dir, "local")
	}
	return dir, nil
}

// configBase and stateBase are the directories that "wire" is in when WIRE_HOME is unset (2.2).
func (e Env) configBase(goos string) (string, error) {
	if goos == "darwin" {
		return e.darwinBase()
	}
	if filepath.IsAbs(e.XDGConfigHome) {
		return e.XDGConfigHome, nil
	}
	if e.Home == "" {
		return "", errors.New("no configuration directory: neither XDG_CONFIG_HOME nor a home directory is known; set WIRE_HOME")
	}
	return join(e.Home, ".config"), nil
}

func (e Env) stateBase(goos string) (string, error) {
	if goos == "darwin" {
		return e.darwinBase()
	}
	if filepath.IsAbs(e.XDGStateHome) {
		return e.XDGStateHome, nil
	}
	if e.Home == "" {
		return "", errors.New("no state directory: neither XDG_STATE_HOME nor a home directory is known; set WIRE_HOME")
	}
	return join(e.Home, ".local", "state"), nil
}

// darwinBase serves configuration and state alike: the reference knows no state directory there.
func (e Env) darwinBase() (string, error) {
	if e.Home == "" {
		return "", errors.New("no home directory for XDG_CONFIG_HOME or XDG_STATE_HOME to default to; set WIRE_HOME")
	}
	return join(e.Home, "Library", "Application Support"), nil
}

// abs anchors a relative path at the working directory.
func (e Env) abs(path string) (string, error) {
	if filepath.IsAbs(path) {
		return filepath.Clean(path), nil
	}
	if e.Cwd == "" {
		return "", errors.New("relative path " + strconv.Quote(path) + ", and the working directory cannot be read")
	}
	return filepath.Join(e.Cwd, path), nil
}

// join puts path elements together as the reference does, which cleans nothing: what it prints for an
// unclean WIRE_HOME is what the operator typed.
func join(base string, elems ...string) string {
	for _, el := range elems {
		switch {
		case base == "":
			base = el
		case base[len(base)-1] == '/':
			base += el
		default:
			base += "/" + el
		}
	}
	return base
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
