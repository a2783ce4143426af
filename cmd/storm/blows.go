package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

// For how long at most an inbox is read-only, and a daemon and the relay are stopped. A stopped daemon is seen
// at the next pass, a resync away at most; a relay must fail three probes, and has 10 s of grace after its
// start. Of those that are stopped some go on before that, and most do not.
const (
	inboxFrozen   = 3 * time.Second
	daemonStopped = 3 * resync
	relayStopped  = 8 * resync
)

// share is part thousandths of a whole.
func (b Blow) share(whole time.Duration) time.Duration {
	return whole * time.Duration(b.Part) / 1000
}

// strike does one blow and says which things it broke: what changes are needed for. What takes longer goes on
// aside, so that the next blow falls when it is due.
func (w *world) strike(ctx context.Context, b Blow, t *traffic) (broke []thing, err error) {
	subject := func(i int) home.Session { return w.machine.Session(b.Subjects[i]) }
	n := w.set.Sessions
	var one []thing
	switch len(b.Subjects) {
	case 1:
		one = []thing{daemonOf(b.Subjects[0])}
	case 2:
		one = []thing{edgeOf(b.Subjects[0], b.Subjects[1])}
	}
	switch b.Kind {
	case KillDaemon:
		return one, w.killed(subject(0).DaemonLife())
	case StopDaemon:
		return one, w.stopped(ctx, subject(0).DaemonLife(), b.share(daemonStopped))
	case KillRelay:
		return []thing{theRelay}, w.killed(w.relayLife())
	case StopRelay:
		return []thing{theRelay}, w.stopped(ctx, w.relayLife(), b.share(relayStopped))
	case KillWatcher:
		if err := w.endWatcher(os.Kill); err != nil {
			return nil, err
		}
		return nil, w.startWatcher()
	case KillApply:
		return nil, w.killedApplies(subject(0), b)
	case RecordDeleted:
		return one, os.Remove(subject(0).DaemonPID())
	case RecordTorn:
		return one, truncate(subject(0).DaemonPID(), 40)
	case RecordDecoy:
		return one, w.nameDecoy(subject(0), b.Part)
	case RelayLost:
		return everything(n), w.loseRelayState()
	case RelayLostDown:
		if err := w.killed(w.relayLife()); err != nil {
			return nil, err
		}
		return everything(n), w.loseRelayState()
	case PinDeleted:
		return one, rewrite(subject(0).RelayFile(), dropping("peers", b.Subjects[1]))
	case TrustDeleted:
		return one, rewrite(subject(0).TrustFile(), dropping("agents", b.Subjects[1]))
	case RegistryGone:
		return dirs(n), os.Remove(w.machine.RegistryFile())
	case RelayRewrite:
		return nil, rewrite(subject(0).RelayFile(), func(canon.Doc) bool { return true })
	case InboxFrozen:
		return nil, w.freezeInbox(ctx, subject(0).InboxDir(), b.share(inboxFrozen))
	case SpecEdited:
		return one, w.editSpec(b.Subjects[0])
	case SpecBroken:
		if err := os.WriteFile(w.file, []byte("version: 1\nsessions: [\n"), 0o644); err != nil {
			return nil, err
		}
		w.aside(func() error { pause(ctx, specBroken); return w.writeSpec() })
		return nil, nil
	case SpecReplaced:
		return nil, w.writeSpec()
	case KillSend:
		w.aside(func() error { t.doomed(b.Subjects[0], b.Subjects[1], b.Part); return nil })
		return nil, nil
	}
	return nil, fmt.Errorf("no such blow: %s", b.Kind)
}

// specBroken is for how long a wire.yaml does not parse.
const specBroken = 1500 * time.Millisecond

// pause waits, unless the storm ends before.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// errMissed is a blow that met nothing: what it strikes is down already.
var errMissed = errors.New("missed: it is down already")

// holder is the process that holds a life lock, proven.
func holder(lock string) (*os.Process, process.Life, error) {
	l, ok := proven(lock)
	if !ok {
		return nil, l, errMissed
	}
	p, err := os.FindProcess(l.PID)
	if err != nil {
		return nil, l, err
	}
	if !process.Alive(l.PID, l.StartTicks) {
		return nil, l, errMissed
	}
	return p, l, nil
}

