package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A file says what it was made for; flags that say something else are refused, with file and line.
func TestReplay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "schedule")
	made := Setting{9, 10 * time.Second, 5}
	if err := os.WriteFile(file, []byte(FormatSchedule(made, Schedule(made))), 0o600); err != nil {
		t.Fatal(err)
	}
	same, other := 5, 6
	for _, f := range []flags{{Replay: file}, {Replay: file, Sessions: &same}} {
		if s, blows, err := f.schedule(); err != nil || s != made || len(blows) == 0 {
			t.Errorf("%v, %d blows, %v", s, len(blows), err)
		}
	}
	_, _, err := flags{Replay: file, Sessions: &other}.schedule()
	if err == nil || !strings.HasPrefix(err.Error(), file+":1: made for") {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte(made.String()+"\n\n7 no-such-blow 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err = (flags{Replay: file}).schedule(); err == nil || err.Error() != file+`:3: "no-such-blow" is no blow` {
		t.Error(err)
	}
}
