package mailbox

import (
	"bufio"
	"io"

	"wirefleet.dev/wire/internal/home"
)

// QueueEnds is behind the last whole line of each outbox file.
func (b *Box) QueueEnds() (home.Offsets, error) { return ends(b.home.OutboxPeers, b.home.Outbox) }

// QueuedSince are the ids of the events that stand behind the offsets in the outbox files, by file. It moves
// the offsets behind them.
func (b *Box) QueuedSince(at home.Offsets) (ids []string, err error) {
	peers, err := b.home.OutboxPeers()
	if err != nil {
		return nil, err
	}
	for _, peer := range peers {
		path, err := b.home.Outbox(peer)
		if err != nil {
			return ids, err
		}
		f, info, err := openStored(path)
		if err != nil {
			return ids, err
		}
		if f == nil {
			continue
		}
		if info.Size() > at[peer] {
			lines := bufio.NewReaderSize(io.NewSectionReader(f, at[peer], 1<<62), 64<<10)
			for {
				l, whole, rerr := readLine(lines, maxLine)
				if err = rerr; rerr != nil || !whole {
					break
				}
				if id := lineID(l.text); id != "" {
					ids = append(ids, id)
				}
				at[peer] += l.size
			}
		}
		f.Close()
		if err != nil {
			return ids, err
		}
	}
	return ids, nil
}
