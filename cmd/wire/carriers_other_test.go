//go:build !linux

package main_test

import (
	"os"
	"strings"

	"wirefleet.dev/wire/internal/process"
)

// carriers are the wire processes whose WIRE_HOME is below dir; more is not told here.
func carriers(dir string) []process.Info {
	table, err := process.Table()
	if err != nil {
		return nil
	}
	var found []process.Info
	for _, i := range table {
		if i.PID != os.Getpid() && (i.WireHome == dir || strings.HasPrefix(i.WireHome, dir+"/")) {
			found = append(found, i)
		}
	}
	return found
}
