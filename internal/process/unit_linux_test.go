package process

import "testing"

func TestUserUnit(t *testing.T) {
	for cgroup, want := range map[string]string{
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/wire-daemon.service\n":   "wire-daemon.service",
		"12:pids:/x\n0::/user.slice/user-1000.slice/user@1000.service/app.slice/a.service\n": "a.service",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope\n":     "", // a terminal
		"0::/user.slice/user-1000.slice/user@1000.service\n":                                 "", // the manager itself
		"0::/user.slice/user-1000.slice/session-2.scope\n":                                   "",
		"0::/system.slice/sshd.service\n":                                                    "", // not ours to restart
		"0::/\n":                                                                             "",
		"":                                                                                   "",
	} {
		if got := userUnit(cgroup); got != want {
			t.Errorf("%q: %q", cgroup, got)
		}
	}
}
