package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// storm runs the fleet through the blows and then proves what must hold.
func (w *world) storm(ctx context.Context, blows []Blow) error {
	for _, namesake := range []bool{false, true} {
		if err := w.addDecoy(namesake); err != nil {
			return err
		}
	}
	if err := w.startWatcher(); err != nil {
		return err
	}
	if err := w.healed(ctx, 30*time.Second); err != nil {
		return fmt.Errorf("before the first blow: %w", err)
	}
	w.log("%d sessions up in %s; %d blows", w.set.Sessions, w.dir, len(blows))

	// What is seen while the storm lasts ends it at once, and is why it failed.
	falling, stop := context.WithCancel(ctx)
	sampled := make(chan error, 1)
	go func() { sampled <- w.sample(falling); stop() }()
	err := w.course(falling, blows)
	stop()
	if seen := <-sampled; seen != nil {
		return seen
	}
	return err
}

// course is the blows, the healing and the proofs.
func (w *world) course(ctx context.Context, blows []Blow) error {
	sending, stopSending := context.WithCancel(ctx)
	t := newTraffic(w)
	quiet := make(chan struct{})
	go func() { t.run(sending); close(quiet) }()
	dealt, before, err := w.deal(ctx, blows, t)
	stopSending()
	<-quiet
	if err != nil {
		return err
	}
	w.log("healed")
	return w.prove(ctx, t, dealt, before)
}

// deal measures, while all send, what the blows need to know, deals them, and waits until all is healed. What
// was changed before the first blow is not on its account.
func (w *world) deal(ctx context.Context, blows []Blow, t *traffic) (dealt map[Kind]int, before map[thing]int, err error) {
	if err := w.measureApply(); err != nil {
		return nil, nil, err
	}
	if err := w.healed(ctx, 30*time.Second); err != nil {
		return nil, nil, fmt.Errorf("before the first blow: %w", err)
	}
	before = changedByLog(w.logged())
	if dealt, err = w.blow(ctx, blows, t); err == nil {
		err = w.healed(ctx, 15*time.Second)
	}
	return dealt, before, err
}

// blow deals the blows, and says how many of each kind met something.
func (w *world) blow(ctx context.Context, blows []Blow, t *traffic) (dealt map[Kind]int, err error) {
	lasting, end := context.WithCancel(ctx)
	defer func() {
		end()
		w.asides.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		err = errors.Join(err, w.asideErr)
	}()
	dealt = map[Kind]int{}
	start := time.Now()
	for _, b := range blows {
		if pause(ctx, time.Until(start.Add(b.At))); ctx.Err() != nil {
			return dealt, ctx.Err()
		}
		broke, err := w.strike(lasting, b, t)
		switch {
		case errors.Is(err, errMissed), errors.Is(err, fs.ErrNotExist):
			w.log("%s: missed", b)
			continue
		case err != nil:
			return dealt, fmt.Errorf("blow %q: %w", b, err)
		}
		dealt[b.Kind]++
		w.breaks(broke)
		w.log("%s", b)
		if err := w.keepKeys(); err != nil {
			return dealt, err
		}
	}
	return dealt, nil
}

// sample looks again and again at what must hold at every moment: decoys are unharmed, and no home has two
// daemons that both stay.
func (w *world) sample(ctx context.Context) error {
	seen := pairs{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
		if err := w.decoysUnharmed(); err != nil {
			return err
		}
		homes, err := w.daemons()
		if err != nil {
			return err
		}
		if err := seen.look(homes, time.Now()); err != nil {
			return err
		}
	}
}

// prove checks, after the last blow, all that must hold.
func (w *world) prove(ctx context.Context, t *traffic, dealt map[Kind]int, before map[thing]int) error {
	if err := w.messages(t); err != nil {
		return err
	}
	if err := w.stillness(ctx); err != nil {
		return err
	}
	// All that was on its way has arrived by now: what comes twice has come twice.
	mail, err := w.judged(t.sent())
	if err != nil {
		return fmt.Errorf("at rest: %w", err)
	}
	if err := w.keepKeys(); err != nil {
		return err
	}
	if err := w.endWatcher(syscall.SIGTERM); err != nil {
		return err
	}
	if out, err := w.command(ctx, "", "down", "-f", w.file).CombinedOutput(); err != nil {
		return fmt.Errorf("wire down: %w\n%s", err, out)
	}
	after, err := w.judged(t.sent())
	if err != nil {
		return fmt.Errorf("after `wire down`: %w", err)
	}
	if after != mail {
		return fmt.Errorf("after `wire down` the inboxes hold something else: %+v, not %+v", after, mail)
	}
	// Last, for `wire down` is no less bound to leave strangers alone.
	if err := w.decoysUnharmed(); err != nil {
		return err
	}
	if err := w.nothingLeft(); err != nil {
		return err
	}
	book := w.ledger(before)
	if over := book.overdone(); len(over) > 0 {
		return fmt.Errorf("more than %d changes for each time that a thing was broken: %s", changesPerBreak, strings.Join(over, "; "))
	}
	if book.unmended(dirs(w.set.Sessions)) {
		return errors.New("the registry was deleted, and nobody registered a directory anew")
	}
	w.summary(dealt, mail, book)
	return nil
}

