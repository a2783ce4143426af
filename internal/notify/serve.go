package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"wirefleet.dev/wire/internal/mailbox"
	"wirefleet.dev/wire/internal/process"
)

// afterBurst is when memory goes back to the system after something was done.
const afterBurst = 500 * time.Millisecond

// serve is the notifier as a process. Order: life lock, pid record, readiness, then what has arrived: what it
// takes to show that is no part of a start.
func (n *notifier) serve(ctx context.Context) error {
	life, err := process.Self()
	if err != nil {
		return refuse(err)
	}
	life.Build, life.Owner, life.StartedBy = n.Build, n.Owner, n.StartedBy
	life.Interval = int(n.Interval / time.Second)
	release, err := process.TakeLife(n.Session.NotifyLife(), life)
	var held *process.HeldError
	switch {
	case errors.As(err, &held):
		n.servedBy(held.Life)
		process.NotifyReady(process.Readiness{Held: &held.Life})
		return nil
	case err != nil:
		return refuse(err)
	}
	defer release()
	lock, err := os.Stat(n.Session.NotifyLife())
	if err != nil {
		return refuse(err)
	}
	present := func() bool {
		now, err := os.Stat(n.Session.NotifyLife())
		return err == nil && os.SameFile(now, lock)
	}
	if err := process.WriteRecord(n.Session.NotifyPID(), n.record(life)); err != nil {
		n.line("pid record: %v", err) // the life lock is what counts
	}
	defer func() {
		if present() {
			_ = process.RemoveRecord(n.Session.NotifyPID(), life.PID)
		}
	}()
	if err := n.Session.EnsureInbound(); err != nil {
		n.line("pair requests: %v", err) // then they are seen at the next look
	}
	process.NotifyReady(process.Readiness{Ready: true})
	thrift := time.AfterFunc(afterBurst, debug.FreeOSMemory)
	defer thrift.Stop()
	err = mailbox.Follow(ctx, n.Session, n.Interval, func() error {
		if !present() { // or we would make half of it again, or show the messages of whoever comes after
			return fmt.Errorf("%s was removed", n.Session.Dir)
		}
		if err := n.survive(n.sweep(ctx)); err != nil {
			return err
		}
		if n.news {
			n.news = false
			thrift.Reset(afterBurst)
		}
		return nil
	}, n.Session.Inbound())
	n.rest(ctx)
	return err
}

// refuse tells a starter that waits for readiness why there will be none.
func refuse(err error) error {
	process.NotifyReady(process.Readiness{Error: err.Error()})
	return err
}

// record is the pid record of this process (8.1). A card or relay.json that cannot be read leaves its member
// null, as it does for the reference.
func (n *notifier) record(life process.Life) process.Record {
	r := process.Record{
		Schema: process.Schema, PID: life.PID, BinPath: life.Exe, Version: process.Level, Build: n.Build,
		StartedAt: time.Now().UTC().Format(time.RFC3339Nano),
	}
	if card, err := n.Session.ReadCard(); err == nil {
		if did, ok := card["did"].(string); ok {
			r.DID = &did
		}
	}
	if relay, err := n.Session.ReadRelay(); err == nil {
		if url := relay.SelfFlat().RelayURL; url != "" {
			r.RelayURL = &url
		}
	}
	return r
}
