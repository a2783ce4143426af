package main

import (
	"time"

	"wirefleet.dev/wire/internal/reactor"
)

type reactorCmd struct {
	OnEvent       string `required:"" help:"Shell command to run for each event: JSON on its stdin, WIRE_EVENT_PEER, WIRE_EVENT_ID and WIRE_EVENT_KIND in its environment."`
	Peer          string `placeholder:"PEER" complete:"peers" help:"Only events of this peer."`
	Kind          string `placeholder:"KIND" complete:"decision,heartbeat,claim,ack,agent_card,trust_add_key,trust_revoke_key,wire_open,wire_close" help:"Only events of this type, or with this number."`
	VerifiedOnly  bool   `help:"Only events whose signature counts; it is always so."`
	Interval      int    `default:"2" help:"Seconds between two looks where the system tells of no change."`
	Once          bool   `help:"Handle what is there and exit."`
	DryRun        bool   `help:"Print the events instead of running the command."`
	MaxPerMinute  int    `default:"6" help:"Most events of one peer that run the command within a minute; 0: no limit."`
	MaxChainDepth int    `default:"1" help:"0: run it also for what answers, with (re:ID), a message that it has sent."`
}

func (c *reactorCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	return reactor.Run(a.ctx, reactor.Config{
		Session: s, Command: c.OnEvent, Peer: c.Peer, Kind: c.Kind, Interval: time.Duration(c.Interval) * time.Second,
		Once: c.Once, DryRun: c.DryRun, MaxPerMinute: c.MaxPerMinute, Answers: c.MaxChainDepth == 0,
		Stdout: a.out, Stderr: a.err,
	})
}
