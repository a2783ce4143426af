package main

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// freeze makes an inbox read-only until thaw is called. Permissions do not stop root, so there the files are
// made immutable, where the file system has that.
func freeze(dir string) (thaw func(), err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errMissed
	}
	root := os.Geteuid() == 0
	thaw = func() {
		for _, f := range files {
			if root {
				_ = immutable(f, false)
			}
			_ = os.Chmod(f, 0o600)
		}
	}
	for _, f := range files {
		err := os.Chmod(f, 0o400)
		if err == nil && root && immutable(f, true) != nil {
			err = errMissed
		}
		if err != nil {
			thaw()
			return nil, err
		}
	}
	return thaw, nil
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
