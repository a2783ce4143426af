package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// freeze makes an inbox read-only for a while. Permissions do not stop root, so there the files are made
// immutable, where the file system has that.
func freeze(ctx context.Context, dir string, d time.Duration) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return err
	}
	restore := func() {
		for _, f := range files {
			_ = os.Chmod(f, 0o600)
		}
	}
	for _, f := range files {
		if err := os.Chmod(f, 0o400); err != nil {
			return err
		}
	}
	if os.Geteuid() == 0 {
		for _, f := range files {
			if err := immutable(f, true); err != nil {
				restore()
				return errMissed
			}
		}
		restore = func() {
			for _, f := range files {
				_ = immutable(f, false)
				_ = os.Chmod(f, 0o600)
			}
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	restore()
	return nil
}

// immutableFlag is FS_IMMUTABLE_FL of linux/fs.h.
const immutableFlag = 0x10

func immutable(path string, on bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	flags &^= immutableFlag
	if on {
		flags |= immutableFlag
	}
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
}
