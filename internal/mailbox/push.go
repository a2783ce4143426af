package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/home"
)

// pushWorkers is how many peers are posted to at the same time, each over one connection and in order.
const pushWorkers = 4

// PushItem is one line of a push result (cli.md 2.9).
type PushItem struct {
	Peer     string
	EventID  string
	Endpoint string // relay URL that answered; "" if none did
	Scope    home.Scope
	Reason   string // why it was skipped: "duplicate", a transport reason; "" for a pushed one
	Never    bool   // it was passed over and is not tried again
}

// PushResult is what a push did.
type PushResult struct {
	Pushed  []PushItem
	Skipped []PushItem
	Refused []PushItem // of Skipped: what this push passed over for good
	Lost    string     // what became of a record of what was posted that could not be read; "" if none
	Failed  int        // lines that were tried and that no slot has taken; all of them only with Report
	Stray   []string   // outbox files "<pinned>@<host>.jsonl", which are never sent; only with Report
}

// Nothing says whether all that was tried failed (field-failures G35), and why the first of it did.
func (r PushResult) Nothing() (why string, nothing bool) {
	if r.Failed == 0 || len(r.Pushed) > 0 {
		return "", false
	}
	for _, i := range r.Skipped {
		if i.Endpoint == "" {
			why = i.Reason // the last is of this push: what was refused earlier comes first
		}
	}
	return why, true
}

// PushOptions: Peer limits to one peer. Report is for people: Skipped then also has every line that was
// posted earlier, as "duplicate" with the endpoint that has it (none is posted again), and every line behind
// one that could not be posted. Without it Skipped has what was tried in vain.
type PushOptions struct {
	Peer   string
	Report bool
}

// ErrNoPeers is a push without any pinned peer.
type ErrNoPeers struct{}

func (ErrNoPeers) Error() string { return "no peer slots pinned" }

// idle says that there was nothing left to push when all this was so.
type idle struct {
	relay, trust, sent stamp
	sizes              map[string]int64 // of the outbox files
	doubts             int              // of relays, when it began
	at                 time.Time        // when it began
}

// Push posts every outbox line that its peer's slot does not have, along the peer's routes, each once; a slot
// that lost what it had gets it again. It holds push.lock. A line that no relay takes is passed over and reported, what cannot be posted now stays
// for the next push. Errors are of our own files only.
func (b *Box) Push(ctx context.Context, o PushOptions) (PushResult, error) {
	if !o.Report && b.nothingNew() {
		return PushResult{}, nil
	}
	seen := idle{
		relay: stampOf(b.home.RelayFile()), trust: stampOf(b.home.TrustFile()), doubts: b.proof.doubted(), at: time.Now(),
	}
	relay, err := b.home.ReadRelay()
	if err != nil {
		return PushResult{}, err
	}
	pinned := relay.Peers()
	if len(pinned) == 0 {
		return PushResult{}, ErrNoPeers{}
	}
	queued, err := b.home.OutboxPeers()
	if err != nil || len(queued) == 0 {
		return PushResult{}, err
	}
	unlock, err := home.Lock(ctx, b.home.PushLock())
	if err != nil {
		return PushResult{}, err
	}
	defer unlock()
	if !seen.relay.current(b.home.RelayFile()) { // it took a while to get the lock
		if relay, err = b.home.ReadRelay(); err != nil {
			return PushResult{}, err
		}
		pinned, seen.relay = relay.Peers(), stamp{}
	}
	var out PushResult
	sent, lost, err := recoverSent(b.home.SentFile())
	if out.Lost = lost; err != nil {
		return out, err
	}

	b.peers.refresh()
	defer b.peers.release()
	keeper := &keeper{sent: sent, saved: time.Now()}
	var jobs []*peerPush
	for _, handle := range queued {
		if _, found := slices.BinarySearch(pinned, handle); !found || o.Peer != "" && handle != o.Peer {
			continue
		}
		job, err := b.job(handle, relay, keeper, o)
		if err != nil {
			return out, err
		}
		jobs = append(jobs, job)
	}
	runJobs(ctx, jobs)

	var errs []error
	for _, j := range jobs {
		out.Pushed = append(out.Pushed, j.pushed...)
		out.Skipped = append(out.Skipped, j.skipped...)
		out.Refused = append(out.Refused, j.refused...)
		out.Failed += j.failed
		errs = append(errs, j.err)
	}
	if o.Report {
		stray, err := b.stray(pinned)
		out.Stray = stray
		errs = append(errs, err)
	}
	errs = append(errs, keeper.save())
	err = errors.Join(errs...)
	b.idle = nil
	if err == nil && o.Peer == "" && !slices.ContainsFunc(jobs, func(j *peerPush) bool { return j.left }) {
		b.rest(seen, queued, jobs)
	}
	return out, err
}

