package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stillness: for two resyncs the watcher looks, and neither executes nor writes anything.
func (w *world) stillness(ctx context.Context) error {
	// Cursors and progress of the last messages settle first, and a daemon looks at its pid record once in
	// its interval, which is 7 s at most.
	before, err := w.restful(ctx, 8*time.Second, time.Minute)
	if err != nil {
		return err
	}
	for end := time.Now().Add(2*resync + 2*resync/5); time.Now().Before(end); {
		// Now and then, for what starts and ends in between leaves no other trace.
		procs, err := w.census()
		if err != nil {
			return err
		}
		if !slices.Equal(procs, before.procs) {
			return fmt.Errorf("at rest the processes changed: %v became %v", before.procs, procs)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	after, err := w.rest()
	if err != nil {
		return err
	}
	return before.unmoved(after)
}

// rest is all by which a watcher that acts would show.
type rest struct {
	files   map[string]string
	procs   []proc
	logged  string
	changes int // wire_changes_total, of every kind and result
	passes  int // wire_passes_total
}

// unmoved says whether nothing happened between two moments but passes, of which there were two at least.
func (r rest) unmoved(after rest) error {
	if said := strings.TrimPrefix(after.logged, r.logged); said != "" {
		return fmt.Errorf("at rest the watcher logged: %s", said)
	}
	if n := after.changes - r.changes; n != 0 {
		return fmt.Errorf("at rest wire_changes_total rose by %d", n)
	}
	if !slices.Equal(r.procs, after.procs) {
		return fmt.Errorf("at rest the processes changed: %v became %v", r.procs, after.procs)
	}
	if files := differing(r.files, after.files); len(files) > 0 {
		return fmt.Errorf("at rest files changed: %s", strings.Join(files, "; "))
	}
	if n := after.passes - r.passes; n < 2 {
		return fmt.Errorf("at rest the watcher made %d passes in two resyncs", n)
	}
	return nil
}

func (w *world) rest() (rest, error) {
	procs, err := w.census()
	if err != nil {
		return rest{}, err
	}
	changes, passes, err := w.figures()
	if err != nil {
		return rest{}, err
	}
	files, err := w.tree()
	return rest{files, procs, w.logged(), changes, passes}, err
}

// restful waits until no file has changed for as long as calm, and returns all as it is then.
func (w *world) restful(ctx context.Context, calm, limit time.Duration) (rest, error) {
	var tree map[string]string
	var files []string
	since := time.Now()
	for end := since.Add(limit); time.Now().Before(end); {
		now, err := w.tree()
		if err != nil {
			return rest{}, err
		}
		if files = differing(tree, now); len(files) > 0 {
			tree, since = now, time.Now()
		}
		if time.Since(since) > calm {
			return w.rest()
		}
		select {
		case <-ctx.Done():
			return rest{}, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
	return rest{}, fmt.Errorf("the homes never come to rest: %v", files)
}

// tree is every file and directory that the watcher could write, with mode, inode, time of change and content.
func (w *world) tree() (map[string]string, error) {
	files := map[string]string{}
	for _, root := range []string{w.machine.Base, filepath.Join(w.dir, "home"), filepath.Join(w.dir, "work"), w.file} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil {
				var seen string
				if seen, err = portrait(path, path == w.machine.WatchLife()); seen != "" {
					files[path] = seen
				}
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil // gone since it was listed: the next look sees that
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// portrait is what may not change at rest, or "" for what is the daemons' and the relay's own: what they write
// by themselves, whenever they like. Their inboxes, cursors and progress are not among it: without messages
// these rest, too. Of the watch lock only the time moves: it says when the last pass was.
func portrait(path string, watchLock bool) (string, error) {
	base, in := filepath.Base(path), filepath.Base(filepath.Dir(path))
	relayState := filepath.Base(filepath.Dir(filepath.Dir(path))) == "wire-relay"
	switch {
	case strings.HasSuffix(base, ".log"), strings.HasSuffix(base, ".log.1"):
		return "", nil
	case relayState && (base == "pulls.json" || base == "counters.json"), in == "wire-relay":
		return "", nil // replaced every now and then, which also moves the time of their directory
	}
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s, inode %d", info.Mode(), info.Sys().(*syscall.Stat_t).Ino)
	if !watchLock {
		text += ", " + info.ModTime().Format(time.RFC3339Nano)
	}
	if info.Mode().IsRegular() {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf(", %d bytes, %x", len(data), sha256.Sum256(data))
	}
	return text, nil
}

func differing(a, b map[string]string) []string {
	var out []string
	for path := range b {
		if was, ok := a[path]; !ok || was != b[path] {
			out = append(out, path+" ("+a[path]+" became "+b[path]+")")
		}
	}
	for path := range a {
		if _, ok := b[path]; !ok {
			out = append(out, path+" (gone)")
		}
	}
	slices.Sort(out)
	return out
}

// figures are what the watcher itself says: how many changes it made or tried, and how many passes.
func (w *world) figures() (changes, passes int, err error) {
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Get("http://" + w.machine.ReadWatchNote().Listen + "/metrics")
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close()
	defer client.CloseIdleConnections()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, 0, err
	}
	if changes, err = total(string(text), "wire_changes_total"); err != nil {
		return 0, 0, err
	}
	passes, err = total(string(text), "wire_passes_total")
	return changes, passes, err
}

// total is the sum of a counter over all its labels; it is an error if there is no such counter.
func total(exposition, name string) (int, error) {
	n, found := 0, false
	for line := range strings.Lines(exposition) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), name+"{")
		if !ok {
			continue
		}
		v, err := strconv.Atoi(rest[strings.LastIndexByte(rest, ' ')+1:])
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		n, found = n+v, true
	}
	if !found {
		return 0, fmt.Errorf("no %s among the metrics", name)
	}
	return n, nil
}
