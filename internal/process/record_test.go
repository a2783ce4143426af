package process

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type pidRow struct {
	Case    string
	Content json.RawMessage
	Status  struct {
		PID       *int    `json:"pid"`
		Schema    *string `json:"schema"`
		Version   *string `json:"version"`
		BinPath   *string `json:"bin_path"`
		StartedAt *string `json:"started_at"`
		DID       *string `json:"did"`
		RelayURL  *string `json:"relay_url"`
		Form      string  `json:"pidfile_form"`
	} `json:"status_daemon"`
	Doctor map[string][]any `json:"doctor"`
}

func pidRows(t testing.TB) []pidRow {
	t.Helper()
	data, err := os.ReadFile("testdata/pid-files.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Rows []pidRow }
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Rows) != 45 {
		t.Fatalf("%d rows, want 45", len(doc.Rows))
	}
	return doc.Rows
}

// content is the text of the file, nil for none.
func (r pidRow) content(t testing.TB) []byte {
	var text *string
	if json.Unmarshal(r.Content, &text) == nil {
		if text == nil {
			return nil
		}
		return []byte(*text)
	}
	var raw struct{ Base64 []byte }
	if err := json.Unmarshal(r.Content, &raw); err != nil {
		t.Fatal(err)
	}
	return raw.Base64
}

// form is what the reference's strict reader made of it: status names the legacy form and shows the schema of
// a record; doctor, whose words tell corrupt from missing, is one warning for the former.
func (r pidRow) form(t testing.TB) Form {
	switch {
	case r.Status.Form != "":
		return FormLegacy
	case r.Status.Schema != nil:
		return FormJSON
	case r.Doctor["daemon_pid_consistency"][0] == "PASS":
		return FormMissing
	case r.Doctor["daemon_pid_consistency"][0] == "WARN":
		return FormCorrupt
	}
	t.Fatalf("%s: what did the reference say?", r.Case)
	return ""
}

func TestPidFilesOfTheReference(t *testing.T) {
	for _, row := range pidRows(t) {
		t.Run(row.Case, func(t *testing.T) {
			t.Parallel() // a corrupt one takes the 100 ms of a second look
			path := filepath.Join(t.TempDir(), "daemon.pid")
			content := row.content(t)
			if content != nil {
				if err := os.WriteFile(path, content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, form := ReadRecord(path)
			if want := row.form(t); form != want {
				t.Fatalf("form %q, want %q", form, want)
			}
			var want Record
			if form == FormJSON || form == FormLegacy {
				want.PID = *row.Status.PID
			}
			if form == FormJSON {
				want.Schema, want.Version = *row.Status.Schema, *row.Status.Version
				want.BinPath, want.StartedAt = *row.Status.BinPath, *row.Status.StartedAt
				want.DID, want.RelayURL = row.Status.DID, row.Status.RelayURL
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if row.Case == "record, nulls" || row.Case == "record, live pid (a process that is not wire)" {
				if d := cmp.Diff(string(content), string(got.Text())); d != "" {
					t.Error("written again it differs:\n" + d)
				}
			}
		})
	}
}

func TestRecordOfOurs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.pid")
	did := "did:wire:ada-0a1b2c3d"
	want := Record{
		Schema: Schema, PID: 4242, BinPath: "/opt/\"tools\"/wire", Version: Level, Build: "v1.2.3",
		StartedAt: time.Date(2026, 5, 20, 10, 11, 12, 500, time.UTC).Format(time.RFC3339Nano), DID: &did,
	}
	if err := WriteRecord(path, want); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	got, form := ReadRecord(path)
	if d := cmp.Diff(want, got); form != FormJSON || d != "" {
		t.Errorf("%s\n%s", form, d)
	}
	if err := RemoveRecord(path, 4243); err != nil {
		t.Error(err)
	}
	if _, form := ReadRecord(path); form != FormJSON {
		t.Errorf("removed though it names another process: %s", form)
	}
	if err := RemoveRecord(path, 4242); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
	if err := RemoveRecord(path, 4242); err != nil {
		t.Errorf("a missing record is no error: %v", err)
	}
}

// The reference truncates and writes in place, so a young file that does not parse is looked at again; the
// reader completes it between the two looks.
func TestTornRecordIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.pid")
	whole := Record{Schema: Schema, PID: 7, Version: Level}.Text()
	for _, torn := range [][]byte{nil, whole[:20]} {
		if err := os.WriteFile(path, torn, 0o644); err != nil {
			t.Fatal(err)
		}
		read := func(path string) ([]byte, error) {
			data, err := os.ReadFile(path)
			if err := os.WriteFile(path, whole, 0o644); err != nil {
				t.Fatal(err)
			}
			return data, err
		}
		if _, form := readRecord(path, read); form != FormJSON {
			t.Errorf("a record completed while it was read is %q", form)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, row := range pidRows(f) {
		f.Add(row.content(f))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, form := ParseRecord(data)
		switch form {
		case FormJSON:
			again, form := ParseRecord(r.Text())
			if d := cmp.Diff(r, again); form != FormJSON || d != "" {
				t.Errorf("%q is not stable: %s\n%s", data, form, d)
			}
		case FormLegacy:
			if r != (Record{PID: r.PID}) {
				t.Errorf("%q: a legacy record has only a pid: %+v", data, r)
			}
		default:
			if r != (Record{}) {
				t.Errorf("%q is %s and yet says %+v", data, form, r)
			}
		}
		if r.PID < 0 || r.PID > 1<<32-1 {
			t.Errorf("%q: pid %d", data, r.PID)
		}
	})
}
