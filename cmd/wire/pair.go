package main

import (
	"encoding/json"
	"fmt"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/enroll"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/internal/relay/client"
)

type addCmd struct {
	Handle      string `arg:"" complete:"sessions" help:"nick@domain, or the name of a session of this machine."`
	Relay       string `placeholder:"RELAY" help:"The relay to ask instead of https://<domain>."`
	LocalSister bool   `help:"HANDLE is a session of this machine."`
	jsonFlag
}

func (c *addCmd) Run(a *app) error {
	if c.LocalSister {
		return c.sister(a)
	}
	nick, domain, err := identity.ParseAddress(c.Handle)
	if err != nil {
		return err
	}
	s, err := a.session()
	if err != nil {
		return err
	}
	conn := client.New(0)
	me, err := a.speaker(conn, s, c.Relay)
	if err != nil {
		return err
	}
	address := pairing.Address{Nick: nick, Domain: domain, Relay: c.Relay}
	if own, _ := home.Flat(me.Endpoints); !address.Familiar(own) {
		fmt.Fprintf(a.err, "wire add: WARN unfamiliar relay domain `%s`. Names look alike: make sure that it is the one you mean.\n", domain)
	}
	added, err := pairing.Add(a.ctx, conn, me, address, time.Now())
	switch {
	case err != nil:
		return err
	case added.Accepted:
		return a.sayAccepted(added, c.Handle, c.JSON)
	case c.JSON:
		answer, err := canon.Parse(added.Answer)
		if err != nil {
			return err
		}
		return a.printDoc(canon.Doc{
			"drop_response": answer, "event_id": added.EventID, "handle": c.Handle, "paired_with": string(added.DID),
			"peer_handle": added.Handle, "status": "drop_sent",
		})
	}
	_, err = fmt.Fprintf(a.out, "→ resolved %s (did=%s)\n→ pinned peer locally\n→ intro dropped to %s\nawaiting pair_drop_ack from %s to complete the pair\n",
		c.Handle, added.DID, added.Relay, added.Handle)
	return err
}

// speaker makes sure that the session can be answered (pairing.md 2).
func (a *app) speaker(conn *client.Client, s home.Session, relay string) (pairing.Self, error) {
	if _, err := enroll.Ensure(a.ctx, conn, s, relay); err != nil {
		return pairing.Self{}, err
	}
	return pairing.Open(s)
}

func (c *addCmd) sister(a *app) error {
	env := a.adopted()
	s, err := env.Session()
	if err != nil {
		return err
	}
	if s, err = s.Abs(env); err != nil {
		return err
	}
	m, err := env.Machine()
	if err != nil {
		return err
	}
	added, err := pairing.AddSister(a.ctx, client.New(0), m, s, c.Handle, time.Now())
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printDoc(canon.Doc{
			"delivered_via": string(added.Via.Scope), "event_id": added.EventID, "handle": c.Handle,
			"paired_with": string(added.DID), "peer_handle": added.Handle, "status": "drop_sent",
		})
	}
	_, err = fmt.Fprintf(a.out, "→ found sister `%s` (did=%s)\n→ pinned peer locally\n→ pair_drop delivered to %s slot on %s\nawaiting pair_drop_ack from %s to complete the pair\n",
		c.Handle, added.DID, added.Via.Scope, added.Via.RelayURL, added.Handle)
	return err
}

type acceptCmd struct {
	Peer string `arg:"" complete:"requests" help:"Whose request; what follows an @ does not count."`
	jsonFlag
}

func (c *acceptCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	request, err := pairing.Request(s, c.Peer)
	if err != nil {
		return err
	}
	conn := client.New(0)
	me, err := a.speaker(conn, s, "")
	if err != nil {
		return err
	}
	added, err := pairing.Accept(a.ctx, conn, me, request, time.Now())
	if err != nil {
		return err
	}
	return a.sayAccepted(added, added.Handle+"@"+added.Relay, c.JSON)
}

func (a *app) sayAccepted(added pairing.Added, handle string, asJSON bool) error {
	if asJSON {
		return a.printDoc(canon.Doc{
			"handle": handle, "paired_with": string(added.DID), "peer_handle": added.Handle,
			"status": "bilateral_accepted", "via": "pending_inbound",
		})
	}
	_, err := fmt.Fprintf(a.out, "→ accepted pending pair from %s\n→ pinned VERIFIED, slot_token recorded\n→ shipped our slot_token back via pair_drop_ack\nbilateral pair complete. Send with: wire send %s \"...\"\n",
		added.Handle, added.Handle)
	return err
}

type rejectCmd struct {
	Peer string `arg:"" complete:"requests" help:"Whose request; what follows an @ does not count."`
	jsonFlag
}

