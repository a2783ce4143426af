package notify

import (
	"context"
	"fmt"

	"wirefleet.dev/wire/internal/process"
)

var desktops = []desktop{byScript}

// byScript gives the texts to the script as arguments, so none of them is part of it.
func byScript(ctx context.Context, t note) error {
	err := process.Task{Args: []string{
		"osascript", "-e", "on run argv", "-e", "display notification (item 2 of argv) with title (item 1 of argv)",
		"-e", "end run", "--", t.title, t.body,
	}}.Run(ctx)
	if err != nil {
		return fmt.Errorf("osascript: %w", err)
	}
	return nil
}
