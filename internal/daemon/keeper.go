package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/process"
)

// firstCycle is how long readiness waits for the first round: a relay that is down is no failure.
const firstCycle = 2 * time.Second

// keeper looks after what makes this process the daemon of its home: life lock, pid record, the home itself.
type keeper struct {
	d       *daemon
	release func()
	life    process.Life
	started time.Time

	file  os.FileInfo // of the pid record as we last left it
	other bool        // it names another living daemon of this home
}

// enter takes the life lock and writes the pid record. nil without an error: another daemon serves this
// home, and was named.
func (d *daemon) enter() (*keeper, error) {
	life, err := process.Self()
	if err != nil {
		return nil, refuse(err)
	}
	life.Build, life.Owner, life.StartedBy = d.Build, d.Owner, d.StartedBy
	life.Interval = int(d.Interval / time.Second)
	release, err := process.TakeLife(d.Session.DaemonLife(), life)
	var held *process.HeldError
	switch {
	case errors.As(err, &held):
		d.held(held.Life)
		return nil, nil
	case err != nil:
		return nil, refuse(err)
	}
	if d.lock, err = os.Stat(d.Session.DaemonLife()); err != nil {
		release()
		return nil, refuse(err)
	}
	k := &keeper{d: d, release: release, life: life, started: time.Now()}
	// Record before ready: if we die between, the lock is free and the record names nobody alive.
	k.record()
	return k, nil
}

// leave removes the record, if it is ours, and lets go of the lock.
func (k *keeper) leave() {
	if k.d.present() {
		_ = process.RemoveRecord(k.d.Session.DaemonPID(), k.life.PID)
	}
	k.release()
}

// present says whether the home is still the one whose life lock we hold. A daemon that went on in a home
// that was removed would make half of it again, or serve whoever comes after (quirk 17, field failure B16).
func (d *daemon) present() bool {
	now, err := os.Stat(d.Session.DaemonLife())
	return err == nil && os.SameFile(now, d.lock)
}

// keep is the clock of the daemon: one timer for all of it, since each wake-up of an idle process costs more
// than what it does then.
func (k *keeper) keep(ctx context.Context) error {
	k.ready(ctx)
	tick := time.NewTicker(k.d.Interval)
	defer tick.Stop()
	for n := 1; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-k.d.check:
			k.file = nil // the record itself may be due for a change
		case <-tick.C:
			k.d.round(n)
			n++
		}
		if !k.d.present() {
			return fmt.Errorf("%s was removed", k.d.Session.Dir)
		}
		k.record()
	}
}

// ready waits until both halves of the first cycle are done, and says so to the starter.
func (k *keeper) ready(ctx context.Context) {
	late := time.NewTimer(firstCycle)
	defer late.Stop()
	for range cap(k.d.first) {
		select {
		case <-ctx.Done():
			return
		case <-k.d.first:
		case <-late.C:
			late.Reset(0)
		}
	}
	process.NotifyReady(process.Readiness{Ready: true})
	k.d.rest.soon()
}

// record sees to it that the pid file names us, unless it names another living daemon of this home: the
// reference overwrites it when it starts a second one, and would start a third if it named nobody.
func (k *keeper) record() {
	path := k.d.Session.DaemonPID()
	if now, err := os.Stat(path); err == nil && k.file != nil && !k.other && same(now, k.file) {
		return
	}
	there, form := process.ReadRecord(path)
	k.other = false
	if form != process.FormMissing && form != process.FormCorrupt && there.PID != k.life.PID {
		i, alive := process.Lookup(there.PID)
		if k.other = alive && i.Role() == process.Daemon && i.WireHome == k.d.Session.Dir; k.other {
			return
		}
	}
	want := k.text()
	var err error
	if form != process.FormJSON || string(there.Text()) != string(want.Text()) {
		err = process.WriteRecord(path, want)
		k.d.say.state("pid record", prefixed("daemon: pid record: ", err))
	}
	// A file this young could be written again without looking any different: it is read once more.
	if k.file, err = os.Stat(path); err != nil || time.Since(k.file.ModTime()) < stampAge {
		k.file = nil
	}
}

// stampAge is coarser than the clock of any file system we meet.
const stampAge = 100 * time.Millisecond

func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// text is the record of this process. A card or relay.json that cannot be read leaves its member null, as
// it does for the reference (8.1).
func (k *keeper) text() process.Record {
	r := process.Record{
		Schema: process.Schema, PID: k.life.PID, BinPath: k.life.Exe, Version: process.Level, Build: k.d.Build,
		StartedAt: k.started.UTC().Format(time.RFC3339Nano),
	}
	if card, err := k.d.Session.ReadCard(); err == nil {
		if did, ok := card["did"].(string); ok {
			r.DID = &did
		}
	}
	if relay, err := k.d.Session.ReadRelay(); err == nil {
		if url := relay.SelfFlat().RelayURL; url != "" {
			r.RelayURL = &url
		}
	}
	return r
}

// thrift gives memory back to the system half a second after something was done: an idle daemon is one of
// many.
type thrift struct {
	mu    sync.Mutex
	timer *time.Timer
}

const afterBurst = 500 * time.Millisecond

func (t *thrift) soon() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer == nil {
		t.timer = time.AfterFunc(afterBurst, debug.FreeOSMemory)
		return
	}
	t.timer.Reset(afterBurst)
}

func (t *thrift) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer != nil {
		t.timer.Stop()
	}
}
