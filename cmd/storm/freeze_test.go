package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestFreezeOverlapping: an inbox that is frozen already is missed, and is as it was when the first freeze is over.
func TestFreezeOverlapping(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "s01.jsonl")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w := &world{frozen: map[string]bool{}}
	ctx, thaw := context.WithCancel(t.Context())
	defer func() { thaw(); w.asides.Wait() }()
	switch err := w.freezeInbox(ctx, dir, time.Hour); {
	case errors.Is(err, errMissed):
		t.Skip("no immutable files here, and root writes to all others")
	case err != nil:
		t.Fatal(err)
	}
	if err := w.freezeInbox(ctx, dir, time.Hour); !errors.Is(err, errMissed) {
		t.Errorf("frozen twice: %v", err)
	}
	thaw()
	w.asides.Wait()
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Error(err)
	}
	again, end := context.WithCancel(t.Context())
	defer func() { end(); w.asides.Wait() }()
	if err := w.freezeInbox(again, dir, time.Hour); err != nil {
		t.Errorf("not frozen any more, and missed: %v", err)
	}
}
