package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
)

type sessionCmd struct {
	New          sessionNewCmd     `cmd:"" help:"Make a session for the working directory, or complete one."`
	List         sessionListCmd    `cmd:"" help:"List every session of this machine."`
	ListLocal    sessionLocalCmd   `cmd:"" help:"List the sessions that a local relay connects."`
	PairAllLocal sessionPairCmd    `cmd:"" help:"Pair all sessions that have a local slot with each other."`
	MeshStatus   sessionMeshCmd    `cmd:"" help:"Show which sessions have paired, and whether they pull."`
	Env          sessionEnvCmd     `cmd:"" help:"Print the export line that activates a session."`
	Current      sessionCurrentCmd `cmd:"" help:"Print the session of the working directory."`
	Destroy      sessionDestroyCmd `cmd:"" help:"Delete a session: processes, pins, key and state."`
	Restore      sessionRestoreCmd `cmd:"" help:"Bring a destroyed session's identity back from the trash."`
}

const noSessions = "no sessions on this machine. `wire session new`, or `wire apply` with a wire.yaml, makes some."

type sessionListCmd struct{ jsonFlag }

func (c *sessionListCmd) Run(a *app) error {
	m, err := a.adopted().Machine()
	if err != nil {
		return err
	}
	all, err := census.Roll(m)
	if err != nil {
		return err
	}
	if c.JSON {
		type row struct { // fixed key order (cli.md 1.2)
			Name    string  `json:"name"`
			Cwd     *string `json:"cwd"`
			HomeDir string  `json:"home_dir"`
			DID     *string `json:"did"`
			Handle  *string `json:"handle"`
			Running bool    `json:"daemon_running"`
		}
		rows := make([]row, len(all))
		for i, l := range all {
			rows[i] = row{l.Session.Name, l.Cwd, l.Session.Dir, l.DID, l.Handle, l.Serving}
		}
		return a.printJSON(rows)
	}
	if len(all) == 0 {
		fmt.Fprintln(a.out, noSessions)
		return nil
	}
	a.row("", 24, "NAME", 24, "HANDLE", 10, "DAEMON", 0, "CWD")
	for _, l := range all {
		a.row("", 24, l.Session.Name, 24, or(l.Handle, "?"), 10, running(l.Serving), 0, or(l.Cwd, noCwd))
	}
	return nil
}

const noCwd = "(no cwd registered)"

func running(yes bool) string {
	if yes {
		return "running"
	}
	return "down"
}

func or(s *string, otherwise string) string {
	if s == nil {
		return otherwise
	}
	return *s
}

// row prints columns given as width, text pairs: padded to code points, never cut (cli.md 0.4).
func (a *app) row(indent string, columns ...any) {
	var b strings.Builder
	b.WriteString(indent)
	for i := 0; i < len(columns); i += 2 {
		width, text := columns[i].(int), plainText(columns[i+1].(string))
		b.WriteString(text)
		if i+2 < len(columns) {
			b.WriteString(strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text))+1))
		}
	}
	fmt.Fprintln(a.out, b.String())
}

type sessionLocalCmd struct{ jsonFlag }

type localEndpoint struct {
	RelayURL string `json:"relay_url"`
	SlotID   string `json:"slot_id"`
}

type localRow struct { // fixed key order (cli.md 1.3)
	Name    string          `json:"name"`
	Handle  *string         `json:"handle"`
	DID     *string         `json:"did"`
	Cwd     *string         `json:"cwd"`
	HomeDir string          `json:"home_dir"`
	Running bool            `json:"daemon_running"`
	Local   []localEndpoint `json:"local_endpoints"`
}

type federationRow struct {
	Name   string  `json:"name"`
	Handle *string `json:"handle"`
	Cwd    *string `json:"cwd"`
}

func (c *sessionLocalCmd) Run(a *app) error {
	m, err := a.adopted().Machine()
	if err != nil {
		return err
	}
	all, err := census.List(m)
	if err != nil {
		return err
	}
	local, federation := byRelay(all)
	if c.JSON {
		return a.printJSON(struct {
			Local      map[string][]localRow `json:"local"`
			Federation []federationRow       `json:"federation_only"`
		}{local, federation})
	}
	switch {
	case len(all) == 0:
		fmt.Fprintln(a.out, noSessions)
		return nil
	case len(local) == 0:
		fmt.Fprintln(a.out, "no sister sessions reachable via a local relay. `wire session new --with-local` gives one a local slot.")
	}
	urls := make([]string, 0, len(local))
	for url := range local {
		urls = append(urls, url)
	}
	slices.Sort(urls)
	for _, url := range urls {
		fmt.Fprintf(a.out, "LOCAL RELAY: %s\n", plainText(url))
		a.row("  ", 24, "NAME", 32, "HANDLE", 10, "DAEMON", 0, "CWD")
		for _, r := range local[url] {
			a.row("  ", 24, r.Name, 32, or(r.Handle, "?"), 10, running(r.Running), 0, or(r.Cwd, noCwd))
		}
		fmt.Fprintln(a.out)
	}
	if len(federation) > 0 {
		fmt.Fprintln(a.out, "federation-only (no local endpoint):")
		for _, r := range federation {
			a.row("  ", 24, r.Name, 32, or(r.Handle, "?"), 0, or(r.Cwd, noCwd))
		}
	}
	return nil
}

