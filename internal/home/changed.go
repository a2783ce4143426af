package home

import (
	"os"
	"time"
)

// RelayChanged is when relay.json was last replaced; the zero time if it cannot be told. A slot that it
// names may be no older than that.
func (s Session) RelayChanged() time.Time {
	info, err := os.Stat(s.RelayFile())
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
