package process

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestTask gets its input and variables, and its end is ours.
func TestTask(t *testing.T) {
	var out, errs bytes.Buffer
	err := Task{
		Args: []string{"sh", "-c", `cat; echo " $WORD"; echo bad >&2; exit 3`}, Env: []string{"WORD=two words"},
		Stdin: []byte("in"), Stdout: &out, Stderr: &errs,
	}.Run(t.Context())
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || out.String() != "in two words\n" || errs.String() != "bad\n" {
		t.Errorf("%v, %q, %q", err, &out, &errs)
	}
	if err := (Task{Args: []string{"no-such-program"}}).Run(t.Context()); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("%v", err)
	}
	// One that does not read what it is given has not failed for that.
	if err := (Task{Args: []string{"true"}, Stdin: bytes.Repeat([]byte("x"), 1<<20)}).Run(t.Context()); err != nil {
		t.Errorf("%v", err)
	}
}

// TestTaskEndsWhole: with the task goes what it has started.
func TestTaskEndsWhole(t *testing.T) {
	dir := t.TempDir()
	fifo, pid := filepath.Join(dir, "fifo"), filepath.Join(dir, "pid")
	if err := exec.Command("mkfifo", fifo).Run(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- Task{Args: []string{"sh", "-c", `sh -c 'echo $$ >` + pid + `; echo up >` + fifo + `; exec sleep 1000' & wait`}}.Run(ctx)
	}()
	if _, err := os.ReadFile(fifo); err != nil { // until the grandchild is there
		t.Fatal(err)
	}
	data, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	i, alive := Lookup(n)
	grandchild, err := Open(n, i.StartTicks)
	if !alive || err != nil {
		t.Fatalf("%+v: %v", i, err)
	}
	defer grandchild.Close()
	cancel()
	if err := <-done; err == nil {
		t.Error("no error")
	}
	patience, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if err := grandchild.Wait(patience); err != nil {
		t.Errorf("what the task had started lives: %v", err)
	}
}
