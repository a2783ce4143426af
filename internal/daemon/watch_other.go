//go:build !linux

package daemon

import "errors"

// signalled is a watch that only Linux has.
func signalled(string, string) (*watch, error) { return nil, errors.ErrUnsupported }
