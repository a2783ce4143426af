//go:build !linux

package main

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"wirefleet.dev/wire/internal/process"
)

// processes are those whose command line or environment names dir.
func processes(dir string) ([]proc, error) {
	table, err := exec.Command("ps", "-axwwE", "-o", "pid=,command=").Output()
	if err != nil {
		return nil, fmt.Errorf("ps: %w", err)
	}
	var out []proc
	for line := range strings.Lines(string(table)) {
		if !named(dir, []byte(line)) {
			continue
		}
		number, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		pid, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		if i, ok := process.Lookup(pid); ok {
			out = append(out, proc{pid, i.StartTicks, args})
		}
	}
	return out, nil
}
