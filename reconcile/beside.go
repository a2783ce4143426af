package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/spec"
)

// Beside is what else drift and status report of a machine. It is none of the file's business and nothing that an
// apply could do better, so plan and apply do not say it every time.
func Beside(d *spec.Desired, o Observed) []Report {
	var out []Report
	add := func(subject, code, text, advice string) {
		out = append(out, Report{Subject: subject, Reason: Reason{code, text}, Advice: advice})
	}
	local := slices.ContainsFunc(d.Sessions, func(s spec.Session) bool { return s.Reach.Locally() })
	if n := len(o.Neighbours); n > 0 && local {
		add(d.LocalRelay.URL, "relay-neighbours",
			fmt.Sprintf("%s of this machine can reach it, too: %s", people(n), strings.Join(o.Neighbours[:min(n, 5)], ", ")),
			"what is in a slot takes its token, which only you can read; but anybody can allocate slots and fill the disk: better a machine of your own")
	}
	for _, s := range d.Sessions {
		for _, file := range o.Session(s.Name).Remains.Stray {
			add(s.Name, "outbox-stray", fmt.Sprintf("outbox/%s is never sent: nobody is pinned under that name", file), strayAdvice(file))
		}
	}
	reg := home.Registry{ByCwd: o.ByCwd}
	for _, name := range o.Names() {
		if shared := reg.Shared(name); shared != nil {
			add(name, "dir-shared", "it is the session of "+home.SharedBy(shared), "`wire session new NAME` in one of them gives it a session of its own")
		}
	}
	return out
}

func people(n int) string {
	if n == 1 {
		return "somebody else"
	}
	return fmt.Sprintf("%d other people", n)
}
