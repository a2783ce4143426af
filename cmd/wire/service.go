package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/service"
	"wirefleet.dev/wire/reconcile"
)

type serviceCmd struct {
	Install   serviceInstallCmd   `cmd:"" help:"Have the service manager keep a daemon, the local relay or continuous mode."`
	Uninstall serviceUninstallCmd `cmd:"" help:"Stop that and remove its unit."`
	Status    serviceStatusCmd    `cmd:"" help:"Show whether it runs, and whether its unit is what install would write."`
}

// serviceFlags say what a unit keeps; by default the daemon of the default home.
type serviceFlags struct {
	LocalRelay bool   `help:"The relay of this machine's sessions, on 127.0.0.1:8771."`
	Watch      string `placeholder:"FILE" complete:"files" help:"Continuous mode: keep the sessions as this wire.yaml says."`
	jsonFlag
}

func (c *serviceFlags) kind(a *app) (service.Kind, error) {
	switch {
	case c.LocalRelay && c.Watch != "":
		return "", a.misuse("--watch cannot be combined with --local-relay: they are two units")
	case c.LocalRelay:
		return service.LocalRelay, nil
	case c.Watch != "":
		return service.Watch, nil
	}
	return service.Daemon, nil
}

// unit is the wish that the flags stand for. Its program is the one that would be there after the next boot.
func (c *serviceFlags) unit(a *app) (service.Unit, error) {
	kind, err := c.kind(a)
	if err != nil {
		return service.Unit{}, err
	}
	u := service.Unit{Kind: kind}
	if kind == service.Watch {
		if u.File, err = filepath.Abs(c.Watch); err != nil {
			return u, err
		}
		if a.env.WireHomeSet { // the sessions that this command line would act on
			m, err := a.env.Machine()
			if err != nil {
				return u, err
			}
			u.WireHome = m.Base
		}
	}
	u.Exe, err = process.CheckExecutable()
	return u, err
}

// manager is the service manager of whoever HOME names; the reference does not ask the password database.
func manager() (service.Manager, error) {
	return service.For(runtime.GOOS, os.Getenv("HOME"), os.Getenv("USER"), os.Getuid())
}

// staleUnits reports the units of this user that start something else than install would write today.
func staleUnits() []reconcile.Report {
	m, err := manager()
	if err != nil {
		return nil // no HOME or no manager that is known: no units
	}
	exe, err := process.CheckExecutable()
	if err != nil {
		return nil // a program that will be gone soon is in no unit
	}
	var out []reconcile.Report
	for _, k := range []service.Kind{service.Daemon, service.LocalRelay, service.Watch} {
		u := service.Unit{Kind: k, Exe: exe, File: m.File()}
		differs, err := m.Stale(u)
		if err != nil {
			differs = err.Error()
		}
		if differs != "" {
			out = append(out, reconcile.Report{
				Subject: "service " + string(k), Reason: reconcile.Reason{Code: "unit-stale", Text: "its unit starts something else: " + differs},
				Advice: "`" + u.Install() + "` writes it anew; `wire service uninstall` removes it",
			})
		}
	}
	return out
}

type serviceInstallCmd struct {
	serviceFlags
	Print bool `help:"Print the unit and do nothing."`
}

func (c *serviceInstallCmd) Run(a *app) error {
	u, err := c.unit(a)
	if err != nil {
		return err
	}
	m, err := manager()
	if err != nil {
		return err
	}
	if u.Kind == service.Watch {
		if _, err := a.fleet(u.File); err != nil { // one that does not load would only be started again and again
			return err
		}
	}
	if c.Print {
		text, err := m.Text(u)
		if err == nil {
			_, err = fmt.Fprint(a.out, text)
		}
		return err
	}
	serves := a.servesDefault(u.Kind)
	r, err := m.Install(a.ctx, u)
	if err != nil {
		return err
	}
	if serves != 0 {
		r.Detail += fmt.Sprintf("; pid %d serves the default home already: the unit takes over when that one has ended and it is started again", serves)
	}
	return a.printService(c.JSON, r)
}

// servesDefault is who serves the home that a daemon's unit would serve; 0 for nobody.
func (a *app) servesDefault(k service.Kind) int {
	if k != service.Daemon {
		return 0
	}
	env := a.env
	env.WireHome, env.WireHomeSet = "", false
	m, err := env.Machine()
	if err != nil {
		return 0
	}
	s, err := env.Session()
	if err != nil {
		return 0
	}
	if d := census.DaemonsOf(m, s); d.Running() {
		return d.PID()
	}
	return 0
}

type serviceUninstallCmd struct{ serviceFlags }

func (c *serviceUninstallCmd) Run(a *app) error {
	kind, err := c.kind(a)
	if err != nil {
		return err
	}
	m, err := manager()
	if err != nil {
		return err
	}
	if kind == service.Watch {
		file, err := filepath.Abs(c.Watch)
		if err != nil {
			return err
		}
		if kept := m.File(); kept != "" && kept != file {
			return fmt.Errorf("the unit keeps the sessions as %s says, not %s\n  next: `wire service uninstall --watch %[1]s` removes it", kept, file)
		}
	}
	r, err := m.Uninstall(a.ctx, kind)
	if err != nil {
		return err
	}
	return a.printService(c.JSON, r)
}

type serviceStatusCmd struct{ serviceFlags }

func (c *serviceStatusCmd) Run(a *app) error {
	u, err := c.unit(a)
	var wrong *misuse
	if errors.As(err, &wrong) {
		return err
	}
	m, noManager := manager()
	if noManager != nil {
		return noManager
	}
	if err != nil { // a program that will be gone soon would write nothing: there is nothing to compare with
		u.Exe = ""
	}
	r, err := m.Status(a.ctx, u)
	if err != nil {
		return err
	}
	return a.printService(c.JSON, r)
}

func (a *app) printService(asJSON bool, r service.Report) error {
	if asJSON {
		return a.printJSON(r)
	}
	_, err := fmt.Fprintf(a.out, "wire service %s\n  platform:  %s\n  unit:      %s\n  status:    %s\n  detail:    %s\n",
		r.Action, r.Platform, r.UnitPath, r.Status, r.Detail)
	return err
}
