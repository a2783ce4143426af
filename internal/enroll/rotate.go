package enroll

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
)

// RotateOptions are those of `wire rotate-slot`.
type RotateOptions struct {
	Announce bool
	Before   func(context.Context) // as in BindOptions
}

// Rotation is what Rotate did.
type Rotation struct {
	Relay     string
	Old, New  string   // slot ids
	Announced []string // peers that were told, sorted
	Failed    []string // what could not be told: "announce to <peer> failed: ..." by peer, and the directory
}

// announceFor bounds the telling of all peers: the slot is replaced by then, and a peer that is away would
// not read it anyway.
const announceFor = 15 * time.Second

// Rotate replaces the flat slot of a session by another on the same relay; other endpoints stay. Then it
// tells the peers, by wire_close, which never holds the new token. The old slot lives on at the relay.
func Rotate(ctx context.Context, c *client.Client, s home.Session, o RotateOptions) (Rotation, error) {
	key, _, info, err := Owner(s)
	if err != nil {
		return Rotation{}, err
	}
	file, err := s.ReadRelay()
	if err != nil {
		return Rotation{}, err
	}
	old, ok := home.Flat(file.Self())
	if !ok {
		return Rotation{}, ErrUnbound
	}
	fresh, err := func() (home.Endpoint, error) {
		if err := reach(ctx, c, old.RelayURL); err != nil {
			return home.Endpoint{}, err
		}
		return allocate(ctx, c, Place{Relay: old.RelayURL, Scope: old.Scope, Handle: info.Handle})
	}()
	if err != nil {
		return Rotation{}, fmt.Errorf("aborting rotation; old slot still valid: %w", err)
	}
	if o.Before != nil {
		o.Before(ctx)
	}
	err = s.UpdateRelay(ctx, func(r *home.RelayFile) error {
		list, found := r.Self(), false
		for i, e := range list {
			if e.SlotID == old.SlotID && trim(e.RelayURL) == trim(old.RelayURL) {
				list[i], found = fresh, true
				list[i].Scope = e.Scope
			}
		}
		if !found {
			return errors.New("the slot was replaced by another program meanwhile: nothing was rotated")
		}
		r.SetSelf(list)
		return nil
	})
	if err != nil {
		return Rotation{}, err
	}
	r := Rotation{Relay: old.RelayURL, Old: old.SlotID, New: fresh.SlotID, Announced: []string{}}
	if o.Announce {
		news := closing{key: key, from: info.DID, to: fresh}
		r.Announced, r.Failed = news.tell(ctx, c, file)
	}
	if err := follow(ctx, c, s, old, fresh); err != nil {
		r.Failed = append(r.Failed, err.Error())
	}
	return r, nil
}

// closing is the news that a slot has closed.
type closing struct {
	key  identity.Key
	from identity.DID
	to   home.Endpoint
}

// tell posts the news to every peer that has a slot of which we hold the token.
func (n closing) tell(ctx context.Context, c *client.Client, file *home.RelayFile) (told, failed []string) {
	ctx, cancel := context.WithTimeout(ctx, announceFor)
	defer cancel()
	peers := file.Peers()
	reachable := make([]bool, len(peers))
	errs := make([]error, len(peers))
	gate := make(chan struct{}, 16)
	var all sync.WaitGroup
	for i, handle := range peers {
		routes := addresses(file, handle)
		if reachable[i] = len(routes) > 0 && identity.CheckHandle(handle) == nil; !reachable[i] {
			continue
		}
		all.Go(func() {
			gate <- struct{}{}
			errs[i] = post(ctx, c, routes, n.event(handle))
			<-gate
		})
	}
	all.Wait()
	told = []string{}
	for i, handle := range peers {
		switch {
		case errs[i] != nil:
			failed = append(failed, fmt.Sprintf("announce to %s failed: %s", handle, errs[i]))
		case reachable[i]:
			told = append(told, handle)
		}
	}
	return told, failed
}

func (n closing) event(peer string) []byte {
	return canon.Compact(identity.SignEvent(canon.Doc{
		"schema_version": "v3.1",
		"timestamp":      identity.FormatTime(time.Now()),
		"from":           string(n.from),
		"to":             string(identity.LegacyDID(peer)),
		"type":           "wire_close",
		"kind":           uint64(identity.KindWireClose),
		"body": canon.Doc{
			"reason":        "operator-initiated slot rotation",
			"new_relay_url": n.to.RelayURL,
			"new_slot_id":   n.to.SlotID,
		},
	}, n.key, n.from))
}

// addresses are a peer's slots of which we hold the token: what can be reached first, then the rest.
func addresses(file *home.RelayFile, handle string) (list []home.Endpoint) {
	seen := map[home.Endpoint]bool{}
	for _, e := range append(file.Routes(handle), file.Peer(handle)...) {
		if !e.SlotToken.Zero() && !seen[e] {
			seen[e] = true
			list = append(list, e)
		}
	}
	return list
}

// post delivers an event to the first address that takes it; the error is the last one's.
func post(ctx context.Context, c *client.Client, to []home.Endpoint, event []byte) (err error) {
	for _, e := range to {
		if _, err = c.Post(ctx, slotOf(e), event); err == nil {
			return nil
		}
	}
	return err
}

func names(handles []string) string { return strings.Join(handles, ", ") }
