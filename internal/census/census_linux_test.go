package census

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

// TestMain lets the test binary be the processes that a census looks at.
func TestMain(m *testing.M) {
	if os.Getenv("CENSUS_STANDIN") != "" {
		syscall.Pause()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// world is a machine without WIRE_HOME, as a reference's daemon finds it that adopts the session of its cwd.
func world(t *testing.T) (home.Machine, string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m, err := home.Env{Home: dir, XDGStateHome: filepath.Join(dir, "state"), Cwd: dir}.Machine()
	if err != nil {
		t.Fatal(err)
	}
	return m, dir
}

func session(t *testing.T, m home.Machine, name, cwd string) home.Session {
	t.Helper()
	s := m.Session(name)
	err := errors.Join(s.Ensure(), os.MkdirAll(cwd, 0o700), m.UpdateRegistry(t.Context(), func(r *home.Registry) error {
		r.Set(cwd, name)
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// standIn is a process with that command line, environment and working directory, by a copy of this binary: one
// of the same file would count as ours.
func standIn(t *testing.T, dir string, argv []string, env ...string) int {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "wire")
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(exe, self, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: exe, Args: argv, Dir: dir, Env: append(env, "CENSUS_STANDIN=1")}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if i, ok := process.Lookup(cmd.Process.Pid); ok && strings.Join(i.Args, " ") == strings.Join(argv, " ") {
			return cmd.Process.Pid
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v does not show up", argv)
		}
	}
}

func record(t *testing.T, s home.Session, text string) {
	t.Helper()
	if err := os.WriteFile(s.DaemonPID(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func serving(t *testing.T, m home.Machine, s home.Session) Serving {
	t.Helper()
	table, err := Table(m)
	return ServingOf(s, table, err)
}

// TestServing: who serves a session is proven by the process table, also by the way a daemon without WIRE_HOME
// found its home.
func TestServing(t *testing.T) {
	m, dir := world(t)
	api := session(t, m, "api", filepath.Join(dir, "src/api"))
	web := session(t, m, "web", filepath.Join(dir, "src/web"))
	docs := session(t, m, "docs", filepath.Join(dir, "src/docs"))
	daemon := []string{"/opt/wire", "daemon", "--interval", "5"}
	byHome := standIn(t, dir, daemon, "WIRE_HOME="+api.Dir)
	byCwd := standIn(t, filepath.Join(dir, "src/web"), daemon)
	standIn(t, filepath.Join(dir, "src/docs"), daemon, "WIRE_HOME="+filepath.Join(dir, "elsewhere/docs"))
	notifier := standIn(t, dir, []string{"wire", "notify"}, "WIRE_HOME="+docs.Dir)

	for _, tc := range []struct {
		s   home.Session
		pid int
	}{{api, byHome}, {web, byCwd}, {docs, 0}} {
		who := serving(t, m, tc.s)
		switch {
		case who.Ours != nil || who.Unknown != "":
			t.Errorf("%s: %+v", tc.s.Name, who)
		case tc.pid == 0 && (len(who.Others) > 0 || who.Why == ""):
			t.Errorf("%s is served by %+v (%s)", tc.s.Name, who.Others, who.Why)
		case tc.pid > 0 && (len(who.Others) != 1 || who.Others[0].PID != tc.pid):
			t.Errorf("%s is served by %+v, want pid %d", tc.s.Name, who.Others, tc.pid)
		}
	}
	if list, err := OtherNotifiers(m, docs); err != nil || len(list) != 1 || list[0].PID != notifier {
		t.Errorf("notifiers of docs: %+v, %v", list, err)
	}
	all, err := Roll(m)
	if err != nil || len(all) != 3 {
		t.Fatalf("%d sessions, %v", len(all), err)
	}
	for _, l := range all {
		if l.Serving != (l.Session.Name != "docs") {
			t.Errorf("%s listed as served: %v", l.Session.Name, l.Serving)
		}
	}
	// The same home by another spelling.
	if err := os.Symlink(filepath.Dir(docs.Dir), filepath.Join(dir, "roots")); err != nil {
		t.Fatal(err)
	}
	spelled := standIn(t, dir, daemon, "WIRE_HOME="+filepath.Join(dir, "roots", "docs"))
	if who := serving(t, m, docs); len(who.Others) != 1 || who.Others[0].PID != spelled {
		t.Errorf("docs is served by %+v, want pid %d", who.Others, spelled)
	}
}

// TestRecordedBy: what a record names is the daemon, a stranger, or undecided, whatever form it has.
func TestRecordedBy(t *testing.T) {
	m, dir := world(t)
	s := session(t, m, "api", filepath.Join(dir, "src/api"))
	daemon := []string{"wire", "daemon"}
	served := standIn(t, dir, daemon, "WIRE_HOME="+s.Dir)
	who := serving(t, m, s)
	for _, tc := range []struct {
		what     string
		record   string
		pid      int
		stranger bool
	}{
		{"no record", "", 0, false},
		{"its proven daemon", fmt.Sprint(served), 0, false},
		{"nobody", `{"pid": 4194303}`, 0, false},
		{"garbage", `{"pid": `, 0, false},
		{"a text for a pid", `{"pid": "7"}`, 0, false},
		{"another program", "", standIn(t, dir, []string{"sleep", "9"}, "WIRE_HOME="+s.Dir), true},
		{"a daemon of another home", "", standIn(t, dir, daemon, "WIRE_HOME="+filepath.Join(dir, "other")), true},
		{"a daemon of the default home", "", standIn(t, dir, daemon), true},
		{"what only runs something like it", "", standIn(t, dir, []string{"timeout", "9", "wire", "daemon"}, "WIRE_HOME="+s.Dir), false},
	} {
		texts := []string{tc.record}
		if tc.record == "" && tc.pid != 0 {
			texts = []string{fmt.Sprint(tc.pid), fmt.Sprintf(`{"pid": %d}`, tc.pid), fmt.Sprintf(`{"pid": %d}`, tc.pid+1<<32)}
		}
		for _, text := range texts {
			record(t, s, text)
			got := RecordedBy(m, s, who)
			if got.PID != tc.pid || got.Stranger != tc.stranger || (got.Why == "") != (tc.pid == 0) {
				t.Errorf("%s (%s): %+v", tc.what, text, got)
			}
		}
	}
}
