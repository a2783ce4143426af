package mailbox

import (
	"io/fs"
	"os"
	"time"
)

// racy is how young a file may not be for its stamp to say anything: the kernel's clock for file times
// stands still for some milliseconds, and within them a file can change and look the same.
const racy = 50 * time.Millisecond

// stamp is what a file looked like when it was read, to tell later whether it has to be read again. The
// zero stamp is of no file and equals nothing.
type stamp struct {
	taken bool
	info  fs.FileInfo // nil: the file was missing
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		info = nil
	}
	return stamp{taken: true, info: info}
}

// current says whether the file at path still is what s was taken of.
func (s stamp) current(path string) bool {
	if !s.taken {
		return false
	}
	now, err := os.Stat(path)
	if s.info == nil || err != nil {
		return s.info == nil && err != nil
	}
	return os.SameFile(s.info, now) && s.info.Size() == now.Size() && s.info.ModTime().Equal(now.ModTime())
}

// settled is s, or the zero stamp if the file was so young at now that the next change might not show.
func (s stamp) settled(now time.Time) stamp {
	if s.info != nil && now.Sub(s.info.ModTime()) < racy {
		return stamp{}
	}
	return s
}
