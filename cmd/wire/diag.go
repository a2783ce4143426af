package main

import (
	"fmt"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/diag"
	"wirefleet.dev/wire/internal/identity"
)

type diagCmd struct {
	Tail    diagTailCmd    `cmd:"" help:"Print the last lines of the trace."`
	Enable  diagEnableCmd  `cmd:"" help:"Trace what this session pulls."`
	Disable diagDisableCmd `cmd:"" help:"Stop tracing."`
	Status  diagStatusCmd  `cmd:"" help:"Show whether it is traced, and where."`
}

type diagTailCmd struct {
	Limit int `default:"20" help:"How many lines."`
	jsonFlag
}

func (c *diagTailCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	lines, err := diag.Tail(s, max(0, c.Limit))
	if err != nil {
		return err
	}
	if c.JSON {
		for _, l := range lines {
			if err := a.printDoc(l); err != nil {
				return err
			}
		}
		return nil
	}
	if len(lines) == 0 {
		_, err = fmt.Fprintln(a.out, "wire diag: no entries (`wire diag enable` begins a trace)")
		return err
	}
	for _, l := range lines {
		kind, _ := l["type"].(string)
		fmt.Fprintf(a.out, "[%s] pid=%s %s %s\n", canon.Compact(l["ts"]), canon.Compact(l["pid"]), plainText(kind), canon.Compact(l["payload"]))
	}
	return nil
}

type diagEnableCmd struct{}

func (c *diagEnableCmd) Run(a *app) error {
	s, err := a.session()
	if err == nil {
		err = diag.Enable(s)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "wire diag: enabled at %s\n", identity.Quote(s.DiagEnabled()))
	return err
}

type diagDisableCmd struct{}

func (c *diagDisableCmd) Run(a *app) error {
	s, err := a.session()
	if err == nil {
		err = diag.Disable(s)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.out, "wire diag: disabled (what was traced stays)")
	return err
}

type diagStatusCmd struct{ jsonFlag }

func (c *diagStatusCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printDoc(canon.Doc{
			"enabled": diag.Enabled(s), "log_path": s.Diag(), "log_size_bytes": uint64(diag.Size(s)),
		})
	}
	_, err = fmt.Fprintf(a.out, "wire diag status\n  enabled:    %t\n  log:        %s\n  log size:   %d bytes\n",
		diag.Enabled(s), identity.Quote(s.Diag()), diag.Size(s))
	return err
}
