package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/process"
)

func TestNamed(t *testing.T) {
	for told, want := range map[string]bool{
		"":                                     false,
		"wire\x00apply\x00-f\x00/t/storm.1/w":  true,
		"WIRE_HOME=/t/storm.1\x00X=1":          true,
		"WIRE_HOME=/t/storm.1":                 true,
		"WIRE_HOME=/t/storm.12/wh":             false,
		"A=/t/storm.12/wh\x00B=/t/storm.1/wh":  true,
		"PATH=/bin:/t/storm.1/bin:/usr/bin":    true,
		"wire daemon WIRE_HOME=/t/storm.1 X=1": true,
	} {
		if got := named("/t/storm.1", []byte("x"), []byte(told)); got != want {
			t.Errorf("%q: %v", told, got)
		}
	}
}

// A process that is no wire at all is the storm's if its environment or its command line says so.
func TestCensus(t *testing.T) {
	w := &world{dir: t.TempDir()}
	t.Cleanup(w.endDecoys)
	if err := w.addDecoy(false); err != nil {
		t.Fatal(err)
	}
	if got, err := w.census(); err != nil || len(got) > 0 {
		t.Errorf("decoys are left out: %v, %v", got, err)
	}
	other := &world{dir: w.dir} // that does not know the decoy
	got, err := other.census()
	if err != nil || len(got) != 1 || got[0].PID != w.decoys[0].cmd.Process.Pid || got[0].Start != w.decoys[0].start {
		t.Errorf("%v, %v", got, err)
	}
}

// Two that stay are too many, whoever else comes and goes; one that finds the home served is none too many.
func TestPairs(t *testing.T) {
	type sample struct {
		at   time.Duration
		pids []int
	}
	s := time.Second
	for name, c := range map[string]struct {
		samples []sample
		fails   bool
	}{
		"one":                  {[]sample{{0, []int{1}}, {9 * s, []int{1}}}, false},
		"two for a moment":     {[]sample{{0, []int{1, 2}}, {s, []int{1, 2}}, {2 * s, []int{1}}, {9 * s, []int{1, 2}}}, false},
		"two that stay":        {[]sample{{0, []int{1, 2}}, {s, []int{1, 2}}, {3 * s, []int{1, 2}}}, true},
		"with guests":          {[]sample{{0, []int{1, 2}}, {s, []int{1, 2, 3}}, {2 * s, []int{1, 2, 4}}, {3 * s, []int{1, 2, 5}}}, true},
		"guests only":          {[]sample{{0, []int{1, 2}}, {s, []int{1, 3}}, {2 * s, []int{1, 4}}, {3 * s, []int{1, 5}}}, false},
		"one after the other":  {[]sample{{0, []int{1, 2}}, {s, []int{2, 3}}, {2 * s, []int{3, 4}}, {3 * s, []int{4, 5}}}, false},
		"from the third on":    {[]sample{{0, []int{1}}, {9 * s, []int{1, 2}}, {10 * s, []int{1, 2}}, {12 * s, []int{1, 2}}}, true},
		"gone, and there anew": {[]sample{{0, []int{1, 2}}, {s, []int{}}, {3 * s, []int{1, 2}}}, false},
	} {
		p := pairs{}
		var err error
		for _, one := range c.samples {
			if err == nil {
				err = p.look(map[string][]int{"/h": one.pids, "/other": {9}}, time.Unix(0, 0).Add(one.at))
			}
		}
		if (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Daemons are counted by the home that they serve, under whatever name they were told of it.
func TestByHome(t *testing.T) {
	dir := t.TempDir()
	home := filepath.Join(dir, "wh", "s00")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "wh"), filepath.Join(dir, "also")); err != nil {
		t.Fatal(err)
	}
	daemon := func(pid int, home string) process.Info {
		return process.Info{PID: pid, Args: []string{"wire", "daemon"}, WireHome: home}
	}
	got := byHome([]process.Info{
		daemon(1, home), daemon(2, filepath.Join(dir, "also", "s00")), daemon(3, home+"/"), daemon(4, home),
		daemon(5, dir+"2/wh/s00"), daemon(6, ""),
		{PID: 7, Args: []string{"wire", "notify"}, WireHome: home},
	}, dir, func(pid int) bool { return pid == 4 })
	if pids := got[physical(home)]; len(got) != 1 || len(pids) != 3 {
		t.Errorf("%v", got)
	}
}
