//go:build linux

package main_test

import (
	"context"
	"fmt"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
)

// The reference's pair-all-local leaves a handshake event in each inbox, ours writes the files and no event
// (row mesh-by-files). Records that read an inbox later want them there: these are what sisters of the
// reference would have sent.

// dropped posts the pair_drop of one sister to another.
func (w *world) dropped(from, to home.Session) error { return w.handshake(from, to, 1100, "pair_drop") }

// acked posts the answer to a pair_drop.
func (w *world) acked(from, to home.Session) error {
	return w.handshake(from, to, 1101, "pair_drop_ack")
}

func (w *world) handshake(from, to home.Session, kind uint64, name string) error {
	key, card, err := from.Identity()
	if err != nil {
		return err
	}
	me, err := identity.ReadCard(card)
	if err != nil {
		return err
	}
	theirCard, err := to.ReadCard()
	if err != nil {
		return err
	}
	her, err := identity.ReadCard(theirCard)
	if err != nil {
		return err
	}
	mine, err := from.ReadRelay()
	if err != nil {
		return err
	}
	hers, err := to.ReadRelay()
	if err != nil {
		return err
	}
	flat := mine.SelfFlat()
	body := canon.Doc{
		"relay_url": flat.RelayURL, "slot_id": flat.SlotID, "slot_token": flat.SlotToken.Reveal(), "endpoints": endpointDocs(mine.Self()),
	}
	target, addressee := hers.SelfFlat(), "did:wire:"+her.Handle
	if kind == 1100 {
		body["card"] = card
		addressee = string(her.DID)
		for _, e := range hers.Self() {
			if e.Scope == home.Local {
				target = e
			}
		}
	}
	event := identity.SignEvent(canon.Doc{
		"schema_version": "v3.1", "timestamp": identity.FormatTime(time.Now()), "from": string(me.DID), "to": addressee,
		"type": name, "kind": kind, "body": body,
	}, key, me.DID)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := client.New(0)
	defer c.Close()
	_, err = c.Post(ctx, client.Slot{URL: target.RelayURL, ID: target.SlotID, Token: target.SlotToken}, canon.Compact(event))
	return err
}

func endpointDocs(list []home.Endpoint) []any {
	docs := []any{}
	for _, e := range list {
		docs = append(docs, canon.Doc{
			"relay_url": e.RelayURL, "slot_id": e.SlotID, "slot_token": e.SlotToken.Reveal(), "scope": string(e.Scope),
		})
	}
	return docs
}

// wire runs a command of ours by hand, which must succeed.
func (w *world) wire(s home.Session, args ...string) error {
	got, err := w.run(&record{Argv: append([]string{"wire"}, args...), Env: map[string]*string{"WIRE_HOME": &s.Dir}})
	if err == nil && got.exit != 0 {
		err = fmt.Errorf("wire %q: exit %d: %s", args, got.exit, got.err)
	}
	return err
}
