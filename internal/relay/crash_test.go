package relay

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// crashDir makes the test binary a relay that serves this directory until it is killed.
const crashDir = "WIRE_TEST_RELAY_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		err := Serve(context.Background(), Config{
			Bind: "127.0.0.1:0", LocalOnly: true, StateDir: dir, Stderr: os.Stderr,
			Ready: func(addr string) error { _, err := fmt.Println(addr); return err },
		})
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim is a relay in a process of its own.
func victim(t testing.TB, dir string) (*running, *exec.Cmd) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir, "HOME="+t.TempDir())
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // an error means that the test has killed it
		_ = cmd.Wait()
	})
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the relay said nothing: %v", err)
	}
	return &running{t: t, addr: strings.TrimSpace(addr), dir: dir}, cmd
}

// Killed while four posters post and one allocates: whatever was acknowledged is there afterwards, in the
// order in which each poster sent it. Three times on one directory, as in state/restart.json.
func TestKilledUnderLoad(t *testing.T) {
	dir := stateDir(t)
	acked := map[box][]string{}
	for round := range 3 {
		r, cmd := victim(t, dir)
		var boxes []box
		for range 4 {
			boxes = append(boxes, r.allocate())
		}
		var total atomic.Int64
		var mu sync.Mutex
		var wg sync.WaitGroup
		enough := make(chan struct{})
		note := func(b box, id string) {
			mu.Lock()
			defer mu.Unlock()
			acked[b] = append(acked[b], id)
			if total.Add(1) == 300 {
				close(enough)
			}
		}
		for _, b := range boxes {
			wg.Go(func() {
				for i := 0; ; i++ {
					id := fmt.Sprintf("%d-%d", round, i)
					a, err := r.try("/v1/events/"+b.id, b.token, fmt.Sprintf(`{"event":{"event_id":%q,"pad":%q}}`, id, strings.Repeat("x", 700)))
					if err != nil {
						return
					}
					if a.StatusCode != http.StatusCreated {
						t.Errorf("post: %d %s", a.StatusCode, a.body)
						return
					}
					note(b, id)
				}
			})
		}
		wg.Go(func() {
			for {
				a, err := r.try("/v1/slot/allocate", "", "{}")
				if err != nil {
					return
				}
				doc := a.doc(t)
				mu.Lock()
				acked[box{doc["slot_id"].(string), doc["slot_token"].(string)}] = nil
				mu.Unlock()
			}
		})
		<-enough
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		_ = cmd.Wait() // "signal: killed"

		after := start(t, dir)
		for b, ids := range acked {
			checkKept(t, after, b, ids)
		}
		if err := after.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// checkKept walks a slot by cursor and expects the acknowledged ids in their order.
func checkKept(t *testing.T, r *running, b box, ids []string) {
	t.Helper()
	since, next := "", 0
	for {
		a := r.do("/v1/events/"+b.id+"?limit=1000&since="+since, b.token, "")
		if a.StatusCode != http.StatusOK {
			t.Fatalf("slot %s: %d %s", b.id, a.StatusCode, a.body)
		}
		events := mustParse(t, a.body).([]any)
		for _, e := range events {
			since = e.(map[string]any)["event_id"].(string)
			if next < len(ids) && ids[next] == since {
				next++
			}
		}
		if len(events) == 0 {
			break
		}
	}
	if next != len(ids) {
		t.Errorf("slot %s: event %s is missing, %d of %d kept", b.id, ids[next], next, len(ids))
	}
}
