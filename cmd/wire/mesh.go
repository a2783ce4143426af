package main

import (
	"fmt"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/daemon"
	"wirefleet.dev/wire/internal/mailbox"
	"wirefleet.dev/wire/internal/relay/client"
)

type meshCmd struct {
	Status    sessionMeshCmd   `cmd:"" help:"Show which sessions have paired, and whether they pull."`
	Role      meshRoleCmd      `cmd:"" help:"What this session and its sisters are for."`
	Broadcast meshBroadcastCmd `cmd:"" help:"Send one message to every pinned peer."`
	Route     meshRouteCmd     `cmd:"" help:"Send a message to one sister that has a role."`
}

type meshBroadcastCmd struct {
	jsonFlag
	Body    string   `arg:"" help:"Text, @FILE, or - for standard input."`
	Kind    string   `default:"claim" complete:"decision,heartbeat,claim,ack,agent_card,trust_add_key,trust_revoke_key,wire_open,wire_close" help:"Kind of the message."`
	Scope   string   `default:"local" complete:"local,federation,both" help:"Which endpoints may take it: local, federation or both."`
	Exclude []string `placeholder:"PEER" complete:"peers" help:"Leave this peer out; may be repeated."`
	Noreply bool     `help:"Says that no answer is expected; changes nothing."`
}

// Run exits 1 when nothing at all was delivered (field-failures G19), having printed everything all the same.
func (c *meshBroadcastCmd) Run(a *app) error {
	s, err := a.initialized()
	if err != nil {
		return err
	}
	body, err := a.body(c.Body)
	if err != nil {
		return err
	}
	got, err := mailbox.Open(s, client.New(0)).Broadcast(a.ctx, mailbox.BroadcastOptions{
		Body: body, Kind: c.Kind, Scope: c.Scope, Exclude: c.Exclude,
	}, time.Now())
	if err != nil {
		return unsent(err)
	}
	daemon.Poke(s) // for what was not delivered
	a.warnOfKind(c.Kind)
	if c.JSON {
		err = a.printJSON(broadcastDocument(c, got))
	} else {
		a.printBroadcast(c.Scope, got)
	}
	if err == nil && got.Delivered() == 0 {
		return exit(1)
	}
	return err
}

func broadcastDocument(c *meshBroadcastCmd, got mailbox.Broadcast) any {
	results := make([]any, len(got.Deliveries))
	for i, d := range got.Deliveries {
		doc := deliveryDocument(d)
		doc["peer"] = d.Peer
		results[i] = doc
	}
	return map[string]any{
		"broadcast_id": got.ID, "delivered": got.Delivered(), "failed": len(got.Deliveries) - got.Delivered(),
		"kind": c.Kind, "results": results, "scope": c.Scope, "skipped_excluded": orEmpty(got.Excluded),
		"skipped_wrong_scope": orEmpty(got.WrongScope), "target_count": len(got.Deliveries),
	}
}

// deliveryDocument has the keys that broadcast and route share.
func deliveryDocument(d mailbox.Delivery) map[string]any {
	doc := map[string]any{
		"delivered": d.Err == nil, "delivered_via": nil, "error": nil, "event_id": d.EventID, "rtt_ms": d.Took.Milliseconds(),
	}
	if d.Err == nil {
		doc["delivered_via"] = d.Via
	} else {
		doc["error"] = d.Err.Error()
	}
	return doc
}

func (a *app) printBroadcast(scope string, got mailbox.Broadcast) {
	fmt.Fprintf(a.out, "wire mesh broadcast: scope=%s → %d pinned peer(s)\n", scope, len(got.Deliveries))
	for _, d := range got.Deliveries {
		outcome := fmt.Sprintf("✓ delivered (%dms, %s)", d.Took.Milliseconds(), d.Via)
		if d.Err != nil {
			outcome = "✗ failed — " + d.Err.Error()
		}
		a.row("  ", 24, d.Peer, 0, outcome)
	}
	if len(got.Excluded) > 0 {
		fmt.Fprintf(a.out, "  excluded: %s\n", strings.Join(got.Excluded, ", "))
	}
	if len(got.WrongScope) > 0 {
		fmt.Fprintf(a.out, "  skipped (wrong scope): %s\n", strings.Join(got.WrongScope, ", "))
	}
	fmt.Fprintf(a.out, "broadcast_id: %s\n", got.ID)
}

type meshRouteCmd struct {
	jsonFlag
	Role     string   `arg:"" help:"The role that the receiver's card names."`
	Body     string   `arg:"" help:"Text, @FILE, or - for standard input."`
	Strategy string   `default:"round-robin" complete:"round-robin,first,random" help:"Whom of several to choose: round-robin, first or random."`
	Exclude  []string `placeholder:"PEER" complete:"peers" help:"Leave this peer out; may be repeated."`
	Kind     string   `default:"claim" complete:"decision,heartbeat,claim,ack,agent_card,trust_add_key,trust_revoke_key,wire_open,wire_close" help:"Kind of the message."`
}

func (c *meshRouteCmd) Run(a *app) error {
	env, s, err := a.initializedIn()
	if err != nil {
		return err
	}
	m, err := env.Machine()
	if err != nil {
		return err
	}
	body, err := a.body(c.Body)
	if err != nil {
		return err
	}
	sisters, err := census.Roles(m, s)
	if err != nil {
		return err
	}
	got, err := mailbox.Open(s, client.New(0)).Route(a.ctx, mailbox.RouteOptions{
		Role: c.Role, Sisters: census.InRole(sisters, c.Role), Body: body, Kind: c.Kind, Strategy: c.Strategy, Exclude: c.Exclude,
	}, time.Now())
	if err != nil {
		return unsent(err)
	}
	daemon.Poke(s) // for what was not delivered
	a.warnOfKind(c.Kind)
	if c.JSON {
		doc := deliveryDocument(got.Delivery)
		doc["candidates"], doc["role"], doc["routed_to"], doc["strategy"] = got.Candidates, c.Role, got.Peer, got.Strategy
		err = a.printJSON(doc)
		if err == nil && got.Err != nil {
			return exit(1)
		}
		return err
	}
	if got.Err != nil {
		return fmt.Errorf("delivery to `%s` failed: %w\n  it waits in the outbox", got.Peer, got.Err)
	}
	_, err = fmt.Fprintf(a.out, "wire mesh route: %s → %s (%dms, %s)\n", c.Role, got.Peer, got.Took.Milliseconds(), got.Via)
	return err
}
