package daemon

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/process"
)

// These run the real program: go test -run '^$' -bench . ./internal/daemon

// program is wire as it is installed, built once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "wire-bench-")
	if err != nil {
		return "", err
	}
	programDir = dir
	path := filepath.Join(dir, "wire")
	build := exec.Command("go", "build", "-o", path, "wirefleet.dev/wire/cmd/wire")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// fleet is n sessions in a full mesh.
func fleet(b *testing.B, n int) (w *world, names []string) {
	b.Helper()
	if _, err := program(); err != nil { // before HOME is moved: the go command keeps its cache there
		b.Fatal(err)
	}
	for i := range n {
		names = append(names, fmt.Sprintf("s%02d", i))
	}
	w = newWorld(b, names...)
	w.weave(names...)
	return w, names
}

func (w *world) real(name string) process.Spec {
	w.t.Helper()
	exe, err := program()
	w.must(err)
	s := w.session(name)
	return process.Spec{Args: []string{"daemon", "--interval", "5"}, Home: s.Dir, Log: s.DaemonLog(), Exe: exe}
}

// up starts the daemons of all sessions, four at a time.
func (w *world) up(names []string) []process.Info {
	w.t.Helper()
	all := make([]process.Info, len(names))
	errs := make([]error, len(names))
	four := make(chan struct{}, 4)
	var wait sync.WaitGroup
	for n, name := range names {
		four <- struct{}{}
		spec := w.real(name)
		wait.Go(func() {
			defer func() { <-four }()
			var r process.Readiness
			if r, errs[n] = process.Spawn(w.t.Context(), spec); errs[n] == nil {
				all[n], _ = process.Lookup(r.PID)
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		w.must(err)
	}
	return all
}

func (w *world) down(all []process.Info) {
	w.t.Helper()
	for _, i := range all {
		w.stop(i, 10*time.Second)
	}
}

// From the first spawn to the last readiness.
func BenchmarkReady(b *testing.B) {
	for _, n := range []int{1, 24, 100} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			w, names := fleet(b, n)
			for b.Loop() {
				all := w.up(names)
				b.StopTimer()
				w.down(all)
				b.StartTimer()
			}
		})
	}
}

// Memory and CPU of an idle daemon, alone and as one of 24. The fleet is left alone for a while first, then
// watched for six intervals.
func BenchmarkIdle(b *testing.B) {
	for _, n := range []int{1, 24} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			w, names := fleet(b, n)
			all := w.up(names)
			defer w.down(all)
			var pss, most, cpu float64
			for b.Loop() {
				<-time.After(3 * time.Second)
				before := w.cpu(all)
				const watched = 30 * time.Second
				<-time.After(watched)
				cpu = (w.cpu(all) - before) / float64(len(all)) * float64(time.Minute/watched)
				pss, most = 0, 0
				for _, i := range all {
					p := w.pss(i)
					pss += p / float64(len(all))
					most = max(most, p)
				}
			}
			b.ReportMetric(pss/1024, "MiB-PSS")
			b.ReportMetric(most/1024, "MiB-PSS-most")
			b.ReportMetric(cpu, "ms-CPU/min")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// pss is the proportional set size in KiB.
func (w *world) pss(i process.Info) float64 {
	w.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", i.PID))
	w.must(err)
	for line := range bytes.Lines(data) {
		if f := strings.Fields(string(line)); len(f) > 1 && f[0] == "Pss:" {
			kib, err := strconv.ParseFloat(f[1], 64)
			w.must(err)
			return kib
		}
	}
	w.t.Fatalf("no Pss in %s", data)
	return 0
}

// cpu is what the processes have run so far, in milliseconds, by the scheduler's own count.
func (w *world) cpu(all []process.Info) (ms float64) {
	w.t.Helper()
	for _, i := range all {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", i.PID))
		w.must(err)
		for _, task := range tasks {
			data, err := os.ReadFile(task)
			w.must(err)
			ns, err := strconv.ParseFloat(strings.Fields(string(data))[0], 64)
			w.must(err)
			ms += ns / 1e6
		}
	}
	return ms
}

// From kill -9 to the notice, and on to a new daemon that is ready.
func BenchmarkKilled(b *testing.B) {
	w, names := fleet(b, 24)
	all := w.up(names)
	defer func() { w.down(all) }()
	var noticed, again time.Duration
	var worst time.Duration
	n := 0
	for b.Loop() {
		at := n % len(all)
		n++
		p, err := process.Open(all[at].PID, all[at].StartTicks)
		w.must(err)
		dead := make(chan error, 1)
		go func() { dead <- p.Wait(b.Context()) }()
		killed := time.Now()
		w.must(p.Stop(b.Context(), 0))
		w.must(<-dead)
		noticed += time.Since(killed)
		p.Close()
		r, err := process.Spawn(b.Context(), w.real(names[at]))
		w.must(err)
		took := time.Since(killed)
		again += took
		worst = max(worst, took)
		all[at], _ = process.Lookup(r.PID)
	}
	b.ReportMetric(float64(noticed.Microseconds())/float64(n)/1e3, "ms-noticed")
	b.ReportMetric(float64(again.Microseconds())/float64(n)/1e3, "ms-ready-again")
	b.ReportMetric(float64(worst.Microseconds())/1e3, "ms-ready-worst")
	b.ReportMetric(0, "ns/op")
}

// From the start of the `wire send` process to the line in the sister's inbox.
func BenchmarkSendToInbox(b *testing.B) {
	w, names := fleet(b, 24)
	all := w.up(names)
	defer w.down(all)
	exe, err := program()
	w.must(err)
	inbox, err := w.session(names[1]).Inbox(names[0])
	w.must(err)
	size := func() int64 {
		st, err := os.Stat(inbox)
		if err != nil {
			return 0
		}
		return st.Size()
	}
	for b.Loop() {
		before := size()
		send := exec.Command(exe, "send", names[1], "claim", "hello")
		send.Env = append(os.Environ(), "WIRE_HOME="+w.session(names[0]).Dir)
		w.must(send.Start())
		for size() == before {
			time.Sleep(100 * time.Microsecond)
		}
		b.StopTimer()
		w.must(send.Wait())
		b.StartTimer()
	}
}
