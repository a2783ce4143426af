package main_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

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
	return sendTo(life, syscall.SIGKILL, func(l process.Life) error {
		if process.Alive(l.PID, l.StartTicks) {
			return errors.New("still alive")
		}
		return nil
	})
}

// freeze is SIGSTOP to it.
func freeze(life string) (pid int, err error) {
	return sendTo(life, syscall.SIGSTOP, func(l process.Life) error {
		if i, ok := process.Lookup(l.PID); !ok || !i.Stopped() {
			return errors.New("not stopped")
		}
		return nil
	})
}

// sendTo sends sig to the holder of a life lock, by a handle taken before the proof, and waits for what it
// does.
func sendTo(life string, sig syscall.Signal, done func(process.Life) error) (pid int, err error) {
	l, held, _, err := process.ReadLife(life)
	if err != nil {
		return 0, err
	}
	if !held {
		return 0, fmt.Errorf("%s: nobody holds it", life)
	}
	p, err := os.FindProcess(l.PID) // holds a pidfd on Linux
	if err != nil {
		return 0, err
	}
	if !l.Proven() {
		return 0, fmt.Errorf("%s: pid %d is not its holder", life, l.PID)
	}
	if err := p.Signal(sig); err != nil {
		return 0, err
	}
	return l.PID, until(func() error { return done(l) })
}
