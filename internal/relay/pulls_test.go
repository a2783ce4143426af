package relay

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// Pull times live on: after a clean end as they were, after a kill as they were some minutes before, and the
// file is not written while nothing is pulled. What somebody else made of it harms nothing.
func TestPullTimes(t *testing.T) {
	s := unserved(t)
	read, quiet := must(s.store.allocate()), must(s.store.allocate())
	path := filepath.Join(s.store.dir, pullsFile)
	if w := ask(s, "/v1/events/"+read.id, read.token, ""); w.Code != 200 {
		t.Fatalf("list: %d", w.Code)
	}
	if read.lastPull.Load() == 0 {
		t.Fatal("no last pull after a list")
	}
	s.store.rest()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("written at once: %v", err)
	}
	s.store.pulls.at = time.Now().Add(-savePullsEvery)
	s.store.rest()
	before := must(os.Stat(path))
	s.store.pulls.at = time.Now().Add(-savePullsEvery)
	s.store.rest()
	if after := must(os.Stat(path)); !os.SameFile(before, after) {
		t.Error("written again although nothing was pulled")
	}

	lastOf := func() (int64, int64) {
		t.Helper()
		st := must(openStore(s.store.dir, t.Output()))
		defer st.close()
		return st.slot(read.id).lastPull.Load(), st.slot(quiet.id).lastPull.Load()
	}
	want := read.lastPull.Load()
	if r, q := lastOf(); r != want || q != 0 {
		t.Errorf("%d and %d after a restart, want %d and 0", r, q, want)
	}
	good := string(canon.Pretty(canon.Doc{read.id: uint64(want)}))
	for what, content := range map[string]string{
		"torn": good[:len(good)-1], "no number": strings.Replace(good, ": ", `: "x`, 1), "empty": "", "a list": "[]",
		"the future":     string(canon.Pretty(canon.Doc{read.id: uint64(want) + 1<<20})),
		"another slot's": string(canon.Pretty(canon.Doc{strings.Repeat("0", 32): uint64(want)})),
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, q := lastOf(); r != 0 || q != 0 {
			t.Errorf("%s: %d and %d", what, r, q)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