func (c *rejectCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	peer := identity.BareHandle(c.Peer)
	had, err := s.RefuseInbound(a.ctx, peer, time.Now())
	switch {
	case err != nil:
		return err
	case c.JSON:
		return a.printDoc(canon.Doc{"had_pending": had, "peer": peer, "rejected": had})
	case !had:
		_, err = fmt.Fprintf(a.out, "no pending pair from %s — nothing to reject\n", peer)
		return err
	}
	_, err = fmt.Fprintf(a.out, "rejected the pending pair from %s; they are not told\n", peer)
	return err
}

type inboundCmd struct{ jsonFlag }

func (c *inboundCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	requests, err := s.InboundRequests()
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(inboundDocuments(requests))
	}
	if len(requests) == 0 {
		_, err = fmt.Fprintln(a.out, "no pending inbound pair requests.")
		return err
	}
	return a.printInbound(requests)
}

func (a *app) printInbound(requests []home.Inbound) error {
	row := func(peer, relay, received, did string) {
		fmt.Fprintf(a.out, "%-20s %-35s %-25s %s\n", plainText(peer), plainText(relay), plainText(received), plainText(did))
	}
	row("PEER", "RELAY", "RECEIVED", "DID")
	for _, r := range requests {
		row(r.Handle, r.Trio.RelayURL, r.ReceivedAt, string(r.DID))
	}
	_, err := fmt.Fprintln(a.out, "accept with `wire pair-accept <peer>`, refuse with `wire pair-reject <peer>`")
	return err
}

// inboundDocuments are requests with the reference's order of keys (cli.md 2.17), token included: its own
// tests look for it.
func inboundDocuments(requests []home.Inbound) any {
	type endpoint struct {
		RelayURL  string `json:"relay_url"`
		SlotID    string `json:"slot_id"`
		SlotToken string `json:"slot_token"`
		Scope     string `json:"scope"`
	}
	type document struct {
		Handle     string          `json:"peer_handle"`
		DID        string          `json:"peer_did"`
		Card       json.RawMessage `json:"peer_card"`
		RelayURL   string          `json:"peer_relay_url"`
		SlotID     string          `json:"peer_slot_id"`
		SlotToken  string          `json:"peer_slot_token"`
		Endpoints  []endpoint      `json:"peer_endpoints"`
		EventID    string          `json:"event_id"`
		Timestamp  string          `json:"event_timestamp"`
		ReceivedAt string          `json:"received_at"`
	}
	all := []document{}
	for _, r := range requests {
		d := document{
			Handle: r.Handle, DID: string(r.DID), Card: canon.Compact(r.Card),
			RelayURL: r.Trio.RelayURL, SlotID: r.Trio.SlotID, SlotToken: r.Trio.SlotToken.Reveal(),
			Endpoints: []endpoint{}, EventID: r.EventID, Timestamp: r.Timestamp, ReceivedAt: r.ReceivedAt,
		}
		for _, e := range r.Endpoints {
			d.Endpoints = append(d.Endpoints, endpoint{e.RelayURL, e.SlotID, e.SlotToken.Reveal(), string(e.Scope)})
		}
		all = append(all, d)
	}
	return all
}

type forgetCmd struct {
	Handle string `arg:"" complete:"peers" help:"The peer, as relay.json and trust.json have it."`
	Purge  bool   `help:"Also delete the messages from and for it."`
	jsonFlag
}

func (c *forgetCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	f, err := pairing.Forget(a.ctx, s, c.Handle, c.Purge)
	if err != nil {
		return err
	}
	if c.JSON {
		if !f.Any() {
			return a.printDoc(canon.Doc{"reason": "peer " + identity.Quote(c.Handle) + " not pinned", "removed": false})
		}
		purged := []any{}
		for _, path := range f.Purged {
			purged = append(purged, path)
		}
		return a.printDoc(canon.Doc{
			"handle": c.Handle, "purged_files": purged, "removed_from_relay_state": f.Route, "removed_from_trust": f.Trust,
		})
	}
	if !f.Any() {
		fmt.Fprintf(a.err, "peer %s not found in trust or relay state — nothing to forget\n", identity.Quote(c.Handle))
		return nil
	}
	fmt.Fprintf(a.out, "forgot peer %s\n", identity.Quote(c.Handle))
	if f.Trust {
		fmt.Fprintln(a.out, "  - removed from trust.json")
	}
	if f.Route {
		fmt.Fprintln(a.out, "  - removed from relay.json")
	}
	for _, path := range f.Purged {
		fmt.Fprintf(a.out, "  - deleted %s\n", path)
	}
	if !c.Purge {
		fmt.Fprintln(a.out, "  (inbox/outbox files preserved; pass --purge to delete them)")
	}
	if f.Trust || f.Route {
		fmt.Fprintln(a.err, "they may still hold the token of this session's slot: `wire rotate-slot` takes it from them")
	}
	return nil
}
