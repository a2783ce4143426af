package mailbox

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// benchWorld is api and web pinned to each other, and web's pins of n more peers.
func benchWorld(b *testing.B, n int) *world {
	b.Helper()
	w := newWorld(b, "api", "web")
	w.pin("api", "web")
	w.pin("web", "api")
	s, self := w.session("web"), w.self("web")
	check(s.UpdateTrust(b.Context(), func(sp *canon.Spans) error {
		for i := range n {
			name := fmt.Sprint("peer", i)
			w.event(name, "")
			_, rec, err := identity.PinRecord(w.card[name], identity.TierVerified, time.Now(), nil)
			check(err)
			sp.Set(canon.AppendPretty(nil, rec, 2), "agents", name)
		}
		return nil
	}))
	check(s.UpdateRelay(b.Context(), func(r *home.RelayFile) error {
		for i := range n {
			r.SetPeer(fmt.Sprint("peer", i), self)
		}
		return nil
	}))
	return w
}

// BenchmarkHop is one message from send to inbox, without process starts: the fsyncs of outbox, relay,
// inbox and cursor.
func BenchmarkHop(b *testing.B) {
	for _, peers := range []int{0, 24, 400} {
		b.Run(fmt.Sprintf("peers=%d", peers), func(b *testing.B) {
			w := benchWorld(b, peers)
			api, web := w.box("api"), w.box("web")
			for b.Loop() {
				w.send("api", "web", "x")
				w.push(api)
				w.pull(web)
			}
		})
	}
}

// BenchmarkIdle is a cycle with nothing to do, as a daemon makes one per interval.
func BenchmarkIdle(b *testing.B) {
	for _, peers := range []int{24, 400} {
		w := benchWorld(b, peers)
		w.send("web", "api", "x")
		web := w.box("web")
		s := w.session("web")
		for range 2 {
			w.push(web)
			w.pull(web)
			for _, f := range []string{s.RelayFile(), s.TrustFile(), s.SentFile()} {
				old := time.Now().Add(-time.Hour)
				check(os.Chtimes(f, old, old))
			}
		}
		b.Run(fmt.Sprintf("push/peers=%d", peers), func(b *testing.B) {
			for b.Loop() {
				w.push(web)
			}
		})
		b.Run(fmt.Sprintf("pull/peers=%d", peers), func(b *testing.B) {
			for b.Loop() {
				w.pull(web)
			}
		})
	}
}

// BenchmarkPage is a full page of 1000 verified events, and what the Box keeps of them afterwards.
func BenchmarkPage(b *testing.B) {
	w := newWorld(b, "web")
	w.event("api", "")
	w.trust("web", "api", time.Now())
	var texts []string
	for i := range 1000 {
		texts = append(texts, string(canon.Compact(w.event("api", fmt.Sprint("m", i)))))
	}
	srv := newSlotServer(b, texts...)
	s := w.session("web")
	check(s.UpdateRelay(b.Context(), func(r *home.RelayFile) error {
		r.SetSelf([]home.Endpoint{{RelayURL: srv.URL, SlotID: "aa", Scope: home.Local}})
		return nil
	}))
	unread := must(os.ReadFile(s.RelayFile()))
	var kept uint64
	for b.Loop() {
		b.StopTimer()
		check(os.WriteFile(s.RelayFile(), unread, 0o600))
		check(os.RemoveAll(must(s.Inbox("api"))))
		web := w.box("web")
		before := heap()
		b.StartTimer()
		w.pull(web)
		b.StopTimer()
		kept = heap() - before
		runtime.KeepAlive(web)
		b.StartTimer()
	}
	b.ReportMetric(float64(kept)/1024, "KiB-kept")
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
