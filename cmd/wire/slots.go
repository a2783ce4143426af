package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/enroll"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/mailbox"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/internal/relay/client"
)

type bindCmd struct {
	URL           string `arg:"" name:"url" help:"The relay."`
	MigratePinned bool   `help:"Also where pinned peers hold the slot that is replaced."`
	jsonFlag
}

func (c *bindCmd) Run(a *app) error {
	s, err := a.initialized()
	if err != nil {
		return err
	}
	conn := client.New(0)
	bound, err := enroll.Bind(a.ctx, conn, s, c.URL, enroll.BindOptions{
		Migrate: c.MigratePinned, Before: a.lastPull(s, conn, "bind-relay"),
	})
	if err != nil {
		return err
	}
	if n := len(bound.Peers); n > 0 {
		fmt.Fprintf(a.err, "wire bind-relay: migrating with %d pinned peer(s) — they will black-hole until they re-pin: %s\n",
			n, strings.Join(bound.Peers, ", "))
	}
	if bound.Stale != nil {
		fmt.Fprintf(a.err, "warn: %v\n", bound.Stale)
	}
	if c.JSON {
		return a.printDoc(canon.Doc{"relay_url": c.URL, "slot_id": bound.Endpoint.SlotID, "slot_token_present": true})
	}
	_, err = fmt.Fprintf(a.out, "bound to relay %s\nslot_id: %s\n(slot_token written to %s mode 0600)\n", c.URL, bound.Endpoint.SlotID, s.RelayFile())
	return err
}

// lastPull fetches what the slots hold before one of them is given up: nobody reads it afterwards.
func (a *app) lastPull(s home.Session, conn *client.Client, verb string) func(context.Context) {
	return func(ctx context.Context) {
		res, err := mailbox.Open(s, conn).Pull(ctx)
		var unbound mailbox.ErrUnbound
		if errors.As(err, &unbound) {
			return
		}
		if err != nil {
			fmt.Fprintf(a.err, "wire %s: what waits in the old slot could not be fetched: %v\n", verb, err)
		}
		for _, line := range res.Failed {
			fmt.Fprintf(a.err, "wire %s: what waits in the old slot could not be fetched: %s\n", verb, line)
		}
	}
}

type addPeerSlotCmd struct {
	Handle    string `arg:"" complete:"peers" help:"The peer."`
	URL       string `arg:"" name:"url" help:"Its relay."`
	SlotID    string `arg:"" help:"Its slot there."`
	SlotToken string `arg:"" help:"The slot's token."`
	jsonFlag
}

func (c *addPeerSlotCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	if err := enroll.CheckRelay(c.URL); err != nil {
		return err
	}
	e := home.Endpoint{RelayURL: c.URL, SlotID: c.SlotID, SlotToken: identity.NewToken(c.SlotToken), Scope: home.Federation}
	if err := pairing.AddSlot(a.ctx, s, c.Handle, e); err != nil {
		return err
	}
	if c.JSON {
		return a.printDoc(canon.Doc{"added": true, "handle": c.Handle, "relay_url": c.URL, "slot_id": c.SlotID})
	}
	_, err = fmt.Fprintf(a.out, "pinned peer slot for %s at %s (%s)\n", c.Handle, c.URL, c.SlotID)
	return err
}

type rotateCmd struct {
	NoAnnounce bool `help:"Do not tell the peers."`
	jsonFlag
}

func (c *rotateCmd) Run(a *app) error {
	s, err := a.initialized()
	if err != nil {
		return err
	}
	conn := client.New(0)
	r, err := enroll.Rotate(a.ctx, conn, s, enroll.RotateOptions{
		Announce: !c.NoAnnounce, Before: a.lastPull(s, conn, "rotate-slot"),
	})
	if err != nil {
		return err
	}
	for _, line := range r.Failed {
		fmt.Fprintf(a.err, "warn: %s\n", line)
	}
	if c.JSON {
		told := []any{}
		for _, handle := range r.Announced {
			told = append(told, handle)
		}
		return a.printDoc(canon.Doc{
			"announced_to": told, "new_slot_id": r.New, "old_slot_id": r.Old, "relay_url": r.Relay, "rotated": true,
		})
	}
	return sayRotation(a.out, r)
}

func sayRotation(w io.Writer, r enroll.Rotation) error {
	fmt.Fprintf(w, "rotated slot on %s\n  old slot_id: %s (orphaned — nobody reads it any more)\n  new slot_id: %s\n", r.Relay, r.Old, r.New)
	if len(r.Announced) > 0 {
		fmt.Fprintf(w, "  announced wire_close (kind=1201) to: %s\n", strings.Join(r.Announced, ", "))
	}
	_, err := fmt.Fprint(w, `
next steps:
  - peers see the wire_close in their inbox; it does not hold the new token
  - paired peers must re-issue: wire add-peer-slot <you> <url> <slot_id> <slot_token>
    (or full re-pair via `+"`wire pair-host`/`wire join`"+`)
  - until they do, you'll get nothing from them; sisters are repaired by `+"`wire session pair-all-local`"+`
`)
	return err
}

type responderCmd struct {
	Set responderSetCmd `cmd:"" help:"Tell peers, through the relay, how the auto-responder is."`
	Get responderGetCmd `cmd:"" help:"Show what the relay has of an auto-responder."`
}

type responderSetCmd struct {
	Status string `arg:"" complete:"online,offline,oauth_locked,rate_limited,degraded" help:"online, offline, oauth_locked, rate_limited or degraded."`
	Reason string `placeholder:"REASON" help:"Why."`
	jsonFlag
}

func (c *responderSetCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	echo, err := enroll.SetResponder(a.ctx, client.New(0), s, c.Status, c.Reason, time.Now())
	if err != nil {
		return err
	}
	if c.JSON {
		doc, err := canon.Parse(echo)
		if err != nil {
			return err
		}
		return a.printDoc(doc)
	}
	because := ""
	if c.Reason != "" {
		because = " — " + c.Reason
	}
	_, err = fmt.Fprintf(a.out, "responder %s%s\n", c.Status, because)
	return err
}

type responderGetCmd struct {
	Peer string `arg:"" optional:"" complete:"peers" help:"Whose. Default: the own one."`
	jsonFlag
}

func (c *responderGetCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	health, err := enroll.Responder(a.ctx, client.New(0), s, c.Peer)
	var unknown *enroll.UnknownPeerError
	if errors.As(err, &unknown) {
		return pairFirst(err, c.Peer)
	}
	if err != nil {
		return err
	}
	target := c.Peer
	if target == "" {
		target = "self"
	}
	var record any
	if health != nil {
		if record, err = canon.Parse(health); err != nil {
			return err
		}
	}
	if c.JSON {
		return a.printDoc(canon.Doc{"responder_health": record, "target": target})
	}
	_, err = fmt.Fprintf(a.out, "%s: %s\n", target, responderText(record))
	return err
}

func responderText(record any) string {
	doc, ok := record.(canon.Doc)
	if !ok {
		return "responder health not reported"
	}
	text := func(key string) string { s, _ := doc[key].(string); return plainText(s) }
	line := text("status")
	if reason := text("reason"); reason != "" {
		line += " — " + reason
	}
	if at := text("last_success_at"); at != "" {
		line += " (last_success: " + at + ")"
	}
	return line
}
