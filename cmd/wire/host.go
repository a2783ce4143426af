package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/reconcile"
)

// computer is what drift and doctor report of this account beside sessions and file.
func computer() []reconcile.Report {
	exe, _ := os.Executable()
	return append(staleUnits(), shadowed(process.OnPath("wire", os.Getenv("PATH")), process.Resolved(exe))...)
}

// shadowed reports executables on PATH of which a shell runs only the first, whatever was installed last
// (field-failures F1). self is the one that runs.
func shadowed(found []string, self string) []reconcile.Report {
	if len(found) < 2 {
		return nil
	}
	text := fmt.Sprintf("%d wire programs on PATH: %s; a shell runs the first", len(found), strings.Join(found, ", "))
	switch i := slices.Index(found, self); {
	case i < 0:
		text += ", and this is " + self
	case i > 0:
		text += ", and this is another"
	}
	return []reconcile.Report{{
		Subject: "PATH", Reason: reconcile.Reason{Code: "path-shadowed", Text: text},
		Advice: "remove all but the one that is meant, or put its directory first on PATH; then `wire upgrade`, so that daemons run it, too",
	}}
}
