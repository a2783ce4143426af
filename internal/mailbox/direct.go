package mailbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/home"
)

// Delivery is what became of an event that was posted as it was queued: a broadcast's or a routed one.
type Delivery struct {
	Peer    string
	EventID string
	Via     home.Scope // of the endpoint that took it; "" if none did: then it waits in the outbox
	Err     error      // why none did
	Took    time.Duration
}

// Limits of a direct delivery.
const (
	directWait    = 10 * time.Second // for one endpoint
	directWorkers = 16
	pushLockWait  = 2 * time.Second // a daemon that waits for a silent relay has the lock for longer
)

// parcel is a letter and the endpoints that it may take, in order.
type parcel struct {
	letter
	routes []home.Endpoint
}

// direct queues all parcels and then posts them concurrently, each to the first of its endpoints that takes
// it. It holds push.lock meanwhile, so that a daemon which sees the outboxes grow does not post the same
// lines elsewhere, and writes down which slot has them: the next push passes them over. Without the lock the
// next push posts them again, and hears that they are there.
func (b *Box) direct(ctx context.Context, parcels []parcel) ([]Delivery, error) {
	if err := b.home.Ensure(); err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, pushLockWait)
	defer cancel()
	unlock, err := home.Lock(waiting, b.home.PushLock())
	var busy *home.LockedError
	switch {
	case err == nil:
		defer unlock()
	case !errors.As(err, &busy) || ctx.Err() != nil:
		return nil, err
	}
	if err := b.queueAll(parcels); err != nil {
		return nil, err
	}
	out := make([]Delivery, len(parcels))
	slots := make([]string, len(parcels))
	abreast(len(parcels), func(i int) { out[i], slots[i] = b.hand(ctx, parcels[i]) })
	if busy == nil {
		_ = b.writeDown(out, slots) // then it is as without the lock
	}
	return out, nil
}

// queueAll appends each parcel to its outbox.
func (b *Box) queueAll(parcels []parcel) error {
	errs := make([]error, len(parcels))
	abreast(len(parcels), func(i int) { errs[i] = parcels[i].queue() })
	return errors.Join(errs...)
}

// abreast does n things, some at a time.
func abreast(n int, do func(i int)) {
	var all sync.WaitGroup
	turns := make(chan struct{}, directWorkers)
	for i := range n {
		turns <- struct{}{}
		all.Go(func() {
			do(i)
			<-turns
		})
	}
	all.Wait()
}

// hand posts one parcel and says which slot has it.
func (b *Box) hand(ctx context.Context, p parcel) (d Delivery, slot string) {
	d = Delivery{Peer: p.peer, EventID: p.id, Err: errors.New(noRoute)}
	began := time.Now()
	defer func() { d.Took = time.Since(began) }()
	for _, e := range p.routes {
		post, cancel := context.WithTimeout(ctx, directWait)
		_, err := b.relay.Post(post, slotOf(e), p.text)
		cancel()
		if err == nil {
			d.Via, d.Err = e.Scope, nil
			return d, e.SlotID
		}
		d.Err = err
	}
	return d, ""
}

// writeDown keeps for the next push which slot has which line.
func (b *Box) writeDown(out []Delivery, slots []string) error {
	relay, err := b.home.ReadRelay()
	if err != nil {
		return err
	}
	sent, err := readSent(b.home.SentFile())
	if err != nil {
		return err
	}
	b.peers.refresh()
	defer b.peers.release()
	k := &keeper{sent: sent, saved: time.Now()}
	for i, d := range out {
		if d.Err != nil {
			continue
		}
		j, err := b.job(d.Peer, relay, k, PushOptions{})
		if err != nil {
			return err
		}
		j.progress.took(d.EventID, slots[i])
		if err := k.note(d.Peer, j.progress); err != nil {
			return err
		}
	}
	return k.save()
}
