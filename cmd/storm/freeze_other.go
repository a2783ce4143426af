//go:build !linux

package main

import (
	"os"
	"path/filepath"
)

// freeze makes the files of an inbox read-only until thaw is called.
func freeze(dir string) (thaw func(), err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errMissed
	}
	thaw = func() {
		for _, f := range files {
			_ = os.Chmod(f, 0o600)
		}
	}
	for _, f := range files {
		if err := os.Chmod(f, 0o400); err != nil {
			thaw()
			return nil, err
		}
	}
	return thaw, nil
}
