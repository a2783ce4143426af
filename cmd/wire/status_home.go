package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/enroll"
	"wirefleet.dev/wire/internal/health"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay/client"
)

// homeStatus is `wire status` without -f: the reference's view of one home (cli.md 2.4).
func (a *app) homeStatus(asJSON bool) error {
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
	st, err := health.StatusOf(m, s)
	switch {
	case err != nil:
		return err
	case asJSON:
		return a.printDoc(homeDocument(st))
	case !st.Initialized:
		_, err = fmt.Fprintln(a.out, "not initialized — `wire init <handle>` makes an identity, `wire session new` a session for this directory")
		return err
	}
	a.printHome(st)
	return nil
}

func homeDocument(st health.Status) canon.Doc {
	if !st.Initialized {
		return canon.Doc{"initialized": false}
	}
	peers, handles := []any{}, []any{}
	for _, p := range st.Peers {
		peers = append(peers, canon.Doc{"handle": p.Handle, "tier": p.Tier})
	}
	for _, r := range st.Inbound {
		handles = append(handles, r.Handle)
	}
	byStatus := canon.Doc{}
	for status, n := range st.ByStatus() {
		byStatus[status] = uint64(n)
	}
	var self any
	if st.Self != nil {
		self = st.Self
	}
	mail := func(m health.Mail) canon.Doc {
		return canon.Doc{"events": uint64(m.Events), "files": uint64(m.Files)}
	}
	return canon.Doc{
		"initialized": true, "did": string(st.Info.DID), "handle": st.Info.Handle, "fingerprint": identity.Fingerprint(st.Info.Public),
		"capabilities": st.Capabilities, "peers": peers, "self_relay": self, "peer_slots_count": uint64(st.PeerSlots),
		"outbox": mail(st.Outbox), "inbox": mail(st.Inbox), "daemon": daemonDocument(st),
		"pending_pairs": canon.Doc{
			"by_status": byStatus, "inbound_count": uint64(len(handles)), "inbound_handles": handles, "total": uint64(len(st.Pending)),
		},
	}
}

func daemonDocument(st health.Status) canon.Doc {
	d := st.Daemons
	doc := canon.Doc{
		"running": d.Running(), "pid": nil, "all_running_pids": pidList(d.All), "orphans": pidList(d.Orphans()),
	}
	if pid := d.PID(); pid != 0 {
		doc["pid"] = uint64(pid)
	}
	switch d.Form {
	case process.FormJSON:
		r := d.Record
		doc["version"], doc["bin_path"], doc["started_at"], doc["schema"] = r.Version, r.BinPath, r.StartedAt, r.Schema
		doc["did"], doc["relay_url"] = nullable(r.DID), nullable(r.RelayURL)
	case process.FormLegacy:
		doc["pidfile_form"] = string(process.FormLegacy)
	case process.FormMissing, process.FormCorrupt:
	}
	if v := recordedVersion(d.Record, d.Form); v != "" && v != level {
		doc["version_mismatch"] = canon.Doc{"cli": level, "daemon": v}
	}
	return doc
}

// recordedVersion is what a pid record says of the daemon's version; "" where it says nothing.
func recordedVersion(r process.Record, form process.Form) string {
	switch form {
	case process.FormJSON:
		return r.Version
	case process.FormLegacy:
		return "<pre-0.5.11>"
	case process.FormMissing, process.FormCorrupt:
	}
	return ""
}

