package main

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/spec"
	"wirefleet.dev/wire/verbs"
)

// verbSite is where the changing session verbs act; timeout is that of one request.
func (a *app) verbSite(timeout time.Duration) (verbs.Site, error) {
	m, err := a.adopted().Machine()
	return verbs.Site{Machine: m, Client: client.New(timeout), Waiting: a.waiting}, err
}

// waiting says whose lock a verb waits for.
func (a *app) waiting(h home.Holder) {
	fmt.Fprintf(a.err, "waiting for `wire %s` (pid %d), which changes this machine at the moment\n", h.Verb, h.PID)
}

type sessionNewCmd struct {
	jsonFlag
	Name       *string `arg:"" optional:"" help:"The session; default: derived from the working directory."`
	Relay      *string `placeholder:"RELAY" help:"Federation relay for slot and handle. [default: https://wireup.net]"`
	WithLocal  bool    `help:"Also a slot on the relay of this machine."`
	LocalRelay *string `placeholder:"LOCAL_RELAY" help:"The relay of this machine. [default: http://127.0.0.1:8771]"`
	LocalOnly  bool    `help:"A slot on the relay of this machine and no other."`
	NoDaemon   bool    `help:"Do not start its daemon."`
}

func (c *sessionNewCmd) Run(a *app) error {
	site, err := a.verbSite(30 * time.Second)
	if err != nil {
		return err
	}
	cwd := site.Machine.Env.Cwd
	if cwd == "" {
		return errReadingCwd
	}
	w := verbs.Wish{
		Cwd: cwd, Name: c.Name, Relay: or(c.Relay, spec.DefaultFederationURL), RelayNamed: c.Relay != nil,
		WithLocal: c.WithLocal, LocalOnly: c.LocalOnly, LocalRelay: or(c.LocalRelay, spec.DefaultLocalURL),
		Daemon: !c.NoDaemon,
	}
	made, failure := site.New(a.ctx, w)
	if made == nil {
		return failure
	}
	a.tellMade(made, w)
	if failure != nil && !(made.Existed && made.Shown) {
		return failure
	}
	if err := c.print(a, made, cwd); err != nil {
		return err
	}
	return failure
}

// tellMade prints what happened on the way: of a new session on stdout, where the reference's children print,
// except what went wrong.
func (a *app) tellMade(m *verbs.Made, w verbs.Wish) {
	for _, line := range m.Remarks {
		fmt.Fprintf(a.err, "wire session new: %s\n", line)
	}
	for _, err := range m.Refused {
		a.fail(err)
	}
	switch {
	case m.Existed && m.Slot != "":
		fmt.Fprintf(a.err, "wire session new: slot allocated on %s (slot_id=%s)\n", w.Relay, m.Slot)
	case !m.Existed && m.KeyID != "" && (m.Slot != "" || w.LocalOnly):
		fmt.Fprintf(a.out, "generated %s (ed25519:%s)\n", m.DID, m.KeyID)
		fmt.Fprintf(a.out, "config written to %s\n", m.Session.ConfigDir())
		if m.Slot != "" {
			fmt.Fprintf(a.out, "bound to relay %s (slot %s)\n", trimmed(w.Relay), m.Slot)
		}
		fmt.Fprintln(a.out, "\nnext step: `wire session pair-all-local` pairs it with the other sessions of this machine")
	}
	switch {
	case m.Nick == "":
	case m.Existed:
		fmt.Fprintf(a.err, "wire session new: claimed %s on %s\n", m.Nick, w.Relay)
	default:
		at := m.Nick + "@" + host(w.Relay)
		fmt.Fprintf(a.out, "claimed %s on %s — others can reach you at: %s\n", m.Nick, trimmed(w.Relay), at)
		fmt.Fprintf(a.out, "verify with: wire whois %s\n", at)
	}
	if m.Local != "" {
		fmt.Fprintf(a.err, "wire session new: local slot allocated on %s (slot_id=%s)\n", w.LocalRelay, m.Local)
	}
}

func (c *sessionNewCmd) print(a *app, m *verbs.Made, cwd string) error {
	status, title := "created", "session created"
	if m.Existed {
		status, title = "already_exists", "session already exists (re-registered cwd)"
	}
	export := "export WIRE_HOME=" + m.Session.Dir
	if c.JSON {
		return a.printJSON(struct {
			Cwd    string `json:"cwd"`
			DID    string `json:"did"`
			Export string `json:"export"`
			Handle string `json:"handle"`
			Home   string `json:"home_dir"`
			Name   string `json:"name"`
			Status string `json:"status"`
		}{home.RegistryKey(cwd), m.DID, export, m.Handle, m.Session.Dir, m.Name, status})
	}
	_, err := fmt.Fprintf(a.out, "%s\n  name:   %s\n  handle: %s\n  did:    %s\n  home:   %s\n\nactivate with:\n  %s\n",
		title, m.Name, m.Handle, m.DID, m.Session.Dir, export)
	return err
}

func trimmed(relay string) string { return strings.TrimRight(relay, "/") }

// host is "host[:port]" of a relay's URL, as addresses name it.
func host(relay string) string {
	if u, err := url.Parse(relay); err == nil && u.Host != "" {
		return u.Host
	}
	return relay
}
