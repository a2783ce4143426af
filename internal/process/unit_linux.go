package process

import (
	"os"
	"strings"
)

// Unit is the service unit of this user's systemd that a process belongs to, "" if none: its own, or that of
// whoever started it.
func Unit(pid int) string {
	data, err := os.ReadFile(procDir(pid) + "/cgroup")
	if err != nil {
		return ""
	}
	return userUnit(string(data))
}

// userUnit reads the path of the unified hierarchy, "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service".
func userUnit(cgroup string) string {
	for line := range strings.Lines(cgroup) {
		path, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "0::")
		if !ok {
			continue
		}
		_, below, ok := strings.Cut(path, "/user@")
		unit := below[strings.LastIndexByte(below, '/')+1:]
		if ok && unit != below && strings.HasSuffix(unit, ".service") {
			return unit
		}
	}
	return ""
}
