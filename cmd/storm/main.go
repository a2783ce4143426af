// Command storm proves that nothing drifts unseen: it runs a fleet on real parts under `wire apply --watch`,
// strikes it by a schedule that follows from a seed alone, and at the end proves that the fleet has healed
// and that no message, key or stranger came to harm.
//
// It is a test that people run; it touches nothing outside its own temporary directory and ends every
// process that it started. The directory goes with it, unless a proof failed: storm.log in it tells of every
// blow, send and change.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

type flags struct {
	Seed     *uint64        `placeholder:"1" help:"The blows and their moments follow from it."`
	Duration *time.Duration `placeholder:"30s" help:"How long blows fall, 5s at least."`
	Sessions *int           `placeholder:"4" help:"How many sessions, 2 to 64."`
	Print    bool           `help:"Print the schedule and do nothing."`
	Replay   string         `placeholder:"FILE" help:"Take seed, duration, sessions and schedule from a file that --print wrote."`
	Keep     bool           `help:"Keep the temporary directory."`
	Verbose  bool           `short:"v" help:"Print every send and every change, too."`
}

func main() {
	if at := os.Getenv(decoyEnv); at != "" {
		decoy(at)
		return
	}
	var f flags
	kong.Parse(&f, kong.Name("storm"), kong.Description("Strikes a fleet on real parts and proves that it heals."))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := f.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
}

func (f flags) run(ctx context.Context) error {
	setting, blows, err := f.schedule()
	if err != nil {
		return err
	}
	if f.Print {
		_, err := os.Stdout.WriteString(FormatSchedule(setting, blows))
		return err
	}
	w, err := newWorld(setting, f.Verbose)
	if err == nil {
		err = w.storm(ctx, blows)
		if closeErr := w.close(f.Keep || err != nil); err == nil {
			err = closeErr
		}
	}
	if err != nil {
		return fmt.Errorf("seed %d, %d sessions, %s: %w", setting.Seed, setting.Sessions, setting.Duration, err)
	}
	return nil
}

// schedule is what the flags ask for. With a file, flags beside it must say what it says.
func (f flags) schedule() (Setting, []Blow, error) {
	s := Setting{1, 30 * time.Second, 4}
	if f.Replay == "" {
		s = f.over(s)
		if err := s.check(); err != nil {
			return s, nil, err
		}
		return s, Schedule(s), nil
	}
	data, err := os.ReadFile(f.Replay)
	if err != nil {
		return s, nil, err
	}
	s, blows, err := ParseSchedule(string(data))
	if err != nil {
		return s, nil, fmt.Errorf("%s:%w", f.Replay, err)
	}
	if asked := f.over(s); asked != s {
		return s, nil, fmt.Errorf("%s:1: made for %q, not for %q", f.Replay, s, asked)
	}
	return s, blows, nil
}

// over is a setting with what the flags say in its place.
func (f flags) over(s Setting) Setting {
	if f.Seed != nil {
		s.Seed = *f.Seed
	}
	if f.Duration != nil {
		s.Duration = *f.Duration
	}
	if f.Sessions != nil {
		s.Sessions = *f.Sessions
	}
	return s
}