// nothingNew says whether all is as it was when the last push had nothing left to do.
func (b *Box) nothingNew() bool {
	i := b.idle
	if i == nil || i.doubts != b.proof.doubted() || time.Since(i.at) >= proofLasts {
		return false
	}
	if !i.relay.current(b.home.RelayFile()) || !i.trust.current(b.home.TrustFile()) || !i.sent.current(b.home.SentFile()) {
		return false
	}
	queued, err := b.home.OutboxPeers()
	if err != nil {
		return false
	}
	for _, handle := range queued {
		size, known := i.sizes[handle]
		if path, err := b.home.Outbox(handle); err != nil || !known || fileSize(path) != size {
			return false
		}
	}
	return true
}

// rest remembers that this push left nothing in the outboxes it found. Those of handles that are not pinned
// count with the size they have: they begin to matter with a pin, which changes relay.json. One that came
// since is no part of it.
func (b *Box) rest(seen idle, queued []string, jobs []*peerPush) {
	now := time.Now()
	seen.relay, seen.trust = seen.relay.settled(now), seen.trust.settled(now)
	seen.sent, seen.sizes = stampOf(b.home.SentFile()), map[string]int64{}
	for _, handle := range queued {
		if path, err := b.home.Outbox(handle); err == nil {
			seen.sizes[handle] = fileSize(path)
		}
	}
	for _, j := range jobs {
		seen.sizes[j.handle] = j.progress.offset // what came after we looked is not done
	}
	b.idle = &seen
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return info.Size()
}

// stray finds messages that wait under a peer's full address (field-failures E3).
func (b *Box) stray(pinned []string) (out []string, err error) {
	entries, err := os.ReadDir(b.home.OutboxDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		bare, _, full := strings.Cut(e.Name(), "@")
		if _, known := slices.BinarySearch(pinned, bare); full && known && strings.HasSuffix(e.Name(), ".jsonl") {
			out = append(out, e.Name())
		}
	}
	return out, err
}

// keeper saves the progress of all peers in one file, now and then while a long push runs: what is posted and
// not saved yet is answered "duplicate" after a crash.
type keeper struct {
	mu    sync.Mutex
	sent  *sentFile
	dirty bool
	saved time.Time
}

const saveEvery = 2 * time.Second

func (k *keeper) note(handle string, p *progress) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sent.set(handle, p)
	k.dirty = true
	if time.Since(k.saved) < saveEvery {
		return nil
	}
	return k.write()
}

func (k *keeper) save() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.write()
}

func (k *keeper) write() error {
	if !k.dirty {
		return nil
	}
	k.dirty, k.saved = false, time.Now()
	if err := k.sent.write(); err != nil {
		return fmt.Errorf("remembering what was sent: %w", err)
	}
	return nil
}

// runJobs runs the peers concurrently.
func runJobs(ctx context.Context, jobs []*peerPush) {
	next := make(chan *peerPush)
	var all sync.WaitGroup
	for range min(pushWorkers, len(jobs)) {
		all.Go(func() {
			for j := range next {
				j.run(ctx)
			}
		})
	}
	for _, j := range jobs {
		next <- j
	}
	close(next)
	all.Wait()
}
