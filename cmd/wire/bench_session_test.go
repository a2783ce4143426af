package main_test

import (
	"fmt"
	"testing"
)

// Benchmarks of the session verbs, as those of bench_test.go from the start of a command to its exit.

// served is a fleet of n with a full mesh and a daemon for each.
func served(b *testing.B, n int) fleet {
	b.Helper()
	f := newFleet(b, n)
	must(b, f.wire("apply"))
	f.converged(b, "wire.yaml")
	return f
}

// BenchmarkSessionList: the reference takes 2.5 ms for 24.
func BenchmarkSessionList(b *testing.B) {
	for _, n := range []int{24, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := served(b, n)
			for b.Loop() {
				must(b, f.wire("session", "list", "--json"))
			}
		})
	}
}

// BenchmarkMeshStatus: the reference takes 1,430 ms for 24.
func BenchmarkMeshStatus(b *testing.B) {
	for _, n := range []int{24, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := served(b, n)
			for b.Loop() {
				must(b, f.wire("session", "mesh-status", "--json"))
			}
		})
	}
}

// BenchmarkPairAllLocal: nobody knows anybody; with the last look at each slot. The reference takes 629 s for 24.
func BenchmarkPairAllLocal(b *testing.B) {
	for _, n := range []int{3, 24, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := newFleet(b, n)
			check(b, f.startRelay())
			before := f.pins(b)
			for b.Loop() {
				must(b, f.wire("session", "pair-all-local", "--strict", "--json"))
				b.StopTimer()
				before.restore(b)
				b.StartTimer()
			}
			b.ReportMetric(float64(f.edges()*b.N)/b.Elapsed().Seconds(), "edges/s")
		})
	}
}

// BenchmarkSessionNew: a session with a daemon, and its end.
func BenchmarkSessionNew(b *testing.B) {
	f := newFleet(b, 24)
	check(b, f.startRelay())
	relay := "http://" + f.relay
	b.Run("with-daemon", func(b *testing.B) {
		for b.Loop() {
			must(b, f.wire("session", "new", "fresh", "--local-only", "--local-relay", relay, "--json"))
			b.StopTimer()
			must(b, f.wire("session", "destroy", "fresh", "--force", "--no-trash"))
			b.StartTimer()
		}
	})
	b.Run("exists", func(b *testing.B) {
		must(b, f.wire("session", "new", "fresh", "--local-only", "--local-relay", relay, "--json"))
		for b.Loop() {
			must(b, f.wire("session", "new", "fresh", "--json"))
		}
	})
	b.Run("destroy", func(b *testing.B) {
		must(b, f.wire("session", "pair-all-local", "--strict"))
		for n := 0; b.Loop(); n++ {
			b.StopTimer()
			name := fmt.Sprintf("gone%d", n)
			must(b, f.wire("session", "new", name, "--local-only", "--local-relay", relay))
			must(b, f.wire("session", "pair-all-local", "--strict"))
			b.StartTimer()
			must(b, f.wire("session", "destroy", name, "--force"))
		}
	})
}
