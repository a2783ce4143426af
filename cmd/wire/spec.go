package main

import (
	"errors"
	"fmt"

	"wirefleet.dev/wire/spec"
)

type validateCmd struct {
	fileFlag
	jsonFlag
}

// Run checks the file and, since names and dirs depend on it, the file on this machine.
func (c *validateCmd) Run(a *app) error {
	f, err := a.fleet(c.File)
	var problems spec.Problems
	if err != nil && !errors.As(err, &problems) {
		return err
	}
	if c.JSON {
		type problem struct {
			Column int    `json:"column"`
			File   string `json:"file"`
			Line   int    `json:"line"`
			Text   string `json:"text"`
		}
		list := []problem{}
		for _, p := range problems {
			list = append(list, problem{p.Column, p.File, p.Line, p.Text})
		}
		if err := a.printJSON(struct {
			Problems []problem `json:"problems"`
			Valid    bool      `json:"valid"`
			Version  int       `json:"version"`
		}{list, len(list) == 0, 1}); err != nil {
			return err
		}
		if len(list) > 0 {
			return exit(1)
		}
		return nil
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s: ok (%s)\n", f.name, f.size())
	return err
}

type schemaCmd struct{}

func (c *schemaCmd) Run(a *app) error {
	_, err := a.out.Write(spec.Schema())
	return err
}
