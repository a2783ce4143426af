// Package health tells how one home is: the facts from which a plan begins, what `status` shows of it, and
// what `doctor` finds (reference/cli.md 2.4 and 2.22, design.md section 4).
//
// Law of the room: it only looks, on disk and relay, and makes nothing, not even a directory. Plan, status and
// doctor take a fact from the same function, so that they cannot disagree.
package health

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/pairing"
)

// Status is one home as the reference shows it.
type Status struct {
	Initialized  bool // the rest is empty without
	Info         identity.CardInfo
	Capabilities any
	Peers        []pairing.Peer
	Self         canon.Doc // self of relay.json without any token; nil where it is not bound
	PeerSlots    int
	Outbox       Mail
	Inbox        Mail
	Daemons      census.Daemons
	Pending      []pairing.PendingPair // under way by code phrase
	Inbound      []home.Inbound        // requests that wait, oldest first
}

// Mail is what lies in inbox or outbox.
type Mail struct{ Files, Events int }

// StatusOf is the status of a home. A card, trust.json or relay.json that does not parse is an error; a home
// without key or card has none of them.
func StatusOf(m home.Machine, s home.Session) (Status, error) {
	if !s.Initialized() {
		return Status{}, nil
	}
	st := Status{Initialized: true}
	card, err := s.ReadCard()
	if err != nil {
		return st, err
	}
	if st.Info, err = identity.ReadCard(card); err != nil {
		return st, err
	}
	if st.Capabilities = card["capabilities"]; st.Capabilities == nil {
		st.Capabilities = []any{"wire/v3.1"}
	}
	peers, err := pairing.Peers(s)
	if err = errors.Join(err, peers.Unread); err != nil {
		return st, err
	}
	for _, p := range peers.List {
		if p.Handle != st.Info.Handle {
			st.Peers = append(st.Peers, p)
		}
	}
	file, err := s.ReadRelay()
	if err != nil {
		return st, err
	}
	st.Self, st.PeerSlots = file.SelfShown(), len(file.Peers())
	if st.Outbox, err = mailIn(s.OutboxDir()); err != nil {
		return st, err
	}
	if st.Inbox, err = mailIn(s.InboxDir()); err != nil {
		return st, err
	}
	if st.Pending, err = pairing.Pending(s); err != nil {
		return st, err
	}
	if st.Inbound, err = s.InboundRequests(); err != nil {
		return st, err
	}
	st.Daemons = census.DaemonsOf(m, s)
	return st, nil
}

// ByStatus counts the pairings by code phrase that are under way.
func (st Status) ByStatus() map[string]int {
	counts := map[string]int{}
	for _, p := range st.Pending {
		counts[p.Status]++
	}
	return counts
}

// mailIn counts the .jsonl files of a directory and their lines that are not blank.
func mailIn(dir string) (Mail, error) {
	var m Mail
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".jsonl") {
			continue
		}
		n, err := countLines(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // moved away meanwhile
		}
		if err != nil {
			return m, err
		}
		m.Files++
		m.Events += n
	}
	return m, nil
}

func countLines(path string) (n int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 64<<10)
	for blank := true; ; {
		piece, err := r.ReadSlice('\n')
		blank = blank && len(bytes.TrimSpace(piece)) == 0
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return n, fmt.Errorf("%s: %w", path, err)
		}
		if !blank {
			n++
		}
		if err != nil {
			return n, nil
		}
		blank = true
	}
}
