package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"time"
)

// Output runs a program of the system that ends by itself, with no standard input, and returns what it printed.
// Its failure says what it was, how it ended and what it complained of. When ctx ends it is killed.
func Output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second // what it started may hold the pipes
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err == nil {
		return stdout.String(), nil
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if words, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n"); words != "" {
		return stdout.String(), fmt.Errorf("%s: %w: %s", name, err, words)
	}
	return stdout.String(), fmt.Errorf("%s: %w", name, err)
}
