package mailbox

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"wirefleet.dev/wire/internal/home"
)

// restAtLeast is how long a reader with a file watch rests when nothing happens: the watch does not tell of
// everything, such as what another machine writes into a shared home.
const restAtLeast = 30 * time.Second

// Follow calls sweep now and whenever something may have arrived in the inbox of s, or in one of the other
// directories, until ctx ends (nil) or sweep returns an error. A file watch tells where the system grants one
// and the directories are there; else it looks at every interval, for both as well.
func Follow(ctx context.Context, s home.Session, interval time.Duration, sweep func() error, others ...string) error {
	for {
		w, err := watchDirs(append([]string{s.InboxDir()}, others...)) // before the sweep: what comes after it rings
		if err := sweep(); err != nil || ctx.Err() != nil {
			return err
		}
		if err != nil {
			if !rested(ctx, interval) {
				return nil
			}
			continue
		}
		err = followed(ctx, w, max(interval, restAtLeast), sweep)
		w.Close()
		if !errors.Is(err, errWatchLost) {
			return err
		}
	}
}

var errWatchLost = errors.New("the watch is lost")

// newWatcher is replaced in tests, which must not use up the user's instances to see a reader without one.
var newWatcher = fsnotify.NewWatcher

func watchDirs(dirs []string) (*fsnotify.Watcher, error) {
	w, err := newWatcher()
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if err := w.Add(dir); err != nil {
			w.Close()
			return nil, err
		}
	}
	return w, nil
}

// followed serves a watch. What piles up while a sweep runs is one more sweep.
func followed(ctx context.Context, w *fsnotify.Watcher, rest time.Duration, sweep func() error) error {
	bell, lost := make(chan struct{}, 1), make(chan struct{})
	go listen(w, bell, lost)
	tick := time.NewTicker(rest)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-lost:
			return errWatchLost
		case <-tick.C:
		case <-bell:
		}
		if err := sweep(); err != nil {
			return err
		}
	}
}

// listen rings for what the watch tells, until it is closed or its directory is no longer there.
func listen(w *fsnotify.Watcher, bell chan<- struct{}, lost chan<- struct{}) {
	defer close(lost)
	dirs := w.WatchList()
	for {
		select {
		case e, open := <-w.Events:
			if !open || slices.Contains(dirs, e.Name) && (e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)) {
				return
			}
		case err, open := <-w.Errors:
			if !open || !errors.Is(err, fsnotify.ErrEventOverflow) {
				return
			}
		}
		select {
		case bell <- struct{}{}:
		default:
		}
	}
}

// rested is false if ctx ended.
func rested(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