// byRelay groups sessions by the URL of each of their local endpoints. No token goes in.
func byRelay(all []census.Listed) (local map[string][]localRow, federation []federationRow) {
	local, federation = map[string][]localRow{}, []federationRow{}
	for _, l := range all {
		ends := l.Local()
		if len(ends) == 0 {
			federation = append(federation, federationRow{l.Session.Name, l.Handle, l.Cwd})
			continue
		}
		row := localRow{
			Name: l.Session.Name, Handle: l.Handle, DID: l.DID, Cwd: l.Cwd, HomeDir: l.Session.Dir, Running: l.Serving,
		}
		urls := map[string]bool{}
		for _, e := range ends {
			row.Local = append(row.Local, localEndpoint{e.RelayURL, e.SlotID})
			urls[e.RelayURL] = true
		}
		for url := range urls {
			local[url] = append(local[url], row)
		}
	}
	return local, federation
}

type sessionMeshCmd struct {
	jsonFlag
	StaleSecs int64 `default:"300" help:"A session that has not pulled for longer is stale."`
}

func (c *sessionMeshCmd) Run(a *app) error {
	m, err := a.adopted().Machine()
	if err != nil {
		return err
	}
	st, err := census.Mesh(a.ctx, m, client.New(3*time.Second), c.StaleSecs, time.Now())
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(meshDocument(st, c.StaleSecs))
	}
	a.printMesh(st, c.StaleSecs)
	return nil
}

const noSisters = "no sister sessions with a local endpoint on this machine."

// meshDocument has the keys of cli.md 1.5, in byte order; without sessions it has another shape.
func meshDocument(st census.MeshStatus, stale int64) any {
	federation := orEmpty(st.FederationOnly)
	if len(st.Sisters) == 0 {
		return map[string]any{
			"edges": []any{}, "federation_only": federation, "local_relay": nil,
			"note": noSisters, "sessions": []any{},
			"summary": map[string]any{"asymmetric": 0, "edge_count": 0, "healthy": 0, "session_count": 0, "stale": 0},
		}
	}
	counts := map[string]int{}
	edges := make([]any, len(st.Edges))
	for i, e := range st.Edges {
		counts[e.Status]++
		edges[i] = map[string]any{
			"bilateral":  e.Out.Pinned && e.In.Pinned,
			"directions": map[string]any{e.From: directionJSON(e.Out), e.To: directionJSON(e.In)},
			"from":       e.From, "scope": e.Scope, "status": e.Status, "to": e.To,
		}
	}
	sessions := make([]any, len(st.Sisters))
	for i, s := range st.Sisters {
		sessions[i] = map[string]any{
			"cwd": s.Cwd, "daemon_running": s.Serving, "handle": s.Handle, "local_relay": s.FirstLocal(), "name": s.Session.Name,
		}
	}
	relays := make([]any, len(st.Relays))
	for i, r := range st.Relays {
		relays[i] = map[string]any{"healthy": r.Healthy, "url": r.URL}
	}
	return map[string]any{
		"edges": edges, "federation_only": federation, "local_relays": relays, "sessions": sessions,
		"summary": map[string]any{
			"asymmetric": counts["asymmetric"], "edge_count": len(edges), "healthy": counts["healthy"],
			"session_count": len(sessions), "stale": counts["stale"], "stale_threshold_secs": stale,
		},
	}
}

func directionJSON(d census.Direction) map[string]any {
	out := map[string]any{
		"event_count": d.EventCount, "last_pull_at_unix": d.LastPull, "pinned": d.Pinned,
		"probed": d.Probed, "scope": nil, "silent_secs": d.Silent,
	}
	if d.Scope != "" {
		out["scope"] = d.Scope
	}
	return out
}

