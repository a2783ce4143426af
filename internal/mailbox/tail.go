package mailbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// TailOptions are those of `wire tail`.
type TailOptions struct {
	Peer  string // file stem; "" for all
	Limit int    // stop after so many events; 0 for all
	JSON  bool   // an event a line with "verified", else a line for people
}

// ErrNoInbox is a tail of a session that has no inbox directory yet.
var ErrNoInbox = errors.New("no inbox yet — daemon hasn't run, or no events received")

// Tail prints stored inbox events, verified against trust now (cli.md 2.6): files by name, lines as they
// stand. What is no event is passed over. Without an inbox directory it is ErrNoInbox, having printed
// nothing.
func (b *Box) Tail(w io.Writer, o TailOptions) error {
	if _, err := os.Stat(b.home.InboxDir()); errors.Is(err, fs.ErrNotExist) {
		return ErrNoInbox
	}
	peers, err := b.home.InboxPeers()
	if err != nil {
		return err
	}
	b.keys.refresh()
	defer b.keys.release()
	out := bufio.NewWriter(w)
	left := o.Limit
	for _, peer := range peers {
		if o.Peer != "" && peer != o.Peer {
			continue
		}
		more, err := b.tailFile(out, peer, &left, o)
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	return out.Flush()
}

// tailFile prints one file; more is false when the limit is reached.
func (b *Box) tailFile(out *bufio.Writer, peer string, left *int, o TailOptions) (more bool, err error) {
	path, err := b.home.Inbox(peer)
	if err != nil {
		return false, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 64<<10)
	for whole := true; whole; {
		var l textLine
		if l, whole, err = readLine(r, maxLine); err != nil {
			return false, err
		}
		event, err := canon.ParseObject(bytes.TrimSpace(l.text))
		if err != nil {
			continue
		}
		refused, err := b.keys.verify(event)
		if err != nil {
			return false, err
		}
		if o.JSON {
			event["verified"] = refused == nil
			_, err = out.Write(append(canon.Compact(event), '\n'))
		} else {
			_, err = fmt.Fprintln(out, shown(event, refused == nil))
		}
		if err != nil {
			return false, err
		}
		if *left--; *left == 0 {
			return false, nil
		}
	}
	return true, nil
}

// shown is one event for people: [<timestamp> <from> kind=<n> <type>[ deadline: <d>]] <body> | sig ✓
func shown(event canon.Doc, verified bool) string {
	text := func(key string) string { s, _ := event[key].(string); return s }
	deadline, mark := "", "✗"
	if d := text("time_sensitive_until"); d != "" {
		deadline = " deadline: " + d
	}
	if verified {
		mark = "✓"
	}
	body, ok := event["body"].(string)
	if !ok {
		body = string(canon.Compact(event["body"]))
	}
	head := OneLine(fmt.Sprintf("[%s %s kind=%d %s%s]", text("timestamp"), text("from"), identity.EventKind(event), text("type"), deadline))
	return fmt.Sprintf("%s %s | sig %s", head, visible(body), mark)
}
