package daemon

import (
	"context"
	"errors"
	"hash/maphash"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"wirefleet.dev/wire/internal/home"
)

// watch rings when somebody writes to the outbox or changes pins or endpoints. Where the system grants no
// watch (128 inotify instances a user), it listens to pokes and asks again at every interval.
func (d *daemon) watch(ctx context.Context) error {
	w, err := d.openWatch()
	for {
		if err != nil {
			d.say.state("watch", "daemon: no file watch: "+err.Error()+"; waiting to be poked")
			if w = d.poked(ctx); w == nil {
				return nil
			}
		}
		d.say.state("watch", "")
		err = d.watched(ctx, w)
		w.Close()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// newWatcher is replaced in tests, which must not use up the user's instances to see a daemon without one.
var newWatcher = fsnotify.NewWatcher

func (d *daemon) openWatch() (*fsnotify.Watcher, error) {
	w, err := newWatcher()
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{d.Session.OutboxDir(), d.Session.ConfigDir()} {
		if err := w.Add(dir); err != nil {
			w.Close()
			return nil, err
		}
	}
	return w, nil
}

// watched serves a watch until ctx ends (nil) or the watch is lost. Directories are watched, not files: a
// rename loses a file.
func (d *daemon) watched(ctx context.Context, w *fsnotify.Watcher) error {
	d.watching.Store(true)
	defer d.watching.Store(false)
	d.compare() // what changed before the watch stood
	d.push.up()
	outbox, config := d.Session.OutboxDir(), d.Session.ConfigDir()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return err
			}
			d.compare()
			d.push.up()
			d.pull.up()
		case e := <-w.Events:
			switch {
			case e.Name == outbox || e.Name == config:
				if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
					d.check.up()
					return errors.New(e.Name + " was removed")
				}
			case e.Name == d.Session.TrustFile():
				d.pull.up() // what was held back may be acceptable now: a pull judges it first
				d.push.up()
			case e.Name == d.Session.RelayFile():
				d.compare()
			case strings.HasSuffix(e.Name, ".jsonl") && filepath.Dir(e.Name) == outbox:
				d.push.up()
			}
		}
	}
}

// routesSeen is what relay.json said of own endpoints and of peers when it was last compared. Cursors are no
// part of it: the daemon moves those itself, and must not be woken by its own writing.
type routesSeen struct {
	seed       maphash.Seed
	any        bool
	self, peer uint64
}

// compare rings for what changed in relay.json since the last time.
func (d *daemon) compare() {
	relay, err := d.Session.ReadRelay()
	if err != nil {
		return // the next round reports it
	}
	s := &d.seen
	if !s.any {
		s.seed = maphash.MakeSeed()
	}
	self, peer := s.hash(relay)
	if !s.any || self != s.self {
		d.routes.up()
		d.check.up() // the pid record names the relay
		d.pull.up()
	}
	if !s.any || peer != s.peer {
		d.push.up()
	}
	s.any, s.self, s.peer = true, self, peer
}

func (s *routesSeen) hash(relay *home.RelayFile) (self, peer uint64) {
	var h maphash.Hash
	h.SetSeed(s.seed)
	for _, e := range relay.Self() {
		for _, part := range []string{e.RelayURL, e.SlotID, e.SlotToken.Reveal(), string(e.Scope)} {
			h.WriteString(part)
			h.WriteByte(0)
		}
	}
	self = h.Sum64()
	h.Reset()
	for _, handle := range relay.Peers() {
		raw, _ := relay.PeerRaw(handle)
		h.WriteString(handle)
		h.WriteByte(0)
		h.Write(raw)
	}
	return self, h.Sum64()
}

// poked serves without a watch: pokes, and a look at relay.json at each interval. It returns a watch as soon
// as the system grants one, nil when ctx ends.
func (d *daemon) poked(ctx context.Context) *fsnotify.Watcher {
	bell, closeBell := listenForPokes(d.Session.DaemonPoke())
	defer closeBell()
	tick := time.NewTicker(d.Interval)
	defer tick.Stop()
	d.compare()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-bell:
			d.compare()
			d.push.up()
			d.pull.up()
		case <-tick.C:
			if w, err := d.openWatch(); err == nil {
				return w
			}
			d.compare()
		}
	}
}
