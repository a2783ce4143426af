package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// sendLimit is how long one send may take before it is killed.
const sendLimit = 30 * time.Second

// traffic is every session sending to every other while the storm lasts.
type traffic struct {
	w       *world
	span    spans // of sends that were let be
	mu      sync.Mutex
	letters []letter // those whose send has ended
	begun   int
}

func newTraffic(w *world) *traffic { return &traffic{w: w} }

// run sends until ctx ends.
func (t *traffic) run(ctx context.Context) {
	var all sync.WaitGroup
	for i := range t.w.set.Sessions {
		all.Go(func() {
			r := rand.New(rand.NewPCG(t.w.set.Seed, uint64(i)))
			for {
				j := (i + 1 + r.IntN(t.w.set.Sessions-1)) % t.w.set.Sessions
				length := r.IntN(400)
				select {
				case <-ctx.Done():
					return
				case <-time.After(time.Duration(200+r.IntN(600)) * time.Millisecond):
				}
				t.send(nameOf(i), nameOf(j), length, 0)
			}
		})
	}
	all.Wait()
}

// doomedSends is how many sends a blow kills: one meets only one moment of what a send does.
const doomedSends = 4

// doomed are sends that are killed, at moments spread over what a send usually takes, the first after part
// thousandths of it.
func (t *traffic) doomed(from, to string, part int) {
	for t.span.usual() == 0 {
		t.send(from, to, 0, 0)
	}
	for n := range doomedSends {
		part := (part + n*1000/doomedSends) % 1000
		t.send(from, to, 100, max(1, t.span.usual()*time.Duration(part)/1000))
	}
}

// send sends one message, whose body is unlike every other. Unless it is 0, it is killed when so much time has
// passed since its program began.
func (t *traffic) send(from, to string, length int, kill time.Duration) {
	t.mu.Lock()
	t.begun++
	l := letter{N: t.begun, From: from, To: to}
	t.mu.Unlock()
	l.Body = strings.TrimSpace(fmt.Sprintf("storm %d: %s to %s, %d %s", t.w.set.Seed, from, to, l.N, strings.Repeat("ü", length)))

	cmd := t.w.command(context.Background(), from, "send", to, l.Body, "--json")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Start()
	if err == nil {
		began, limit := time.Now(), sendLimit
		if kill > 0 {
			limit = kill
		}
		timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
		err = cmd.Wait()
		timer.Stop()
		if err == nil && kill == 0 {
			t.span.add(time.Since(began))
		}
	}
	l.Fate, l.ID = fateOf(err, out.Bytes())
	switch l.Fate {
	case killed:
		t.w.note("send %d from %s to %s: killed after %s", l.N, from, to, max(kill, 0))
	case refused:
		t.w.log("send %d from %s to %s: refused: %v: %s", l.N, from, to, err, said.Bytes())
	case accepted:
		t.w.note("send %d from %s to %s: accepted as %.8s", l.N, from, to, l.ID)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.letters = append(t.letters, l)
}

// fateOf is what became of a send by how its program ended and what it printed. Exit 0 is a promise, whether
// or not it was to be killed.
func fateOf(err error, out []byte) (fate, string) {
	var died *exec.ExitError
	if errors.As(err, &died) {
		if status, ok := died.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return killed, ""
		}
	}
	if err != nil {
		return refused, ""
	}
	var said struct {
		EventID string `json:"event_id"`
	}
	_ = json.Unmarshal(out, &said) // what names no event is found out later
	return accepted, said.EventID
}

// sent are the letters in the order in which their sends began.
func (t *traffic) sent() []letter {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.SortedFunc(slices.Values(t.letters), func(a, b letter) int { return a.N - b.N })
}

// spans are how long something took, the last few times.
type spans struct {
	mu  sync.Mutex
	all []time.Duration
}

func (s *spans) add(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all = append(s.all, d); len(s.all) > 31 {
		s.all = s.all[1:]
	}
}

// usual is the median; 0 before anything was measured.
func (s *spans) usual() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(s.all))[len(s.all)/2]
}
