package main

import (
	"fmt"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/verbs"
)

type sessionPairCmd struct {
	jsonFlag
	SettleSecs      uint64 `default:"1" help:"How long the last look at the slots may take; at least 5 s are allowed."`
	FederationRelay string `default:"https://wireup.net" help:"Only checked to name a host: sisters are paired on this disk."`
	Strict          bool   `help:"Exit 1 if any pair failed."`
}

func (c *sessionPairCmd) Run(a *app) error {
	site, err := a.verbSite(5 * time.Second)
	if err != nil {
		return err
	}
	all, err := census.List(site.Machine)
	if err != nil {
		return err
	}
	sisters, _ := census.Sisters(all)
	if len(sisters) < 2 {
		return c.tooFew(a, sisters)
	}
	if relayHost(c.FederationRelay) == "" {
		return fmt.Errorf("federation_relay `%s` has no parseable host", c.FederationRelay)
	}
	results, err := site.PairAll(a.ctx, sisters, time.Duration(min(c.SettleSecs, 3600))*time.Second)
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for _, r := range results {
		counts[r.Status]++
	}
	if err := c.print(a, sisters, results, counts); err != nil {
		return err
	}
	if c.Strict && counts[verbs.PairFailed] > 0 {
		return exit(1)
	}
	return nil
}

// relayHost is the host of a relay as the reference cuts it out (cli.md 1.4).
func relayHost(relay string) string {
	relay = strings.TrimPrefix(strings.TrimPrefix(relay, "https://"), "http://")
	relay, _, _ = strings.Cut(relay, "/")
	relay, _, _ = strings.Cut(relay, ":")
	return relay
}

func sessionNames(list []census.Listed) []string {
	names := make([]string, len(list))
	for i, l := range list {
		names[i] = l.Session.Name
	}
	return names
}

func (c *sessionPairCmd) tooFew(a *app, sisters []census.Listed) error {
	note := fmt.Sprintf("%d sister session(s) with a local endpoint — need at least 2 to pair.", len(sisters))
	if c.JSON {
		return a.printJSON(map[string]any{
			"note": note, "pairs_attempted": 0, "pairs_failed": 0, "pairs_skipped_already_paired": 0,
			"pairs_succeeded": 0, "sessions": sessionNames(sisters),
		})
	}
	fmt.Fprintln(a.out, note)
	for _, l := range sisters {
		fmt.Fprintf(a.out, "  - %s (%s)\n", plainText(l.Session.Name), plainText(or(l.Cwd, "?")))
	}
	_, err := fmt.Fprintln(a.out, "Use `wire session new --with-local` in another project's directory to make one.")
	return err
}

func (c *sessionPairCmd) print(a *app, sisters []census.Listed, results []verbs.PairResult, counts map[string]int) error {
	if c.JSON {
		rows := make([]any, len(results))
		for i, r := range results {
			row := map[string]any{"from": r.From, "status": r.Status, "to": r.To}
			if r.Err != nil {
				row["error"] = r.Err.Error()
			}
			rows[i] = row
		}
		return a.printJSON(map[string]any{
			"pairs_attempted": len(results), "pairs_failed": counts[verbs.PairFailed],
			"pairs_skipped_already_paired": counts[verbs.AlreadyPaired], "pairs_succeeded": counts[verbs.Paired],
			"results": rows, "sessions": sessionNames(sisters),
		})
	}
	fmt.Fprintf(a.out, "wire session pair-all-local: %d session(s), %d pair(s) attempted\n", len(sisters), len(results))
	fmt.Fprintf(a.out, "  paired:                 %d\n", counts[verbs.Paired])
	fmt.Fprintf(a.out, "  skipped (already pinned): %d\n", counts[verbs.AlreadyPaired])
	fmt.Fprintf(a.out, "  failed:                 %d\n", counts[verbs.PairFailed])
	for _, r := range results {
		text := r.Status
		if r.Err != nil {
			text += " — " + r.Err.Error()
		}
		a.row("  ", 24, r.From, 0, "↔", 24, r.To, 0, text)
	}
	return nil
}
