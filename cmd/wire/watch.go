package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/oklog/run"

	"wirefleet.dev/wire/actuators"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/vitals"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// watchFlags are those of continuous mode.
type watchFlags struct {
	Watch     bool          `help:"Stay, and keep the machine as the file says."`
	Resync    time.Duration `default:"60s" help:"With --watch: look at least this often, whatever happens."`
	Listen    string        `placeholder:"HOST:PORT" help:"With --watch: answer /healthz, /metrics and /v1/observed there; loopback only."`
	LogFormat string        `default:"text" placeholder:"FORMAT" complete:"text,json" help:"With --watch: how to log, text or json."`
}

// watch keeps the machine as the file says until it is told to stop.
func (c *applyCmd) watch(a *app) error {
	if err := c.checkWatch(a); err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	f, err := a.fleetInForce(c.File, true)
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
	var listener net.Listener
	listening := ""
	if c.Listen != "" {
		if listener, err = vitals.Listen(a.ctx, c.Listen); err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
		defer listener.Close()
		listening = listener.Addr().String()
	}

	k := newKeeper(slog.New(logHandler(a.err, c.LogFormat)), f.client, f.desired)
	w := f.watcher(a, c, k.event, listening)
	k.log.Info("watching", "file", f.path, "resync", c.Resync, "pid", os.Getpid(), "listen", listening)
	var g run.Group
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	defer context.AfterFunc(a.ctx, func() { k.log.Info("stopping") })()
	g.Add(func() error { return w.Run(ctx) }, func(error) { cancel() })
	g.Add(forward(hangups, func() { w.Wake(reconcile.TriggerHangup) }))
	if listener != nil {
		g.Add(serve(k.vitals.Server(vitals.Health{Stale: 3 * c.Resync}, f.observed(w)), listener))
	}
	err = g.Run()
	k.rest.Stop()
	k.log.Info("stopped watching")
	return err
}

func (c *applyCmd) checkWatch(a *app) error {
	switch {
	case c.Prune:
		return a.misuse("--prune cannot be combined with --watch: nothing is destroyed unattended")
	case c.File == "-":
		return a.misuse("-f - cannot be combined with --watch: there is no file to watch")
	case c.DryRun, c.JSON, c.Verbose, c.DetailedExitcode, len(c.Only) > 0:
		return a.misuse("--watch takes none of --dry-run, --json, --verbose, --detailed-exitcode and --only")
	case c.Resync < time.Second:
		return a.misuse("--resync %s: at least 1s", c.Resync)
	case c.LogFormat != "text" && c.LogFormat != "json":
		return a.misuse("--log-format %s: text or json", c.LogFormat)
	case c.Timeout <= 0:
		return a.misuse("--timeout %s: more than nothing", c.Timeout)
	}
	if c.Listen != "" {
		if err := vitals.CheckAddress(c.Listen); err != nil {
			return a.misuse("--listen: %v", err)
		}
	}
	return nil
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
func (f *fleet) watcher(a *app, c *applyCmd, report func(reconcile.Event), listening string) *reconcile.Watcher {
	return reconcile.NewWatcher(reconcile.Watch{
		Machine: f.machine,
		File:    f.path,
		Resync:  c.Resync,
		Limit:   c.Timeout,
		Listen:  listening,
		Linger:  f.client.Linger,
		Report:  report,
		Load:    f.reader(a),
		Lock: func(ctx context.Context) (func(), error) {
			return f.machine.LockApply(ctx, "apply --watch", nil)
		},
		Observer: f.observerFor,
		Actuators: func(d *spec.Desired) map[reconcile.Kind]reconcile.Actuator {
			return actuators.All(actuators.Site{
				Machine: f.machine, Client: f.client, Desired: d, Workers: c.Parallel, Patience: time.Second,
			})
		},
		Parallel: c.Parallel,
	}, f.reading())
}

func (f *fleet) reading() reconcile.Reading {
	return reconcile.Reading{Desired: f.desired, Text: string(f.text), Path: f.physical}
}

// reader reads the file of the fleet again and again.
func (f *fleet) reader(a *app) func() reconcile.Reading {
	owner := f.desired.Owner
	return func() reconcile.Reading {
		src, err := a.readSpec(f.path, f.machine, home.ReadFile)
		if err != nil {
			return reconcile.Reading{Refused: err}
		}
		d, err := a.resolve(f.machine, src)
		if err != nil {
			return reconcile.Reading{Refused: err}
		}
		// The path that names the owner may change as links are turned; whose sessions these are may not.
		d.Owner = owner
		return reconcile.Reading{Desired: d, Text: string(src.text), Path: src.physical}
	}
}

// observed is the document of `status -f F --json` about the file in force.
func (f *fleet) observed(w *reconcile.Watcher) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		d := w.Wanted()
		o, err := f.observerFor(d).Observe(ctx)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		err = encodeJSON(&b, fleetDocument(reconcile.StatusOf(d, o)))
		return b.Bytes(), err
	}
}

// forward is an actor that calls do for each signal.
func forward(signals <-chan os.Signal, do func()) (execute func() error, interrupt func(error)) {
	done := make(chan struct{})
	return func() error {
		for {
			select {
			case <-signals:
				do()
			case <-done:
				return nil
			}
		}
	}, func(error) { close(done) }
}

// serve is an actor that answers requests.
func serve(s *http.Server, l net.Listener) (execute func() error, interrupt func(error)) {
	return func() error {
		err := s.Serve(l)
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	}, func(error) { _ = s.Close() }
}

// wordsOf are the words of closed sets, as labels have them.
func wordsOf[T ~string](set []T) []string {
	out := make([]string, len(set))
	for i, w := range set {
		out[i] = string(w)
	}
	return out
}

func newVitals(d *spec.Desired) *vitals.Vitals {
	sessions := make([]string, len(d.Sessions))
	for i, s := range d.Sessions {
		sessions[i] = s.Name
	}
	return vitals.New(vitals.Words{
		Version: version, Triggers: wordsOf(reconcile.Triggers), Kinds: wordsOf(reconcile.Kinds), Results: wordsOf(reconcile.Outcomes),
		SessionStates: wordsOf(reconcile.HomeFacts), DaemonStates: wordsOf(reconcile.DaemonFacts), PinStates: wordsOf(reconcile.Pins),
	}, sessions)
}

// stateOf is what the figures say of a machine as a pass left it.
func stateOf(p reconcile.Passed) vitals.State {
	d, o, left := p.Desired, p.Observed, p.Summary.Remaining
	s := vitals.State{
		Converged: left.Converged() && p.Refused == "", RelayUp: o.Relay.Fact == reconcile.RelayUp,
		Sessions: map[string]int{}, Daemons: map[string]int{}, Edges: map[string]int{}, Drift: map[string]int{},
		LastPull: map[string]time.Time{},
	}
	for _, x := range reconcile.Differences(d, o, left) {
		if x.Apply == "" {
			s.Drift[vitals.Unrepairable]++
		} else {
			s.Drift[string(x.Apply)]++
		}
	}
	for _, w := range d.Sessions {
		have := o.Session(w.Name)
		s.Sessions[string(have.Home)]++
		if w.Daemon {
			s.Daemons[string(reconcile.DaemonOf(have))]++
		}
		var last time.Time
		for _, slot := range have.Slots {
			if slot.LastPull != nil && slot.LastPull.After(last) {
				last = *slot.LastPull
			}
		}
		s.LastPull[w.Name] = last
	}
	for _, e := range d.Edges {
		s.Edges[string(reconcile.EdgeState(o, e[0], e[1]))]++
	}
	return s
}
