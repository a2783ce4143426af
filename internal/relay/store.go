package relay

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// store is a state directory in the reference's format (relay.md section 7).
type store struct {
	dir    string
	self   fs.FileInfo // of dir: another one at that path is not ours
	stderr io.Writer
	disk   disk
	turns  chan struct{} // of the slots' groups
	seed   maphash.Seed

	mu    sync.RWMutex
	slots map[string]*slot

	tokens   []byte // tokens.json without its closing brace; only the allocating group touches it
	allocs   group[*allocation]
	counters counters
	pulls    pulls
	strays   map[string]*slot // slots that only a handle names, without a token; under mu
	handles  directory
	invites  invites

	failOnce sync.Once
	failed   chan struct{} // closed by the first failure that no retry can mend
	failErr  error

	lookMu sync.Mutex
	looked time.Time // when the directory was last seen in its place
}

// disk is how slot files are written; tests let it fail.
type disk struct {
	write func(*os.File, []byte) (int, error)
	sync  func(*os.File) error // makes content and length durable
}

func makeStateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, sub := range []string{"slots", "handles", "responder-health"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	// A directory of the reference is open to all under a usual umask, and tokens.json holds every key.
	return os.Chmod(dir, 0o700)
}

// openStore loads a state directory that is ours alone. Events are read when their slot is first used.
func openStore(dir string, stderr io.Writer) (*store, error) {
	st := &store{
		dir: dir, stderr: stderr, disk: disk{(*os.File).Write, syncData}, seed: maphash.MakeSeed(),
		turns: make(chan struct{}, runtime.NumCPU()),
		slots: map[string]*slot{}, strays: map[string]*slot{}, failed: make(chan struct{}),
	}
	st.allocs.commit = st.writeTokens
	self, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	st.self = self
	for _, d := range []string{dir, st.path("slots"), st.path("handles"), st.path("responder-health")} {
		if err := removeTemps(d); err != nil {
			return nil, err
		}
	}
	if err := st.loadTokens(); err != nil {
		return nil, err
	}
	if err := st.loadHandles(); err != nil {
		return nil, err
	}
	st.loadCounters()
	st.loadPulls(time.Now())
	return st, nil
}

func (st *store) path(elem ...string) string {
	return filepath.Join(append([]string{st.dir}, elem...)...)
}