// nothingLeft says whether no process is left after `wire down`. What was killed half-way may take a moment to
// be gone.
func (w *world) nothingLeft() error {
	var left []proc
	var err error
	_ = waitUpTo(5*time.Second, func() bool { left, err = w.census(); return err != nil || len(left) == 0 })
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("after `wire down` %d processes are left: %v", len(left), left)
	}
	return err
}

func (w *world) summary(dealt map[Kind]int, mail tally, book ledger) {
	var kinds []string
	blows := 0
	for _, one := range weights {
		kinds = append(kinds, fmt.Sprintf("%s %d", one.kind, dealt[one.kind]))
		blows += dealt[one.kind]
	}
	most, changed, broken := book.most()
	daemons, relays := unstuck(w.logged())
	w.log("proven for %q", w.set)
	w.log("  blows: %d met something: %s", blows, strings.Join(kinds, ", "))
	w.log("  messages: %d accepted, each once where it belongs; of %d sends that were killed, %d arrived once, %d not at all; %d refused; %d out of order",
		mail.accepted, mail.killedFound+mail.killedLost, mail.killedFound, mail.killedLost, mail.refused, mail.inversions)
	w.log("  changes: %d for %d things broken; the most for one: %s, %d for %d", sum(book.changed), sum(book.broken), most, changed, broken)
	w.log("  applies: %d killed before their first change, %d after some, %d not in time, %d met a broken file", w.applies.before, w.applies.halfWay, w.applies.whole, w.applies.refused)
	w.log("  stopped processes that the watcher replaced: %d daemons, %d relays", daemons, relays)
	w.log("  every key the same, decoys unharmed, never two daemons in a home, nothing moved at rest, nothing left running")
}

// logged is what all watchers have logged so far.
func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logs.String()
}

func (w *world) breaks(things []thing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range things {
		w.broken[t]++
	}
}

// ledger is what has been broken and changed since before.
func (w *world) ledger(before map[thing]int) ledger {
	changed := changedByLog(w.logged())
	for t, n := range before {
		changed[t] -= n
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	add(changed, w.rows)
	return ledger{maps.Clone(w.broken), changed}
}

// messages waits until all that was accepted has arrived.
func (w *world) messages(t *traffic) (err error) {
	letters := t.sent()
	_ = waitFor(func() bool {
		if _, err = w.judged(letters); err != nil {
			time.Sleep(200 * time.Millisecond)
		}
		return err == nil
	})
	return err
}

// judged judges the inboxes as they are now.
func (w *world) judged(letters []letter) (tally, error) {
	p := post{letters: letters, dids: map[string]identity.DID{}}
	trusts := map[string]canon.Doc{}
	for i := range w.set.Sessions {
		s := w.machine.Session(nameOf(i))
		card, err := s.ReadCard()
		if err != nil {
			return tally{}, err
		}
		info, err := identity.ReadCard(card)
		if err != nil {
			return tally{}, err
		}
		p.dids[s.Name] = info.DID
		if trusts[s.Name], err = s.ReadTrustDoc(); err != nil {
			return tally{}, err
		}
		boxes, err := boxesOf(s.Name, s.InboxDir(), w.set.Sessions)
		if err != nil {
			return tally{}, err
		}
		p.boxes = append(p.boxes, boxes...)
	}
	p.verify = func(owner string, event canon.Doc) error { return identity.VerifyEvent(event, trusts[owner]) }
	return p.judge()
}

// boxesOf are the files of an inbox. A file that is not that of another session is an error.
func boxesOf(owner, dir string, sessions int) ([]box, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	peers := map[string]bool{}
	for i := range sessions {
		peers[nameOf(i)] = nameOf(i) != owner
	}
	var out []box
	for _, e := range entries {
		peer, ok := strings.CutSuffix(e.Name(), ".jsonl")
		if !ok || !peers[peer] {
			return nil, fmt.Errorf("%s has no business in the inbox of %s", e.Name(), owner)
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		out = append(out, box{owner, peer, data})
	}
	return out, nil
}
