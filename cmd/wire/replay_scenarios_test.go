//go:build linux

package main_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"syscall"
)

var scenariosScript = script{
	steps: map[string]step{
		"first-session.new":                   {before: up(localRelay)},
		"first-session.daemons-running":       {check: daemons},
		"message.send":                        {before: watchBoreas},
		"message.arrival":                     {check: arrival},
		"message.monitor-of-boreas":           {run: watched},
		"broken-daemon.list":                  {before: userDaemonKilled("boreas")},
		"broken-daemon.corrupt-pid-list":      {before: file(userRoot+"/boreas/state/wire/daemon.pid", "{")},
		"broken-daemon.daemons-running":       {check: daemons},
		"broken-daemon.daemons-after-upgrade": {check: daemons},
		"broken-daemon.relay-down-status":     {before: down(localRelay)},
		"destroy.without-force":               {before: up(localRelay)},
		"destroy.daemons":                     {check: daemons},
	},
}

func userDaemonKilled(name string) func(*world) error {
	return func(w *world) error { return w.endDaemon(w.userSession(name).DaemonPID(), syscall.SIGKILL) }
}

// daemons counts this world's daemons.
func daemons(w *world, r *record) error {
	raw, ok := r.All["count"]
	if !ok {
		raw = r.All["after"]
	}
	var want int
	if err := json.Unmarshal(raw, &want); err != nil {
		return err
	}
	n := 0
	for _, i := range carriers(w.dir) {
		if len(i.Args) > 1 && i.Args[1] == "daemon" {
			n++
		}
	}
	if n != want {
		return fmt.Errorf("%d daemons, want %d", n, want)
	}
	return nil
}

func watchBoreas(w *world) error {
	dir := w.userSession("boreas").Dir
	p, err := w.start(&record{Argv: []string{"wire", "monitor", "--json"}, Env: map[string]*string{"WIRE_HOME": &dir}})
	w.kept["monitor"] = p
	return err
}

// arrival: the message reaches boreas by the daemons alone.
func arrival(w *world, _ *record) error {
	p := place{wh: filepath.Join(w.root, filepath.Dir(userRoot))}
	return p.arrived("boreas", "atlas", 1)
}

func watched(w *world, _ *record) (result, error) {
	p := w.kept["monitor"].(*running)
	if err := p.prints(1); err != nil {
		return result{}, err
	}
	return p.end(syscall.SIGTERM)
}
