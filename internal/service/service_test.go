package service

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// manager is one whose programs answer as a test says; asked is what they were asked.
func manager(t *testing.T, goos string, answer func(line string) (string, error)) (m Manager, asked *[]string) {
	t.Helper()
	m, err := For(goos, t.TempDir(), "tester", 501)
	if err != nil {
		t.Fatal(err)
	}
	asked = new([]string)
	m.run = func(_ context.Context, name string, args ...string) (string, error) {
		line := strings.Join(append([]string{name}, args...), " ")
		*asked = append(*asked, line)
		return answer(line)
	}
	return m, asked
}

var errRefused = errors.New("refused")

var (
	daemonUnit = Unit{Kind: Daemon, Exe: "/opt/tools/wire"}
	watchUnit  = Unit{Kind: Watch, Exe: "/opt/my tools/wire", File: "/home/ada/a b/wire.yaml", WireHome: "/srv/50%"}
)

func TestSystemdText(t *testing.T) {
	const want = `# wire.yaml: /home/ada/a b/wire.yaml
[Unit]
Description=wire: sessions as wire.yaml says
After=network-online.target
Wants=network-online.target

[Service]
Type=simple
ExecStart="/opt/my tools/wire" apply -f "/home/ada/a b/wire.yaml" --watch
KillMode=process
ExecReload=/bin/kill -HUP $MAINPID
Environment="WIRE_HOME=/srv/50%%"
Restart=on-failure
RestartSec=5

[Install]
WantedBy=default.target
`
	m, _ := manager(t, "linux", nil)
	got, err := m.Text(watchUnit)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	for kind, line := range map[Kind]string{
		Daemon:     "ExecStart=/opt/tools/wire daemon --interval 5",
		LocalRelay: "ExecStart=/opt/tools/wire relay-server --bind 127.0.0.1:8771 --local-only",
	} {
		got, err := m.Text(Unit{Kind: kind, Exe: "/opt/tools/wire"})
		if err != nil || !slices.Contains(strings.Split(got, "\n"), line) || strings.Contains(got, "WIRE_HOME") {
			t.Errorf("%v, %s", err, got)
		}
	}
	if text, err := m.Text(Unit{Kind: Daemon, Exe: "/opt/a\nb/wire"}); err == nil {
		t.Errorf("a line break went into the unit: %q", text)
	}
}

func TestSystemdWord(t *testing.T) {
	for arg, want := range map[string]string{
		"/usr/bin/wire": "/usr/bin/wire",
		"":              `""`,
		"a b":           `"a b"`,
		`a"b\c`:         `"a\"b\\c"`,
		"100%":          `"100%%"`,
		"$HOME":         `"$$HOME"`,
		"été":           `"été"`,
	} {
		if got, err := systemdWord(arg); got != want || err != nil {
			t.Errorf("%q: %s, %v, want %s", arg, got, err, want)
		}
	}
}

func TestLaunchdText(t *testing.T) {
	m, _ := manager(t, "darwin", nil)
	logs := filepath.Join(m.backend.(launchd).home, "Library", "Logs")
	want := `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>sh.slancha.wire.daemon</string>
  <key>ProgramArguments</key>
  <array>
    <string>/opt/a&amp;b/wire</string>
    <string>daemon</string>
    <string>--interval</string>
    <string>5</string>
  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <true/>
  <key>ProcessType</key>
  <string>Background</string>
  <key>StandardOutPath</key>
  <string>` + logs + `/wire-daemon.log</string>
  <key>StandardErrorPath</key>
  <string>` + logs + `/wire-daemon.log</string>
</dict>
</plist>
`
	got, err := m.Text(Unit{Kind: Daemon, Exe: "/opt/a&b/wire"})
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	got, err = m.Text(watchUnit)
	if err != nil || !strings.Contains(got, "<key>WIRE_HOME</key>\n    <string>/srv/50%</string>") || !strings.Contains(got, "AbandonProcessGroup") {
		t.Errorf("%v, %s", err, got)
	}
}

