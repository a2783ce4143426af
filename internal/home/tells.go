package home

import (
	"os"
	"path/filepath"
	"time"
)

// Passed notes that a pass of continuous mode is over, and LastPass is when that was: in the time of change
// of its life lock, so that nothing is written.
func (m Machine) Passed(at time.Time) error { return os.Chtimes(m.WatchLife(), at, at) }

// LastPass is the zero time where there was none.
func (m Machine) LastPass() time.Time {
	info, err := os.Stat(m.WatchLife())
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// ReadLink is where a symbolic link leads, as a path that stands where the link does.
func ReadLink(path string) (string, error) {
	to, err := os.Readlink(path)
	if err != nil || filepath.IsAbs(to) {
		return to, err
	}
	return filepath.Join(filepath.Dir(path), to), nil
}

// Tells says whether a change of that file may be drift: one of CFG but for its lock, a pid record, the
// registry. Everything else below a home changes as messages flow.
func Tells(path string) bool {
	switch base := filepath.Base(path); base {
	case "private.key", "agent-card.json", "trust.json", "relay.json", "daemon.pid", "notify.pid", "registry.json":
		return true
	default:
		return filepath.Base(filepath.Dir(filepath.Dir(path))) == "sessions" && base != ""
	}
}
