package diag

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
)

func session(t *testing.T) home.Session {
	t.Helper()
	t.Setenv("WIRE_DIAG", "")
	s := home.At(t.TempDir())
	if err := s.Ensure(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOnlyWhatIsTracedIsWritten(t *testing.T) {
	s := session(t)
	at := time.Unix(1795378028, 0)
	emit := func(n uint64) { Emit(s, "pull", canon.Doc{"events_in": n}, at) }
	emit(1)
	if err := Enable(s); err != nil {
		t.Fatal(err)
	}
	emit(2)
	if err := Disable(s); err != nil {
		t.Fatal(err)
	}
	emit(3)
	t.Setenv("WIRE_DIAG", "0") // any text but none
	emit(4)
	if err := home.AppendLines(s.Diag(), [][]byte{[]byte("no JSON"), []byte("{}")}, false); err != nil {
		t.Fatal(err)
	}
	line := func(n uint64) canon.Doc {
		return canon.Doc{
			"payload": canon.Doc{"events_in": n}, "pid": uint64(os.Getpid()), "ts": uint64(1795378028), "type": "pull",
			"version": "0.6.10",
		}
	}
	for limit, want := range map[int][]canon.Doc{9: {line(2), line(4), {}}, 2: {line(4), {}}, 0: {}} {
		got, err := Tail(s, limit)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("last %d (-want +got):\n%s", limit, d)
		}
	}
	if err := Disable(s); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestTheTraceIsPutAside(t *testing.T) {
	s := session(t)
	if err := Enable(s); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := os.WriteFile(s.Diag(), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(s.Diag(), maxTrace); err != nil {
			t.Fatal(err)
		}
		Emit(s, "pull", canon.Doc{}, time.Now())
		if n := Size(s); n == 0 || n > 1000 {
			t.Errorf("%d bytes after the turn", n)
		}
	}
	all, err := filepath.Glob(s.Diag() + "*")
	if err != nil || len(all) != 2 {
		t.Errorf("%q, %v", all, err)
	}
}