func (a *app) printMesh(st census.MeshStatus, stale int64) {
	if len(st.Sisters) == 0 {
		fmt.Fprintln(a.out, noSisters)
		fmt.Fprintln(a.out, "Use `wire session new --with-local` to create one.")
		return
	}
	fmt.Fprintf(a.out, "wire mesh: %d session(s), %d edge(s)\n", len(st.Sisters), len(st.Edges))
	for _, r := range st.Relays {
		mark := "✓"
		if !r.Healthy {
			mark = "✗"
		}
		fmt.Fprintf(a.out, "  local-relay %s %s\n", plainText(r.URL), mark)
	}
	if len(st.FederationOnly) > 0 {
		fmt.Fprintf(a.out, "  federation-only sessions: %s\n", plainText(strings.Join(st.FederationOnly, ", ")))
	}
	a.printMatrix(st)
	fmt.Fprintf(a.out, "\nHealth (stale threshold: %ds):\n", stale)
	marks := map[string]string{"healthy": "✓", "stale": "⚠", "asymmetric": "!"}
	for _, e := range st.Edges {
		fmt.Fprintf(a.out, "  %s %s ↔ %s  scope=%s %10s  [%s | %s]\n",
			marks[e.Status], plainText(e.From), plainText(e.To), e.Scope, e.Status,
			plainText(detail(e.From, e.Out, stale)), plainText(detail(e.To, e.In, stale)))
	}
}

func (a *app) printMatrix(st census.MeshStatus) {
	width := 7
	for _, s := range st.Sisters {
		width = max(width, len(s.Session.Name))
	}
	width++
	cell := func(text string) { fmt.Fprintf(a.out, "%*s", width, plainText(text)) }
	at := map[[2]string]census.Direction{}
	for _, e := range st.Edges {
		at[[2]string{e.From, e.To}], at[[2]string{e.To, e.From}] = e.Out, e.In
	}
	fmt.Fprintln(a.out)
	cell("")
	for _, s := range st.Sisters {
		cell(s.Session.Name)
	}
	fmt.Fprintln(a.out)
	for _, x := range st.Sisters {
		cell(x.Session.Name)
		for _, y := range st.Sisters {
			switch d := at[[2]string{x.Session.Name, y.Session.Name}]; {
			case x.Session.Name == y.Session.Name:
				cell("self")
			case d.Scope == home.Local:
				cell("local")
			case d.Scope == home.Federation:
				cell("fed")
			default:
				cell("—")
			}
		}
		fmt.Fprintln(a.out)
	}
}

func detail(who string, d census.Direction, stale int64) string {
	switch {
	case !d.Pinned:
		return who + " has not pinned"
	case !d.Probed:
		return who + " pinned but no endpoint to probe"
	case d.Silent == nil:
		return who + " never pulled"
	case *d.Silent > stale:
		return fmt.Sprintf("%s silent %ds", who, *d.Silent)
	}
	return fmt.Sprintf("%s fresh (%ds)", who, *d.Silent)
}

type sessionEnvCmd struct {
	jsonFlag
	Name *string `arg:"" optional:"" complete:"sessions" help:"The session; default: that of the working directory."`
}

func (c *sessionEnvCmd) Run(a *app) error {
	env := a.adopted()
	m, err := env.Machine()
	if err != nil {
		return err
	}
	name := ""
	if c.Name != nil {
		name = home.Sanitize(*c.Name)
	} else if name, err = derived(env, m); err != nil {
		return err
	}
	s := m.Session(name)
	if !s.Exists() {
		return fmt.Errorf("no session named %q on this machine.\n  next: `wire session list` shows them, `wire session new` makes one", name)
	}
	if c.JSON {
		return a.printJSON(struct {
			Export string `json:"export"`
			Home   string `json:"home_dir"`
			Name   string `json:"name"`
		}{"export WIRE_HOME=" + s.Dir, s.Dir, name})
	}
	fmt.Fprintf(a.out, "export WIRE_HOME=%s\n", s.Dir)
	return nil
}

// derived is the name that the working directory has or would get (home-and-daemon.md 5.3).
func derived(env home.Env, m home.Machine) (string, error) {
	if env.Cwd == "" {
		return "", errReadingCwd
	}
	reg, err := m.Registry()
	if err != nil {
		reg = home.Registry{} // a name must do without it
	}
	return reg.NameFor(env.Cwd), nil
}

var errReadingCwd = fmt.Errorf("reading cwd: the working directory cannot be read")

type sessionCurrentCmd struct{ jsonFlag }

func (c *sessionCurrentCmd) Run(a *app) error {
	env := a.adopted()
	m, err := env.Machine()
	if err != nil {
		return err
	}
	if env.Cwd == "" {
		return errReadingCwd
	}
	var name *string
	if reg, err := m.Registry(); err == nil {
		if n, ok := reg.Lookup(env.Cwd); ok {
			name = &n
		}
	}
	if c.JSON {
		return a.printJSON(struct {
			Cwd     string  `json:"cwd"`
			Session *string `json:"session"`
		}{home.RegistryKey(env.Cwd), name})
	}
	fmt.Fprintln(a.out, or(name, "(no session registered for this cwd)"))
	return nil
}
