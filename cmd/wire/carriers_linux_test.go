package main_test

import (
	"bytes"
	"os"
	"strconv"

	"wirefleet.dev/wire/internal/process"
)

// carriers are the processes that have a path below dir anywhere in their environment.
func carriers(dir string) []process.Info {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []process.Info
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		environ, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err != nil || !names(environ, dir) {
			continue
		}
		if i, ok := process.Lookup(pid); ok {
			found = append(found, i)
		}
	}
	return found
}

func names(environ []byte, dir string) bool {
	for {
		i := bytes.Index(environ, []byte(dir))
		if i < 0 {
			return false
		}
		environ = environ[i+len(dir):]
		if len(environ) == 0 || environ[0] == 0 || environ[0] == '/' {
			return true
		}
	}
}