// loadTokens refuses what it cannot read whole: the reference takes a damaged table for an empty one, and
// its next allocate destroys what was left (relay.md Q3).
func (st *store) loadTokens() error {
	path := st.path("tokens.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		st.tokens = []byte("{")
		return nil
	}
	if err != nil {
		return err
	}
	doc, err := canon.ParseObject(data)
	if err != nil {
		return fmt.Errorf("%s does not parse, so no slot would answer to its token: %w; restore it, or move it away to start without slots", path, err)
	}
	ids := make([]string, 0, len(doc))
	for id, v := range doc {
		token, ok := v.(string)
		if !ok {
			return fmt.Errorf("%s: the token of slot %q is not a string; restore the file, or move it away to start without slots", path, id)
		}
		st.slots[id] = st.newSlot(id, token)
		ids = append(ids, id)
	}
	sort.Strings(ids)
	st.tokens = []byte("{")
	for _, id := range ids {
		st.tokens = appendToken(st.tokens, st.slots[id])
	}
	return nil
}

func appendToken(dst []byte, s *slot) []byte {
	if len(dst) > 1 {
		dst = append(dst, ',')
	}
	dst = append(dst, "\n  "...)
	dst = canon.Append(dst, s.id)
	dst = append(dst, ": "...)
	return canon.Append(dst, s.token)
}

// allocation is one slot that waits for its place in tokens.json.
type allocation struct {
	slot *slot
	err  error
}

// allocate makes a slot. It exists for others once tokens.json is on disk.
func (st *store) allocate() (*slot, error) {
	var random [48]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	a := &allocation{slot: st.newSlot(hex.EncodeToString(random[:16]), hex.EncodeToString(random[16:]))}
	st.allocs.do(a)
	return a.slot, a.err
}

// writeTokens writes the table once for all allocations in flight.
func (st *store) writeTokens(batch []*allocation) {
	old := len(st.tokens)
	for _, a := range batch {
		st.tokens = appendToken(st.tokens, a.slot)
	}
	err := st.replace("tokens.json", append(st.tokens, "\n}"...))
	if err != nil {
		st.tokens = st.tokens[:old]
		for _, a := range batch {
			a.err = err
		}
		return
	}
	st.counters.allocations.Add(int64(len(batch)))
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, a := range batch {
		st.slots[a.slot.id] = a.slot
	}
}

// replace writes a file of the directory atomically. It is an error if the directory is no longer the one
// that was opened: what was written then is not where anybody looks.
func (st *store) replace(name string, data []byte) error {
	if err := st.inPlace(); err != nil {
		return err
	}
	info, err := replaceFile(st.path(name), data)
	if err != nil {
		return errors.Join(err, st.inPlace())
	}
	if err := st.inPlace(); err != nil {
		return err
	}
	if err := sameFile(st.path(name), info); err != nil {
		return st.fail(err)
	}
	return nil
}

// inPlace fails the store if its directory was deleted or replaced.
func (st *store) inPlace() error {
	if err := st.failure(); err != nil {
		return err
	}
	if err := sameFile(st.dir, st.self); err != nil {
		return st.fail(fmt.Errorf("the relay's state is gone: %w", err))
	}
	return nil
}

// lookEvery spares most requests that only read the look at the directory.
const lookEvery = time.Second

// recently is inPlace at most once per lookEvery, for requests that only read.
func (st *store) recently(now time.Time) error {
	st.lookMu.Lock()
	due := now.Sub(st.looked) >= lookEvery
	if due {
		st.looked = now
	}
	st.lookMu.Unlock()
	if due {
		return st.inPlace()
	}
	return st.failure()
}

// fail ends the store: nothing is acknowledged any more and Serve returns. It returns the first failure.
func (st *store) fail(err error) error {
	st.failOnce.Do(func() {
		st.failErr = err
		close(st.failed)
	})
	<-st.failed
	return st.failErr
}

// failure is why the store has ended, nil while it has not.
func (st *store) failure() error {
	select {
	case <-st.failed:
		return st.failErr
	default:
		return nil
	}
}

// slot finds a slot by its id.
func (st *store) slot(id string) *slot {
	st.mu.RLock()
	defer st.mu.RUnlock()
	return st.slots[id]
}

// slotOf finds the slot behind a handle, which works without a token too: a directory whose tokens.json was
// lost may still name it (relay.md 6.10).
func (st *store) slotOf(id string) *slot {
	if s := st.slot(id); s != nil {
		return s
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if s := st.slots[id]; s != nil {
		return s
	}
	if st.strays[id] == nil {
		st.strays[id] = st.newSlot(id, "")
	}
	return st.strays[id]
}

// rest is the housekeeping between requests: counters, pull times, and file handles of quiet slots.
func (st *store) rest() {
	if st.inPlace() != nil {
		return
	}
	if err := st.saveCounters(); err != nil {
		fmt.Fprintf(st.stderr, "counter persist failed: %v\n", err)
	}
	if now := time.Now(); now.Sub(st.pulls.at) >= savePullsEvery {
		if err := st.savePulls(now); err != nil {
			fmt.Fprintf(st.stderr, "pull times persist failed: %v\n", err)
		}
	}
	for _, s := range st.all() {
		s.rest()
	}
}

func (st *store) all() []*slot {
	st.mu.RLock()
	defer st.mu.RUnlock()
	all := make([]*slot, 0, len(st.slots)+len(st.strays))
	for _, each := range []map[string]*slot{st.slots, st.strays} {
		for _, s := range each {
			all = append(all, s)
		}
	}
	return all
}

func (st *store) close() {
	for _, s := range st.all() {
		s.close()
	}
}
