//go:build !linux

package main

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

// freeze makes the files of an inbox read-only for a while.
func freeze(ctx context.Context, dir string, d time.Duration) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.Chmod(f, 0o400); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	for _, f := range files {
		_ = os.Chmod(f, 0o600)
	}
	return nil
}
