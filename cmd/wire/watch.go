package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/oklog/run"

	"wirefleet.dev/wire/actuators"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// watchFlags are those of continuous mode.
type watchFlags struct {
	Watch     bool          `help:"Stay, and keep the machine as the file says."`
	Resync    time.Duration `default:"60s" help:"With --watch: look at least this often, whatever happens."`
	LogFormat string        `default:"text" placeholder:"FORMAT" help:"With --watch: how to log, text or json."`
}

// watch keeps the machine as the file says until it is told to stop.
func (c *applyCmd) watch(a *app) error {
	switch {
	case c.Prune:
		return a.misuse("--prune cannot be combined with --watch: nothing is destroyed unattended")
	case c.File == "-":
		return a.misuse("-f - cannot be combined with --watch: there is no file to watch")
	case c.DryRun, c.JSON, len(c.Only) > 0:
		return a.misuse("--watch takes none of --dry-run, --json and --only")
	case c.Resync < time.Second:
		return a.misuse("--resync %s: at least 1s", c.Resync)
	case c.LogFormat != "text" && c.LogFormat != "json":
		return a.misuse("--log-format %s: text or json", c.LogFormat)
	}
	f, err := a.fleet(c.File)
	if err != nil {
		return err
	}
	if _, err := process.CheckExecutable(); err != nil {
		return err
	}
	release, err := f.takeWatch()
	if err != nil {
		return err
	}
	defer release()

	log := slog.New(logHandler(a.err, c.LogFormat))
	w := f.watcher(a, c)
	k := newKeeperLog(log, f.machine)
	w.Report = k.event
	log.Info("watching", "file", f.path, "resync", c.Resync, "pid", os.Getpid())
	err = c.actors(a.ctx, w)
	log.Info("stopped watching")
	return err
}

// takeWatch makes this process the one continuous mode of the sessions root.
func (f *fleet) takeWatch() (release func(), err error) {
	life, err := process.Self()
	if err != nil {
		return nil, err
	}
	life.Build, life.Owner, life.File, life.StartedBy = version, f.desired.Owner, f.path, startedBy()
	if err := f.machine.Ensure(); err != nil {
		return nil, err
	}
	release, err = process.TakeLife(f.machine.WatchLife(), life)
	var held *process.HeldError
	if errors.As(err, &held) {
		return nil, fmt.Errorf("pid %d already keeps these sessions as %s says\n  next: end that one first; there is one for each sessions root", held.Life.PID, held.Life.File)
	}
	return release, err
}

// watcher is the watcher of a fleet, on its doors.
func (f *fleet) watcher(a *app, c *applyCmd) *reconcile.Watcher {
	return &reconcile.Watcher{
		Machine: f.machine,
		Path:    f.path,
		Resync:  c.Resync,
		Linger:  f.client.Linger,
		Load: func() (*spec.Desired, error) {
			again, err := a.fleet(f.path)
			if err != nil {
				return nil, err
			}
			// The path that names the owner may change as links are turned; whose sessions these are may not.
			again.desired.Owner = f.desired.Owner
			return again.desired, nil
		},
		Lock: func(ctx context.Context) (func(), error) {
			return f.machine.LockApply(ctx, "apply --watch", nil)
		},
		Runner: func(d *spec.Desired) reconcile.Runner {
			return reconcile.Runner{
				Observe:   reconcile.Observer{Machine: f.machine, Client: f.client, Desired: d}.Observe,
				Actuators: actuators.All(actuators.Site{Machine: f.machine, Client: f.client, Desired: d, Workers: c.Parallel}),
				Parallel:  c.Parallel,
			}
		},
		LogTail: func(name string) string { return process.Tail(f.machine.Session(name).DaemonLog(), 5) },
	}
}

// actors runs the watcher beside what wakes and stops it; the first that returns ends all.
func (c *applyCmd) actors(ctx context.Context, w *reconcile.Watcher) error {
	var g run.Group
	ctx, cancel := context.WithCancel(ctx)
	g.Add(func() error { return w.Run(ctx) }, func(error) { cancel() })
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	done := make(chan struct{})
	g.Add(func() error {
		for {
			select {
			case <-hangups:
				w.Wake(reconcile.TriggerHangup)
			case <-done:
				return nil
			}
		}
	}, func(error) { signal.Stop(hangups); close(done) })
	return g.Run()
}

func logHandler(w io.Writer, format string) slog.Handler {
	if format == "json" {
		return slog.NewJSONHandler(w, nil)
	}
	return slog.NewTextHandler(w, nil)
}

// keeperLog writes what a watcher reports into the log: constant messages, values as pairs.
type keeperLog struct {
	log     *slog.Logger
	machine home.Machine
	blocked map[string]bool // reports that were logged and still hold
	failing string
}

func newKeeperLog(log *slog.Logger, m home.Machine) *keeperLog {
	return &keeperLog{log: log, machine: m, blocked: map[string]bool{}}
}

func (k *keeperLog) event(e reconcile.Event) {
	switch e := e.(type) {
	case reconcile.Ended:
		k.ended(e.Result)
	case reconcile.Reloaded:
		if e.Err != nil {
			k.log.Error("file refused, the last good one stays in force", "error", e.Err)
		} else {
			k.log.Info("file in force")
		}
	case reconcile.Passed:
		k.passed(e)
	}
}

func (k *keeperLog) ended(r reconcile.Result) {
	attrs := []any{"kind", string(r.Change.Kind), "subject", subject(r.Change), "reason", r.Change.Reason.Text, "took", r.Took}
	switch r.Outcome {
	case reconcile.Done:
		k.log.Info("changed", attrs...)
	case reconcile.Failed:
		k.log.Error("change failed", append(attrs, "error", r.Err)...)
	case reconcile.Skipped:
		k.log.Warn("change skipped", append(attrs, "error", r.Err)...)
	case reconcile.Already:
	}
}

// passed logs a pass that did something, and what it could not do, once for as long as it holds.
func (k *keeperLog) passed(p reconcile.Passed) {
	if p.Err != nil {
		if text := p.Err.Error(); text != k.failing {
			k.failing = text
			k.log.Error("pass failed", "triggers", p.Triggers, "error", p.Err)
		}
		return
	}
	k.failing = ""
	if err := k.machine.Passed(p.At); err != nil {
		k.log.Warn("time of the pass not noted", "error", err)
	}
	now := map[string]bool{}
	for _, b := range p.Summary.Remaining.Blocked {
		id := b.Subject + "\x00" + b.Reason.Code
		now[id] = true
		if !k.blocked[id] {
			k.log.Warn("cannot be repaired", "subject", b.Subject, "reason", b.Reason.Text, "next", b.Advice)
		}
	}
	k.blocked = now
	if p.Summary.Rounds > 0 {
		k.log.Info("pass", "triggers", p.Triggers, "rounds", p.Summary.Rounds, "changes", len(p.Summary.Results),
			"left", len(p.Summary.Remaining.Changes)+len(p.Summary.Remaining.Held), "took", p.Took)
	}
}
