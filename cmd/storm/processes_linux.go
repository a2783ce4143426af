package main

import (
	"os"
	"strconv"
	"strings"

	"wirefleet.dev/wire/internal/process"
)

// processes are those whose command line or environment names dir.
func processes(dir string) ([]proc, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var out []proc
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// What cannot be read is another user's, or gone.
		args, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		env, _ := os.ReadFile("/proc/" + e.Name() + "/environ")
		if !named(dir, args, env) {
			continue
		}
		if i, ok := process.Lookup(pid); ok {
			out = append(out, proc{pid, i.StartTicks, strings.ReplaceAll(strings.TrimSuffix(string(args), "\x00"), "\x00", " ")})
		}
	}
	return out, nil
}
