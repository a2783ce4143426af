package home

import "path/filepath"

// Tells says whether a change of that file may be drift: one of CFG but for its lock, a pid record, the
// registry. Everything else below a home changes as messages flow.
func Tells(path string) bool {
	switch filepath.Base(path) {
	case "private.key", "agent-card.json", "trust.json", "relay.json", "daemon.pid", "notify.pid", "registry.json":
		return true
	}
	return false
}
