package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"sync"
	"time"
)

// traffic is every session sending to every other while the storm lasts.
type traffic struct {
	w  *world
	mu sync.Mutex
	// accepted are the events of sends that exited 0, by id: once in the inbox of their addressee.
	accepted map[string]route
	// doubtful are the bodies of sends that were killed or failed: none or one may arrive.
	doubtful map[string]route
	kill     map[route]bool // the next send on a route is killed
	next     int
}

type route struct{ from, to string }

func newTraffic(w *world) *traffic {
	return &traffic{w: w, accepted: map[string]route{}, doubtful: map[string]route{}, kill: map[route]bool{}}
}

// run sends until ctx ends.
func (t *traffic) run(ctx context.Context) {
	var all sync.WaitGroup
	for i := range t.w.flags.Sessions {
		all.Go(func() {
			r := rand.New(rand.NewPCG(t.w.flags.Seed, uint64(i)))
			for {
				j := (i + 1 + r.IntN(t.w.flags.Sessions-1)) % t.w.flags.Sessions
				select {
				case <-ctx.Done():
					return
				case <-time.After(time.Duration(200+r.IntN(600)) * time.Millisecond):
				}
				t.send(route{nameOf(i), nameOf(j)})
			}
		})
	}
	all.Wait()
}

// send sends one message; the body says where it should go.
func (t *traffic) send(r route) {
	t.mu.Lock()
	t.next++
	body := fmt.Sprintf("storm %d %s %s %d", t.w.flags.Seed, r.from, r.to, t.next)
	strike := t.kill[r]
	delete(t.kill, r)
	t.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := t.w.command(ctx, r.from, "send", r.to, body, "--json")
	if strike {
		time.AfterFunc(2*time.Millisecond, cancel) // CommandContext kills
	}
	out, err := cmd.Output()
	var said struct {
		EventID string `json:"event_id"`
	}
	if err == nil {
		err = json.Unmarshal(out, &said)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil && said.EventID != "" {
		t.accepted[said.EventID] = r
		return
	}
	t.doubtful[body] = r
	var died *exec.ExitError
	if errors.As(err, &died) && len(died.Stderr) > 0 {
		t.w.log("send %s to %s refused: %s", r.from, r.to, died.Stderr)
	}
}

// struck marks the next send on a route to be killed.
func (t *traffic) struck(from, to string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kill[route{from, to}] = true
}
