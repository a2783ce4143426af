// Command storm proves that nothing drifts unseen: it runs a fleet on real parts under `wire apply --watch`,
// strikes it by a schedule that follows from a seed alone, and at the end proves that the fleet has healed
// and that no message, key or stranger came to harm.
//
// It is a test that people run; it touches nothing outside its own temporary directory and ends every
// process that it started.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

type flags struct {
	Seed     uint64        `default:"1" help:"Everything that happens follows from it."`
	Duration time.Duration `default:"30s" help:"How long blows fall."`
	Sessions int           `default:"4" help:"How many sessions, 2 to 64."`
	Print    bool          `help:"Print the schedule and do nothing."`
	Replay   string        `placeholder:"FILE" help:"Take the schedule from a file that --print wrote."`
	Keep     bool          `help:"Keep the temporary directory."`
	Verbose  bool          `short:"v" help:"Log every send and every change, too."`
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
	if f.Sessions < 2 || f.Sessions > 64 {
		return errors.New("--sessions: 2 to 64")
	}
	blows := Schedule(f.Seed, f.Duration, f.Sessions)
	if f.Replay != "" {
		data, err := os.ReadFile(f.Replay)
		if err != nil {
			return err
		}
		if blows, err = ParseSchedule(string(data)); err != nil {
			return fmt.Errorf("%s: %w", f.Replay, err)
		}
	}
	if f.Print {
		_, err := os.Stdout.WriteString(FormatSchedule(blows))
		return err
	}
	w, err := newWorld(f)
	if err != nil {
		return err
	}
	err = w.storm(ctx, blows)
	if closeErr := w.close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("seed %d, %d sessions, %s: %w", f.Seed, f.Sessions, f.Duration, err)
	}
	return nil
}
