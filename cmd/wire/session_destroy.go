package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"wirefleet.dev/wire/actuators"
	"wirefleet.dev/wire/internal/home"
)

type sessionDestroyCmd struct {
	jsonFlag
	Name    string `arg:"" complete:"sessions" help:"The session."`
	Force   bool   `help:"Really do it."`
	NoTrash bool   `help:"Do not keep key, card and relay.json for 7 days, from where session restore brings them back."`
}

func (c *sessionDestroyCmd) Run(a *app) error {
	site, err := a.verbSite(10 * time.Second)
	if err != nil {
		return err
	}
	s := site.Machine.Session(c.Name)
	found := s.Exists()
	if found && !c.Force {
		return fmt.Errorf("destroying session %q would delete its keypair + state; say --force to do it. Key, card and slot stay in %s for 7 days: `wire session restore %s`",
			s.Name, site.Machine.TrashDir(), s.Name)
	}
	if found {
		if found, err = site.Destroy(a.ctx, c.Name, !c.NoTrash, a.told); err != nil {
			return err
		}
	}
	switch {
	case c.JSON && found:
		return a.printJSON(map[string]any{"destroyed": true, "name": s.Name})
	case c.JSON:
		return a.printJSON(map[string]any{"destroyed": false, "name": s.Name, "reason": "no such session"})
	case found:
		_, err = fmt.Fprintf(a.out, "destroyed session %q.\n", s.Name)
	default:
		_, err = fmt.Fprintf(a.out, "no session named %q — nothing to destroy.\n", s.Name)
	}
	return err
}

// told says what an actuator found on its way.
func (a *app) told(t actuators.Told) {
	switch t := t.(type) {
	case actuators.LeftAlone:
		fmt.Fprintf(a.err, "%s: pid %d in its daemon.pid %s: left alone\n", t.Session, t.PID, t.Why)
	case actuators.Kept:
		fmt.Fprintf(a.err, "%s is gone, but: %v\n", t.Session, t.Err)
	}
}

type sessionRestoreCmd struct {
	jsonFlag
	Name string `arg:"" help:"The session, as it was called."`
}

func (c *sessionRestoreCmd) Run(a *app) error {
	site, err := a.verbSite(10 * time.Second)
	if err != nil {
		return err
	}
	s, from, err := site.Restore(a.ctx, c.Name)
	var nothing *home.NotInTrashError
	switch {
	case errors.As(err, &nothing):
		return fmt.Errorf("%w; `wire session list` shows the sessions that exist", err)
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("session %q exists; nothing was changed", s.Name)
	case err != nil:
		return err
	}
	next := "wire session new " + s.Name
	if c.JSON {
		return a.printJSON(map[string]any{"from": from, "home_dir": s.Dir, "name": s.Name, "next": next, "version": 1})
	}
	_, err = fmt.Fprintf(a.out, "restored session %q from %s: key, card and slot.\n  next: `%s` in its directory, or `wire apply`, makes what else it needs; `wire session pair-all-local` pairs it again\n",
		s.Name, from, next)
	return err
}
