package health

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/process"
)

const upgradeIt = "`wire upgrade` leaves one daemon with a record of its own"

// daemon says whether exactly one daemon serves the home, and its record names that one.
func (e *exam) daemon() []Check {
	const id = "daemon"
	d := e.daemons
	all := d.Serving.All()
	switch {
	case d.Unknown != "":
		return e.one(Fail, id, "look at the process that it names; `wire upgrade` when that is settled", "who serves it cannot be found out: %s", d.Unknown)
	case len(all) == 0 && !e.Session.Initialized():
		return e.one(Fail, id, "`wire up <handle>@<relay>`, or `wire session new` for the working directory",
			"no `wire daemon` process running, and nobody to serve: not initialized")
	case len(all) == 0:
		return e.one(Fail, id, "`wire upgrade` starts one (`wire daemon` runs it in the foreground)",
			"no `wire daemon` process running — nothing pulls the inbox or pushes the outbox (%s)", d.Why)
	case len(all) > 1:
		return e.one(Fail, id, upgradeIt, "%d `wire daemon` processes running (pids: %s); %s — the others are orphan(s) that race it for the cursor",
			len(all), pids(all), e.claims())
	case all[0].Stopped:
		return e.one(Fail, id, "`wire upgrade` replaces it", "its daemon (pid %d) is stopped (state T): it serves nobody", all[0].PID)
	case len(d.Orphans()) > 0:
		return e.one(Fail, id, upgradeIt, "1 `wire daemon` process(es) running (pids: %s) but %s — an orphan, to whom the reference would start a second",
			pids(all), e.claims())
	}
	return pass(id, "one daemon running (pid %d, matches pidfile)", all[0].PID)
}

// claims is what the record says about who the daemon is.
func (e *exam) claims() string {
	switch e.daemons.Form {
	case process.FormMissing:
		return "pidfile is missing"
	case process.FormCorrupt:
		return "pidfile is corrupt"
	case process.FormJSON, process.FormLegacy:
	}
	return "pidfile claims pid " + strconv.Itoa(e.daemons.Record.PID)
}

func pids(list []census.Daemon) string {
	text := make([]string, len(list))
	for i, p := range list {
		text[i] = strconv.Itoa(p.PID)
	}
	return strings.Join(text, ", ")
}

// consistency holds the pid record to what the processes and files are.
func (e *exam) consistency() []Check {
	const id = "daemon_pid_consistency"
	d, r := e.daemons, e.daemons.Record
	switch d.Form {
	case process.FormMissing:
		if st, err := os.Stat(e.Session.DaemonPID()); !errors.Is(err, fs.ErrNotExist) {
			why := "is empty or no text"
			if err != nil {
				why = "cannot be read: " + err.Error()
			} else if !st.Mode().IsRegular() {
				why = "is no file"
			}
			return e.one(Warn, id, upgradeIt, "daemon.pid %s", why)
		}
		return pass(id, "no daemon.pid — its daemon has not been started, or has ended cleanly")
	case process.FormCorrupt:
		return e.one(Warn, id, upgradeIt, "daemon.pid is corrupt: it is neither a record nor a number")
	case process.FormLegacy:
		return e.one(Warn, id, upgradeIt, "daemon.pid is legacy-int form (pid=%d, no version/bin_path metadata): the reference's session verbs do not read it", r.PID)
	case process.FormJSON:
	}
	if d.Named.PID != 0 {
		return e.one(Warn, id, upgradeIt, "daemon.pid records pid %d (v%s) but that process %s: stale", r.PID, r.Version, d.Named.Why)
	}
	if !e.recordedServes() {
		return e.one(Warn, id, upgradeIt, "daemon.pid records pid %d (v%s) but that process is not running: stale", r.PID, r.Version)
	}
	if drift := e.drift(r); len(drift) > 0 {
		return e.one(Warn, id, "`wire upgrade` replaces the daemon by one of this program, which writes its record anew",
			"daemon pidfile drift: %s", strings.Join(drift, ", "))
	}
	or := func(s *string) string {
		if s == nil {
			return "?"
		}
		return *s
	}
	return pass(id, "daemon v%s bound to %s as %s", r.Version, shown(or(r.RelayURL)), or(r.DID))
}

func (e *exam) recordedServes() bool {
	for _, p := range e.daemons.Serving.All() {
		if p.PID == e.daemons.Record.PID {
			return true
		}
	}
	return false
}

// drift is in what the record differs from program and files. A relay that it leaves out does not.
func (e *exam) drift(r process.Record) []string {
	var out []string
	if r.Schema != process.Schema {
		out = append(out, fmt.Sprintf("schema=%s (expected %s)", r.Schema, process.Schema))
	}
	if r.Version != process.Level {
		out = append(out, fmt.Sprintf("version daemon=%s cli=%s", r.Version, process.Level))
	}
	if r.BinPath == "" {
		out = append(out, "bin_path empty")
	} else if _, err := os.Stat(r.BinPath); errors.Is(err, fs.ErrNotExist) {
		out = append(out, fmt.Sprintf("bin_path %s missing on disk", r.BinPath))
	}
	if card, err := e.Session.ReadCard(); err == nil {
		did, _ := card["did"].(string)
		if recorded := cmp.Or(r.DID, new(string)); did != *recorded {
			out = append(out, fmt.Sprintf("did daemon=%s config=%s", cmp.Or(*recorded, "null"), did))
		}
	}
	if e.relayErr == nil && r.RelayURL != nil {
		if now := e.relay.flat.RelayURL; now != *r.RelayURL {
			out = append(out, fmt.Sprintf("relay_url daemon=%s config=%s", shown(*r.RelayURL), shown(now)))
		}
	}
	if ours := e.daemons.Ours; ours != nil && !ours.SameExe {
		out = append(out, fmt.Sprintf("executable: pid %d runs another file than this program (%s)", ours.PID, ours.Exe))
	}
	return out
}
