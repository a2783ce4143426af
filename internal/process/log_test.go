package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestCappedLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.log")
	f, _, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := CappedLog(f, path)
	chunk := bytes.Repeat([]byte("."), 1<<20)
	for i := range 20 { // 20 MiB: over the limit twice
		if _, err := fmt.Fprintf(w, "%s\n", chunk); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{path, path + ".1"} {
			if st, err := os.Stat(name); err == nil && st.Size() > maxLog+int64(len(chunk))+1 {
				t.Fatalf("after %d writes %s has %d bytes", i+1, filepath.Base(name), st.Size())
			}
		}
	}
	if _, err := fmt.Fprintln(w, "last words"); err != nil {
		t.Fatal(err)
	}
	if got := Tail(path, 1); got != "last words" {
		t.Errorf("the log ends with %q", got)
	}
	if all, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(all) != 2 {
		t.Errorf("%q (%v), want the log and one predecessor", all, err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

// Somebody else has put the log aside: we go on in the new one and do not put that aside.
func TestCappedLogOfTwo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.log")
	f, _, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := CappedLog(f, path)
	if err := os.Truncate(path, maxLog); err != nil {
		t.Fatal(err)
	}
	if err := putAside(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("new\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"to the old one", "to the new one"} {
		if _, err := fmt.Fprintln(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "new\nto the new one\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestCappedLogOfSomethingElse(t *testing.T) {
	dir := t.TempDir()
	other, err := os.Create(filepath.Join(dir, "other"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var buf bytes.Buffer
	if w := CappedLog(&buf, filepath.Join(dir, "daemon.log")); w != &buf {
		t.Error("a buffer was wrapped")
	}
	if w := CappedLog(other, filepath.Join(dir, "daemon.log")); w != other {
		t.Error("another file was wrapped")
	}
}
