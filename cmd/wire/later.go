package main

import (
	"fmt"

	"wirefleet.dev/wire/internal/home"
)

// The reference's verbs that this version does not have yet. They read their arguments as theirs do, so that a
// script is told of a mistake first, and then say what leads on instead.

// notYet is what such a verb says.
func notYet(verb, instead string) error {
	return fmt.Errorf("`wire %s` is not there yet in this version; %s", verb, instead)
}

const (
	pairInstead = "`wire add <nick>@<relay>` pairs by handle, `wire session pair-all-local` pairs the sessions of this machine"
	mcpInstead  = "agents can run `wire send`, `wire tail` and `wire monitor --json`"
)

// operatorInitialized is the init check of verbs that ask for an identity before anything else.
func (a *app) operatorInitialized() error {
	s, err := a.session()
	if err == nil && !s.Initialized() {
		err = fmt.Errorf("%w — operator must run `wire init <handle>` first", home.ErrNotInitialized)
	}
	return err
}

// pairWaitFlags are those of a pairing by code phrase.
type pairWaitFlags struct {
	Yes     bool `help:"Take the digits for confirmed."`
	Timeout uint `default:"300" help:"Seconds to wait for the peer."`
	Detach  bool `help:"Leave the rest to the daemon."`
}

type pairCmd struct {
	Handle string `arg:"" help:"The own handle, where there is no identity yet."`
	Code   string `placeholder:"CODE" help:"The peer's code phrase; without one a new one is made."`
	Relay  string `default:"https://wireup.net" placeholder:"RELAY" help:"The relay to meet at."`
	pairWaitFlags
	NoSetup bool `help:"Leave the configuration of agent hosts alone."`
}

func (c *pairCmd) Run(a *app) error {
	a.adopted()
	return notYet("pair", pairInstead)
}

type pairHostCmd struct {
	Relay string `required:"" placeholder:"RELAY" help:"The relay to meet at."`
	pairWaitFlags
	jsonFlag
}

func (c *pairHostCmd) Run(a *app) error {
	if err := a.operatorInitialized(); err != nil {
		return err
	}
	return notYet("pair-host", pairInstead)
}

type pairJoinCmd struct {
	CodePhrase string `arg:"" help:"What the host's wire printed."`
	Relay      string `required:"" placeholder:"RELAY" help:"The relay to meet at."`
	pairWaitFlags
	jsonFlag
}

func (c *pairJoinCmd) Run(a *app) error {
	if err := a.operatorInitialized(); err != nil {
		return err
	}
	return notYet("pair-join", pairInstead)
}

type pairConfirmCmd struct {
	CodePhrase string `arg:"" help:"Of the pairing."`
	Digits     string `arg:"" help:"The six that the peer sees."`
	jsonFlag
}

func (c *pairConfirmCmd) Run(a *app) error {
	a.adopted()
	return notYet("pair-confirm", pairInstead)
}

type pairCancelCmd struct {
	CodePhrase string `arg:"" help:"Of the pairing."`
	jsonFlag
}

func (c *pairCancelCmd) Run(a *app) error {
	a.adopted()
	return notYet("pair-cancel", pairInstead)
}

type pairWatchCmd struct {
	CodePhrase string `arg:"" help:"Of the pairing."`
	Status     string `default:"sas_ready" placeholder:"STATUS" help:"What to wait for."`
	Timeout    uint   `default:"300" help:"Seconds to wait."`
	jsonFlag
}

func (c *pairWatchCmd) Run(a *app) error {
	a.adopted()
	return notYet("pair-watch", pairInstead)
}

type pairAbandonCmd struct {
	CodePhrase string `arg:"" help:"Of the pairing."`
	Relay      string `default:"https://wireup.net" placeholder:"RELAY" help:"Where it was begun."`
}

func (c *pairAbandonCmd) Run(a *app) error {
	a.adopted()
	return notYet("pair-abandon", pairInstead)
}

type inviteCmd struct {
	Relay string `default:"https://wireup.net" placeholder:"RELAY" help:"The relay to meet at."`
	TTL   uint64 `name:"ttl" default:"86400" help:"Seconds that it holds."`
	Uses  uint   `default:"1" help:"How many may accept it."`
	Share bool   `help:"Register a short URL for it."`
	jsonFlag
}

func (c *inviteCmd) Run(a *app) error {
	a.adopted()
	return notYet("invite", pairInstead)
}

type acceptInviteCmd struct {
	URL string `arg:"" name:"url" help:"The invite."`
	jsonFlag
}

func (c *acceptInviteCmd) Run(a *app) error {
	a.adopted()
	return notYet("accept", pairInstead)
}

type mcpCmd struct{}

func (c *mcpCmd) Run(a *app) error {
	a.adopted()
	return notYet("mcp", mcpInstead)
}

type setupCmd struct {
	Apply bool `help:"Write the configuration of agent hosts."`
}

func (c *setupCmd) Run(a *app) error {
	a.adopted()
	return notYet("setup", mcpInstead)
}
