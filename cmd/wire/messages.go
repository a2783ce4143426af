package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/daemon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/mailbox"
	"wirefleet.dev/wire/internal/relay/client"
)

// adopted is the environment after session adoption, which says so once on stderr (cli.md 0.5).
func (a *app) adopted() home.Env {
	if a.adoption != nil {
		return *a.adoption
	}
	env, line := a.env.Adopt()
	a.adoption = &env
	if line != "" {
		if _, quiet := os.LookupEnv("WIRE_QUIET_AUTOSESSION"); !quiet {
			fmt.Fprintln(a.err, line)
		}
	}
	return env
}

// session is the home that the imperative verbs work on.
func (a *app) session() (home.Session, error) { return a.adopted().Session() }

// initialized is session for a verb that needs an identity.
func (a *app) initialized() (home.Session, error) {
	_, s, err := a.initializedIn()
	return s, err
}

// initializedIn is initialized with the environment that led there, for verbs that look at the sisters too.
func (a *app) initializedIn() (home.Env, home.Session, error) {
	env := a.adopted()
	s, err := env.Session()
	if err == nil && !s.Initialized() {
		err = fmt.Errorf("%w — run `wire init <handle>` first", home.ErrNotInitialized)
	}
	return env, s, err
}

type sendCmd struct {
	jsonFlag
	Peer       string  `arg:"" complete:"peers" help:"The peer's handle."`
	KindOrBody string  `arg:"" name:"kind-or-body" complete:"decision,heartbeat,claim,ack,agent_card,trust_add_key,trust_revoke_key,wire_open,wire_close" help:"The body, or its kind where a body follows (default kind: claim)."`
	Body       *string `arg:"" optional:"" help:"Text, @FILE, or - for standard input."`
	Deadline   *string `placeholder:"WHEN" help:"When it stops to matter: RFC 3339, or 30m, 2h, 1d from now."`
}

func (c *sendCmd) Run(a *app) error {
	kind, text := "claim", c.KindOrBody
	if c.Body != nil {
		kind, text = c.KindOrBody, *c.Body
	}
	s, err := a.initialized()
	if err != nil {
		return err
	}
	now := time.Now()
	body, err := a.body(text)
	if err != nil {
		return err
	}
	deadline := ""
	if c.Deadline != nil {
		if deadline, err = identity.ParseDeadline(*c.Deadline, now); err != nil {
			return err
		}
	}
	box := mailbox.Open(s, client.New(0))
	peer := identity.BareHandle(c.Peer)
	queued, err := box.Send(a.ctx, mailbox.Outgoing{Peer: peer, Kind: kind, Body: body, Deadline: deadline}, now)
	if err != nil {
		return unsent(err)
	}
	daemon.Poke(s)
	a.warnOfKind(kind)
	if c.JSON {
		err = a.printJSON(struct {
			EventID string `json:"event_id"`
			Outbox  string `json:"outbox"`
			Peer    string `json:"peer"`
			Status  string `json:"status"`
		}{queued.EventID, queued.Outbox, peer, "queued"})
	} else {
		_, err = fmt.Fprintf(a.out, "queued event %s → %s (outbox: %s)\n", queued.EventID, peer, queued.Outbox)
	}
	if line := box.Attention(a.ctx, peer, now); line != "" {
		fmt.Fprintln(a.err, line)
	}
	return err
}

// unsent adds what to do about a message that was not queued.
func unsent(err error) error {
	if errors.As(err, new(*mailbox.TooLargeError)) {
		return fmt.Errorf("%w\n  next: send it in parts, or put it where the peer can read it and send the place", err)
	}
	return err
}

// warnOfKind says what becomes of a kind that receivers do not know.
func (a *app) warnOfKind(kind string) {
	if w := mailbox.KindWarning(kind); w != "" {
		fmt.Fprintln(a.err, "warning: "+w)
	}
}

// body is the BODY argument as a JSON value (cli.md 2.5): the text itself is never parsed, a file or
// standard input is where it parses.
func (a *app) body(arg string) (any, error) {
	var data []byte
	var err error
	from := "from stdin"
	switch {
	case arg == "-":
		data, err = io.ReadAll(a.in)
	case strings.HasPrefix(arg, "@"):
		from = "file " + identity.Quote(arg[1:])
		data, err = os.ReadFile(arg[1:])
	default:
		return arg, nil
	}
	if err == nil && !utf8.Valid(data) {
		err = errNotUTF8
	}
	if err != nil {
		return nil, fmt.Errorf("reading body %s: %w", from, bare(err))
	}
	if v, err := canon.Parse(data); err == nil {
		return v, nil
	}
	return string(data), nil
}