func nullable(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

func pidList(pids []int) []any {
	list := []any{}
	for _, pid := range pids {
		list = append(list, uint64(pid))
	}
	return list
}

func (a *app) printHome(st health.Status) {
	label := func(name, format string, args ...any) {
		fmt.Fprintf(a.out, "%-14s %s\n", name+":", fmt.Sprintf(format, args...))
	}
	label("did", "%s", st.Info.DID)
	label("fingerprint", "%s", identity.Fingerprint(st.Info.Public))
	label("capabilities", "%s", canon.Compact(st.Capabilities))
	url, _ := st.Self["relay_url"].(string)
	slot, _ := st.Self["slot_id"].(string)
	if url == "" {
		label("self relay", "(not bound — `wire bind-relay <url>` gets a slot)")
	} else {
		label("self relay", "%s (slot %s)", plainText(url), plainText(slot))
	}
	label("peers", "%d", len(st.Peers))
	for _, p := range st.Peers {
		fmt.Fprintf(a.out, "  - %-20s tier=%s\n", plainText(p.Handle), plainText(p.Tier))
	}
	label("outbox", "%d file(s), %d event(s) queued", st.Outbox.Files, st.Outbox.Events)
	label("inbox", "%d file(s), %d event(s) received", st.Inbox.Files, st.Inbox.Events)
	label("daemon", "%s", daemonLine(st))
	for _, w := range daemonWarnings(st) {
		fmt.Fprintf(a.out, "%15s!! %s\n", "", w)
	}
	a.printPending(st, label)
}

// daemonLine is "running (pid 38 v0.6.10)"; a version only where the record is about that process.
func daemonLine(st health.Status) string {
	d, state := st.Daemons, "DOWN"
	if d.Running() {
		state = "running"
	}
	pid := d.PID()
	who := "—"
	if pid != 0 {
		who = strconv.Itoa(pid)
		if d.Form == process.FormJSON && d.Record.PID == pid {
			who += " v" + plainText(d.Record.Version)
		}
	}
	return fmt.Sprintf("%s (pid %s)", state, who)
}

func daemonWarnings(st health.Status) []string {
	d := st.Daemons
	var out []string
	if v := recordedVersion(d.Record, d.Form); v != "" && v != level {
		out = append(out, fmt.Sprintf("version mismatch: daemon=%s CLI=%s — `wire upgrade` replaces it", plainText(v), level))
	}
	switch {
	case d.Form == process.FormCorrupt:
		out = append(out, "daemon.pid is corrupt — `wire upgrade` writes it anew")
	case d.Form == process.FormJSON && d.Record.Schema != process.Schema:
		out = append(out, fmt.Sprintf("daemon.pid has schema %s, not %s", plainText(d.Record.Schema), process.Schema))
	}
	if orphans := d.Orphans(); len(orphans) > 0 {
		out = append(out, fmt.Sprintf("orphan daemon process(es): pids %s — daemon.pid does not name them; `wire upgrade` leaves one", pidText(orphans)))
	}
	if d.Named.PID != 0 {
		out = append(out, fmt.Sprintf("daemon.pid names pid %d, which %s", d.Named.PID, d.Named.Why))
	}
	if d.Unknown != "" {
		out = append(out, "who serves it could not be found out: "+d.Unknown)
	}
	return out
}

func pidText(pids []int) string {
	list := make([]string, len(pids))
	for i, pid := range pids {
		list[i] = strconv.Itoa(pid)
	}
	return strings.Join(list, ", ")
}

func (a *app) printPending(st health.Status, label func(name, format string, args ...any)) {
	if len(st.Pending) > 0 {
		var counts []string
		for status, n := range st.ByStatus() {
			counts = append(counts, fmt.Sprintf("%s=%d", plainText(status), n))
		}
		slices.Sort(counts)
		label("pending pairs", "%d (%s)", len(st.Pending), strings.Join(counts, ", "))
	} else if len(st.Inbound) == 0 {
		label("pending pairs", "none")
	}
	if len(st.Inbound) > 0 {
		handles := make([]string, len(st.Inbound))
		for i, r := range st.Inbound {
			handles[i] = plainText(r.Handle)
		}
		fmt.Fprintf(a.out, "inbound pair requests (%d): %s — `wire pair-list-inbound` shows them, `wire pair-accept <peer>` or `wire pair-reject <peer>` answers\n",
			len(handles), strings.Join(handles, ", "))
	}
}

// peerStatus is `wire status --peer`.
func (a *app) peerStatus(peer string, asJSON bool) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	st, err := health.PeerOf(a.ctx, client.New(0), s, peer, time.Now)
	var unknown *enroll.UnknownPeerError
	if errors.As(err, &unknown) {
		return pairFirst(err, peer)
	}
	if err != nil {
		return err
	}
	var record any
	if st.Health != nil {
		if record, err = canon.Parse(st.Health); err != nil {
			return err
		}
	}
	if asJSON {
		return a.printDoc(peerDocument(st, record))
	}
	a.printPeer(st, record)
	return nil
}

// pairFirst is the error of a verb that knows no slot of a peer.
func pairFirst(err error, peer string) error {
	return fmt.Errorf("%w\n  pair with it first:\n  wire add %[2]s@wireup.net   (or %[2]s@<their-relay>)", err, plainText(peer))
}

func peerDocument(st health.PeerStatus, record any) canon.Doc {
	attention := canon.Doc{"status": string(st.Attention), "event_count": uint64(st.EventCount), "last_pull_at_unix": nil}
	responder := canon.Doc{"record": record, "status": responderState(record)}
	transport := canon.Doc{"relay_url": st.RelayURL, "status": "ok", "latency_ms": uint64(st.Latency.Milliseconds())}
	if st.LastPull != nil {
		attention["last_pull_at_unix"], attention["age_seconds"] = uint64(st.LastPull.Unix()), uint64(st.Age/time.Second)
	}
	if st.Unanswered != nil {
		attention["event_count"], responder["status"] = nil, "unknown"
		transport["status"], transport["latency_ms"], transport["error"] = "error", nil, client.Describe(st.Unanswered)
	}
	return canon.Doc{"peer": st.Peer, "transport": transport, "attention": attention, "responder": responder}
}

func responderState(record any) string {
	doc, ok := record.(canon.Doc)
	if !ok {
		return "not_reported"
	}
	status, ok := doc["status"].(string)
	if !ok {
		return "unknown"
	}
	return status
}

func (a *app) printPeer(st health.PeerStatus, record any) {
	transport := fmt.Sprintf("ok relay reachable (%dms)", st.Latency.Milliseconds())
	responder := "not reported"
	if doc, ok := record.(canon.Doc); ok {
		responder = plainText(responderState(record))
		if because, ok := doc["reason"].(string); ok {
			responder += " — " + plainText(because)
		}
	}
	attention := fmt.Sprintf("%s last pull %s ago", st.Attention, span(st.Age))
	switch {
	case st.Unanswered != nil:
		transport, attention, responder = "error "+client.Describe(st.Unanswered), "unknown", "unknown"
	case st.Attention == health.AttentionNever:
		attention = "never pulled since relay reset"
	}
	fmt.Fprintf(a.out, "transport      %s\nattention      %s\nauto-responder %s\n", transport, attention, responder)
}

// span is a time span in the largest unit that it fills.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%dh", d/time.Hour)
}
