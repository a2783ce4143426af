package home

import (
	"context"
	"errors"
	"fmt"
)

// An in-place writer of the reference takes no lock. If it keeps coming between our read and our rename,
// something is wrong that more tries do not help.
const updateTries = 8

// update is the one read-modify-write: lock, re-read, change, replace. change returns the new bytes, nil for
// "leave it", or an error, which leaves it as well.
//
// The lock keeps out who takes it. Who does not (most of the reference, 4.3) may write between our read and
// our rename, and most of that time is the fsync of the temp file; so the file is looked at once more right
// before the rename, and if it moved, the change is made again on what is there now.
func update[T any](ctx context.Context, lock string, d document[T], change func(T) ([]byte, error)) error {
	unlock, err := Lock(ctx, lock)
	if err != nil {
		return err
	}
	defer unlock()
	for range updateTries {
		doc, seen, err := d.read()
		if err != nil {
			return err
		}
		data, err := change(doc)
		if err != nil || data == nil {
			return err
		}
		err = replace(d.path, data, 0o600, seen.holds)
		if !errors.Is(err, errMoved) {
			return err
		}
	}
	return &FileError{d.path, fmt.Errorf("%w, %d times in a row", errMoved, updateTries)}
}
