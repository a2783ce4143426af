package enroll

import (
	"context"
	"errors"
	"fmt"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
)

// Own is a session as Ensure leaves it.
type Own struct {
	Info     identity.CardInfo
	Card     canon.Doc
	Endpoint home.Endpoint // its federation slot, else its first one
}

// Ensure gives a session what speaking to strangers needs (pairing.md 2): an identity, named after this
// machine where it has none, and a slot, at the preferred relay where it has none. A session that has one
// somewhere stays there.
func Ensure(ctx context.Context, c *client.Client, s home.Session, relay string) (Own, error) {
	if relay == "" {
		relay = DefaultRelay
	}
	if err := CheckRelay(relay); err != nil {
		return Own{}, err
	}
	if !s.Initialized() {
		me := Person{Handle: hostHandle()}
		_, err := Init(ctx, s, me)
		if err == nil {
			err = bindFirst(ctx, c, s, relay)
		}
		if err != nil {
			return Own{}, fmt.Errorf("auto-init as %s: %w", identity.LegacyDID(me.Handle), err)
		}
	}
	_, card, info, err := Owner(s)
	if err != nil {
		return Own{}, err
	}
	if err := bindFirst(ctx, c, s, relay); err != nil {
		return Own{}, err
	}
	file, err := s.ReadRelay()
	if err != nil {
		return Own{}, err
	}
	own := Own{Info: info, Card: card}
	var ok bool
	if own.Endpoint, ok = home.Flat(file.Self()); !ok {
		return Own{}, ErrUnbound
	}
	return own, nil
}

// bindFirst gives a session without a slot its first one.
func bindFirst(ctx context.Context, c *client.Client, s home.Session, relay string) error {
	file, err := s.ReadRelay()
	if err != nil || len(file.Self()) > 0 {
		return err
	}
	return First(ctx, c, s, trim(relay))
}

// First binds a session that has no slot yet, as `wire init --relay` does.
func First(ctx context.Context, c *client.Client, s home.Session, relay string) error {
	if err := reach(ctx, c, relay); err != nil {
		return err
	}
	_, _, info, err := Owner(s)
	if err != nil {
		return err
	}
	_, err = Slot(ctx, c, s, Place{Relay: relay, Scope: home.Federation, Handle: info.Handle})
	return err
}

// ClaimOptions are those of `wire claim`.
type ClaimOptions struct {
	Nick      string
	Relay     string // for a session without a slot
	PublicURL string
	Hidden    bool
}

// Claimed is a nick that is ours.
type Claimed struct {
	Relay     string // where; ClaimOptions.Relay does not decide that for a session that has a slot
	Answer    []byte // the relay's, as JSON text
	Elsewhere bool   // another relay than the one that was named
}

// Claim gives a session a nick in the directory of its relay (pairing.md 5). The nick is judged before any
// network.
func Claim(ctx context.Context, c *client.Client, s home.Session, o ClaimOptions) (Claimed, error) {
	if err := identity.CheckClaim(o.Nick); err != nil {
		return Claimed{}, err
	}
	if err := CheckRelay(o.PublicURL); err != nil {
		return Claimed{}, err
	}
	own, err := Ensure(ctx, c, s, o.Relay)
	if err != nil {
		return Claimed{}, err
	}
	relay := own.Endpoint.RelayURL
	answer, err := c.Claim(ctx, slotOf(own.Endpoint), client.Claim{
		Nick: o.Nick, Card: own.Card, PublicURL: o.PublicURL, Hidden: o.Hidden,
	})
	if err != nil {
		return Claimed{}, err
	}
	said, err := canon.ParseObject(answer)
	if err != nil || said["nick"] != o.Nick || said["did"] != string(own.Info.DID) {
		return Claimed{}, errors.New("the relay answered, but not that the nick is ours: " + string(answer))
	}
	return Claimed{Relay: relay, Answer: answer, Elsewhere: o.Relay != "" && trim(o.Relay) != trim(relay)}, nil
}

// followFor bounds what a directory may cost a session that has moved already.
const followFor = 10 * time.Second

// follow moves the directory's entry of a session's handle from its old slot to the new one on the same relay,
// or introductions would go where nobody reads. Which other nicks it has claimed nobody remembers.
func follow(ctx context.Context, c *client.Client, s home.Session, old, fresh home.Endpoint) error {
	_, card, info, err := Owner(s)
	if err != nil || fresh.Scope != home.Federation || trim(old.RelayURL) != trim(fresh.RelayURL) || identity.CheckClaim(info.Handle) != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, followFor)
	defer cancel()
	found, err := c.Resolve(ctx, fresh.RelayURL, info.Handle)
	if err != nil || found.DID != string(info.DID) || found.SlotID != old.SlotID {
		return nil // it has none
	}
	if _, err := c.Claim(ctx, slotOf(fresh), client.Claim{Nick: info.Handle, Card: card, PublicURL: found.RelayURL}); err != nil {
		return fmt.Errorf("the directory of %s still names the old slot for %s: %w", fresh.RelayURL, info.Handle, err)
	}
	return nil
}
