package census

import (
	"os"
	"path/filepath"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

// Table is the process table, in which a process that has no WIRE_HOME has the one that its working directory
// adopts (reference/home-and-daemon.md 2.3).
func Table(m home.Machine) ([]process.Info, error) {
	table, err := process.Table()
	for n := range table {
		adopt(m, &table[n])
	}
	return table, err
}

func adopt(m home.Machine, i *process.Info) {
	if i.WireHome != "" || !i.EnvRead || i.Cwd == "" || i.Role() == process.Relay {
		return
	}
	env := m.Env
	env.WireHome, env.WireHomeSet, env.Cwd = "", false, i.Cwd
	if adopted, _ := env.Adopt(); adopted.WireHomeSet {
		i.WireHome = adopted.WireHome
	}
}

// sameHome says whether two spellings of a WIRE_HOME name one directory.
func sameHome(a, b string) bool {
	if a == b || a == "" || b == "" {
		return a == b
	}
	if filepath.Base(a) != filepath.Base(b) {
		return false // the usual case, without a look at the disk
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
