package main

import (
	"fmt"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/health"
	"wirefleet.dev/wire/internal/relay/client"
)

type doctorCmd struct {
	RecentRejections uint `default:"5" help:"How many of the recorded pair failures to name."`
	jsonFlag
}

func (c *doctorCmd) Run(a *app) error {
	env := a.adopted()
	s, err := env.Session()
	if err != nil {
		return err
	}
	m, err := env.Machine()
	if err != nil {
		return err
	}
	if s, err = s.Abs(env); err != nil {
		return err
	}
	checks := health.Doctor{Machine: m, Session: s, Client: client.New(0), Rejections: int(min(c.RecentRejections, 1000))}.Examine(a.ctx)
	for _, r := range computer() {
		checks = append(checks, health.Check{ID: checkOf[r.Reason.Code], Verdict: health.Warn, Detail: r.Subject + ": " + r.Reason.Text, Fix: r.Advice})
	}
	counts := map[health.Verdict]int{}
	for _, k := range checks {
		counts[k.Verdict]++
	}
	if c.JSON {
		err = a.printDoc(doctorDocument(checks, counts))
	} else {
		a.printChecks(checks, counts)
	}
	if err == nil && counts[health.Fail] > 0 {
		err = exit(1)
	}
	return err
}

// checkOf is what doctor calls the reports about the computer.
var checkOf = map[string]string{"unit-stale": "service_unit", "path-shadowed": "path"}

func doctorDocument(checks []health.Check, counts map[health.Verdict]int) canon.Doc {
	list := []any{}
	for _, k := range checks {
		doc := canon.Doc{"id": k.ID, "status": string(k.Verdict), "detail": k.Detail}
		if k.Fix != "" {
			doc["fix"] = k.Fix
		}
		list = append(list, doc)
	}
	return canon.Doc{
		"checks": list, "ok": counts[health.Fail] == 0,
		"fail_count": uint64(counts[health.Fail]), "warn_count": uint64(counts[health.Warn]),
	}
}

func (a *app) printChecks(checks []health.Check, counts map[health.Verdict]int) {
	marks := map[health.Verdict]string{health.Pass: "✓", health.Warn: "!", health.Fail: "✗"}
	fmt.Fprintf(a.out, "wire doctor — %d checks\n", len(checks))
	for _, k := range checks {
		fmt.Fprintf(a.out, "  %s [%s] %s: %s\n", marks[k.Verdict], k.Verdict, k.ID, plainText(k.Detail))
		if k.Fix != "" {
			fmt.Fprintf(a.out, "      fix: %s\n", plainText(k.Fix))
		}
	}
	if counts[health.Fail]+counts[health.Warn] == 0 {
		fmt.Fprintln(a.out, "\nALL GREEN")
		return
	}
	fmt.Fprintf(a.out, "\n%d FAIL, %d WARN\n", counts[health.Fail], counts[health.Warn])
}
