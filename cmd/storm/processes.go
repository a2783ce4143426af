package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/process"
)

// proc is a process whose command line or environment names the world's directory. Zombies have neither.
type proc struct {
	PID   int
	Start uint64 // as in process.Life
	Args  string
}

func (p proc) String() string { return fmt.Sprintf("%d (%s)", p.PID, p.Args) }

// named says whether what the system tells of a process names dir, or something below it.
func named(dir string, told ...[]byte) bool {
	for _, t := range told {
		for {
			i := bytes.Index(t, []byte(dir))
			if i < 0 {
				break
			}
			t = t[i+len(dir):]
			// /tmp/storm.12 is not /tmp/storm.1.
			if len(t) == 0 || bytes.IndexByte([]byte("/\x00 \t:;,'\""), t[0]) >= 0 {
				return true
			}
		}
	}
	return false
}

// census are the world's processes, without decoys and this one.
func (w *world) census() ([]proc, error) {
	all, err := processes(w.dir)
	if err != nil {
		return nil, err
	}
	var out []proc
	for _, p := range all {
		if p.PID != os.Getpid() && !w.isDecoy(p.PID) {
			out = append(out, p)
		}
	}
	return out, nil
}

// patience is for how long two daemons of one home are none too many: one that finds the home served insists
// for a second before it ends, and the machine may be busy.
const patience = 2 * time.Second

// pairs remembers which homes have two daemons, and since when.
type pairs map[string]pair

type pair struct {
	pids  map[int]bool
	since time.Time
}

// look takes in a sample, pids by home, and names a home that has had the same two or more for longer than
// patience. Others that come and go meanwhile change nothing.
func (p pairs) look(homes map[string][]int, now time.Time) error {
	for home := range p {
		if len(homes[home]) < 2 {
			delete(p, home)
		}
	}
	for home, pids := range homes {
		if len(pids) < 2 {
			continue
		}
		stayed := map[int]bool{}
		for _, pid := range pids {
			if p[home].pids[pid] {
				stayed[pid] = true
			}
		}
		if len(stayed) < 2 {
			all := map[int]bool{}
			for _, pid := range pids {
				all[pid] = true
			}
			p[home] = pair{all, now}
			continue
		}
		p[home] = pair{stayed, p[home].since}
		if d := now.Sub(p[home].since); d > patience {
			return fmt.Errorf("%s has had two daemons for %s: %v", home, d.Round(time.Millisecond), pids)
		}
	}
	return nil
}

// daemons are the pids of those that serve the world's homes, by the home as the file system knows it: two
// names of one home are one.
func (w *world) daemons() (map[string][]int, error) {
	table, err := process.Table()
	if err != nil {
		return nil, err
	}
	return byHome(table, w.dir, w.isDecoy), nil
}

func byHome(table []process.Info, dir string, decoy func(pid int) bool) map[string][]int {
	homes := map[string][]int{}
	root := physical(dir)
	for _, i := range table {
		if i.Role() != process.Daemon || decoy(i.PID) || i.WireHome == "" {
			continue
		}
		if home := physical(i.WireHome); strings.HasPrefix(home, root+string(filepath.Separator)) {
			homes[home] = append(homes[home], i.PID)
		}
	}
	return homes
}

func physical(path string) string {
	if p, err := filepath.EvalSymlinks(path); err == nil {
		return p
	}
	return filepath.Clean(path)
}
