// Package upkeep keeps a home's background processes going: it starts what is not there and waits until it is
// ready (reference/home-and-daemon.md 11.1).
//
// Law of the room: whoever is proven to serve the home already is left alone, ours or the reference's. What
// is started here is started at the same command line as everywhere (design.md section 7).
package upkeep

import (
	"context"
	"errors"
	"os"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

// Armed is what became of a background process.
type Armed struct {
	Started bool // now, and ready; false: one serves the home already, or it was not to be started
	PID     int  // 0 where it was not to be started
}

// SkipVar switches implicit starts off, whatever its value (cli.md 4).
const SkipVar = "WIRE_MCP_SKIP_AUTO_UP"

// interval is what daemons are started with that nobody named one for, in seconds.
const interval = "5"

// Daemon starts the daemon of a home, unless one is proven to serve it, and waits until it is ready, 10 s at
// most. by is what the daemon will say of who started it. Two callers at once start one: the second process
// finds the first one's life lock and ends.
func Daemon(ctx context.Context, s home.Session, by string) (Armed, error) {
	if _, skip := os.LookupEnv(SkipVar); skip {
		return Armed{}, nil
	}
	table, err := process.Table()
	who := census.ServingOf(s, table, err)
	switch {
	case who.Ours != nil:
		return Armed{PID: who.Ours.PID}, nil
	case len(who.Others) > 0:
		return Armed{PID: who.Others[0].PID}, nil
	case who.Unknown != "":
		return Armed{}, errors.New(who.Unknown)
	}
	if err := s.Ensure(); err != nil {
		return Armed{}, err
	}
	ready, err := process.Spawn(ctx, process.Spec{
		Args:   []string{"daemon", "--interval", interval},
		Home:   s.Dir,
		NoHome: s.Dir == "",
		Log:    s.DaemonLog(),
		Env:    map[string]string{"WIRE_STARTED_BY": by},
	})
	switch {
	case err != nil:
		return Armed{}, err
	case ready.Held != nil:
		return Armed{PID: ready.Held.PID}, nil
	}
	return Armed{Started: true, PID: ready.PID}, nil
}
