package main

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"wirefleet.dev/wire/internal/daemon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/notify"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay"
)

// background runs the command lines in which wire starts itself for each session, without building a
// command-line model: every idle process would pay for that with memory.
func background(ctx context.Context, args []string, s streams) (status int, ok bool) {
	if len(args) != 3 || args[1] != "--interval" {
		return 0, false
	}
	seconds, err := strconv.Atoi(args[2])
	if err != nil || seconds < 1 {
		return 0, false
	}
	a := &app{streams: s, ctx: ctx, env: home.OSEnv()}
	switch args[0] {
	case "daemon":
		err = (&daemonCmd{Interval: seconds}).Run(a)
	case "notify":
		err = (&notifyCmd{Interval: seconds}).Run(a)
	default:
		return 0, false
	}
	if err != nil {
		a.fail(err)
		return 1, true
	}
	return 0, true
}

type daemonCmd struct {
	jsonFlag
	Interval int  `default:"5" help:"Seconds between two cycles when nothing happens."`
	Once     bool `help:"Run one cycle and exit."`
}

func (c *daemonCmd) Run(a *app) error {
	s, err := a.initialized()
	if err != nil {
		process.NotifyReady(process.Readiness{Error: err.Error()})
		return err
	}
	return daemon.Run(a.ctx, daemon.Config{
		Session: s, Interval: time.Duration(max(1, c.Interval)) * time.Second, Once: c.Once, JSON: c.JSON,
		Stdout: a.out, Stderr: a.err, Build: version, Owner: os.Getenv("WIRE_OWNER"), StartedBy: startedBy(),
	})
}

type notifyCmd struct {
	jsonFlag
	Interval int    `default:"2" help:"Seconds between two looks where the system tells of no change."`
	Peer     string `placeholder:"PEER" complete:"peers" help:"Only what this peer sends."`
	Once     bool   `help:"Show what is there and exit."`
}

func (c *notifyCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		process.NotifyReady(process.Readiness{Error: err.Error()})
		return err
	}
	return notify.Run(a.ctx, notify.Config{
		Session: s, Interval: time.Duration(c.Interval) * time.Second, Peer: c.Peer, Once: c.Once, JSON: c.JSON,
		Stdout: a.out, Stderr: a.err, Build: version, Owner: os.Getenv("WIRE_OWNER"), StartedBy: startedBy(),
	})
}

// startedBy is what a background process says of who started it.
func startedBy() string {
	if by := os.Getenv("WIRE_STARTED_BY"); by != "" {
		return by
	}
	return "operator"
}

type relayCmd struct {
	Bind      string `default:"127.0.0.1:8770" placeholder:"HOST:PORT" help:"Where to listen."`
	LocalOnly bool   `help:"Loopback only, without directory and public pages."`
}

func (c *relayCmd) Run(a *app) error {
	dir, err := a.env.RelayState(c.LocalOnly)
	if err == nil {
		err = relay.Serve(a.ctx, relay.Config{
			Bind: c.Bind, LocalOnly: c.LocalOnly, StateDir: dir, Stderr: a.err,
			Build: version, Owner: os.Getenv("WIRE_OWNER"), StartedBy: startedBy(),
			Ready: func(string) error {
				process.NotifyReady(process.Readiness{Ready: true, PID: os.Getpid()})
				return nil
			},
		})
	}
	var held *process.HeldError
	switch {
	case errors.As(err, &held):
		process.NotifyReady(process.Readiness{Held: &held.Life})
	case err != nil:
		process.NotifyReady(process.Readiness{Error: err.Error()})
	}
	return err
}
