package pairing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// Forgotten is what a session has forgotten of a peer.
type Forgotten struct {
	Trust, Route bool     // a record went
	Purged       []string // files that went
}

// Any says whether there was anything to forget.
func (f Forgotten) Any() bool { return f.Trust || f.Route || len(f.Purged) > 0 }

// Forget removes all records under a handle, as it is spelled (pairing.md 9); with purge also the messages
// from and for it. First the route goes, then the trust. A request of the same identity that waits goes too.
// One's own trust record stays, and without a route to oneself to remove that is an error.
func Forget(ctx context.Context, s home.Session, handle string, purge bool) (Forgotten, error) {
	if err := writable(s, s.TrustFile()); err != nil {
		return Forgotten{}, err
	}
	trust, err := s.ReadTrust()
	if err != nil {
		return Forgotten{}, err
	}
	raw, pinned := trust.Raw("agents", handle)
	did := pinnedDID(raw)
	self := ownName(s, handle, raw)

	var f Forgotten
	if purge && !self && identity.CheckHandle(handle) == nil {
		if f.Purged, err = purgeMessages(s, handle); err != nil {
			return f, err
		}
	}
	err = s.UpdateRelay(ctx, func(file *home.RelayFile) error {
		_, f.Route = file.PeerRaw(handle)
		file.RemovePeer(handle)
		return nil
	})
	if err != nil {
		return f, err
	}
	if self {
		if !f.Route {
			return f, fmt.Errorf("refusing to forget self (`%s` is this very session)", handle)
		}
		return f, nil
	}
	if pinned {
		err = s.UpdateTrust(ctx, func(t *canon.Spans) error {
			_, f.Trust = t.Raw("agents", handle)
			t.Delete("agents", handle)
			return nil
		})
		if err != nil {
			return f, err
		}
	}
	if r, err := s.InboundRequest(handle); err == nil && did != "" && r.DID == did {
		return f, s.RemoveInbound(ctx, handle, r.EventID)
	}
	return f, nil
}

// ownName says whether a handle is the session's own and the record under it, if there is one, about itself:
// a reference lets strangers take the place of that.
func ownName(s home.Session, handle string, raw []byte) bool {
	rec, err := canon.ParseObject(raw)
	there := err == nil
	card, err := s.ReadCard()
	if err != nil {
		return there && identity.Tier(rec) == identity.TierAttested
	}
	info, err := identity.ReadCard(card)
	if err != nil || info.Handle != handle {
		return false
	}
	return !there || rec["did"] == string(info.DID)
}

func purgeMessages(s home.Session, handle string) (gone []string, err error) {
	for _, file := range []func(string) (string, error){s.Inbox, s.Outbox} {
		path, err := file(handle)
		if err != nil {
			return gone, err
		}
		err = os.Remove(path)
		switch {
		case err == nil:
			gone = append(gone, path)
		case !errors.Is(err, fs.ErrNotExist):
			return gone, err
		}
	}
	return gone, nil
}
