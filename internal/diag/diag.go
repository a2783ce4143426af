// Package diag is a session's trace: what a pull brought, one line each, for whoever looks for a fault
// (reference/home-and-daemon.md section 12).
//
// Law of the room: the trace disturbs nobody. Whoever emits never waits for it, never fails for it, and pays
// one look at a file while it is off.
package diag

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
)

// level is the version of the reference that the lines name: the one whose formats we speak.
const level = "0.6.10"

// Enabled says whether a session is traced: by WIRE_DIAG, unless it is empty, or by the file that Enable makes.
func Enabled(s home.Session) bool {
	if os.Getenv("WIRE_DIAG") != "" {
		return true
	}
	_, err := os.Stat(s.DiagEnabled())
	return err == nil
}

// Enable has everybody who serves the session trace from now on.
func Enable(s home.Session) error {
	if err := s.Ensure(); err != nil {
		return err
	}
	return home.WriteFile(s.DiagEnabled(), []byte("1"), 0o600)
}

// Disable ends that; what was traced stays.
func Disable(s home.Session) error {
	if err := os.Remove(s.DiagEnabled()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// maxTrace is the size from which on a trace is put aside before the next line.
const maxTrace = 8 << 20

// Emit appends a line if the session is traced.
func Emit(s home.Session, kind string, payload canon.Doc, now time.Time) {
	if !Enabled(s) {
		return
	}
	if st, err := os.Stat(s.Diag()); err == nil && st.Mode().IsRegular() && st.Size() >= maxTrace {
		_ = os.Rename(s.Diag(), s.Diag()+".1")
	}
	line := canon.Compact(canon.Doc{
		"payload": payload, "pid": uint64(os.Getpid()), "ts": uint64(max(0, now.Unix())), "type": kind, "version": level,
	})
	_ = home.AppendLines(s.Diag(), [][]byte{line}, false)
}

// Size is that of the trace in bytes, 0 if there is none.
func Size(s home.Session) int64 {
	st, err := os.Stat(s.Diag())
	if err != nil {
		return 0
	}
	return st.Size()
}

// Tail are the last limit lines that parse, oldest first. A missing trace has none.
func Tail(s home.Session, limit int) ([]canon.Doc, error) {
	data, err := os.ReadFile(s.Diag())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var last []canon.Doc
	for line := range bytes.Lines(data) {
		if doc, err := canon.ParseObject(bytes.TrimSpace(line)); err == nil {
			last = append(last, doc)
		}
	}
	return last[max(0, len(last)-limit):], nil
}
