//go:build linux

package main_test

import (
	"fmt"
	"sort"
	"strings"
	"sync"
)

// tally counts what became of the records.
type tally struct {
	mu             sync.Mutex
	replayed       int
	equal, differ  int
	failed         int
	byRow, skipped map[string]int
	perFile        map[string]*[4]int // replayed, equal, by row, skipped
}

func (c *tally) add(file string, r *record, o outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byRow == nil {
		c.byRow, c.skipped, c.perFile = map[string]int{}, map[string]int{}, map[string]*[4]int{}
	}
	f := c.perFile[file]
	if f == nil {
		f = &[4]int{}
		c.perFile[file] = f
	}
	if o.skipped != "" {
		c.skipped[o.skipped]++
		f[3]++
		return
	}
	c.replayed++
	f[0]++
	switch {
	case len(o.wrong) > 0:
		c.failed++
	case o.row != "":
		for _, row := range strings.Fields(o.row) {
			c.byRow[row]++
		}
		c.differ++
		f[2]++
	default:
		c.equal++
		f[1]++
	}
}

// pending are the reasons of records whose verb is not there yet.
func (c *tally) pending() (list []string) {
	for why := range c.skipped {
		if strings.HasPrefix(why, "pending: ") {
			list = append(list, why)
		}
	}
	return list
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	sum := func(m map[string]int) (n int) {
		for _, k := range m {
			n += k
		}
		return n
	}
	fmt.Fprintf(&b, "%d records replayed: %d equal, %d differ by a row of docs/differences.md, %d wrong; %d skipped\n",
		c.replayed, c.equal, c.differ, c.failed, sum(c.skipped))
	list := func(title string, m map[string]int) {
		keys := make([]string, 0, len(m))
		for k := range m {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			fmt.Fprintf(&b, "%s %4d  %s\n", title, m[k], k)
		}
	}
	list("differ ", c.byRow)
	list("skipped", c.skipped)
	files := make([]string, 0, len(c.perFile))
	for f := range c.perFile {
		files = append(files, f)
	}
	sort.Strings(files)
	for _, f := range files {
		n := c.perFile[f]
		fmt.Fprintf(&b, "%-28s %3d replayed, %3d equal, %3d by row, %3d skipped\n", f, n[0], n[1], n[2], n[3])
	}
	return b.String()
}
