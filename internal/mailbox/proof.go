package mailbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
)

// proofLasts is how long a slot is believed to have what it took while nothing speaks against it: that it would
// come back emptied without a restart of its relay is rare, and asking costs two requests.
const proofLasts = 15 * time.Minute

// proof knows the slots that were seen to have what they took. A relay whose file of a slot was deleted or torn
// while it was down goes on under the same id and token as if nothing had ever come: no answer tells, and what
// was counted as posted would be lost. So a slot is asked again once its relay was away.
type proof struct {
	mu     sync.Mutex
	doubts int // how often a relay was doubted
	slots  map[slotAt]time.Time
}

// slotAt is a slot by its place: relays choose ids without asking each other.
type slotAt struct{ url, id string }

func at(e home.Endpoint) slotAt { return slotAt{e.RelayURL, e.SlotID} }

func (p *proof) stands(e home.Endpoint, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen, ok := p.slots[at(e)]
	return ok && now.Sub(seen) < proofLasts
}

func (p *proof) saw(e home.Endpoint, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slots == nil {
		p.slots = map[slotAt]time.Time{}
	}
	p.slots[at(e)] = now
}

func (p *proof) doubt(url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doubts++
	for s := range p.slots {
		if s.url == url {
			delete(p.slots, s)
		}
	}
}

func (p *proof) doubted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.doubts
}

// Doubt has the next Push ask the slots at a relay whether they still have what they took, and the next Pull read
// the own slots there from their start: for a caller that saw the relay go and come back. It may be called beside
// everything else.
func (b *Box) Doubt(url string) {
	b.proof.doubt(url)
	b.order.doubt(url)
}

// prove asks each slot whether it has the lines that it took, by posting the first and the last of them once
// more: the answer is "duplicate". One that stores such a line has lost what it had, so all of it goes out again,
// and the receiver drops what it got before.
func (j *peerPush) prove(ctx context.Context) error {
	for _, r := range j.routes {
		if j.proof.stands(r.Endpoint, time.Now()) {
			continue
		}
		witnesses, err := j.witnesses(r.SlotID)
		if err != nil {
			return err
		}
		began := time.Now()
		lost, perr := j.lost(ctx, r, witnesses)
		switch {
		case perr == nil:
			j.proof.saw(r.Endpoint, began)
		case ctx.Err() != nil:
			j.left = true
			return ctx.Err()
		default:
			r.down = client.Describe(perr)
			j.left = true
			lost = errors.Is(perr, client.ErrNotFound)
		}
		if !lost || !j.progress.rewind(r.SlotID) {
			continue
		}
		if err := j.reopen(); err != nil {
			return err
		}
		if err := j.keeper.note(j.handle, j.progress); err != nil {
			return err
		}
	}
	return nil
}

// lost says whether the slot lacks one of the lines. The error is the relay's.
func (j *peerPush) lost(ctx context.Context, r *route, witnesses []mail) (bool, error) {
	for _, m := range witnesses {
		posted, err := j.try(ctx, r, m)
		if err == nil && !posted.Duplicate {
			return true, nil
		}
		if err != nil && !j.lineIsToBlame(ctx, r, err) {
			return false, err
		}
	}
	return false, nil
}

// witnesses are lines that the slot took: the first, the last, and the last of those that went out ahead of
// lines which still wait.
func (j *peerPush) witnesses(slot string) (out []mail, err error) {
	take := func(m mail) {
		same := func(o mail) bool { return bytes.Equal(o.text, m.text) }
		if m.valid && m.refused == "" && !slices.ContainsFunc(out, same) {
			out = append(out, m)
		}
	}
	if took, ok := j.progress.slots[slot]; ok {
		for _, offset := range []int64{took.first, took.last} {
			l, _, err := readLine(j.linesFrom(offset), maxLine)
			if err != nil {
				return nil, err
			}
			take(readMail(l))
		}
	}
	ahead := ""
	for _, d := range j.progress.direct {
		if d.slot == slot {
			ahead = d.id
		}
	}
	for lines := j.linesFrom(j.progress.offset); ahead != ""; {
		l, whole, err := readLine(lines, maxLine)
		if err != nil {
			return nil, err
		}
		if l.size == 0 || !whole {
			break
		}
		if bytes.Contains(l.text, []byte(ahead)) && lineID(l.text) == ahead {
			take(readMail(l))
			break
		}
	}
	return out, nil
}

func (j *peerPush) linesFrom(offset int64) *bufio.Reader {
	return bufio.NewReaderSize(io.NewSectionReader(j.file, offset, 1<<62), 64<<10)
}
