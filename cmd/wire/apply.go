package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"wirefleet.dev/wire/actuators"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/reconcile"
)

type planFlags struct {
	fileFlag
	jsonFlag
	onlyFlag
	Prune            bool `help:"Also destroy the sessions that this file created and no longer lists, and edges that it does not ask for."`
	Verbose          bool `short:"v" help:"List every edge of the mesh."`
	DetailedExitcode bool `help:"Exit 2 when changes are pending."`
}

type planCmd struct{ planFlags }

func (c *planCmd) Run(a *app) error { return c.plan(a) }

// plan prints what apply would do. It holds no actuator, so it cannot do it.
func (c *planFlags) plan(a *app) error {
	f, err := a.fleet(c.File)
	if err != nil {
		return err
	}
	if err := c.check(f); err != nil {
		return err
	}
	o, err := f.observer().Observe(a.ctx)
	if err != nil {
		return err
	}
	p := reconcile.Diff(f.desired, o, reconcile.Options{Prune: c.Prune, Only: c.Only})
	if c.JSON {
		if err := a.printJSON(documentOf(reconcile.Summary{Remaining: p}, true)); err != nil {
			return err
		}
	} else {
		a.printPlan(f, p, c.Verbose)
	}
	switch {
	case !c.DetailedExitcode:
		return nil
	case !p.Empty():
		return exit(2)
	case len(p.Blocked) > 0:
		return exit(1)
	}
	return nil
}

func (c *planFlags) check(f *fleet) error {
	if c.Prune && f.desired.Owner == "" {
		return errors.New("--prune: a file from standard input without a `name` owns no sessions")
	}
	return f.checkOnly(c.Only, c.Prune)
}

type applyCmd struct {
	planFlags
	DryRun  bool          `help:"Only print the plan (the same as wire plan)."`
	Timeout time.Duration `default:"2m" help:"Give up after this long, waiting for another apply included."`
	watchFlags
	Parallel int `default:"8" help:"How many changes of one kind run at once."`
}

func (c *applyCmd) Run(a *app) error {
	if c.Parallel < 1 {
		return a.misuse("--parallel %d: at least 1", c.Parallel)
	}
	if c.Watch {
		return c.watch(a)
	}
	if c.Listen != "" {
		return a.misuse("--listen is for --watch")
	}
	if c.DryRun {
		return c.plan(a)
	}
	if c.DetailedExitcode {
		return a.misuse("--detailed-exitcode is for plan and apply --dry-run")
	}
	f, err := a.fleet(c.File)
	if err != nil {
		return err
	}
	if err := c.check(f); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.ctx, c.Timeout)
	defer cancel()
	out := newProgress(a, f, c.Verbose, c.JSON)
	sum, err := f.run(ctx, "apply", out, runWish{
		diff: func(o reconcile.Observed) reconcile.Plan {
			return reconcile.Diff(f.desired, o, reconcile.Options{Prune: c.Prune, Only: c.Only})
		},
		parallel: c.Parallel,
		starts:   true,
	})
	if err != nil {
		return err
	}
	return out.finish(ctx, sum)
}

// runWish is what a structural verb asks of run.
type runWish struct {
	diff     func(reconcile.Observed) reconcile.Plan
	parallel int
	starts   bool // it may start background processes
	rounds   int
	site     actuators.Site // Keep and Going; the rest is filled in
}

// run makes a plan true under the apply lock.
func (f *fleet) run(ctx context.Context, verb string, out *progress, w runWish) (reconcile.Summary, error) {
	if w.starts {
		if _, err := process.CheckExecutable(); err != nil {
			return reconcile.Summary{}, err
		}
	}
	unlock, err := f.machine.LockApply(ctx, verb, f.app.waiting)
	if err != nil {
		var locked *home.LockedError
		if errors.As(err, &locked) {
			err = fmt.Errorf("%w\n  next: wait for it, or raise --timeout", err)
		}
		return reconcile.Summary{}, err
	}
	defer unlock()
	site := w.site
	site.Machine, site.Client, site.Desired, site.Workers = f.machine, f.client, f.desired, w.parallel
	site.Tell = f.app.told
	return reconcile.Runner{
		Observe:   f.observer().Observe,
		Diff:      w.diff,
		Actuators: actuators.All(site),
		Parallel:  w.parallel,
		MaxRounds: w.rounds,
		Report:    out.report,
	}.Run(ctx)
}

type downCmd struct {
	fileFlag
	jsonFlag
	onlyFlag
	Timeout time.Duration `default:"1m" help:"Give up after this long."`
}

func (c *downCmd) Run(a *app) error {
	f, err := a.fleet(c.File)
	if err != nil {
		return err
	}
	if err := f.checkOnly(c.Only, false); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.ctx, c.Timeout)
	defer cancel()
	out := newProgress(a, f, false, c.JSON)
	sum, err := f.run(ctx, "down", out, runWish{
		diff:     func(o reconcile.Observed) reconcile.Plan { return reconcile.Down(f.desired, o, c.Only) },
		parallel: 8,
	})
	if err != nil {
		return err
	}
	return out.finish(ctx, sum)
}

type destroyCmd struct {
	fileFlag
	jsonFlag
	onlyFlag
	Force   bool          `help:"Really do it."`
	NoTrash bool          `help:"Do not keep key, card and relay.json in the trash for 7 days."`
	Timeout time.Duration `default:"2m" help:"Give up after this long."`
}

func (c *destroyCmd) Run(a *app) error {
	f, err := a.fleet(c.File)
	if err != nil {
		return err
	}
	if err := f.checkOnly(c.Only, false); err != nil {
		return err
	}
	if !c.Force {
		return errors.New("destroy deletes sessions with their keys: say --force to do it (`wire down` only stops them)")
	}
	ctx, cancel := context.WithTimeout(a.ctx, c.Timeout)
	defer cancel()
	out := newProgress(a, f, false, c.JSON)
	going := map[string]bool{}
	sum, err := f.run(ctx, "destroy", out, runWish{
		diff: func(o reconcile.Observed) reconcile.Plan {
			p := reconcile.Destroy(f.desired, o, c.Only)
			for _, change := range p.Changes {
				if change.Kind == reconcile.DestroySession {
					going[change.Subjects[0]] = true
				}
			}
			return p
		},
		parallel: 8,
		site:     actuators.Site{Keep: !c.NoTrash, Going: going},
	})
	if err != nil {
		return err
	}
	return out.finish(ctx, sum)
}
