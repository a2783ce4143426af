package relay

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkPosts is what the project promises of its relay, a process of its own here as everywhere: posts of
// 512 bytes over 32 keep-alive connections to 8 slots, every one on disk before it is answered. Beside it stands what the disk needs for
// one fdatasync of such a line, for without that the figure says nothing.
func BenchmarkPosts(b *testing.B) {
	const connections, slots, size = 32, 8, 512
	r, cmd := victim(b, stateDir(b))
	boxes := make([]box, slots)
	for i := range boxes {
		boxes[i] = r.allocate()
	}
	conns := make([]net.Conn, connections)
	for i := range conns {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
	}
	var n atomic.Int64
	failed := make(chan error, connections)
	times := make([][]time.Duration, connections)
	b.ResetTimer()
	began := time.Now()
	for i := range conns {
		go func() {
			br := bufio.NewReader(conns[i])
			for {
				k := n.Add(1)
				if k > int64(b.N) {
					failed <- nil
					return
				}
				to := boxes[int(k)%slots]
				sent := time.Now()
				if err := postRaw(conns[i], br, to, k, size); err != nil {
					failed <- err
					return
				}
				times[i] = append(times[i], time.Since(sent))
			}
		}()
	}
	for range conns {
		if err := <-failed; err != nil {
			b.Fatal(err)
		}
	}
	took := time.Since(began)
	b.StopTimer()
	if err := cmd.Process.Kill(); err != nil {
		b.Fatal(err)
	}
	_ = cmd.Wait() // "signal: killed"
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "relay-cpu-µs/post")
	b.ReportMetric(float64(fsyncTime(b, r.dir).Microseconds()), "fsync-µs")
	all := slices.Concat(times...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/took.Seconds(), "posts/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
}

// postRaw is one post as cheap for the client as can be, for client and relay share the processors.
func postRaw(c net.Conn, br *bufio.Reader, to box, k int64, size int) error {
	body := `{"event":` + string(eventOf(k, size)) + `}`
	_, err := fmt.Fprintf(c, "POST /v1/events/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		to.id, to.token, len(body), body)
	if err != nil {
		return err
	}
	line, err := br.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 201 ")) {
		return fmt.Errorf("answered %q", line)
	}
	length := 0
	for {
		if line, err = br.ReadSlice('\n'); err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if _, err := fmt.Sscanf(string(v), "%d", &length); err != nil {
				return err
			}
		}
	}
	_, err = io.CopyN(io.Discard, br, int64(length))
	return err
}

// eventOf is an event of so many bytes in the form that senders print.
func eventOf(k int64, size int) []byte {
	event := fmt.Appendf(nil, `{"event_id":"%064x","kind":1,"pad":"`, k)
	return append(append(event, strings.Repeat("x", size-len(event)-2)...), `"}`...)
}

// fsyncTime is the median of appending 512 bytes and making them durable, in the directory of the run.
func fsyncTime(b *testing.B, dir string) time.Duration {
	f, err := os.Create(filepath.Join(dir, "fsync-probe"))
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	line := bytes.Repeat([]byte("x"), 512)
	times := make([]time.Duration, 101)
	for i := range times {
		began := time.Now()
		if _, err := f.Write(line); err != nil {
			b.Fatal(err)
		}
		if err := syncData(f); err != nil {
			b.Fatal(err)
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// BenchmarkAllocate is how fast sessions get their slots while none is forgotten: eight at a time, sharing
// writes of tokens.json.
func BenchmarkAllocate(b *testing.B) {
	r := start(b, stateDir(b))
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if a, err := r.try("/v1/slot/allocate", "", "{}"); err != nil || a.StatusCode != http.StatusCreated {
				b.Errorf("allocate: %v %v", a, err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "allocates/s")
}

// BenchmarkPage is a list of the last 100 events of a slot that holds 20,000: what a daemon asks for.
func BenchmarkPage(b *testing.B) {
	slot, since := filledSlot(b)
	b.ResetTimer()
	for b.Loop() {
		page, err := slot.page(&since, 1000)
		if n := bytes.Count(page, []byte(`"event_id"`)); err != nil || n != 100 {
			b.Fatalf("%d events, %v", n, err)
		}
	}
}

// BenchmarkLoad is reading the same slot for the first time after a start.
func BenchmarkLoad(b *testing.B) {
	slot, _ := filledSlot(b)
	b.SetBytes(slot.size)
	b.ResetTimer()
	for b.Loop() {
		if err := slot.read(); err != nil || len(slot.lines) != 20_000 {
			b.Fatalf("%d events, %v", len(slot.lines), err)
		}
	}
}

// filledSlot is a slot of 20,000 events of 512 bytes, and the id of the one before the last 100.
func filledSlot(b *testing.B) (slot *slot, since string) {
	s := unserved(b)
	slot, err := s.store.allocate()
	if err != nil {
		b.Fatal(err)
	}
	var file bytes.Buffer
	for k := range 20_000 {
		file.Write(eventOf(int64(k), 512))
		file.WriteByte('\n')
	}
	if err := os.WriteFile(slot.path(), file.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	if err := slot.load(); err != nil {
		b.Fatal(err)
	}
	return slot, fmt.Sprintf("%064x", 19_899)
}
