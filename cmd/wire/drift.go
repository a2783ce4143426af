package main

import (
	"fmt"
	"io"
	"strings"

	"wirefleet.dev/wire/reconcile"
)

type driftCmd struct {
	fileFlag
	jsonFlag
}

// Run exits 0 where nothing differs from the file, 2 where something does. What is only beside the file is
// reported and changes nothing of that.
func (c *driftCmd) Run(a *app) error {
	f, err := a.fleet(c.File)
	if err != nil {
		return err
	}
	o, err := f.observer().Observe(a.ctx)
	if err != nil {
		return err
	}
	p := reconcile.Look(f.desired, o)
	p.Notes = append(p.Notes, computer()...)
	differ := reconcile.Differences(f.desired, o, p)
	p.Notes = append(p.Notes, reconcile.Beside(f.desired, o)...)
	if c.JSON {
		err = a.printJSON(struct {
			Differences []differenceJSON   `json:"differences"`
			Notes       []reconcile.Report `json:"notes"`
			Unmanaged   []string           `json:"unmanaged"`
			Version     int                `json:"version"`
		}{differencesJSON(differ), orEmpty(p.Notes), orEmpty(p.Unmanaged), 1})
		if err != nil {
			return err
		}
	} else {
		printDifferences(a.out, differ)
		for _, n := range p.Notes {
			a.printReport(a.out, n)
		}
		if n := len(p.Unmanaged); n > 0 {
			fmt.Fprintf(a.out, "! %d unmanaged: %s\n  next: %s\n", n, plainText(strings.Join(p.Unmanaged, ", ")), unmanagedAdvice)
		}
	}
	if len(differ) > 0 {
		return exit(2)
	}
	return nil
}

const unmanagedAdvice = "nothing has to be done; name those in the file that it shall keep (`wire export` shows how)"

// printDifferences prints a line for each: subject, wanted, seen, reason, and what apply would do or whom to
// ask. The end of a log follows on lines of its own.
func printDifferences(w io.Writer, all []reconcile.Difference) {
	for _, x := range all {
		line := fmt.Sprintf("%s: wanted %s, seen %s", x.Subject, x.Wanted, x.Seen)
		if x.Reason.Text != "" {
			line += " (" + x.Reason.Text + ")"
		}
		ask, more, _ := strings.Cut(x.Ask, "\n")
		switch {
		case x.Apply != "":
			line += "; apply will " + string(x.Apply)
			if ask != "" {
				line += "; " + ask
			}
		case ask != "":
			line += "; apply cannot: " + ask
		default:
			line += "; apply cannot"
		}
		fmt.Fprintln(w, plainText(line))
		printQuoted(w, more)
	}
}

// differenceJSON is one difference; keys stand in byte order.
type differenceJSON struct {
	Apply   string           `json:"apply"` // "" where apply cannot repair it
	Ask     string           `json:"ask"`
	Reason  reconcile.Reason `json:"reason"`
	Seen    string           `json:"seen"`
	Subject string           `json:"subject"`
	Wanted  string           `json:"wanted"`
}

func differencesJSON(all []reconcile.Difference) []differenceJSON {
	out := make([]differenceJSON, len(all))
	for i, x := range all {
		out[i] = differenceJSON{string(x.Apply), x.Ask, x.Reason, x.Seen, x.Subject, x.Wanted}
	}
	return out
}
