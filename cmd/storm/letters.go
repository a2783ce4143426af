package main

import (
	"bytes"
	"errors"
	"fmt"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// fate is what became of a send.
type fate string

const (
	accepted fate = "accepted" // exited 0: once in the inbox of its addressee
	killed   fate = "killed"   // 0 or 1 times
	refused  fate = "refused"  // exited otherwise, so nothing is promised: 0 or 1 times
)

// letter is one send.
type letter struct {
	N        int // in the order in which the sends began
	From, To string
	Body     string // no two are alike
	ID       string // of the event, if it was accepted
	Fate     fate
}

// box is one file of an inbox: what its owner has of a peer.
type box struct {
	owner, peer string
	data        []byte
}

// post is all that was sent and all that arrived.
type post struct {
	letters []letter
	boxes   []box
	dids    map[string]identity.DID                   // of each session, from its card
	verify  func(owner string, event canon.Doc) error // with what the owner trusts
}

// tally is what became of all letters.
type tally struct {
	accepted, killedFound, killedLost, refused int
	inversions                                 int // letters that arrived after a later one of the same sender
}

// judge says whether every accepted letter is once in its addressee's inbox and in no other, every other one
// at most once, no line is torn, forged, or one that nobody sent, and all is as it was sent.
func (p post) judge() (tally, error) {
	sent := map[string]letter{}
	for _, l := range p.letters {
		if l.Fate == accepted && l.ID == "" {
			return tally{}, fmt.Errorf("letter %d from %s to %s was accepted without an event id", l.N, l.From, l.To)
		}
		sent[l.Body] = l
	}
	var out tally
	arrived := map[int]int{}
	for _, b := range p.boxes {
		n, err := p.open(b, sent, arrived)
		if err != nil {
			return tally{}, fmt.Errorf("the inbox of %s, file of %s: %w", b.owner, b.peer, err)
		}
		out.inversions += n
	}
	var missing []letter
	for _, l := range p.letters {
		n := arrived[l.N]
		switch {
		case n > 1:
			return tally{}, fmt.Errorf("letter %d from %s to %s (%s) arrived %d times", l.N, l.From, l.To, l.Fate, n)
		case l.Fate == accepted && n == 0:
			missing = append(missing, l)
		case l.Fate == accepted:
			out.accepted++
		case l.Fate == killed && n == 1:
			out.killedFound++
		case l.Fate == killed:
			out.killedLost++
		default:
			out.refused++
		}
	}
	switch {
	case len(missing) > 0:
		l := missing[0]
		return tally{}, fmt.Errorf("%d accepted letters did not arrive, the first is %d from %s to %s, event %s", len(missing), l.N, l.From, l.To, l.ID)
	case out.accepted == 0:
		return tally{}, errors.New("no letter was accepted, so nothing is proven")
	}
	return out, nil
}

// open reads a file of an inbox and counts, by N, what arrived.
func (p post) open(b box, sent map[string]letter, arrived map[int]int) (inversions int, err error) {
	if len(b.data) > 0 && b.data[len(b.data)-1] != '\n' {
		return 0, errors.New("its last line is torn")
	}
	latest := 0
	for line := range bytes.Lines(b.data) {
		event, err := canon.ParseObject(line)
		if err != nil {
			return 0, fmt.Errorf("a torn line: %w: %.80q", err, line)
		}
		body, _ := event["body"].(string)
		l, ok := sent[body]
		if !ok {
			return 0, fmt.Errorf("a line that nobody sent: %.80q", line)
		}
		from, _ := event["from"].(string)
		to, _ := event["to"].(string)
		id, _ := event["event_id"].(string)
		switch {
		case l.To != b.owner || identity.DID(to).Handle() != b.owner:
			return 0, fmt.Errorf("letter %d is for %s, and says %q", l.N, l.To, to)
		case l.From != b.peer || identity.DID(from) != p.dids[l.From]:
			return 0, fmt.Errorf("letter %d is from %s (%s), and says %q", l.N, l.From, p.dids[l.From], from)
		case l.Fate == accepted && id != l.ID:
			return 0, fmt.Errorf("letter %d was accepted as %s and is %s", l.N, l.ID, id)
		}
		if err := p.verify(b.owner, event); err != nil {
			return 0, fmt.Errorf("letter %d does not verify: %w", l.N, err)
		}
		arrived[l.N]++
		if l.N < latest {
			inversions++
		}
		latest = max(latest, l.N)
	}
	return inversions, nil
}
