package main

import (
	"fmt"
	"os"
	"strings"

	"wirefleet.dev/wire/actuators"
	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/internal/upkeep"
	"wirefleet.dev/wire/verbs"
)

type upgradeCmd struct {
	Check bool `help:"Show what it would replace; changes nothing."`
	jsonFlag
}

func (c *upgradeCmd) Run(a *app) error {
	env := a.adopted()
	s, err := env.Session()
	if err != nil {
		return err
	}
	m, err := env.Machine()
	if err != nil {
		return err
	}
	if s, err = s.Abs(env); err != nil {
		return err
	}
	site := verbs.Site{Machine: m, Client: client.New(0), Waiting: a.waiting}
	if c.Check {
		return a.checkUpgrade(site, s, c.JSON)
	}
	var units actuators.Units
	if m, err := manager(); err == nil {
		units = m
	}
	_, skip := os.LookupEnv(upkeep.SkipVar)
	up, err := site.Upgrade(a.ctx, s, units, !skip)
	if up == nil {
		return err
	}
	for _, r := range up.Remarks {
		fmt.Fprintf(a.err, "wire upgrade: %s\n", r)
	}
	if c.JSON {
		if err := a.printDoc(upgradeDocument(up)); err != nil {
			return err
		}
		return err
	}
	a.printUpgrade(up, s)
	return err
}

// onPath are the wire binaries on PATH; with more than one a shell may run another than the daemons do.
func onPath() (list []any, warning any) {
	found := process.OnPath("wire", os.Getenv("PATH"))
	list = []any{}
	for _, f := range found {
		list = append(list, f)
	}
	if len(found) > 1 {
		warning = fmt.Sprintf("%d wire binaries on PATH: %s — a shell runs the first one", len(found), strings.Join(found, ", "))
	}
	return list, warning
}

func (a *app) checkUpgrade(site verbs.Site, s home.Session, asJSON bool) error {
	reach, err := site.Reach(s)
	if err != nil {
		return err
	}
	binaries, warning := onPath()
	var recorded any
	if v := recordedVersion(process.ReadRecord(s.DaemonPID())); v != "" {
		recorded = v
	}
	if asJSON {
		sessions := []any{}
		for _, name := range reach.Sessions {
			sessions = append(sessions, name)
		}
		return a.printDoc(canon.Doc{
			"cli_version": level, "path_binaries": binaries, "path_duplicate_warning": warning != nil,
			"pidfile_version": recorded, "running_pids": pidList(reach.Daemons), "session_daemons_running": sessions,
			"would_kill": pidList(reach.All()),
		})
	}
	running, version := "none", "(none)"
	if len(reach.Daemons) > 0 {
		running = "pids " + pidText(reach.Daemons)
	}
	if v, ok := recorded.(string); ok {
		version = plainText(v)
	}
	fmt.Fprintf(a.out, "wire upgrade --check\n  cli version:      %s\n  pidfile version:  %s\n  running daemons:  %s\n", level, version, running)
	if len(reach.Notifiers) > 0 {
		fmt.Fprintf(a.out, "  notifiers:        pids %s\n", pidText(reach.Notifiers))
	}
	if len(reach.All()) > 0 {
		fmt.Fprintln(a.out, "  would kill all + spawn fresh, one home after the other")
	}
	if warning != nil {
		fmt.Fprintf(a.out, "  !! %s\n", warning)
	}
	return nil
}

func upgradeDocument(up *verbs.Upgraded) canon.Doc {
	binaries, warning := onPath()
	sessions := []any{}
	for _, r := range up.Sessions {
		doc := canon.Doc{"session_home": r.Session.Dir, "status": "respawned"}
		if r.Err != nil {
			doc["status"], doc["error"] = "failed", r.Err.Error()
		}
		sessions = append(sessions, doc)
	}
	doc := canon.Doc{
		"cli_version": level, "killed": pidList(up.Stopped), "new_pid": nil, "new_version": nil, "path_binaries": binaries,
		"path_warning": warning, "session_respawns": sessions, "spawned_fresh_daemon": up.Fresh,
	}
	if up.PID != 0 {
		doc["new_pid"], doc["new_version"] = uint64(up.PID), level
	}
	return doc
}

func (a *app) printUpgrade(up *verbs.Upgraded, this home.Session) {
	if len(up.Stopped) > 0 {
		fmt.Fprintf(a.out, "wire upgrade: killed %d daemon(s) (pids %s)\n", len(up.Stopped), pidText(up.Stopped))
	}
	for _, r := range up.Sessions {
		switch {
		case r.Err != nil: // the error says it
		case !r.Session.Same(this) || !up.Fresh:
			fmt.Fprintf(a.out, "wire upgrade: session %s is served again (pid %d)\n", plainText(r.Session.Name), r.PID)
		}
	}
	switch {
	case up.Fresh:
		fmt.Fprintf(a.out, "wire upgrade: spawned fresh daemon (pid %d v%s)\n", up.PID, level)
	case len(up.Stopped) == 0 && len(up.Sessions) == 0:
		fmt.Fprintln(a.out, "wire upgrade: no daemon to replace, and none to start")
	}
	if _, warning := onPath(); warning != nil {
		fmt.Fprintf(a.out, "wire upgrade: !! %s\n", warning)
	}
}
