package main_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

// endAll kills every process whose environment names a place below dir, and returns what it found. It looks
// again until there is none, for one of them may just have started another.
func endAll(dir string) (found []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		procs := carriers(dir)
		if len(procs) == 0 {
			return found, nil
		}
		for _, i := range procs {
			found = append(found, fmt.Sprintf("%d %q", i.PID, i.Args))
			if err := end(ctx, i.PID, i.StartTicks); err != nil {
				return found, err
			}
		}
	}
}

// end kills one process through a handle that cannot be recycled and waits until it is gone.
func end(ctx context.Context, pid int, startTicks uint64) error {
	p, err := process.Open(pid, startTicks)
	if errors.Is(err, process.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.Close()
	return p.Stop(ctx, 0)
}

// kill9 is SIGKILL to the proven holder of a life lock: what no process can prepare for. It returns the pid
// when the process is gone.
func kill9(life string) (pid int, err error) {
	l, held, proven, err := process.ReadLife(life)
	switch {
	case err != nil:
		return 0, err
	case !held || !proven:
		return 0, fmt.Errorf("%s: held %v, proven %v", life, held, proven)
	}
	p, err := process.Open(l.PID, l.StartTicks)
	if err != nil {
		return 0, err
	}
	defer p.Close()
	sure, err := os.FindProcess(l.PID) // holds a pidfd on Linux
	if err != nil {
		return 0, err
	}
	if !process.Alive(l.PID, l.StartTicks) {
		return 0, process.ErrGone
	}
	if err := sure.Kill(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return l.PID, p.Wait(ctx)
}

// startOf is when a process started, as process.Open wants it.
func startOf(pid int) (uint64, error) {
	i, ok := process.Lookup(pid)
	if !ok {
		return 0, fmt.Errorf("pid %d: %w", pid, process.ErrGone)
	}
	return i.StartTicks, nil
}

// daemonPID is the proven daemon of a session, 0 if there is none.
func daemonPID(s home.Session) (int, error) {
	l, held, proven, err := process.ReadLife(s.DaemonLife())
	if err != nil || !held || !proven {
		return 0, err
	}
	return l.PID, nil
}
