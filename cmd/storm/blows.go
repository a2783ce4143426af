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

// strike does one blow and says which things it broke: what changes are needed for.
func (w *world) strike(ctx context.Context, b Blow) (broke []thing, err error) {
	subject := func(i int) home.Session { return w.machine.Session(b.Subjects[i]) }
	relayOnly := []thing{theRelay}
	var daemon []thing
	if len(b.Subjects) == 1 {
		daemon = []thing{daemonOf(b.Subjects[0])}
	}
	switch b.Kind {
	case KillDaemon:
		l, ok := w.daemon(b.Subjects[0])
		return daemon, signalled(l, ok, syscall.SIGKILL)
	case StopDaemon:
		l, ok := w.daemon(b.Subjects[0])
		return daemon, signalled(l, ok, syscall.SIGSTOP)
	case KillRelay:
		l, ok := w.relay()
		return relayOnly, signalled(l, ok, syscall.SIGKILL)
	case StopRelay:
		l, ok := w.relay()
		return relayOnly, signalled(l, ok, syscall.SIGSTOP)
	case KillWatcher:
		if err := w.endWatcher(os.Kill); err != nil {
			return nil, err
		}
		return nil, w.startWatcher()
	case KillApply:
		return nil, w.killedApply(ctx, b.Delay)
	case RecordDeleted:
		return daemon, os.Remove(subject(0).DaemonPID())
	case RecordTorn:
		return daemon, truncate(subject(0).DaemonPID(), 40)
	case RecordDecoy:
		return daemon, w.nameDecoy(subject(0), int(b.Delay.Milliseconds()))
	case RelayLost:
		return everything(w.flags.Sessions), w.loseRelayState()
	case RelayLostDown:
		l, ok := w.relay()
		if err := signalled(l, ok, syscall.SIGKILL); err != nil {
			return nil, err
		}
		return everything(w.flags.Sessions), w.loseRelayState()
	case PinDeleted:
		return []thing{edgeOf(b.Subjects[0], b.Subjects[1])}, rewrite(subject(0).RelayFile(), dropping("peers", b.Subjects[1]))
	case TrustDeleted:
		return []thing{edgeOf(b.Subjects[0], b.Subjects[1])}, rewrite(subject(0).TrustFile(), dropping("agents", b.Subjects[1]))
	case RegistryGone:
		return dirs(w.flags.Sessions), os.Remove(w.machine.RegistryFile())
	case RelayRewrite:
		return nil, rewrite(subject(0).RelayFile(), func(canon.Doc) bool { return true })
	case InboxFrozen:
		return nil, freeze(ctx, subject(0).InboxDir(), 20*b.Delay)
	case SpecEdited:
		w.spec.intervals[b.Subjects[0]] = 5 + (max(5, w.spec.intervals[b.Subjects[0]])-4)%3 // 5, 6, 7, 5, ...
		return daemon, os.WriteFile(w.file, []byte(w.spec.String()), 0o644)
	case SpecBroken:
		return nil, w.brokenSpec(ctx)
	case SpecReplaced:
		return nil, w.writeSpec()
	case KillSend:
		return nil, nil // traffic kills its next send
	}
	return nil, fmt.Errorf("no such blow: %s", b.Kind)
}

// errMissed is a blow that met nothing: what it strikes is down already.
var errMissed = errors.New("missed: it is down already")

func signalled(l process.Life, ok bool, sig syscall.Signal) error {
	if !ok {
		return errMissed
	}
	p, err := os.FindProcess(l.PID)
	if err != nil {
		return err
	}
	if !process.Alive(l.PID, l.StartTicks) {
		return errMissed
	}
	return p.Signal(sig)
}

// killedApply starts a one-shot apply and kills it after a while, wherever it is.
func (w *world) killedApply(ctx context.Context, after time.Duration) error {
	cmd := w.command(ctx, "", "apply", "-f", w.file, "--timeout", "20s")
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		return err
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Wait() // killed, or done before
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

// brokenSpec leaves a wire.yaml that does not parse for a moment, and then writes it anew.
func (w *world) brokenSpec(ctx context.Context) error {
	if err := os.WriteFile(w.file, []byte("version: 1\nsessions: [\n"), 0o644); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-time.After(1500 * time.Millisecond):
	}
	return w.writeSpec()
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
	for i := range w.flags.Sessions {
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
