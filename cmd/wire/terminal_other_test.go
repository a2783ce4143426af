//go:build !linux

package main_test

import (
	"errors"
	"os/exec"
)

func onTerminal(*exec.Cmd) (string, error) { return "", errors.New("only on Linux") }
