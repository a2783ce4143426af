package home

import (
	"crypto/sha256"
	"path/filepath"
)

// Tells says whether a change of that file may be drift: one of CFG but for its lock, a pid record, the
// registry, the lock of a watcher. Everything else below a home changes as messages flow.
func Tells(path string) bool {
	switch filepath.Base(path) {
	case "private.key", "agent-card.json", "trust.json", "relay.json", "daemon.pid", "notify.pid", "registry.json", "watch.lock":
		return true
	}
	return false
}

// HasCursors says whether that file holds what moves with each message, which is no drift.
func HasCursors(path string) bool { return filepath.Base(path) == "relay.json" }

// BesideCursors is a hash of what the relay.json at path holds but for its cursors.
func BesideCursors(path string) (hash [sha256.Size]byte, err error) {
	r, _, err := document[*RelayFile]{path, emptyRelay, ParseRelay}.read()
	if err != nil {
		return hash, err
	}
	r.spans.Delete("self", cursorPlain)
	r.spans.Delete("self", cursorLocal)
	return sha256.Sum256(r.Bytes()), nil
}
