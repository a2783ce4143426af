package main

import (
	"bufio"
	"bytes"
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
	w.log("%d sessions up in %s; %d blows", w.flags.Sessions, w.dir, len(blows))
	before := changedByLog(w.logged())

	// What is seen while the storm lasts ends it at once, and is why it failed.
	falling, stop := context.WithCancel(ctx)
	sampled := make(chan error, 1)
	go func() { sampled <- w.sample(falling); stop() }()
	err := w.course(falling, blows, before)
	stop()
	if seen := <-sampled; seen != nil {
		return seen
	}
	return err
}

// course is the blows, the healing and the proofs.
func (w *world) course(ctx context.Context, blows []Blow, before map[thing]int) error {
	sending, stopSending := context.WithCancel(ctx)
	t := newTraffic(w)
	quiet := make(chan struct{})
	go func() { t.run(sending); close(quiet) }()
	err := w.blow(ctx, blows, t, time.Now())
	if err == nil {
		err = w.healed(ctx, 15*time.Second)
	}
	stopSending()
	<-quiet
	if err != nil {
		return err
	}
	w.log("healed; %d messages accepted, %d sends killed or refused", len(t.accepted), len(t.doubtful))
	return w.prove(ctx, t, before)
}

func (w *world) blow(ctx context.Context, blows []Blow, t *traffic, start time.Time) error {
	for _, b := range blows {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Until(start.Add(b.At))):
		}
		if b.Kind == KillSend {
			t.struck(b.Subjects[0], b.Subjects[1])
		}
		broke, err := w.strike(ctx, b)
		switch {
		case errors.Is(err, errMissed), errors.Is(err, fs.ErrNotExist):
			w.log("%s: missed", b)
			continue
		case err != nil:
			return fmt.Errorf("blow %q: %w", b, err)
		}
		w.breaks(broke)
		w.log("%s", b)
		if err := w.keepKeys(); err != nil {
			return err
		}
	}
	return nil
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
func (w *world) prove(ctx context.Context, t *traffic, before map[thing]int) error {
	if err := w.messages(t); err != nil {
		return err
	}
	if err := w.stillness(ctx); err != nil {
		return err
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
	// Last, for `wire down` is no less bound to leave strangers alone.
	if err := w.decoysUnharmed(); err != nil {
		return err
	}
	// What was killed half-way, and the relay, may take a moment to be gone.
	var left []proc
	var err error
	_ = waitUpTo(5*time.Second, func() bool { left, err = w.census(); return err != nil || len(left) == 0 })
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("after `wire down` %d processes are left: %v", len(left), left)
	}
	// After all that could change something.
	book := w.ledger(before)
	if over := book.overdone(); len(over) > 0 {
		return fmt.Errorf("more than %d changes for each time that a thing was broken: %s", changesPerBreak, strings.Join(over, "; "))
	}
	if idle := book.unmended(dirs(w.flags.Sessions)); idle {
		return errors.New("the registry was deleted, and nobody registered a directory anew")
	}
	most, changed, broken := book.most()
	w.log("proven: %d changes for %d broken things, at most %d for %d (%s), %d messages once each, every key the same, decoys unharmed, nothing left running",
		sum(book.changed), sum(book.broken), changed, broken, most, len(t.accepted))
	return nil
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

// messages: every accepted one is once in its addressee's inbox and in no other; no line that nobody sent,
// none torn, each signature valid.
func (w *world) messages(t *traffic) error {
	var last error
	err := waitFor(func() bool {
		last = w.inboxes(t)
		if last != nil {
			time.Sleep(200 * time.Millisecond)
		}
		return last == nil
	})
	if err != nil {
		return last
	}
	return nil
}

func (w *world) inboxes(t *traffic) error {
	found := map[string]int{}
	doubtful := map[string]int{}
	inversions := 0
	for i := range w.flags.Sessions {
		to := nameOf(i)
		s := w.machine.Session(to)
		trust, err := s.ReadTrustDoc()
		if err != nil {
			return err
		}
		files, err := filepath.Glob(filepath.Join(s.InboxDir(), "*.jsonl"))
		if err != nil {
			return err
		}
		for _, path := range files {
			n, err := t.inbox(path, to, trust, found, doubtful)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			inversions += n
		}
	}
	missing := 0
	var example route
	for id, r := range t.accepted {
		switch found[id] {
		case 0:
			missing++
			example = r
		case 1:
		default:
			return fmt.Errorf("message %s from %s is %d times in the inbox of %s", id, r.from, found[id], r.to)
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d of %d accepted messages did not arrive, e.g. one from %s to %s", missing, len(t.accepted), example.from, example.to)
	}
	for body, n := range doubtful {
		if n > 1 {
			return fmt.Errorf("message %q, whose send was killed, arrived %d times", body, n)
		}
	}
	if inversions > 0 {
		w.log("%d messages arrived after a later one of the same sender", inversions)
	}
	return nil
}

// inbox reads one inbox file.
func (t *traffic) inbox(path, to string, trust canon.Doc, found, doubtful map[string]int) (inversions int, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	if len(data) > 0 && data[len(data)-1] != '\n' {
		return 0, errors.New("its last line is torn")
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	latest := 0
	for lines.Scan() {
		event, err := canon.ParseObject(lines.Bytes())
		if err != nil {
			return 0, fmt.Errorf("a line is torn: %w", err)
		}
		if err := identity.VerifyEvent(event, trust); err != nil {
			return 0, fmt.Errorf("a line does not verify: %w", err)
		}
		body, _ := event["body"].(string)
		id, _ := event["event_id"].(string)
		var seed uint64
		var from, addressee string
		var n int
		if _, err := fmt.Sscanf(body, "storm %d %s %s %d", &seed, &from, &addressee, &n); err != nil || addressee != to {
			return 0, fmt.Errorf("a line that nobody sent here: %q", body)
		}
		t.mu.Lock()
		_, sent := t.accepted[id]
		_, maybe := t.doubtful[body]
		t.mu.Unlock()
		switch {
		case sent:
			found[id]++
		case maybe:
			doubtful[body]++
		default:
			return 0, fmt.Errorf("a line that nobody sent: %q", body)
		}
		if n < latest {
			inversions++
		}
		latest = max(latest, n)
	}
	return inversions, lines.Err()
}
