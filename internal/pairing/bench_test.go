package pairing

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/home"
)

// fleet makes n sessions with identities and slots, unpaired.
func fleet(b testing.TB, n int) []home.Session {
	root := b.TempDir()
	sessions := make([]home.Session, n)
	for i := range sessions {
		name := fmt.Sprintf("agent-%03d", i)
		sessions[i] = newSession(b, root, name, name)
	}
	return sessions
}

// BenchmarkWeave makes full meshes from nothing: identities and slots there, pins not, no HTTP. The signatures
// are checked anew each time, as in a new process.
func BenchmarkWeave(b *testing.B) {
	for _, n := range []int{4, 24, 100, 410} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				sessions := fleet(b, n)
				forgetOwners()
				b.StartTimer()
				results, err := Weave(context.Background(), sessions, all(n), time.Now(), 8)
				if err != nil {
					b.Fatal(err)
				}
				for _, r := range results {
					if r.Err != nil || !r.Changed {
						b.Fatalf("%+v", r)
					}
				}
			}
			b.ReportMetric(float64(n*(n-1)/2)/(b.Elapsed().Seconds()/float64(b.N)), "edges/s")
		})
	}
}

// BenchmarkLook judges meshes in which nothing is to do: first as a new process does, then as one that goes on.
func BenchmarkLook(b *testing.B) {
	for _, n := range []int{24, 100, 410} {
		sessions := fleet(b, n)
		mustWeave(b, sessions, all(n))
		for _, first := range []bool{true, false} {
			name := fmt.Sprint(n)
			if !first {
				name += "-again"
			}
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				start := cpu()
				for b.Loop() {
					if first {
						forgetOwners()
					}
					s, err := Look(context.Background(), sessions, 2)
					if err != nil {
						b.Fatal(err)
					}
					if p := s.Pin(n-1, 0); p.State != PinGood {
						b.Fatalf("%+v", p)
					}
				}
				b.ReportMetric(float64((cpu()-start).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			})
		}
	}
}

// cpu is what this process has used, all threads: steady where the machine is not ours alone.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func forgetOwners() {
	owners.Lock()
	defer owners.Unlock()
	owners.byHash = nil
}
