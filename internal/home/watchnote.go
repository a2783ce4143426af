package home

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"
)

// WatchNote is ROOT/watch.json: what the continuous mode of a sessions root knows and nobody else can see. It
// counts only while the process that it names holds the watch lock, but for Text: a watcher that was killed
// leaves it to its successor. It is written when it changes, under the watch lock.
type WatchNote struct {
	PID             int              `json:"pid"`
	StartTicks      uint64           `json:"start_ticks"`
	File            string           `json:"file"`                       // the wire.yaml as named, absolute
	Path            string           `json:"path"`                       // its physical path when it was last good
	Owner           string           `json:"owner"`                      // of the sessions that it creates
	Text            string           `json:"text"`                       // the wire.yaml in force
	Refused         string           `json:"refused,omitempty"`          // why the file as it is now is not in force
	Sessions        []string         `json:"sessions"`                   // that the file in force lists
	Crashes         map[string]Crash `json:"crashes,omitempty"`          // by session whose daemon keeps dying
	NotifierCrashes map[string]Crash `json:"notifier_crashes,omitempty"` // likewise
	RelayCrash      Crash            `json:"relay_crash,omitzero"`       // of the relay, if it keeps dying
	Listen          string           `json:"listen,omitempty"`           // where /healthz and /metrics are
}

// Crash is a process that keeps dying; the zero value is one that does not.
type Crash struct {
	Deaths int    `json:"deaths"`           // in a row
	Failed string `json:"failed,omitempty"` // why the last start failed; "" if it became ready
}

// Watches says whether the watch lock is still the one that was seen before.
func (m Machine) Watches(lock fs.FileInfo) bool {
	now, err := os.Stat(m.WatchLife())
	return err == nil && os.SameFile(now, lock)
}

// WatchNoteFile is where it is, for watches.
func (m Machine) WatchNoteFile() string { return join(m.Root, "watch.json") }

// ReadWatchNote is the zero note where there is none, or none that parses: it is only news.
func (m Machine) ReadWatchNote() WatchNote {
	var n WatchNote
	data, _, err := readRegular(m.WatchNoteFile())
	if err != nil || json.Unmarshal(data, &n) != nil {
		return WatchNote{}
	}
	return n
}

// WriteWatchNote leaves this note, and writes nothing where it is there.
func (m Machine) WriteWatchNote(n WatchNote) error {
	data, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return err
	}
	return replace(m.WatchNoteFile(), append(data, '\n'), 0o600, nil)
}

// DropWatchNote removes the note of a watcher that ends as it was told.
func (m Machine) DropWatchNote() error {
	err := os.Remove(m.WatchNoteFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Passed notes that a pass of continuous mode is over, and LastPass is when that was: in the time of change
// of its life lock, so that nothing is written. The zero time says that there was none yet.
func (m Machine) Passed(at time.Time) error {
	if at.IsZero() {
		at = time.Unix(0, 0)
	}
	return os.Chtimes(m.WatchLife(), at, at)
}

// LastPass is the zero time where there was none.
func (m Machine) LastPass() time.Time {
	info, err := os.Stat(m.WatchLife())
	if err != nil || info.ModTime().Unix() == 0 {
		return time.Time{}
	}
	return info.ModTime()
}
