package home

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"syscall"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// rival is what another program made of a document meanwhile, without our lock: both are JSON texts.
type rival struct{ base, theirs []byte }

// swap is swapNames; tests take it away, for file systems that cannot.
var swap = swapNames

// supplant replaces the file that was seen. A program that writes it in place (4.3) may do so until the very
// rename, and into the file that we take away even later; so the two are exchanged, and what was there is looked
// at afterwards. If it is not what was seen, it is put back and the error is errMoved. rivals are the updates that
// came meanwhile, for merge: whoever looked in that instant may have seen our file and may write it back.
//
// If we die in that instant, what they wrote lies beside the file, as a temp file.
func (s sight) supplant(data []byte, mode fs.FileMode) (rivals []rival, err error) {
	if !s.holds() {
		return nil, errMoved
	}
	err = replace(s.path, data, mode, func(temp, path string) (func() error, error) {
		if !s.holds() {
			return nil, errMoved
		}
		if s.info == nil {
			return nil, appear(temp, path)
		}
		x := exchange{sight: s, temp: temp, path: path, data: data, rivals: &rivals}
		return x.begin()
	})
	return rivals, err
}

// appear gives a temp file its name, unless somebody else was first.
func appear(temp, path string) error {
	err := os.Link(temp, path)
	switch {
	case errors.Is(err, fs.ErrExist):
		return errMoved
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOTSUP):
		return os.Rename(temp, path) // a file system without links
	case err != nil:
		return err
	}
	return os.Remove(temp)
}

// exchange is one replacement that can be taken back.
type exchange struct {
	sight
	temp, path string
	data       []byte   // ours
	old        *os.File // what was there
	swapped    bool     // temp names it now; else it has no name any more
	rivals     *[]rival
}

func (x *exchange) begin() (after func() error, err error) {
	if x.old, err = os.Open(x.path); errors.Is(err, fs.ErrNotExist) {
		return nil, errMoved
	} else if err != nil {
		return nil, err
	}
	switch err = swap(x.temp, x.path); {
	case err == nil:
		x.swapped = true
	case errors.Is(err, fs.ErrNotExist):
		err = errMoved
	default:
		err = os.Rename(x.temp, x.path) // the file system cannot, or a sandbox does not let us
	}
	if err != nil {
		return nil, errors.Join(err, x.old.Close())
	}
	if x.swapped {
		if another, err := os.Open(x.temp); err == nil { // somebody may have renamed it into place a moment ago
			_ = x.old.Close()
			x.old = another
		}
	}
	if !x.untouched() {
		return nil, x.back()
	}
	return x.end, nil
}

// end looks once more: by now whoever opened the old file before the exchange has truncated it.
func (x *exchange) end() error {
	if x.untouched() {
		_ = x.old.Close()
		if x.swapped {
			return os.Remove(x.temp)
		}
		return nil
	}
	err := x.back()
	if rerr := os.Remove(x.temp); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return err
}

func (x *exchange) untouched() bool { return bytes.Equal(content(x.old), x.sight.data) }

// back gives the file back its name and says errMoved.
func (x *exchange) back() error {
	defer func() { _ = x.old.Close() }()
	theirs := content(x.old)
	if !x.swapped || swap(x.temp, x.path) != nil {
		*x.rivals = append(*x.rivals, written(x.sight.data, x.old)...) // ours stays, and merge brings theirs back
		return errMoved
	}
	if canon.Valid(theirs) == nil {
		*x.rivals = append(*x.rivals, rival{x.sight.data, theirs})
	}
	if ours, err := os.Open(x.temp); err == nil {
		defer func() { _ = ours.Close() }()
		if !bytes.Equal(content(ours), x.data) {
			*x.rivals = append(*x.rivals, written(x.data, ours)...)
		}
	}
	return errMoved
}

func content(f *os.File) []byte {
	data, _ := io.ReadAll(io.NewSectionReader(f, 0, math.MaxInt64))
	return data
}

// written is the update that an open file holds, waited for until it is written; nil if it never is.
func written(base []byte, f *os.File) []rival {
	for deadline := time.Now().Add(tornFor); ; time.Sleep(tornEvery) {
		if theirs := content(f); canon.Valid(theirs) == nil {
			return []rival{{base, theirs}}
		}
		if !time.Now().Before(deadline) {
			return nil
		}
	}
}

// merge is the text of a document with what rivals did to it, as far as it is not there and nobody has changed the
// same member since. missing is whether anything was not.
func merge(text []byte, rivals []rival) (merged []byte, missing bool) {
	if len(rivals) == 0 {
		return text, false
	}
	now, err := canon.ParseObject(text)
	if err != nil {
		return text, false
	}
	for _, r := range rivals {
		base, err := canon.ParseObject(r.base)
		theirs, err2 := canon.ParseObject(r.theirs)
		if err == nil && err2 == nil && mergeInto(now, base, theirs) {
			missing = true
		}
	}
	if !missing {
		return text, false
	}
	return canon.Pretty(now), true
}

func mergeInto(now, base, theirs canon.Doc) (changed bool) {
	keys := map[string]bool{}
	for k := range base {
		keys[k] = true
	}
	for k := range theirs {
		keys[k] = true
	}
	for k := range keys {
		was, had := base[k]
		is, has := theirs[k]
		here, there := now[k]
		if had == has && alike(was, is) {
			continue
		}
		hereDoc, inside := here.(canon.Doc)
		wasDoc, wasInside := was.(canon.Doc)
		isDoc, isInside := is.(canon.Doc)
		switch {
		case inside && isInside && (wasInside || !had):
			if mergeInto(hereDoc, wasDoc, isDoc) {
				changed = true
			}
		case there != had || !alike(here, was): // somebody changed it since
		case has:
			now[k], changed = is, true
		default:
			delete(now, k)
			changed = true
		}
	}
	return changed
}

func alike(a, b any) bool { return slices.Equal(canon.Compact(a), canon.Compact(b)) }