var errNotUTF8 = errors.New("stream did not contain valid UTF-8")

type pushCmd struct {
	jsonFlag
	Strict bool   `help:"Exit 1 if anything could not be delivered."`
	Peer   string `arg:"" optional:"" complete:"peers" help:"Only this peer."`
}

func (c *pushCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	res, err := mailbox.Open(s, client.New(0)).Push(a.ctx, mailbox.PushOptions{Peer: c.Peer, Report: true})
	if err != nil {
		return err
	}
	if res.Lost != "" {
		fmt.Fprintln(a.err, "wire push: "+res.Lost)
	}
	for _, name := range res.Stray {
		fmt.Fprintf(a.err, "wire push: outbox file %s is never sent; its messages belong in %s.jsonl\n", name, identity.BareHandle(name))
	}
	why, nothing := res.Nothing()
	if nothing {
		fmt.Fprintln(a.err, "wire push: nothing was delivered: "+why)
	}
	if c.JSON {
		err = a.printJSON(pushDocument(res))
	} else {
		hint := "none"
		switch {
		case nothing:
			hint = "nothing was delivered, see --json for detail"
		case len(res.Skipped) > 0:
			hint = "see --json for detail"
		}
		_, err = fmt.Fprintf(a.out, "pushed %d event(s); skipped %d (%s)\n", len(res.Pushed), len(res.Skipped), hint)
	}
	if err == nil && c.Strict && res.Failed > 0 {
		return exit(1)
	}
	return err
}

type pullCmd struct {
	jsonFlag
	Strict bool `help:"Exit 1 if a relay could not be asked."`
}

func (c *pullCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	res, err := mailbox.Open(s, client.New(0)).Pull(a.ctx)
	if err != nil {
		return err
	}
	for _, line := range res.Failed {
		fmt.Fprintf(a.err, "wire pull: %s; continuing\n", line)
	}
	hint := ""
	if res.Nothing() {
		fmt.Fprintln(a.err, "wire pull: nothing could be fetched: no relay answered")
		hint = " (no relay answered)"
	}
	if c.JSON {
		err = a.printJSON(pullDocument(res))
	} else {
		_, err = fmt.Fprintf(a.out, "pulled %d event(s); wrote %d; rejected %d%s\n", res.TotalSeen, len(res.Written), len(res.Rejected), hint)
	}
	if err == nil && c.Strict && len(res.Failed) > 0 {
		return exit(1)
	}
	return err
}

type tailCmd struct {
	jsonFlag
	Peer  string `arg:"" optional:"" complete:"peers" help:"Only this peer."`
	Limit int    `default:"0" help:"Stop after this many; 0: all."`
}

func (c *tailCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	err = mailbox.Open(s, client.New(0)).Tail(a.out, mailbox.TailOptions{Peer: c.Peer, Limit: c.Limit, JSON: c.JSON})
	if errors.Is(err, mailbox.ErrNoInbox) { // nothing to print is no failure
		if !c.JSON {
			fmt.Fprintln(a.err, err)
		}
		return nil
	}
	return err
}

// pushDocument has the keys of cli.md 2.9.
func pushDocument(res mailbox.PushResult) any {
	item := func(i mailbox.PushItem) map[string]any {
		m := map[string]any{"event_id": i.EventID, "peer": i.Peer}
		if i.Endpoint != "" {
			m["endpoint"], m["scope"] = i.Endpoint, i.Scope
		}
		if i.Reason != "" {
			m["reason"] = i.Reason
		}
		return m
	}
	pushed, skipped := []any{}, []any{}
	for _, i := range res.Pushed {
		pushed = append(pushed, item(i))
	}
	for _, i := range res.Skipped {
		skipped = append(skipped, item(i))
	}
	return map[string]any{"pushed": pushed, "skipped": skipped}
}

// pullDocument has the keys of cli.md 2.10. Nothing blocks our cursor, so cursor_blocked is always false.
func pullDocument(res mailbox.PullResult) any {
	written, rejected := []any{}, []any{}
	for _, w := range res.Written {
		written = append(written, map[string]any{"event_id": w.EventID, "from": w.From})
	}
	for _, r := range res.Rejected {
		m := map[string]any{"blocks_cursor": false, "event_id": r.EventID, "reason": r.Reason, "transient": r.Transient}
		if r.SchemaVersion != "" {
			m["schema_version"] = r.SchemaVersion
		}
		rejected = append(rejected, m)
	}
	var cursor any
	if res.Cursor != "" {
		cursor = res.Cursor
	}
	return map[string]any{
		"cursor_advanced_to": cursor, "cursor_blocked": false, "rejected": rejected,
		"total_seen": res.TotalSeen, "written": written,
	}
}
