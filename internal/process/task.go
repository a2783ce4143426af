package process

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Task is a program that does one thing for us and ends: a handler of the reactor, the desktop's notifier.
type Task struct {
	Args   []string // program, looked up on PATH, and its arguments
	Env    []string // "KEY=value", added to ours
	Stdin  []byte
	Stdout io.Writer // nil: thrown away
	Stderr io.Writer // nil: thrown away
}

// taskPipes is how long what a task has started may keep its output open after its end.
const taskPipes = time.Second

// Run runs t to its end, in a process group of its own: an interrupt at the terminal is ours to pass on. When
// ctx ends the whole group is killed. A task that cannot be started and one that fails are errors of os/exec.
func (t Task) Run(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, t.Args[0], t.Args[1:]...)
	cmd.Env = append(os.Environ(), t.Env...)
	cmd.Stdin = bytes.NewReader(t.Stdin)
	cmd.Stdout, cmd.Stderr = t.Stdout, t.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Its pid is ours until it is waited for, so the group is the one that it leads.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = taskPipes
	return cmd.Run()
}
