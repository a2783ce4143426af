package pairing

import (
	"context"
	"fmt"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// Removal names a pin that shall go: the two records under Handle in From's files, if they are about DID.
type Removal struct {
	From   home.Session
	Handle string
	DID    identity.DID
}

// Removed is what became of one Removal.
type Removed struct {
	Changed bool  // a record went; false: there was none of that DID
	Err     error // names the session; other removals go on
}

// Unpin removes the two records of a DID from a session, if the pinned DID is that one.
func Unpin(ctx context.Context, s home.Session, handle string, did identity.DID) (changed bool, err error) {
	done, err := UnpinMany(ctx, []Removal{{s, handle, did}}, 1)
	if err != nil {
		return false, err
	}
	return done[0].Changed, done[0].Err
}

// UnpinMany removes pins as one change: each relay.json is written once and, when all are, each trust.json,
// so that nobody keeps a route to a sister that does not trust it any more; then all is read back. Files
// that hold nothing to remove are not written.
//
// A pin of another DID stays. Where the trust record is missing, what is left of a half pin is a route that
// says nothing of its DID: it goes if it leads nowhere but to this machine. The error is ctx's.
func UnpinMany(ctx context.Context, removals []Removal, workers int) ([]Removed, error) {
	u := &unpin{removals: removals, results: make([]Removed, len(removals))}
	index := make(map[string]int)
	for k, r := range removals {
		i, known := index[r.From.ConfigDir()]
		if !known {
			i = len(u.sessions)
			index[r.From.ConfigDir()] = i
			u.sessions = append(u.sessions, r.From)
			u.of = append(u.of, nil)
		}
		u.of[i] = append(u.of[i], k)
	}
	n := len(u.sessions)
	u.broken = make([]error, n)
	for round := 0; ; round++ {
		u.found = make([]found, len(removals))
		each(ctx, n, workers, u.look)
		left := u.left()
		if err := ctx.Err(); err != nil || left == 0 {
			return u.results, err
		}
		if round == maxRounds {
			return u.giveUp(), nil
		}
		if err := pause(ctx, round); err != nil {
			return u.results, err
		}
		each(ctx, n, workers, func(i int) { u.removeRoutes(ctx, i) })
		each(ctx, n, workers, func(i int) { u.removeTrust(ctx, i) })
	}
}

// unpin is one call of UnpinMany.
type unpin struct {
	removals []Removal
	results  []Removed
	sessions []home.Session
	of       [][]int // per session: its removals
	broken   []error
	found    []found // per removal: what is there now
}

type found struct{ trust, route bool }

// look finds out what there is to remove from session i.
func (u *unpin) look(i int) {
	if u.broken[i] != nil {
		return
	}
	u.fail(i, func() error {
		trust, err := u.sessions[i].ReadTrust()
		if err != nil {
			return err
		}
		file, err := u.sessions[i].ReadRelay()
		if err != nil {
			return err
		}
		for _, k := range u.of[i] {
			r := u.removals[k]
			raw, pinned := trust.Raw("agents", r.Handle)
			route, routed := file.PeerRaw(r.Handle)
			switch {
			case pinned:
				is := pinnedDID(raw) == r.DID
				u.found[k] = found{trust: is, route: is && routed}
			case routed:
				u.found[k].route = staysHere(route)
			}
		}
		return nil
	}())
}

// staysHere says whether a peer record leads nowhere but to this machine.
func staysHere(raw []byte) bool {
	rec, err := canon.ParseObject(raw)
	if err != nil {
		return true
	}
	flat, list := readPeer(rec)
	return farthest(append(list, flat)) == ""
}

// pinnedDID is the DID that a trust record pins; "" for the own record, which is no pin.
func pinnedDID(raw []byte) identity.DID {
	rec, err := canon.ParseObject(raw)
	if err != nil || rec["card"] == nil && rec["pinned_at"] == nil {
		return ""
	}
	did, _ := rec["did"].(string)
	return identity.DID(did)
}

// left counts what is there to remove.
func (u *unpin) left() int {
	n := 0
	for _, f := range u.found {
		if f.trust || f.route {
			n++
		}
	}
	return n
}

func (u *unpin) removeRoutes(ctx context.Context, i int) {
	gone := u.pick(i, func(f found) bool { return f.route })
	if len(gone) == 0 {
		return
	}
	u.fail(i, u.sessions[i].UpdateRelay(ctx, func(file *home.RelayFile) error {
		for _, k := range gone {
			file.RemovePeer(u.removals[k].Handle)
		}
		return nil
	}))
	u.note(i, gone)
}

func (u *unpin) removeTrust(ctx context.Context, i int) {
	gone := u.pick(i, func(f found) bool { return f.trust })
	if len(gone) == 0 {
		return
	}
	u.fail(i, u.sessions[i].UpdateTrust(ctx, func(t *canon.Spans) error {
		for _, k := range gone {
			r := u.removals[k]
			// Somebody else may have been pinned under the handle since it was looked at.
			if raw, there := t.Raw("agents", r.Handle); there && pinnedDID(raw) == r.DID {
				t.Delete("agents", r.Handle)
			}
		}
		return nil
	}))
	u.note(i, gone)
}

// pick are the removals of session i where what was found is so.
func (u *unpin) pick(i int, is func(found) bool) []int {
	if u.broken[i] != nil {
		return nil
	}
	var ks []int
	for _, k := range u.of[i] {
		if is(u.found[k]) {
			ks = append(ks, k)
		}
	}
	return ks
}

func (u *unpin) note(i int, gone []int) {
	if u.broken[i] != nil {
		return
	}
	for _, k := range gone {
		u.results[k].Changed = true
	}
}

// fail ends the work on session i.
func (u *unpin) fail(i int, err error) {
	if err == nil {
		return
	}
	u.broken[i] = err
	for _, k := range u.of[i] {
		u.results[k].Err = fmt.Errorf("%s: %w", label(u.sessions[i]), err)
		u.found[k] = found{}
	}
}

// giveUp says of what is still there that somebody puts it back.
func (u *unpin) giveUp() []Removed {
	for k, f := range u.found {
		if f.trust || f.route {
			u.results[k].Err = fmt.Errorf("%s: its pin of %s came back although it was removed: another program rewrites its files",
				label(u.removals[k].From), u.removals[k].Handle)
		}
	}
	return u.results
}
