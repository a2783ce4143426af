package process

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"
)

func TestStatLine(t *testing.T) {
	line := "4711 (a) R (Z 1 2) S 1 4711 4711 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 9 0 987654321 1 2 3"
	state, start, err := parseStat([]byte(line))
	if err != nil || state != 'S' || start != 987654321 {
		t.Errorf("%c %d %v", state, start, err)
	}
	for _, bad := range []string{"", "4711 (wire", "4711 (wire) S 1 2 3", "4711 (wire) SS 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"} {
		if _, _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was understood", bad)
		}
	}
}

// A thread's id looks like a process in /proc (quirk 15).
func TestThreadIsNoProcess(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tid, start := make(chan int), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tid <- syscall.Gettid()
		<-start
	}()
	id := <-tid
	defer close(start)
	if id == os.Getpid() {
		t.Skip("the test itself is not on the main thread")
	}
	if _, ok := Lookup(id); ok {
		t.Error("a thread was looked up as a process")
	}
	if _, ticks, err := readStat(id); err != nil {
		t.Fatal(err)
	} else if _, err := Open(id, ticks); !errors.Is(err, ErrGone) {
		t.Errorf("a thread was opened: %v", err)
	}
}
