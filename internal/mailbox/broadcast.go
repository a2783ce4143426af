package mailbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// BroadcastOptions are those of `wire mesh broadcast` (cli.md 2.30).
type BroadcastOptions struct {
	Body    any // canon value
	Kind    string
	Scope   string   // "local", "federation" or "both"
	Exclude []string // handles
}

// Broadcast is what became of one.
type Broadcast struct {
	ID         string     // shaped like a UUID
	Deliveries []Delivery // by peer
	Excluded   []string   // pinned peers that were left out
	WrongScope []string   // pinned peers without an endpoint of the scope
}

// Delivered is how many peers got it.
func (r Broadcast) Delivered() (n int) {
	for _, d := range r.Deliveries {
		if d.Err == nil {
			n++
		}
	}
	return n
}

// Broadcast queues one event for each pinned peer and posts all of them at once. Errors are those that send
// nothing: no peers, nobody left, an unknown scope, a body that Send refuses.
func (b *Box) Broadcast(ctx context.Context, o BroadcastOptions, now time.Time) (Broadcast, error) {
	p, err := b.pen()
	if err != nil {
		return Broadcast{}, err
	}
	if o.Scope != string(home.Local) && o.Scope != string(home.Federation) && o.Scope != "both" {
		return Broadcast{}, fmt.Errorf("unknown scope `%s` — use local | federation | both", o.Scope)
	}
	relay, err := b.home.ReadRelay()
	if err != nil {
		return Broadcast{}, err
	}
	peers := relay.Peers()
	if len(peers) == 0 {
		return Broadcast{}, errors.New("no peers pinned — `wire add` or `wire session pair-all-local` pins some")
	}
	out := Broadcast{ID: newUUID()}
	var targets []parcel
	for _, peer := range peers {
		if named(o.Exclude, peer) {
			out.Excluded = append(out.Excluded, peer)
			continue
		}
		routes := slices.DeleteFunc(usable(relay, peer), func(e home.Endpoint) bool {
			return o.Scope != "both" && string(e.Scope) != o.Scope
		})
		if len(routes) == 0 || identity.CheckHandle(peer) != nil { // or a key of peers that names no outbox
			out.WrongScope = append(out.WrongScope, peer)
			continue
		}
		targets = append(targets, parcel{letter: letter{peer: peer}, routes: routes})
	}
	if len(targets) == 0 {
		return Broadcast{}, fmt.Errorf("no peers matched scope=`%s` after exclude filter (%d excluded, %d wrong-scope)",
			o.Scope, len(out.Excluded), len(out.WrongScope))
	}
	for i := range targets {
		body := canon.Doc{
			"broadcast_id": out.ID, "broadcast_target_count": uint64(len(targets)), "content": o.Body,
		}
		l, err := b.write(p, Outgoing{Peer: targets[i].peer, Kind: o.Kind, Body: body}, now)
		if err != nil {
			return Broadcast{}, err
		}
		targets[i].letter = l
	}
	out.Deliveries, err = b.direct(ctx, targets)
	return out, err
}

// named says whether a peer is among handles as people write them.
func named(handles []string, peer string) bool {
	return slices.ContainsFunc(handles, func(h string) bool { return identity.BareHandle(h) == peer })
}

// usable are the routes to a peer that have a token: the others wait for an ack.
func usable(relay *home.RelayFile, peer string) []home.Endpoint {
	return slices.DeleteFunc(relay.Routes(peer), func(e home.Endpoint) bool { return e.SlotToken.Zero() })
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it does not fail: crypto/rand
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
