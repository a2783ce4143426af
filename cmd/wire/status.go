package main

import (
	"fmt"
	"time"

	"wirefleet.dev/wire/reconcile"
)

type statusCmd struct {
	fileFlag
	jsonFlag
}

func (c *statusCmd) Run(a *app) error {
	if c.File == "" {
		return a.misuse("the status of one home is not there yet: use `wire status -f FILE` for the fleet")
	}
	f, err := a.fleet(c.File)
	if err != nil {
		return err
	}
	o, err := f.observer().Observe(a.ctx)
	if err != nil {
		return err
	}
	st := reconcile.StatusOf(f.desired, o)
	if c.JSON {
		return a.printJSON(fleetDocument(st))
	}
	a.printStatus(st)
	return nil
}

func (a *app) printStatus(st reconcile.Status) {
	relay := st.Relay.URL + " " + st.Relay.State
	if st.Relay.PID != 0 {
		relay += fmt.Sprintf(" (pid %d)", st.Relay.PID)
	}
	if st.Relay.Why != "" {
		relay += ": " + st.Relay.Why
	}
	fmt.Fprintf(a.out, "relay %s\n", relay)
	a.row("", 16, "SESSION", 8, "STATE", 24, "DAEMON", 8, "SLOT", 8, "PEERS", 0, "LAST PULL")
	for _, s := range st.Sessions {
		daemon := "down"
		switch {
		case s.DaemonPID != 0:
			daemon = fmt.Sprintf("pid %d", s.DaemonPID)
			if s.DaemonVersion != "" {
				daemon += " " + s.DaemonVersion
			}
		case s.DaemonWhy != "":
			daemon = s.DaemonWhy
		}
		pulled := "-"
		if s.LastPull != nil {
			pulled = round(max(0, st.At.Sub(*s.LastPull).Truncate(time.Second))).String() + " ago"
		}
		a.row("", 16, s.Name, 8, s.State, 24, daemon, 8, s.Slot, 8, fmt.Sprintf("%d/%d", s.PeersHealthy, s.PeersWanted), 0, pulled)
	}
	for _, d := range st.Drift {
		fmt.Fprintf(a.out, "~ %s: %s\n", subject(d), d.Reason.Text)
	}
	for _, r := range st.Findings {
		a.printReport(a.out, r)
	}
	if len(st.Drift) > 0 {
		fmt.Fprintf(a.out, "%s: `wire apply` repairs what it can\n", plural(len(st.Drift), "difference"))
	}
}

// fleetDocument is `status -f F --json`; keys stand in byte order.
func fleetDocument(st reconcile.Status) any {
	type session struct {
		Daemon struct {
			PID     int    `json:"pid"`
			Version string `json:"version"`
			Why     string `json:"why"`
		} `json:"daemon"`
		DID      string     `json:"did"`
		LastPull *time.Time `json:"last_pull"`
		Name     string     `json:"name"`
		Peers    struct {
			Healthy int `json:"healthy"`
			Wanted  int `json:"wanted"`
		} `json:"peers"`
		Slot  string `json:"slot"`
		State string `json:"state"`
		Why   string `json:"why"`
	}
	sessions := make([]session, len(st.Sessions))
	for i, s := range st.Sessions {
		j := &sessions[i]
		j.Name, j.State, j.Why, j.DID, j.Slot, j.LastPull = s.Name, s.State, s.Why, s.DID, s.Slot, s.LastPull
		j.Daemon.PID, j.Daemon.Version, j.Daemon.Why = s.DaemonPID, s.DaemonVersion, s.DaemonWhy
		j.Peers.Healthy, j.Peers.Wanted = s.PeersHealthy, s.PeersWanted
	}
	drift := []changeJSON{}
	for _, d := range st.Drift {
		drift = append(drift, changeOf(d))
	}
	return struct {
		Converged bool               `json:"converged"`
		Drift     []changeJSON       `json:"drift"`
		Findings  []reconcile.Report `json:"findings"`
		Relay     any                `json:"relay"`
		Sessions  []session          `json:"sessions"`
		Unmanaged []string           `json:"unmanaged"`
		Version   int                `json:"version"`
	}{
		Converged: st.Converged, Drift: drift, Findings: orEmpty(st.Findings),
		Relay: struct {
			PID   int    `json:"pid"`
			State string `json:"state"`
			URL   string `json:"url"`
			Why   string `json:"why"`
		}{st.Relay.PID, st.Relay.State, st.Relay.URL, st.Relay.Why},
		Sessions: sessions, Unmanaged: orEmpty(st.Unmanaged), Version: 1,
	}
}
