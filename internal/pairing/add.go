package pairing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
)

// Address is a handle in a directory: nick@domain, and the relay to ask where the domain is not its name.
type Address struct {
	Nick, Domain string
	Relay        string // "": https://<domain>
}

func (a Address) base() string {
	if a.Relay != "" {
		return a.Relay
	}
	return "https://" + a.Domain
}

// Familiar says whether the domain is a public relay's or that of our own relay: an add from elsewhere is
// worth a second look.
func (a Address) Familiar(own home.Endpoint) bool {
	if a.Domain == "wireup.net" || a.Domain == "wire.laulpogan.com" {
		return true
	}
	u, err := url.Parse(own.RelayURL)
	return err == nil && u.Hostname() == a.Domain
}

// Added is somebody who is pinned, and asked to pin us.
type Added struct {
	Handle   string // the peer's
	DID      identity.DID
	EventID  string
	Answer   []byte // the directory's to the introduction, as JSON text
	Relay    string // where the introduction went
	Accepted bool   // it was us who had been asked: both are paired, nothing was dropped
}

// RequestPendingError is an add by handle of somebody who could not be looked up, while a request of that
// handle waits.
type RequestPendingError struct {
	Handle string
	DID    identity.DID
	Err    error
}

func (e *RequestPendingError) Error() string {
	return fmt.Sprintf("%s\na request of %s waits here, but nothing proves that it is the one you mean; "+
		"if it is, run: wire pair-accept %s", e.Err, identity.Quote(string(e.DID)), e.Handle)
}

func (e *RequestPendingError) Unwrap() error { return e.Err }

// Add looks an address up, pins who it is and drops an introduction into its slot (pairing.md 4.2). Until it
// answers we hold no token, unless we had the same slot's. A request of the same identity that waits here is
// accepted instead; the reference accepts any of that nick, whoever it is from (Q8).
func Add(ctx context.Context, c *client.Client, p Self, a Address, now time.Time) (Added, error) {
	waiting, missing := p.Session.InboundRequest(a.Nick)
	found, err := lookUp(ctx, c, a)
	if err != nil {
		if missing == nil {
			err = &RequestPendingError{a.Nick, waiting.DID, err}
		}
		return Added{}, err
	}
	if missing == nil && waiting.DID == found.her.info.DID {
		return Accept(ctx, c, p, waiting, now)
	}
	her := found.her.info
	if err := notOwn(p.Session, her); err != nil {
		return Added{}, err
	}
	event, id, err := p.handshake(identity.KindPairDrop, "pair_drop", her.DID, now)
	if err != nil {
		return Added{}, err
	}
	known, err := found.her.pin(ctx, p.Session, now)
	if err != nil {
		return Added{}, err
	}
	err = p.Session.UpdateRelay(ctx, func(r *home.RelayFile) error {
		var was canon.Doc
		if known {
			was = peerDoc(r, her.Handle)
		}
		fresh := found.slot
		flat, list := readPeer(peerDoc(r, her.Handle))
		for _, e := range append(list, flat) {
			if e.SlotID == fresh.SlotID && sameRelay(e.RelayURL, fresh.RelayURL) && !e.SlotToken.Zero() {
				fresh.SlotToken = e.SlotToken
			}
		}
		if !fresh.SlotToken.Zero() && known {
			return nil // nothing that we do not know
		}
		r.SetPeerRaw(her.Handle, readdress(was, fresh))
		return nil
	})
	if err != nil {
		return Added{}, err
	}
	answer, err := c.Intro(ctx, found.slot.RelayURL, a.Nick, event)
	if err != nil {
		return Added{}, fmt.Errorf("dropping the introduction for %s: %w", her.Handle, err)
	}
	return Added{Handle: her.Handle, DID: her.DID, EventID: id, Answer: answer, Relay: found.slot.RelayURL}, nil
}

// listed is who a directory says that a nick is.
type listed struct {
	her  *sister
	slot home.Endpoint // without token
}

func lookUp(ctx context.Context, c *client.Client, a Address) (listed, error) {
	r, err := c.Resolve(ctx, a.base(), a.Nick)
	if err != nil {
		return listed{}, err
	}
	if r.Card == nil || r.SlotID == "" {
		return listed{}, fmt.Errorf("%s@%s has no slot to write to: it is no wire identity", a.Nick, a.Domain)
	}
	info, err := identity.CheckOwner(r.Card)
	if err != nil {
		return listed{}, fmt.Errorf("the card of %s@%s: %w", a.Nick, a.Domain, err)
	}
	if r.DID != string(info.DID) {
		return listed{}, fmt.Errorf("the directory says that %s@%s is %s, its card says %s", a.Nick, a.Domain, r.DID, info.DID)
	}
	her, err := newSister(r.Card, info)
	if err != nil {
		return listed{}, fmt.Errorf("the card of %s@%s: %w", a.Nick, a.Domain, err)
	}
	relay := r.RelayURL
	if relay == "" {
		relay = a.base()
	}
	return listed{her, home.Endpoint{RelayURL: relay, SlotID: r.SlotID, Scope: home.Federation}}, nil
}

