package home

import (
	"os"
	"path/filepath"
	"syscall"
)

// Uids of people begin here, on Linux at 1000 and on macOS at 501; nobody is one of them on neither.
const (
	firstPerson = 500
	nobody      = 65534
)

// Neighbours are the other people of this machine, as far as one can see: the directories beside HOME that
// belong to them. A relay on loopback answers them too (field-failures.md S1).
func (e Env) Neighbours() []string { return neighbours(e.Home, uint32(os.Getuid())) }

func neighbours(home string, me uint32) []string {
	beside := filepath.Dir(filepath.Clean(home))
	if !filepath.IsAbs(home) || beside == "/" { // root's own stands among the system's
		return nil
	}
	entries, err := os.ReadDir(beside)
	if err != nil {
		return nil
	}
	var out []string
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != me && st.Uid >= firstPerson && st.Uid != nobody {
			out = append(out, entry.Name())
		}
	}
	return out
}
