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

// smallestTrust is less than any trust.json with a record in it.
const smallestTrust = 64

// HasTrust says whether trust.json can hold a record at all, from its size alone.
func (s Session) HasTrust() bool {
	info, err := os.Stat(s.TrustFile())
	return err == nil && info.Size() >= smallestTrust
}
