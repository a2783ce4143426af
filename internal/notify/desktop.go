package notify

import (
	"context"
	"errors"
	"strings"
)

// desktop is one way to show a notification; an error means that this way showed nothing.
type desktop func(context.Context, note) error

// onDesktop tries the ways of this system, best first. The error says why each did not do.
func onDesktop(ctx context.Context, t note) error {
	var why []string
	for _, show := range desktops {
		err := show(ctx, t)
		if err == nil {
			return nil
		}
		why = append(why, err.Error())
	}
	return errors.New(strings.Join(why, "; "))
}
