package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"
	"unicode/utf8"

	"wirefleet.dev/wire/internal/canon"
)

// Schema is the schema of a pid record; Level is the version it carries: the reference's level that we
// speak, since the reference warns of any other (8.4).
const (
	Schema = "wire-daemon-pid-v1"
	Level  = "0.6.10"
)

// Form is what a pid file holds (home-and-daemon.md 8.2).
type Form string

// The forms of a pid file.
const (
	FormMissing Form = "missing"
	FormJSON    Form = "json"
	FormLegacy  Form = "legacy-int"
	FormCorrupt Form = "corrupt"
)

// Record is wire-daemon-pid-v1 with our added key build (8.1). Fields are in file order.
type Record struct {
	Schema    string
	PID       int
	BinPath   string
	Version   string
	StartedAt string
	DID       *string
	RelayURL  *string
	Build     string // "" in a record of the reference
}

// ParseRecord is the strict reader (8.2): the content of a pid file. Only PID is set in the legacy form,
// nothing in the last two.
func ParseRecord(data []byte) (Record, Form) {
	if !utf8.Valid(data) {
		return Record{}, FormMissing
	}
	data = bytes.TrimSpace(data)
	switch {
	case len(data) == 0:
		return Record{}, FormMissing
	case data[0] == '{':
		if r, ok := parseJSON(data); ok {
			return r, FormJSON
		}
		return Record{}, FormCorrupt
	}
	digits := bytes.TrimPrefix(data, []byte("+"))
	if n, err := strconv.ParseUint(string(digits), 10, 32); err == nil {
		return Record{PID: int(n)}, FormLegacy
	}
	return Record{}, FormCorrupt
}

// parseJSON walks the members itself because a repeated known key makes the record corrupt, which no
// decoder into a struct would notice.
func parseJSON(data []byte) (r Record, ok bool) {
	if !json.Valid(data) {
		return Record{}, false
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return Record{}, false
	}
	seen := make(map[string]bool, 8)
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return Record{}, false
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return Record{}, false
		}
		name := key.(string)
		if !r.set(name, raw) || name != "build" && seen[name] && known(name) {
			return Record{}, false
		}
		seen[name] = true
	}
	for _, name := range []string{"schema", "pid", "bin_path", "version", "started_at"} {
		if !seen[name] {
			return Record{}, false
		}
	}
	return r, true
}

func known(key string) bool {
	switch key {
	case "schema", "pid", "bin_path", "version", "started_at", "did", "relay_url":
		return true
	}
	return false
}

// set takes one member; false if a known one has the wrong type.
func (r *Record) set(key string, raw []byte) bool {
	if key != "build" && !known(key) {
		return true
	}
	v, err := canon.Parse(raw)
	if err != nil {
		return key == "build"
	}
	text, isText := v.(string)
	switch key {
	case "schema":
		r.Schema = text
	case "bin_path":
		r.BinPath = text
	case "version":
		r.Version = text
	case "started_at":
		r.StartedAt = text
	case "did", "relay_url":
		if v == nil {
			return true
		}
		if key == "did" {
			r.DID = &text
		} else {
			r.RelayURL = &text
		}
	case "pid":
		n, isNumber := v.(uint64)
		r.PID = int(n)
		return isNumber && n <= math.MaxUint32
	case "build": // ours; to the reference it is an unknown key of any type
		r.Build = text
		return true
	}
	return isText
}

// How long a record that does not parse is read again, and how old it may be: the reference truncates
// in place, so a young one may be half written.
const (
	rereadFor = 100 * time.Millisecond
	rereadAge = time.Second
)

// ReadRecord reads a pid file; a missing, empty or non-UTF-8 one is FormMissing, as is one that cannot be
// read. One that is just being written is read again for 100 ms.
func ReadRecord(path string) (Record, Form) { return readRecord(path, os.ReadFile) }

func readRecord(path string, read func(string) ([]byte, error)) (Record, Form) {
	for start := time.Now(); ; time.Sleep(lockRetry) {
		data, err := read(path)
		if err != nil {
			return Record{}, FormMissing
		}
		r, form := ParseRecord(data)
		if form == FormJSON || form == FormLegacy || time.Since(start) >= rereadFor {
			return r, form
		}
		if st, err := os.Stat(path); err != nil || time.Since(st.ModTime()) > rereadAge {
			return r, form
		}
	}
}

// RecordedPID is the process that a pid file names in whatever form: as ReadRecord has it, else the lenient
// readers' (8.3), a JSON object with an integer pid of which the low 32 bits count. 0 if it names none.
func RecordedPID(path string) int {
	r, form := ReadRecord(path)
	if form != FormCorrupt {
		return r.PID
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	doc, err := canon.ParseObject(data)
	if err != nil {
		return 0
	}
	n, _ := doc["pid"].(uint64)
	return int(uint32(n))
}

// Text is the record as it stands in the file: pretty, keys in the order of 8.1, no final newline.
func (r Record) Text() []byte {
	out := append([]byte(nil), '{')
	member := func(key string, v any) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, "\n  \""+key+"\": "...)
		out = canon.Append(out, v)
	}
	nullable := func(s *string) any {
		if s == nil {
			return nil
		}
		return *s
	}
	member("schema", r.Schema)
	member("pid", uint64(r.PID))
	member("bin_path", r.BinPath)
	member("version", r.Version)
	member("started_at", r.StartedAt)
	member("did", nullable(r.DID))
	member("relay_url", nullable(r.RelayURL))
	if r.Build != "" {
		member("build", r.Build)
	}
	return append(out, "\n}"...)
}

// WriteRecord replaces a pid file atomically, 0600. Unlike every other file of ours it is not synced: after a
// power cut no process that it could name is left, and each of many daemons would wait for the disk.
func WriteRecord(path string, r Record) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".daemon.pid-*")
	if err != nil {
		return err
	}
	_, err = f.Write(r.Text())
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// RemoveRecord removes a pid file if it still names pid. A missing one is no error.
func RemoveRecord(path string, pid int) error {
	data, err := os.ReadFile(path)
	if err == nil {
		if r, _ := ParseRecord(data); r.PID != pid {
			return nil
		}
		err = os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
