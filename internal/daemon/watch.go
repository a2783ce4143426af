package daemon

import (
	"context"
	"errors"
	"hash/maphash"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"wirefleet.dev/wire/internal/home"
)

// watch tells of changes in the two directories that others write to. Directories are watched, not files: a
// rename loses a file.
type watch struct {
	outbox <-chan struct{} // mail may have been queued
	config <-chan struct{} // pins or endpoints may have changed
	lost   <-chan error    // the watch ended by itself; nil where it cannot
	close  func()
}

// watchers are the ways to get one, best first. Tests choose among them.
var watchers = []func(outbox, config string) (*watch, error){signalled, notified}

func (d *daemon) openWatch() (w *watch, err error) {
	for _, open := range watchers {
		if w, err = open(d.Session.OutboxDir(), d.Session.ConfigDir()); err == nil {
			return w, nil
		}
	}
	return nil, err
}

// watch serves a watch as long as one can be had. Where the system grants none (128 inotify instances a
// user), it listens to pokes and asks again at every interval.
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
		w.close()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// watched serves a watch until ctx ends (nil) or the watch is lost.
func (d *daemon) watched(ctx context.Context, w *watch) error {
	d.watching.Store(true)
	defer d.watching.Store(false)
	d.push.up() // what changed before the watch stood
	d.configured()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.lost:
			d.check.up()
			return err
		case <-w.outbox:
			d.push.up()
		case <-w.config:
			d.configured()
		}
	}
}

// configured rings for what changed in CFG.
func (d *daemon) configured() {
	if trust, err := os.Stat(d.Session.TrustFile()); err == nil && (d.trust == nil || !same(trust, d.trust)) {
		if d.trust != nil {
			d.pull.up() // what was held back may be acceptable now: a pull judges it first
			d.push.up()
		}
		d.trust = trust
	}
	d.compare()
	if !d.present() {
		d.check.up()
	}
}

// notified is a watch by fsnotify: inotify on Linux.
func notified(outbox, config string) (*watch, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{outbox, config} {
		if err := w.Add(dir); err != nil {
			w.Close()
			return nil, err
		}
	}
	mail, conf, lost := newWake(), newWake(), make(chan error, 1)
	go func() {
		for {
			select {
			case e, open := <-w.Events:
				if !open {
					return
				}
				switch removed := e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename); {
				case (e.Name == outbox || e.Name == config) && removed:
					lost <- errors.New(e.Name + " was removed")
					return
				case filepath.Dir(e.Name) == config:
					if strings.HasSuffix(e.Name, ".json") { // no temp file, no lock
						conf.up()
					}
				case strings.HasSuffix(e.Name, ".jsonl"):
					mail.up()
				}
			case err, open := <-w.Errors:
				if !open {
					return
				}
				if !errors.Is(err, fsnotify.ErrEventOverflow) {
					lost <- err
					return
				}
				mail.up()
				conf.up()
			}
		}
	}()
	return &watch{outbox: mail, config: conf, lost: lost, close: func() { w.Close() }}, nil
}

// routesSeen is what relay.json said of own endpoints and of peers when it was last compared. Cursors are no
// part of it: the daemon moves those itself, and must not be woken by its own writing.
type routesSeen struct {
	seed       maphash.Seed
	any        bool
	file       os.FileInfo // nil: there was none
	self, peer uint64
}

// compare rings for what changed in relay.json since the last time.
func (d *daemon) compare() {
	s := &d.seen
	file, err := os.Stat(d.Session.RelayFile())
	if err == nil && s.file != nil && same(file, s.file) {
		return
	}
	relay, err := d.Session.ReadRelay()
	if err != nil {
		return // the next round reports it
	}
	s.file = file
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
func (d *daemon) poked(ctx context.Context) *watch {
	bell, closeBell := listenForPokes(d.Session.DaemonPoke())
	defer closeBell()
	tick := time.NewTicker(d.Interval)
	defer tick.Stop()
	d.configured()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-bell:
			d.push.up()
			d.configured()
		case <-tick.C:
			if w, err := d.openWatch(); err == nil {
				return w
			}
			d.configured()
		}
	}
}
