package daemon

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
)

// Pauses between two attempts at a stream. A connection that lasted longLived starts them over; one that a
// sick relay drops at once does not, or it would be dialled for ever at the shortest pause.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
	longLived  = 10 * time.Second
)

// streams keeps one stream per own endpoint, whatever relay.json says these are.
func (d *daemon) streams(ctx context.Context) error {
	running := map[home.Endpoint]context.CancelFunc{}
	var all sync.WaitGroup
	defer all.Wait()
	for {
		if relay, err := d.Session.ReadRelay(); err == nil { // else the next pull says so
			own := relay.Self()
			for e, stop := range running {
				if !slices.Contains(own, e) {
					stop()
					delete(running, e)
				}
			}
			for _, e := range own {
				if running[e] == nil {
					each, stop := context.WithCancel(ctx)
					running[e] = stop
					all.Go(func() { d.stream(each, e) })
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-d.routes:
		}
	}
}

// stream rings for a pull whenever the relay has something for one slot. It is a bell only: what is there
// comes by pull.
func (d *daemon) stream(ctx context.Context, e home.Endpoint) {
	slot := client.Slot{URL: e.RelayURL, ID: e.SlotID, Token: e.SlotToken}
	topic := "stream of " + e.RelayURL
	d.deaf.Add(1)
	defer d.deaf.Add(-1)
	near := e.Scope == home.Local // a proxy on the way elsewhere may hold back what a stream says
	var wait pause
	for again := false; ; again = true {
		var since time.Time
		opened := func() {
			since = time.Now()
			if again {
				d.box.Doubt(e.RelayURL) // it may have come back without what it had
			}
			if near {
				d.deaf.Add(-1)
			}
			d.say.state(topic, "")
			d.pull.up() // for what came while nobody listened
			d.push.up() // for what this relay did not take while it was away
		}
		err := d.relay.Stream(ctx, slot, opened, d.pull.up)
		if near && !since.IsZero() {
			d.deaf.Add(1)
		}
		if ctx.Err() != nil {
			return
		}
		lasted := time.Duration(0)
		if !since.IsZero() {
			lasted = time.Since(since)
		}
		why := "the relay closed it"
		if err != nil {
			why = "error " + client.Describe(err)
		}
		d.say.state(topic, "daemon-stream: "+why+"; reconnecting")
		var back <-chan struct{}
		if errors.Is(err, client.ErrRefused) {
			back = d.refused.bell()
		}
		if !sleep(ctx, jittered(wait.after(lasted)), back) {
			return
		}
	}
}

// pause is the wait before the next attempt, 0 before the first.
type pause time.Duration

// after is the wait after a connection that lasted so long; 0 for none.
func (p *pause) after(lasted time.Duration) time.Duration {
	if lasted >= longLived {
		*p = 0
	}
	*p = pause(min(max(2*time.Duration(*p), firstPause), lastPause))
	return time.Duration(*p)
}

// jittered spreads the attempts of many daemons that lost one relay together: never shorter, up to a quarter
// longer.
func jittered(pause time.Duration) time.Duration {
	return pause + rand.N(pause/4)
}

// sleep is false if ctx ended.
func sleep(ctx context.Context, pause time.Duration, early <-chan struct{}) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-early:
	case <-timer.C:
	}
	return true
}

// streamsWaiting are the streams whose relay refused the connection. A pull that got through tells them that
// somebody is there again, which can be half a minute sooner than their own next attempt.
type streamsWaiting struct {
	mu sync.Mutex
	ch chan struct{}
}

func (s *streamsWaiting) bell() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *streamsWaiting) nudge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
