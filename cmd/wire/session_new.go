package main

import (
	"fmt"
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
	Name       *string `arg:"" optional:"" complete:"sessions" help:"The session; default: derived from the working directory."`
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
	if err := a.sayMade(made, w); err != nil {
		return err
	}
	if failure != nil && !(made.Existed && made.Shown) {
		return failure
	}
	if err := c.print(a, made, cwd); err != nil {
		return err
	}
	return failure
}

// sayMade prints what happened on the way: of a new session on stdout, where the reference's children print,
// except what went wrong.
func (a *app) sayMade(m *verbs.Made, w verbs.Wish) error {
	for _, line := range m.Remarks {
		fmt.Fprintf(a.err, "wire session new: %s\n", line)
	}
	for _, err := range m.Refused {
		a.fail(err)
	}
	switch {
	case m.Existed && m.Slot != nil:
		fmt.Fprintf(a.err, "wire session new: slot allocated on %s (slot_id=%s)\n", w.Relay, m.Slot.SlotID)
	case !m.Existed && m.Info.KeyID != "" && (m.Slot != nil || w.LocalOnly):
		next := "`wire session pair-all-local` pairs it with the other sessions of this machine"
		if err := sayIdentity(a.out, m.Session, m.Info, m.Slot, next); err != nil {
			return err
		}
	}
	switch {
	case m.Nick == "":
	case m.Existed:
		fmt.Fprintf(a.err, "wire session new: claimed %s on %s\n", m.Nick, w.Relay)
	default:
		if err := a.sayClaimed(m.Nick, strings.TrimRight(w.Relay, "/")); err != nil {
			return err
		}
	}
	if m.Local != nil {
		fmt.Fprintf(a.err, "wire session new: local slot allocated on %s (slot_id=%s)\n", w.LocalRelay, m.Local.SlotID)
	}
	return nil
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
