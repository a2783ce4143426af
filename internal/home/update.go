package home

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// An in-place writer of the reference takes no lock. If it keeps coming between our read and our rename,
// something is wrong that more tries do not help.
const updateTries = 8

// update is the one read-modify-write: lock, re-read, change, replace. change returns the new bytes, nil for
// "leave it", or an error, which leaves it as well.
//
// The lock keeps out who takes it. Who does not (most of the reference, 4.3) may write between our read and
// our rename, and most of that time is the fsync of the temp file; so supplant looks before the rename and behind
// it, and if the file moved, the change is made again on what is there now. What only our rename could have hidden
// is merged, and looked for until whoever saw the file in that instant has written.
func update[T any](ctx context.Context, lock string, d document[T], change func(T) ([]byte, error)) error {
	unlock, err := Lock(ctx, lock)
	if err != nil {
		return err
	}
	defer unlock()
	var rivals []rival
	for range updateTries {
		doc, seen, err := d.read()
		if err != nil {
			return err
		}
		merged, missing := merge(seen.data, rivals)
		if missing {
			if doc, err = d.parse(merged); err != nil {
				return err
			}
		}
		data, changeErr := change(doc)
		if changeErr != nil || data == nil {
			if !missing && (len(rivals) == 0 || d.keeps([]rival{{rivals[0].base, seen.data}})) {
				return changeErr
			}
			data = merged
		}
		came, err := seen.supplant(data, 0o600)
		rivals = append(rivals, came...)
		switch {
		case errors.Is(err, errMoved):
			continue
		case err != nil || len(rivals) == 0:
			return errors.Join(changeErr, err)
		}
		rivals = []rival{{rivals[0].base, data}}
		if d.keeps(rivals) {
			return changeErr
		}
	}
	return &FileError{d.path, fmt.Errorf("%w, %d times in a row", errMoved, updateTries)}
}

// keeps watches for the time of one write of the reference whether somebody takes back what was merged.
func (d document[T]) keeps(rivals []rival) bool {
	for deadline := time.Now().Add(tornFor); ; time.Sleep(tornEvery) {
		data, _, err := readRegular(d.path)
		if err == nil {
			if _, missing := merge(data, rivals); missing {
				return false
			}
		}
		if !time.Now().Before(deadline) {
			return true
		}
	}
}