// AddedSister is a session of this machine that is pinned, and asked to pin this one.
type AddedSister struct {
	Handle  string
	DID     identity.DID
	EventID string
	Via     home.Endpoint // where the request went
}

// AddSister pins the session in the directory called name, exactly, with her slots, and drops a request into
// one of them (pairing.md 3.1, step 1). Her card must verify; who she was before does not matter.
func AddSister(ctx context.Context, c *client.Client, m home.Machine, s home.Session, name string, now time.Time) (AddedSister, error) {
	sessions, err := m.Sessions()
	if err != nil {
		return AddedSister{}, err
	}
	i := slices.IndexFunc(sessions, func(s home.Session) bool { return s.Name == name })
	if i < 0 {
		return AddedSister{}, fmt.Errorf("no sister session named `%s` (run `wire session list` to see them)", name)
	}
	p, err := Open(s)
	if err != nil {
		return AddedSister{}, err
	}
	theirs := sessions[i]
	card, err := theirs.ReadCard()
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return AddedSister{}, fmt.Errorf("reading sister card %s: %w", identity.Quote(theirs.CardFile()), err)
	}
	info, err := checkOwner(card)
	if err != nil {
		return AddedSister{}, fmt.Errorf("sister session `%s`: agent card: %w", name, err)
	}
	if p.is(info) {
		return AddedSister{}, &SelfError{name}
	}
	file, err := theirs.ReadRelay()
	if err != nil {
		return AddedSister{}, err
	}
	hers := file.Self()
	switch {
	case !usable(hers):
		return AddedSister{}, fmt.Errorf("sister session `%s` has no endpoints: `wire apply`, or `wire session new %s --with-local`, gives it one", name, name)
	case !usable(p.Endpoints):
		return AddedSister{}, errors.New("this session has no endpoints: `wire bind-relay`, or `wire session new --with-local`, gives it one")
	}
	event, id, err := p.handshake(identity.KindPairDrop, "pair_drop", info.DID, now)
	if err != nil {
		return AddedSister{}, err
	}
	if err := pinOne(ctx, s, theirs, now); err != nil {
		return AddedSister{}, err
	}
	slices.SortStableFunc(hers, func(a, b home.Endpoint) int { return rank(a) - rank(b) })
	via, err := deliver(ctx, c, hers, event)
	if err != nil {
		return AddedSister{}, fmt.Errorf("delivering pair_drop to `%s`: %w", name, err)
	}
	return AddedSister{Handle: info.Handle, DID: info.DID, EventID: id, Via: via}, nil
}

func rank(e home.Endpoint) int {
	if e.Scope == home.Local {
		return 0
	}
	return 1
}

// deliver posts an event to the first of some slots that takes it; the error is the first one's.
func deliver(ctx context.Context, c *client.Client, to []home.Endpoint, event []byte) (home.Endpoint, error) {
	var first error
	tried := map[client.Slot]bool{}
	for _, e := range to {
		slot := slotOf(e)
		if tried[slot] {
			continue
		}
		tried[slot] = true
		_, err := c.Post(ctx, slot, event)
		if err == nil {
			return e, nil
		}
		if first == nil {
			first = err
		}
	}
	return home.Endpoint{}, first
}

// pinOne makes from's pin of to good, and leaves to's of from as it is.
func pinOne(ctx context.Context, from, to home.Session, now time.Time) error {
	w, err := newWeave([]home.Session{from, to}, []Edge{{0, 1}}, now, 1)
	if err != nil {
		return err
	}
	w.want = [][]int{{1}, nil}
	for round := 0; ; round++ {
		w.look = newLook(w.sessions, w.workers)
		w.look.want = w.want
		if err := w.run(ctx); err != nil {
			return err
		}
		err := w.obstacle(w.edges[0])
		switch {
		case err != nil:
			return err
		case w.at(0, 1).state == good:
			return nil
		case round == maxRounds:
			return w.unsettled(w.edges[0])
		}
		if err := pause(ctx, round); err != nil {
			return err
		}
		w.moved = newMatrix(2)
		todo := w.at(0, 1).write
		if w.loose[0] {
			if err := from.Ensure(); err != nil {
				return err
			}
		}
		if todo&writeTrust != 0 {
			if err := w.writeTrust(ctx, 0, []int{1}, w.render([][]int{{1}})); err != nil {
				return err
			}
		}
		if todo&writeRoute != 0 && !w.moved.either(0, 1) {
			if err := w.writeRoutes(ctx, 0, []int{1}); err != nil {
				return err
			}
		}
	}
}