// killed kills the holder of a life lock, and waits until it is dead: while it waits for the disk it only will be.
func (w *world) killed(lock string) error {
	p, l, err := holder(lock)
	if err != nil {
		return err
	}
	if err := p.Kill(); err != nil {
		return err
	}
	return waitFor(func() bool { return !process.Alive(l.PID, l.StartTicks) })
}

// stopped stops a process and lets it go on after a while, if it is still there by then. When the storm ends
// before, it stays stopped.
func (w *world) stopped(ctx context.Context, lock string, d time.Duration) error {
	p, l, err := holder(lock)
	if err != nil {
		return err
	}
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := waitFor(func() bool {
		i, ok := process.Lookup(l.PID)
		return i.Stopped() || !ok || i.StartTicks != l.StartTicks
	}); err != nil {
		return err
	}
	w.aside(func() error {
		pause(ctx, d)
		if ctx.Err() == nil && process.Alive(l.PID, l.StartTicks) {
			_ = p.Signal(syscall.SIGCONT)
			w.note("pid %d goes on after %s", l.PID, d)
		}
		return nil
	})
	return nil
}

// aside does the rest of a blow while others fall. They all end when the blows do.
func (w *world) aside(rest func() error) {
	w.asides.Go(func() {
		if err := rest(); err != nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.asideErr = errors.Join(w.asideErr, err)
		}
	})
}

// freezeInbox makes an inbox read-only for a while. One that is so already is missed: the first thaw would end both.
func (w *world) freezeInbox(ctx context.Context, dir string, long time.Duration) error {
	w.mu.Lock()
	frozen := w.frozen[dir]
	w.frozen[dir] = true
	w.mu.Unlock()
	if frozen {
		return errMissed
	}
	done := func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.frozen, dir)
	}
	thaw, err := freeze(dir)
	if err != nil {
		done()
		return err
	}
	w.aside(func() error { pause(ctx, long); thaw(); done(); return nil })
	return nil
}

// killedApplies kills two, one in each half of what an apply usually takes. What was broken for the first counts
// also if the second comes to nothing.
func (w *world) killedApplies(s home.Session, b Blow) error {
	for _, part := range []int{b.Part, (b.Part + 500) % 1000} {
		if err := w.stopIdleWatcher(); err != nil {
			return err
		}
		w.breaks(w.breakForApply(s))
		if err := w.halfWay(max(1, w.applied.usual()*time.Duration(part)/1000)); err != nil {
			return err
		}
	}
	return nil
}

// stopIdleWatcher stops the watcher at a moment when it does not hold the apply lock, until halfWay lets it go on:
// else it would be there first, or an apply would wait in vain.
func (w *world) stopIdleWatcher() error {
	free := func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		unlock, err := w.machine.LockApply(ctx, "storm", nil)
		if err == nil {
			unlock()
		}
		return err == nil
	}
	for range 100 {
		w.signalWatcher(syscall.SIGSTOP)
		if free() {
			return nil
		}
		w.signalWatcher(syscall.SIGCONT)
		time.Sleep(10 * time.Millisecond)
	}
	return errMissed
}

// breakForApply gives an apply something to do, in stages: edges, then a daemon.
func (w *world) breakForApply(s home.Session) []thing {
	var broke []thing
	if w.killed(s.DaemonLife()) == nil {
		broke = append(broke, daemonOf(s.Name))
	}
	forget := func(d canon.Doc) bool { d["peers"] = canon.Doc{}; return true }
	if rewrite(s.RelayFile(), forget) == nil {
		broke = append(broke, edgesOf(s.Name, w.set.Sessions)...)
	}
	return broke
}