// What is said to the managers, in which order, and what is made of their answers.
func TestLife(t *testing.T) {
	for _, c := range []struct {
		goos                     string
		install, fails           string // status words
		running, stopped, absent string
		commands                 []string
		starts                   string // the command whose failure counts
		prints                   string
	}{
		{
			"linux", "enabled", "written", "active", "installed (inactive)", "absent",
			[]string{
				"systemctl --user daemon-reload", "systemctl --user enable --now wire-daemon.service",
				"loginctl show-user tester --property=Linger", "systemctl --user is-active wire-daemon.service",
				"systemctl --user disable --now wire-daemon.service", "systemctl --user daemon-reload",
			},
			"enable", "active\n",
		},
		{
			"darwin", "loaded", "written", "loaded", "installed (not loaded)", "absent",
			[]string{
				"launchctl bootout gui/501/sh.slancha.wire.daemon", "launchctl bootstrap gui/501 $PATH",
				"launchctl print gui/501/sh.slancha.wire.daemon", "launchctl bootout gui/501/sh.slancha.wire.daemon",
			},
			"bootstrap", "\tpid = 4711\n",
		},
	} {
		t.Run(c.goos, func(t *testing.T) {
			works := true
			m, asked := manager(t, c.goos, func(line string) (string, error) {
				if !works {
					return "", errRefused
				}
				return c.prints, nil
			})
			path := m.path(Daemon)
			is := func(r Report, err error, status string) {
				t.Helper()
				if err != nil || r.Status != status || r.UnitPath != path || r.Kind != Daemon || r.Detail == "" {
					t.Errorf("%+v, %v, want %s", r, err, status)
				}
			}
			r, err := m.Install(t.Context(), daemonUnit)
			is(r, err, c.install)
			r, err = m.Status(t.Context(), daemonUnit)
			is(r, err, c.running)
			if strings.Contains(r.Detail, "differs") {
				t.Error(r.Detail)
			}
			r, err = m.Uninstall(t.Context(), Daemon)
			is(r, err, "removed")
			for i := range c.commands {
				c.commands[i] = strings.ReplaceAll(c.commands[i], "$PATH", path)
			}
			if d := cmp.Diff(c.commands, *asked); d != "" {
				t.Errorf("commands (-want +got):\n%s", d)
			}
			r, err = m.Uninstall(t.Context(), Daemon)
			is(r, err, "absent")

			works = false
			r, err = m.Status(t.Context(), daemonUnit)
			is(r, err, c.absent)
			r, err = m.Install(t.Context(), daemonUnit)
			is(r, err, c.fails)
			if !strings.Contains(r.Detail, c.starts) || !strings.Contains(r.Detail, "refused") {
				t.Error(r.Detail)
			}
			r, err = m.Status(t.Context(), daemonUnit)
			is(r, err, c.stopped)
		})
	}
}

func TestAnotherUnit(t *testing.T) {
	m, _ := manager(t, "linux", func(string) (string, error) { return "", nil })
	if _, err := m.Install(t.Context(), daemonUnit); err != nil {
		t.Fatal(err)
	}
	other := daemonUnit
	other.Exe = "/usr/local/bin/wire"
	r, err := m.Status(t.Context(), other)
	if want := `"ExecStart=/opt/tools/wire daemon --interval 5" instead of "ExecStart=/usr/local/bin/wire daemon --interval 5"`; err != nil || !strings.HasSuffix(r.Detail, want) {
		t.Errorf("%s, %v", r.Detail, err)
	}
	r, err = m.Install(t.Context(), other)
	if err != nil || !strings.Contains(r.Detail, "it was another one before") {
		t.Errorf("%s, %v", r.Detail, err)
	}
	if r, err = m.Status(t.Context(), other); err != nil || strings.Contains(r.Detail, "differs") {
		t.Errorf("%s, %v", r.Detail, err)
	}
	if r, err = m.Status(t.Context(), Unit{Kind: Daemon}); err != nil || strings.Contains(r.Detail, "differs") {
		t.Errorf("compared with a program that is not there: %s, %v", r.Detail, err)
	}
}

func TestFileOfWatch(t *testing.T) {
	for _, goos := range []string{"linux", "darwin"} {
		m, _ := manager(t, goos, func(string) (string, error) { return "", nil })
		if got := m.File(); got != "" {
			t.Errorf("%s, nothing installed: %q", goos, got)
		}
		for _, file := range []string{"/a b/wire.yaml", "/a&b/<x>.yaml"} {
			if _, err := m.Install(t.Context(), Unit{Kind: Watch, Exe: "/opt/wire", File: file}); err != nil {
				t.Fatal(err)
			}
			if got := m.File(); got != file {
				t.Errorf("%s: %q, want %q", goos, got, file)
			}
		}
	}
}

// The owner of a process is the unit whose main process it is, not one that it was merely started from.
func TestOwner(t *testing.T) {
	for goos, answer := range map[string]string{"linux": "4711\n", "darwin": "state = running\n\tpid = 4711\n"} {
		m, asked := manager(t, goos, func(line string) (string, error) { return answer, nil })
		if unit, ok := m.Owner(t.Context(), 4711); ok {
			t.Errorf("%s: %s, without a unit", goos, unit)
		}
		if len(*asked) > 0 {
			t.Errorf("%s: asked %q", goos, *asked)
		}
		path := m.path(Daemon)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		if unit, ok := m.Owner(t.Context(), 4711); !ok || unit != m.unit(Daemon) {
			t.Errorf("%s: %q, %v", goos, unit, ok)
		}
		if unit, ok := m.Owner(t.Context(), 4712); ok {
			t.Errorf("%s: somebody else's is %s", goos, unit)
		}
		if err := m.Restart(t.Context(), m.unit(Daemon)); err != nil {
			t.Error(err)
		}
		want := map[string]string{
			"linux":  "systemctl --user restart wire-daemon.service",
			"darwin": "launchctl kickstart -k gui/501/sh.slancha.wire.daemon",
		}[goos]
		if last := (*asked)[len(*asked)-1]; last != want {
			t.Errorf("%s: %s", goos, last)
		}
	}
}

func TestForNobody(t *testing.T) {
	for _, c := range []struct{ goos, home string }{{"linux", ""}, {"plan9", "/home/ada"}} {
		if m, err := For(c.goos, c.home, "", 0); err == nil {
			t.Errorf("%+v: %+v", c, m)
		}
	}
}
