package home

import "golang.org/x/sys/unix"

// swapNames makes each of two names stand for what the other stood for, at once.
func swapNames(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}
