package main_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sync/errgroup"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/mailbox"
	"wirefleet.dev/wire/internal/relay/client"
)

// Benchmarks over the built binary and real processes, each from the start of a command to its exit unless it
// says otherwise:
//
//	go test -run '^$' -bench . -benchtime 5x ./cmd/wire
//
// What concerns one room only is measured there, over real processes as well: posts per second with their
// latencies beside the disk's fsync in internal/relay, memory and CPU of an idle daemon, spawning and the way
// back from kill -9 in internal/daemon.

// fleet is n sessions with identity and slot, and none that knows another, in a place with a relay.
type fleet struct {
	place
	names []string
}

func newFleet(b *testing.B, n int) fleet {
	b.Helper()
	f := fleet{place: placeFor(b)}
	for i := range n {
		f.names = append(f.names, fmt.Sprintf("s%03d", i))
	}
	f.write(b, "quiet.yaml", false)
	f.write(b, "wire.yaml", true)
	var g errgroup.Group
	g.SetLimit(8)
	for i, name := range f.names {
		g.Go(func() error { return f.create(name, i) })
	}
	check(b, g.Wait())
	check(b, f.grantSlots())
	return f
}

func (f fleet) write(b *testing.B, file string, daemons bool) {
	b.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "version: 1\nname: bench\nrelays: {local: {url: $RELAY}}\ndefaults: {daemon: %v}\nmesh: full\nsessions:\n", daemons)
	for _, name := range f.names {
		fmt.Fprintf(&text, "  - name: %s\n", name)
	}
	f.file(b, file, text.String())
}

// create makes a session as an apply that died before the mesh leaves it.
func (f fleet) create(name string, n int) error {
	s := f.session(name)
	if err := s.Ensure(); err != nil {
		return err
	}
	if _, err := identify(s); err != nil {
		return err
	}
	return errors.Join(
		s.WriteManaged(home.Managed{Owner: "bench", CreatedAt: time.Now().UTC()}),
		s.UpdateRelay(context.Background(), func(r *home.RelayFile) error {
			r.SetSelf([]home.Endpoint{{
				RelayURL: "http://" + f.relay, Scope: home.Local,
				SlotID: fmt.Sprintf("%032x", n+1), SlotToken: identity.NewToken(fmt.Sprintf("%064x", n+1)),
			}})
			return nil
		}),
	)
}

// edges is how many a full mesh has.
func (f fleet) edges() int { return len(f.names) * (len(f.names) - 1) / 2 }

// stopwatch adds up what commands take of the processors: on a machine that is busy with other things, the
// time from start to exit says more about those.
type stopwatch struct{ cpu time.Duration }

// run is must with the watch on it.
func (w *stopwatch) run(b *testing.B, cmd *exec.Cmd) {
	b.Helper()
	must(b, cmd)
	w.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

func (w *stopwatch) report(b *testing.B) {
	b.ReportMetric(float64(w.cpu.Microseconds())/1e3/float64(b.N), "cpu-ms/op")
}

// converged fails unless the machine is as the file says.
func (f fleet) converged(b *testing.B, file string) {
	b.Helper()
	must(b, f.wire("plan", "-f", file, "--detailed-exitcode"))
}

// BenchmarkMesh: identities and slots are there, pins are not.
func BenchmarkMesh(b *testing.B) {
	for _, n := range []int{4, 24, 100, 410} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := newFleet(b, n)
			check(b, f.startRelay())
			before := f.pins(b)
			var watch stopwatch
			for b.Loop() {
				watch.run(b, f.wire("apply", "-f", "quiet.yaml"))
				b.StopTimer()
				f.converged(b, "quiet.yaml")
				before.restore(b)
				b.StartTimer()
			}
			b.ReportMetric(float64(f.edges()*b.N)/b.Elapsed().Seconds(), "edges/s")
			watch.report(b)
		})
	}
}

// savedFiles is files and what they held.
type savedFiles map[string][]byte

// pins are the files that a mesh changes.
func (f fleet) pins(b *testing.B) savedFiles {
	b.Helper()
	files := savedFiles{}
	for _, name := range f.names {
		s := f.session(name)
		for _, path := range []string{s.TrustFile(), s.RelayFile()} {
			data, err := os.ReadFile(path)
			check(b, err)
			files[path] = data
		}
	}
	return files
}

func (s savedFiles) restore(b *testing.B) {
	b.Helper()
	for path, data := range s {
		check(b, os.WriteFile(path, data, 0o600))
	}
}

// BenchmarkFirstApply: nothing is there, then relay, sessions, mesh and daemons.
func BenchmarkFirstApply(b *testing.B) {
	for _, n := range []int{4, 24, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := newFleet(b, n)
			var watch stopwatch
			for b.Loop() {
				b.StopTimer()
				f.vanish(b)
				b.StartTimer()
				watch.run(b, f.wire("apply"))
			}
			watch.report(b)
			f.converged(b, "wire.yaml")
		})
	}
}

