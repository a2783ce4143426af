package mailbox

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine is the longest line that is looked at: what a relay reads at most, with room. A longer one is
// passed over in pieces.
const maxLine = 4 << 20

// textLine is one line of a JSONL file.
type textLine struct {
	text []byte // without its end; nil if longer than the limit
	size int64  // bytes in the file, its end included
}

// readLine reads the next line; whole is false at the end of the file, where text is what stands behind the
// last line end. text is the caller's.
func readLine(r *bufio.Reader, limit int) (l textLine, whole bool, err error) {
	for {
		piece, err := r.ReadSlice('\n')
		l.size += int64(len(piece))
		if l.size <= int64(limit) {
			l.text = append(l.text, piece...)
		} else {
			l.text = nil
		}
		switch {
		case err == nil:
			l.text = bytes.TrimSuffix(l.text, []byte("\n"))
			return l, true, nil
		case errors.Is(err, io.EOF):
			return l, false, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return l, false, err
		}
	}
}

// lineEndsAt says whether a line ends at offset, be it without its line end.
func lineEndsAt(f io.ReaderAt, offset, size int64) (bool, error) {
	if offset == size {
		return true, nil
	}
	var around [2]byte // the bytes before and behind
	if _, err := f.ReadAt(around[:], offset-1); err != nil {
		return false, err
	}
	return bytes.IndexByte(around[:], '\n') >= 0, nil
}

// lineBefore is the line that ends at offset, with or without its line end.
func lineBefore(f io.ReaderAt, offset int64) ([]byte, error) {
	const block = 4 << 10
	var tail []byte
	for at := offset; at > 0 && int64(len(tail)) < maxLine; {
		n := min(at, block)
		buf := make([]byte, n, n+int64(len(tail)))
		if _, err := f.ReadAt(buf, at-n); err != nil {
			return nil, err
		}
		at -= n
		tail = append(buf, tail...)
		// The line end at offset-1 is this line's own, any earlier one is another's.
		if i := bytes.LastIndexByte(tail[:len(tail)-1], '\n'); i >= 0 {
			tail = tail[i+1:]
			break
		}
	}
	return bytes.TrimSuffix(tail, []byte("\n")), nil
}
