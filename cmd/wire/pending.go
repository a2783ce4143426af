package main

import (
	"context"
	"fmt"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/pairing"
)

type pairListCmd struct {
	Watch bool `help:"Print a line for each change until interrupted."`
	jsonFlag
}

func (c *pairListCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	if c.Watch {
		return a.watchPending(s)
	}
	list, err := pairing.Pending(s)
	if err != nil {
		return err
	}
	if c.JSON {
		if list == nil {
			list = []pairing.PendingPair{}
		}
		return a.printJSON(list)
	}
	inbound, err := s.InboundRequests()
	if err != nil {
		return err
	}
	if len(inbound) > 0 {
		fmt.Fprintln(a.out, "PENDING INBOUND")
		if err := a.printInbound(inbound); err != nil {
			return err
		}
		if len(list) > 0 {
			fmt.Fprintln(a.out)
		}
	}
	if len(list) == 0 {
		if len(inbound) == 0 {
			_, err = fmt.Fprintln(a.out, "no pending pair sessions.")
		}
		return err
	}
	fmt.Fprintln(a.out, "SPAKE2 SESSIONS")
	row := func(code, role, status, sas, note string) {
		fmt.Fprintf(a.out, "%-15s %-8s %-18s %-10s %s\n", plainText(code), plainText(role), plainText(status), plainText(sas), plainText(note))
	}
	row("CODE", "ROLE", "STATUS", "SAS", "NOTE")
	for _, p := range list {
		row(p.Code, p.Role, p.Status, p.Digits(), p.Note())
	}
	return nil
}

// pendingEvery is the time between two looks at the records.
const pendingEvery = 250 * time.Millisecond

// watchPending prints each record that is new or has changed, and what has gone, until interrupted.
func (a *app) watchPending(s home.Session) error {
	seen := map[string]pairing.PendingPair{}
	tick := time.NewTicker(pendingEvery)
	defer tick.Stop()
	for {
		list, err := pairing.Pending(s)
		if err != nil {
			return err
		}
		there := map[string]bool{}
		for _, p := range list {
			there[p.Code] = true
			if old, ok := seen[p.Code]; !ok || !old.Equal(p) {
				seen[p.Code] = p
				if err := a.printJSON(p); err != nil {
					return err
				}
			}
		}
		for code := range seen {
			if there[code] {
				continue
			}
			delete(seen, code)
			if err := a.printJSON(struct {
				Synthetic bool   `json:"_synthetic"`
				Code      string `json:"code"`
				Status    string `json:"status"`
			}{true, code, "removed"}); err != nil {
				return err
			}
		}
		if ended(a.ctx, tick.C) {
			return nil
		}
	}
}

func ended(ctx context.Context, next <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return true
	case <-next:
		return false
	}
}
