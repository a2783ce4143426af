package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay"
)

// watchedFleet is a fleet under `wire apply --watch`.
type watchedFleet struct {
	fleet
	cmd *exec.Cmd
	log *bufio.Scanner // one JSON line each
}

func startWatch(b *testing.B, n int) *watchedFleet {
	b.Helper()
	w := &watchedFleet{fleet: newFleet(b, n)}
	w.cmd = w.wire("apply", "--watch", "--log-format", "json")
	out, err := w.cmd.StderrPipe()
	check(b, err)
	check(b, w.cmd.Start())
	w.log = bufio.NewScanner(out)
	b.Cleanup(func() {
		check(b, w.cmd.Process.Signal(syscall.SIGTERM))
		for w.log.Scan() { // to its end
		}
		check(b, w.cmd.Wait())
	})
	must(b, w.wire("wait", "--for", "converged"))
	return w
}

// logLine is what a bench reads of a log line.
type logLine struct {
	Msg, Kind, Subject string
}

// until reads the log up to the line that is asked for.
func (w *watchedFleet) until(b *testing.B, wanted logLine) {
	b.Helper()
	for w.log.Scan() {
		var l logLine
		check(b, json.Unmarshal(w.log.Bytes(), &l))
		if l == wanted {
			return
		}
	}
	b.Fatalf("the log ended (%v) before %v", w.log.Err(), wanted)
}

// BenchmarkRevival: from kill -9 of one of 24 daemons to the line that says that another one is ready. A daemon
// is killed again only when it has lived long enough to be brought back at once.
func BenchmarkRevival(b *testing.B) {
	w := startWatch(b, 24)
	afresh := time.Now().Add(11 * time.Second)
	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		at := n % len(w.names)
		if at == 0 {
			<-time.After(time.Until(afresh))
			afresh = time.Now().Add(11 * time.Second)
		}
		b.StartTimer()
		began := time.Now()
		_, err := kill9(w.session(w.names[at]).DaemonLife())
		check(b, err)
		w.until(b, logLine{"changed", "start daemon", w.names[at]})
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(ms(took[len(took)/2]), "ms-median")
	b.ReportMetric(ms(took[len(took)*9/10]), "ms-p90")
	b.ReportMetric(ms(took[len(took)-1]), "ms-worst")
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// BenchmarkIdleWatch: what a watcher, its relay and its 24 daemons take in an idle minute.
func BenchmarkIdleWatch(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("only /proc tells")
	}
	w := startWatch(b, 24)
	dir := w.relayState()
	groups := map[string][]process.Info{
		"watcher": {w.holder(b, home.Machine{Root: filepath.Join(w.wh, "sessions")}.WatchLife())},
		"relay":   {w.holder(b, relay.LifeLock(dir))},
	}
	for _, name := range w.names {
		groups["daemon"] = append(groups["daemon"], w.holder(b, w.session(name).DaemonLife()))
	}
	for b.Loop() {
		<-time.After(5 * time.Second) // what the start took is over
		before := map[string]float64{}
		for name, all := range groups {
			before[name] = cpu(b, all)
		}
		<-time.After(time.Minute)
		for name, all := range groups {
			b.ReportMetric((cpu(b, all)-before[name])/float64(len(all)), name+"-cpu-ms/min")
			b.ReportMetric(pss(b, all)/1024, name+"-MiB-PSS")
		}
	}
	b.ReportMetric(0, "ns/op")
}

func (w *watchedFleet) holder(b *testing.B, life string) process.Info {
	b.Helper()
	l, held, proven, err := process.ReadLife(life)
	check(b, err)
	if !held || !proven {
		check(b, errors.New(life+" is held by nobody"))
	}
	i, ok := process.Lookup(l.PID)
	if !ok {
		b.Fatalf("pid %d is gone", l.PID)
	}
	return i
}

// cpu is what processes have run so far, in milliseconds, by the scheduler's own count.
func cpu(b *testing.B, all []process.Info) (ms float64) {
	b.Helper()
	for _, i := range all {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", i.PID))
		check(b, err)
		for _, task := range tasks {
			data, err := os.ReadFile(task)
			check(b, err)
			ns, err := strconv.ParseFloat(strings.Fields(string(data))[0], 64)
			check(b, err)
			ms += ns / 1e6
		}
	}
	return ms
}

// pss is the proportional set size of one of them on average, in KiB.
func pss(b *testing.B, all []process.Info) (kib float64) {
	b.Helper()
	for _, i := range all {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", i.PID))
		check(b, err)
		for line := range bytes.Lines(data) {
			if f := strings.Fields(string(line)); len(f) > 1 && f[0] == "Pss:" {
				n, err := strconv.ParseFloat(f[1], 64)
				check(b, err)
				kib += n / float64(len(all))
			}
		}
	}
	return kib
}
