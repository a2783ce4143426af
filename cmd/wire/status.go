package main

import (
	"fmt"
	"time"

	"wirefleet.dev/wire/reconcile"
)

type statusCmd struct {
	File string `short:"f" placeholder:"FILE" complete:"files" help:"Show the fleet of this wire.yaml instead; - for standard input."`
	Peer string `placeholder:"PEER" complete:"peers" help:"Show how a peer is instead: whether it reads its mail."`
	jsonFlag
}

func (c *statusCmd) Run(a *app) error {
	switch {
	case c.File != "" && c.Peer != "":
		return a.misuse("--peer cannot be combined with -f: a fleet has no peers of its own")
	case c.Peer != "":
		return a.peerStatus(c.Peer, c.JSON)
	case c.File == "":
		return a.homeStatus(c.JSON)
	}
	f, err := a.fleetInForce(c.File, false)
	if err != nil {
		return err
	}
	o, err := f.observer().Observe(a.ctx)
	if err != nil {
		return err
	}
	st := reconcile.StatusOf(f.desired, o)
	if f.refused != nil { // and the watcher may not have read it yet
		st.Watcher.Refused, st.Converged = f.refused.Error(), false
	}
	if c.JSON {
		return a.printJSON(fleetDocument(st))
	}
	a.printStatus(st)
	return nil
}

func (a *app) printStatus(st reconcile.Status) {
	for _, r := range st.Relays {
		relay := r.URL + " " + r.State
		if r.PID != 0 {
			relay += fmt.Sprintf(" (pid %d)", r.PID)
		}
		if r.Why != "" {
			relay += ": " + r.Why
		}
		fmt.Fprintf(a.out, "relay %s\n", plainText(relay))
	}
	a.printWatcher(st)
	a.row("", 16, "SESSION", 8, "STATE", 24, "DAEMON", 8, "SLOT", 8, "PEERS", 0, "LAST PULL")
	for _, s := range st.Sessions {
		daemon := "down"
		switch {
		case s.DaemonPID != 0:
			daemon = fmt.Sprintf("pid %d", s.DaemonPID)
			if s.ByReference {
				daemon += " of the reference"
			}
			if s.DaemonVersion != "" {
				daemon += " " + s.DaemonVersion
			}
		case s.DaemonWhy != "":
			daemon = s.DaemonWhy
		}
		pulled := "-"
		if s.LastPull != nil {
			pulled = ago(st.At, *s.LastPull)
		}
		a.row("", 16, s.Name, 8, s.State, 24, daemon, 8, s.Slot, 8, fmt.Sprintf("%d/%d", s.PeersHealthy, s.PeersWanted), 0, pulled)
	}
	for _, d := range st.Drift {
		fmt.Fprintf(a.out, "~ %s: %s\n", plainText(subject(d)), plainText(d.Reason.Text))
	}
	for _, r := range st.Findings {
		a.printReport(a.out, r)
	}
	if len(st.Drift) > 0 {
		fmt.Fprintf(a.out, "%s: `wire apply` repairs what it can\n", plural(len(st.Drift), "difference"))
	}
}

func (a *app) printWatcher(st reconcile.Status) {
	w := st.Watcher
	if w.PID == 0 {
		fmt.Fprintln(a.out, "watcher none")
		return
	}
	passed := "no pass is over yet"
	if !w.LastPass.IsZero() {
		passed = "last pass " + ago(st.At, w.LastPass)
	}
	fmt.Fprintf(a.out, "watcher pid %d, %s, keeps %s\n", w.PID, passed, w.File)
	if w.Listen != "" {
		fmt.Fprintf(a.out, "watcher answers on http://%s\n", w.Listen)
	}
	if w.Refused != "" {
		fmt.Fprintf(a.out, "! %s is not in force as it is now; the last good one is\n", w.File)
		printQuoted(a.out, w.Refused)
	}
}

func ago(now, then time.Time) string {
	return round(max(0, now.Sub(then).Truncate(time.Second))).String() + " ago"
}

// fleetDocument is `status -f F --json`; keys stand in byte order.
func fleetDocument(st reconcile.Status) any {
	type session struct {
		Daemon struct {
			Interval int    `json:"interval"` // seconds; 0 if it is not known
			PID      int    `json:"pid"`
			State    string `json:"state"`
			Version  string `json:"version"`
			Why      string `json:"why"`
		} `json:"daemon"`
		DID      string     `json:"did"`
		LastPull *time.Time `json:"last_pull"`
		Name     string     `json:"name"`
		Notify   struct {
			PID   int    `json:"pid"`
			State string `json:"state"`
			Why   string `json:"why"`
		} `json:"notify"`
		Peers struct {
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
		j.Daemon.PID, j.Daemon.State, j.Daemon.Version, j.Daemon.Why = s.DaemonPID, string(s.Daemon), s.DaemonVersion, s.DaemonWhy
		j.Daemon.Interval = s.DaemonInterval
		j.Notify.PID, j.Notify.State, j.Notify.Why = s.NotifyPID, string(s.Notify), s.NotifyWhy
		j.Peers.Healthy, j.Peers.Wanted = s.PeersHealthy, s.PeersWanted
	}
	drift := []changeJSON{}
	for _, d := range st.Drift {
		drift = append(drift, changeOf(d))
	}
	relays := make([]relayJSON, len(st.Relays))
	for i, r := range st.Relays {
		relays[i] = relayJSON{r.PID, r.State, r.URL, r.Why}
	}
	return struct {
		Converged bool               `json:"converged"`
		Drift     []changeJSON       `json:"drift"`
		Findings  []reconcile.Report `json:"findings"`
		Relays    []relayJSON        `json:"relays"`
		Sessions  []session          `json:"sessions"`
		Unmanaged []string           `json:"unmanaged"`
		Version   int                `json:"version"`
		Watcher   *watcherJSON       `json:"watcher"` // null: none runs
	}{
		Converged: st.Converged, Drift: drift, Findings: orEmpty(st.Findings), Relays: relays,
		Sessions: sessions, Unmanaged: orEmpty(st.Unmanaged), Version: 1, Watcher: watcherOf(st.Watcher),
	}
}

type relayJSON struct {
	PID   int    `json:"pid"`
	State string `json:"state"`
	URL   string `json:"url"`
	Why   string `json:"why"`
}

type watcherJSON struct {
	File     string     `json:"file"`
	LastPass *time.Time `json:"last_pass"` // null: none is over yet
	Listen   string     `json:"listen"`    // "": it does not answer over HTTP
	PID      int        `json:"pid"`
	Refused  string     `json:"refused"` // why the file as it is now is not in force; "" if it is
}

func watcherOf(w reconcile.WatcherState) *watcherJSON {
	if w.PID == 0 {
		return nil
	}
	j := &watcherJSON{File: w.File, Listen: w.Listen, PID: w.PID, Refused: w.Refused}
	if !w.LastPass.IsZero() {
		at := w.LastPass.UTC()
		j.LastPass = &at
	}
	return j
}
