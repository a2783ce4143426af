package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// A change of several edges names each: its subject only counts their sessions.
func TestLogNamesEdges(t *testing.T) {
	c := reconcile.Change{Kind: reconcile.PairMesh, Subjects: []string{"api", "press", "web"}, Pairs: []reconcile.Pair{{A: "api", B: "web"}, {A: "press", B: "web"}}}
	for _, one := range []struct {
		pairs []reconcile.Pair
		want  string
	}{
		{c.Pairs, `"subject":"3 sessions","reason":"","took":1000,"edges":["api-web","press-web"]}`},
		{c.Pairs[:1], `"subject":"api-web","reason":"","took":1000}`},
	} {
		var log bytes.Buffer
		c.Pairs = one.pairs
		newKeeper(slog.New(logHandler(&log, "json")), client.New(0), &spec.Desired{}).event(reconcile.Ended{
			Result: reconcile.Result{Change: c, Outcome: reconcile.Done, Took: time.Microsecond},
		})
		if !strings.Contains(log.String(), one.want) {
			t.Errorf("%s\n  has not %s", log.String(), one.want)
		}
	}
}
