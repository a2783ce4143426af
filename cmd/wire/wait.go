package main

import (
	"fmt"
	"time"

	"wirefleet.dev/wire/reconcile"
)

type waitCmd struct {
	fileFlag
	jsonFlag
	For     string        `default:"converged" placeholder:"GOAL" complete:"converged,daemons,mesh,sessions" help:"converged, daemons, mesh, or the name of a session."`
	Timeout time.Duration `default:"60s" help:"Give up after this long."`
}

// Run only looks. It exits 0 as soon as the goal is reached, and 1 when it is not in time.
func (c *waitCmd) Run(a *app) error {
	f, err := a.fleet(c.File)
	if err != nil {
		return err
	}
	goal := reconcile.Goal(c.For)
	switch goal {
	case reconcile.GoalConverged, reconcile.GoalDaemons, reconcile.GoalMesh:
	default:
		if err := f.lists(c.For); err != nil {
			return fmt.Errorf("--for: %w", err)
		}
	}
	v := reconcile.Vigil{Machine: f.machine, Desired: f.desired, Observe: f.observer().Observe, Goal: goal}
	missing, err := v.Wait(a.ctx, c.Timeout, func(o reconcile.Observed, missing []reconcile.Difference) {
		switch w := o.Watcher; {
		case len(missing) == 0:
		case w.PID == 0:
			fmt.Fprintln(a.err, "no `wire apply --watch` runs here: nothing will change by itself")
		case w.Other:
			fmt.Fprintf(a.err, "pid %d watches another file (%s): it will not bring this about\n", w.PID, w.File)
		case w.Refused != "":
			fmt.Fprintf(a.err, "pid %d does not have %s in force as it is now: %s\n", w.PID, w.File, w.Refused)
		}
	})
	if err != nil {
		return err
	}
	if c.JSON {
		err := a.printJSON(struct {
			For     string           `json:"for"`
			Missing []differenceJSON `json:"missing"`
			Reached bool             `json:"reached"`
			Version int              `json:"version"`
		}{c.For, differencesJSON(missing), len(missing) == 0, 1})
		if err != nil {
			return err
		}
	} else {
		printDifferences(a.out, missing)
	}
	if len(missing) > 0 {
		return exit(1)
	}
	return nil
}
