package home

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Machine is all sessions under one root.
type Machine struct {
	Root string // the sessions root, absolute
	Base string // the WIRE_HOME whose "sessions" Root is; "" for the default root
	Env  Env
}

// Session is Root/<sanitize(name)> (5.3).
func (m Machine) Session(name string) Session { return m.session(Sanitize(name)) }

// session is the one in that directory, whatever it is called.
func (m Machine) session(dir string) Session {
	s := At(filepath.Join(m.Root, dir))
	s.Name = dir
	return s
}

// LaterStore is a folder of the sessions root that is no session: wire 0.14 and later keep theirs in it, by key
// (field-failures.md B10).
const LaterStore = "by-key"

// Sessions are the directories under Root, sorted by name; none if Root is missing. Links to directories
// and hidden ones count (cli.md 0.6).
func (m Machine) Sessions() ([]Session, error) {
	entries, err := os.ReadDir(m.Root)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	var out []Session
	for _, e := range entries {
		dir := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			info, err := os.Stat(filepath.Join(m.Root, e.Name()))
			dir = err == nil && info.IsDir()
		}
		if dir {
			out = append(out, m.session(e.Name()))
		}
	}
	return out, nil
}

// Alias says whether the session's directory is a link: another name for a home, not one of its own.
func (s Session) Alias() bool {
	info, err := os.Lstat(s.Dir)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// Same says whether two sessions are one home, however they are spelled. Two that are not there are told apart by
// their spelling.
func (s Session) Same(o Session) bool {
	if s.cfg == o.cfg {
		return true
	}
	a, err := os.Stat(s.Dir)
	if err != nil || s.Dir == "" {
		return false
	}
	b, err := os.Stat(o.Dir)
	return err == nil && o.Dir != "" && os.SameFile(a, b)
}

// RelayState is the state directory of the managed relay (relay.md 1.2, --local-only) under Base.
func (m Machine) RelayState() (string, error) { return m.env().RelayState(true) }

// ConfigDir is wire's configuration directory for the whole machine, where wire.yaml is looked for: that of
// Base, not of a session that WIRE_HOME may name.
func (m Machine) ConfigDir() (string, error) {
	s, err := m.env().Session()
	return s.cfg, err
}

// env is the environment of what runs for the machine and not for a session.
func (m Machine) env() Env {
	e := m.Env
	e.WireHome, e.WireHomeSet = m.Base, m.Base != ""
	return e
}

// WatchLife is the life lock of continuous mode: one for each sessions root. Its time of change is that of
// the last pass.
func (m Machine) WatchLife() string { return join(m.Root, "watch.lock") }

// Ensure makes the sessions root.
func (m Machine) Ensure() error { return os.MkdirAll(m.Root, 0o700) }
