package main

import (
	"fmt"
	"io"
	"os"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/mailbox"
)

type verifyCmd struct {
	jsonFlag
	Path string `arg:"" complete:"files" help:"A file with one event, or - for standard input."`
}

func (c *verifyCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	event, err := a.readJSON(c.Path)
	if err != nil {
		return err
	}
	refused, err := mailbox.Open(s, nil).Verify(event)
	switch {
	case err != nil:
		return err
	case refused == nil && c.JSON:
		return a.printJSON(map[string]any{"verified": true})
	case refused == nil:
		_, err = fmt.Fprintln(a.out, "verified ✓")
		return err
	case c.JSON:
		if err := a.printJSON(map[string]any{"reason": refused.Reason, "verified": false}); err != nil {
			return err
		}
	default:
		fmt.Fprintln(a.err, "FAILED: "+refused.Reason)
	}
	return exit(1)
}

// readJSON reads one JSON value from a file, or from standard input for "-".
func (a *app) readJSON(path string) (any, error) {
	var data []byte
	var err error
	if path == "-" {
		path = "stdin"
		data, err = io.ReadAll(a.in)
	} else {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, bare(err))
	}
	v, err := canon.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}