// halfWay runs a one-shot apply, kills it after a while, wherever it is, and lets the watcher go on.
func (w *world) halfWay(after time.Duration) error {
	defer w.signalWatcher(syscall.SIGCONT)
	cmd := w.command(context.Background(), "", "apply", "-f", w.file, "--verbose", "--timeout", "20s")
	var rows bytes.Buffer
	cmd.Stdout, cmd.Stderr = &rows, w
	if err := cmd.Start(); err != nil {
		return err
	}
	began := time.Now()
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	timer.Stop()
	took := time.Since(began)
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.all.Write(rows.Bytes())
	done := changedByRows(rows.String())
	add(w.rows, done)
	switch f, _ := fateOf(err, nil); {
	case f == accepted:
		w.applies.whole++
		w.applied.add(took)
	case f == refused: // the file was broken at that moment
		w.applies.refused++
	case len(done) > 0:
		w.applies.halfWay++
	default:
		w.applies.before++
	}
	return nil
}

// measureApply finds out how long an apply takes that has what breakForApply broke to do.
func (w *world) measureApply() error {
	for measured, tries := 0, 0; measured < 3; tries++ {
		if tries > 9 {
			return errors.New("no apply came to its end")
		}
		if err := w.stopIdleWatcher(); err != nil {
			return err
		}
		w.breakForApply(w.machine.Session(nameOf(tries % w.set.Sessions)))
		whole := w.applies.whole
		if err := w.halfWay(5 * time.Second); err != nil {
			return err
		}
		measured += w.applies.whole - whole
	}
	w.applies, w.rows = fates{}, map[thing]int{}
	w.note("an apply with something to do takes %s", w.applied.usual())
	return nil
}

func truncate(path string, size int64) error {
	err := os.Truncate(path, size)
	if errors.Is(err, fs.ErrNotExist) {
		return errMissed
	}
	return err
}

// nameDecoy writes a pid record that names a living stranger, as a recycled pid would: one or the other, by n.
func (w *world) nameDecoy(s home.Session, n int) error {
	rec, form := process.ReadRecord(s.DaemonPID())
	if form != process.FormJSON {
		return errMissed
	}
	all := w.strangers()
	rec.PID = all[n%len(all)].cmd.Process.Pid
	return process.WriteRecord(s.DaemonPID(), rec)
}

// loseRelayState deletes what the relay has on disk, whether it runs or not.
func (w *world) loseRelayState() error {
	dir, err := w.machine.RelayState()
	if err != nil {
		return err
	}
	for _, name := range []string{"tokens.json", "slots"} {
		// A relay that is started at this moment makes new files while the old ones go.
		var err error
		if waited := waitFor(func() bool { err = os.RemoveAll(filepath.Join(dir, name)); return err == nil }); waited != nil {
			return err
		}
	}
	return nil
}

// rewrite changes a file in place, truncating it first and taking no lock, as the reference does. It writes
// only if change says that there is something to write.
func rewrite(path string, change func(canon.Doc) bool) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return errMissed
	}
	doc, err := canon.ParseObject(data)
	if err != nil {
		return errMissed // somebody writes it at this moment
	}
	if !change(doc) {
		return errMissed
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(canon.Pretty(doc))
	return errors.Join(err, f.Close())
}

// dropping takes a member out of an object, if it is there.
func dropping(object, key string) func(canon.Doc) bool {
	return func(doc canon.Doc) bool {
		members, _ := doc[object].(canon.Doc)
		_, ok := members[key]
		delete(members, key)
		return ok
	}
}

// waitFor waits up to 20 s for a condition.
func waitFor(met func() bool) error { return waitUpTo(20*time.Second, met) }

func waitUpTo(limit time.Duration, met func() bool) error {
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if met() {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("waited %s in vain", limit)
}

// keepKeys remembers each private key as soon as it has a card, and fails if one has changed.
func (w *world) keepKeys() error {
	for i := range w.set.Sessions {
		s := w.machine.Session(nameOf(i))
		if !s.Initialized() {
			continue
		}
		key, err := os.ReadFile(s.KeyFile())
		if err != nil {
			return fmt.Errorf("the key of %s: %w", s.Name, err)
		}
		if first, ok := w.keys[s.Name]; ok && !bytes.Equal(first, key) {
			return fmt.Errorf("the key of %s has changed", s.Name)
		}
		w.keys[s.Name] = key
	}
	return nil
}