// vanish ends everything and leaves nothing below WIRE_HOME.
func (f fleet) vanish(b *testing.B) {
	b.Helper()
	_, err := endAll(f.dir)
	check(b, err)
	check(b, os.RemoveAll(f.wh))
}

// BenchmarkIdleApply: all is as the file says, daemons included but for 410.
func BenchmarkIdleApply(b *testing.B) {
	for _, n := range []int{24, 100, 410} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f, file := newFleet(b, n), "wire.yaml"
			if n > 100 {
				file = "quiet.yaml"
			}
			must(b, f.wire("apply", "-f", file))
			f.converged(b, file)
			var watch stopwatch
			for b.Loop() {
				watch.run(b, f.wire("apply", "-f", file))
			}
			watch.report(b)
		})
	}
}

// BenchmarkRepair: one of 24 daemons was killed; apply finds out which and has it back.
func BenchmarkRepair(b *testing.B) {
	f := newFleet(b, 24)
	must(b, f.wire("apply"))
	var watch stopwatch
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		_, err := kill9(f.session(f.names[n%len(f.names)]).DaemonLife())
		check(b, err)
		b.StartTimer()
		watch.run(b, f.wire("apply"))
	}
	watch.report(b)
	f.converged(b, "wire.yaml")
}

// BenchmarkSendToInbox: from the start of `wire send` to the line in the sister's inbox, in a fleet of 24.
func BenchmarkSendToInbox(b *testing.B) {
	f := newFleet(b, 24)
	must(b, f.wire("apply"))
	from, to := f.names[0], f.names[1]
	arrivals, err := fsnotify.NewWatcher()
	check(b, err)
	defer arrivals.Close()
	check(b, arrivals.Add(f.session(to).InboxDir()))
	inbox, err := f.session(to).Inbox(from)
	check(b, err)
	var took []time.Duration
	var size int64
	for b.Loop() {
		cmd := f.wireAt(f.session(from).Dir, "send", to, "claim", "hello")
		began := time.Now()
		check(b, cmd.Start())
		for {
			<-arrivals.Events
			if st, err := os.Stat(inbox); err == nil && st.Size() > size {
				took = append(took, time.Since(began))
				size = st.Size()
				break
			}
		}
		b.StopTimer()
		check(b, cmd.Wait())
		b.StartTimer()
	}
	slices.Sort(took)
	for _, q := range []struct {
		unit string
		at   int
	}{{"ms-p50", len(took) / 2}, {"ms-p99", len(took) * 99 / 100}, {"ms-worst", len(took) - 1}} {
		b.ReportMetric(float64(took[q.at].Microseconds())/1e3, q.unit)
	}
}

// BenchmarkEveryEdge: a message over each directed edge of a fleet of 24 with daemons, 552 in all, from the
// first one queued to the last one in an inbox. They are queued in this process: how long 552 processes take
// to start says nothing of the fleet.
func BenchmarkEveryEdge(b *testing.B) {
	f := newFleet(b, 24)
	must(b, f.wire("apply"))
	relay := client.New(0)
	defer relay.Close()
	boxes := map[string]*mailbox.Box{}
	for _, name := range f.names {
		boxes[name] = mailbox.Open(f.session(name), relay)
	}
	rounds := 0
	for b.Loop() {
		rounds++
		var g errgroup.Group
		for _, from := range f.names {
			g.Go(func() error {
				for _, to := range f.names {
					if to == from {
						continue
					}
					out := mailbox.Outgoing{Peer: to, Kind: "claim", Body: "over every edge"}
					if _, err := boxes[from].Send(b.Context(), out, time.Now()); err != nil {
						return err
					}
				}
				return nil
			})
		}
		check(b, g.Wait())
		check(b, until(func() error { return f.allArrived(rounds) }))
	}
	for _, to := range f.names { // none twice
		for _, from := range f.names {
			if from != to {
				check(b, f.arrived(to, from, rounds))
			}
		}
	}
	b.ReportMetric(float64(2*f.edges()*b.N)/b.Elapsed().Seconds(), "messages/s")
}

// allArrived is an error unless each inbox file has that many lines.
func (f fleet) allArrived(lines int) error {
	for _, to := range f.names {
		for _, from := range f.names {
			if from == to {
				continue
			}
			data, err := os.ReadFile(filepath.Join(f.session(to).InboxDir(), from+".jsonl"))
			if err != nil {
				return err
			}
			if got := strings.Count(string(data), "\n"); got < lines {
				return fmt.Errorf("%s has %d of %d messages from %s", to, got, lines, from)
			}
		}
	}
	return nil
}
