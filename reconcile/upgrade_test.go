package reconcile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/census"
)

// processes is an observation in words: "api:9" is served by pid 9, "api:9+8" by two, "web:" by nobody,
// "api:9/7" has a notifier, "api:9!" could not start another daemon, "api:?" cannot be told.
func processes(words ...string) Observed {
	o := Observed{Sessions: map[string]SessionState{}}
	list := func(text string) []census.Daemon {
		var out []census.Daemon
		for _, r := range strings.ReplaceAll(text, "+", "") {
			out = append(out, census.Daemon{PID: int(r - '0'), StartTicks: uint64(r)})
		}
		return out
	}
	for _, w := range words {
		name, rest, _ := strings.Cut(w, ":")
		s := SessionState{Name: name}
		rest, broken := strings.CutSuffix(rest, "!")
		if broken {
			s.Home, s.Why = HomeBroken, "its key is missing"
		}
		daemons, notifiers, _ := strings.Cut(rest, "/")
		if daemons == "?" {
			s.Daemon.Unknown = "the lock is held by somebody odd"
		} else {
			s.Daemon.Others = list(daemons)
		}
		s.Notify.Others = list(notifiers)
		o.Sessions[name] = s
	}
	return o
}

func TestUpgrade(t *testing.T) {
	for _, c := range []struct {
		name, start string
		first, now  []string
		want        []string // changes, then "blocked" reports
	}{
		{"nobody", "", []string{"api:"}, []string{"api:"}, nil},
		{"this home is served by nobody", "own", []string{"api:", "own:"}, []string{"api:", "own:"}, []string{"start daemon own"}},
		{
			"one after the other", "",
			[]string{"web:2", "api:1/5"},
			[]string{"web:2", "api:1/5"},
			[]string{"restart daemon api", "restart daemon web", "restart notifier api"},
		},
		{"half way", "", []string{"web:2", "api:1/5"}, []string{"web:2", "api:3/5"}, []string{"restart daemon web", "restart notifier api"}},
		{"done", "", []string{"web:2", "api:1/5"}, []string{"web:4", "api:3/6"}, nil},
		{"a duplicate is left", "", []string{"api:1+2"}, []string{"api:2+3"}, []string{"restart daemon api"}},
		{"a successor did not start: nothing else is stopped", "", []string{"api:1", "web:2/5"}, []string{"api:", "web:2/5"}, []string{"start daemon api"}},
		{
			"this home, and others", "own",
			[]string{"own:", "api:1"},
			[]string{"own:", "api:1"},
			[]string{"start daemon own", "restart daemon api"},
		},
		{"one who could not start again", "", []string{"api:1!", "web:2"}, []string{"api:1!", "web:2"}, []string{"restart daemon web", "blocked api home-broken"}},
		{"nobody knows", "", []string{"api:?", "web:2"}, []string{"api:?", "web:2"}, []string{"restart daemon web", "blocked api daemon-unknown"}},
		{"a pid that is used again", "", []string{"api:1"}, []string{"api:1"}, nil},
	} {
		first, now := processes(c.first...), processes(c.now...)
		if c.name == "a pid that is used again" {
			now.Sessions["api"].Daemon.Others[0].StartTicks++
		}
		p := Upgrade(first, now, c.start)
		var got []string
		for _, ch := range p.Changes {
			got = append(got, string(ch.Kind)+" "+ch.Subjects[0])
			if ch.Roll != (ch.Kind == RestartDaemon) {
				t.Errorf("%s: %s rolls: %v", c.name, ch.Kind, ch.Roll)
			}
		}
		for _, b := range p.Blocked {
			got = append(got, "blocked "+b.Subject+" "+b.Reason.Code)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}
