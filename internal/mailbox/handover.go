package mailbox

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
)

// Retire empties a slot that its owner is about to give up although it answers: a full one (field-failures
// C21). Senders post again what a slot took when it is no longer their peer's; they would fill the next one
// with what was read long ago. So the owner reads the slot to its end, and each sister that posted to it is told
// up to which line of her outbox it was: only what came later is posted again.
//
// Senders elsewhere are not told; theirs is posted again, and dropped. An error leaves everything as it was, or
// some sisters told, which is no harm: what they were told is true.
func Retire(ctx context.Context, owner home.Session, handle string, slot home.Endpoint, c *client.Client, sisters []home.Session) error {
	ends := make([]int64, len(sisters))
	for i, s := range sisters {
		sent, err := readSent(s.SentFile())
		if err != nil {
			continue // her own push says so
		}
		if p, known := sent.get(handle); known {
			if _, took := p.slots[slot.SlotID]; took {
				ends[i] = p.offset // what is before it was posted before the slot is read
			}
		}
	}
	read, err := Open(owner, c).Pull(ctx)
	for _, failed := range read.Failed {
		if err == nil && strings.HasPrefix(failed, "endpoint "+slot.RelayURL+" ") {
			err = errors.New(failed)
		}
	}
	if err != nil {
		return fmt.Errorf("reading the slot to its end: %w", err)
	}
	var errs []error
	for i, s := range sisters {
		if ends[i] > 0 {
			errs = append(errs, wasRead(ctx, s, handle, slot.SlotID, ends[i]))
		}
	}
	return errors.Join(errs...)
}

// wasRead notes that the slot's owner has read all lines before an offset.
func wasRead(ctx context.Context, s home.Session, handle, slot string, before int64) error {
	unlock, err := home.Lock(ctx, s.PushLock())
	if err != nil {
		return err
	}
	defer unlock()
	sent, err := readSent(s.SentFile())
	if err != nil {
		return err
	}
	p, known := sent.get(handle)
	of, took := p.slots[slot]
	if !known || !took || of.first >= before || p.offset < before {
		return nil // it is another file by now
	}
	p.slots[slot] = taken{before, max(before, of.last)}
	sent.set(handle, p)
	return sent.write()
}
