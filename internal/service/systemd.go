package service

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// systemd is the user's instance of it.
type systemd struct{ home, user string }

func (systemd) platform() string { return "linux-systemd-user" }

func (systemd) unit(k Kind) string { return "wire-" + string(k) + ".service" }

// path does not ask XDG_CONFIG_HOME, as the reference does not.
func (s systemd) path(k Kind) string {
	return filepath.Join(s.home, ".config", "systemd", "user", s.unit(k))
}

func (s systemd) text(u Unit) (string, error) {
	words := make([]string, 0, 8)
	for _, arg := range append([]string{u.Exe}, u.args()...) {
		word, err := systemdWord(arg)
		if err != nil {
			return "", err
		}
		words = append(words, word)
	}
	var more strings.Builder
	if u.Kind == Watch {
		// Only itself is stopped: the daemons that it has started serve on, as after an apply.
		more.WriteString("KillMode=process\nExecReload=/bin/kill -HUP $MAINPID\n")
		if u.WireHome != "" {
			word, err := systemdWord("WIRE_HOME=" + u.WireHome)
			if err != nil {
				return "", err
			}
			more.WriteString("Environment=" + word + "\n")
		}
	}
	head := ""
	if u.Kind == Watch {
		head = "# " + fileMark + u.File + "\n"
	}
	return head + "[Unit]\nDescription=" + strings.ReplaceAll(u.description(), "%", "%%") +
		"\nAfter=network-online.target\nWants=network-online.target\n\n" +
		"[Service]\nType=simple\nExecStart=" + strings.Join(words, " ") + "\n" + more.String() +
		"Restart=on-failure\nRestartSec=5\n\n[Install]\nWantedBy=default.target\n", nil
}

func (systemd) file(text string) string {
	head, _, _ := strings.Cut(text, "\n")
	if file, ok := strings.CutPrefix(head, "# "+fileMark); ok {
		return file
	}
	return ""
}

// systemdWord is an argument as a unit has it: plain where that is possible, else in quotes.
func systemdWord(arg string) (string, error) {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:@+=,~", r)
	}
	if arg != "" && strings.IndexFunc(arg, func(r rune) bool { return !plain(r) }) < 0 {
		return arg, nil
	}
	if strings.IndexFunc(arg, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		return "", fmt.Errorf("%q has a control character, which no unit can name", arg)
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(arg) + `"`, nil
}

func (s systemd) install(ctx context.Context, r run, k Kind) (status, detail string) {
	unit := s.unit(k)
	_, _ = r(ctx, "systemctl", "--user", "daemon-reload") // enable says what is wrong
	if _, err := r(ctx, "systemctl", "--user", "enable", "--now", unit); err != nil {
		return "written", fmt.Sprintf("unit written; `systemctl --user enable --now %s` failed (%v): run it in a login session", unit, err)
	}
	detail = "unit written + enable --now succeeded; logs via `journalctl --user -u " + unit + " -f`"
	if s.user != "" {
		if lingers, err := r(ctx, "loginctl", "show-user", s.user, "--property=Linger"); err != nil || !strings.Contains(lingers, "=yes") {
			detail += "; `loginctl enable-linger " + s.user + "` keeps it running when nobody is logged in"
		}
	}
	return "enabled", detail
}

func (s systemd) uninstall(ctx context.Context, r run, k Kind) string {
	_, _ = r(ctx, "systemctl", "--user", "disable", "--now", s.unit(k)) // one that it does not know is no matter
	return "systemctl disable --now + unit file removed"
}

func (s systemd) forget(ctx context.Context, r run, _ Kind) {
	_, _ = r(ctx, "systemctl", "--user", "daemon-reload")
}

func (s systemd) status(ctx context.Context, r run, k Kind, exists bool) (status, detail string) {
	word, _ := r(ctx, "systemctl", "--user", "is-active", s.unit(k)) // its status says no more than its word
	active := strings.TrimSpace(word) == "active"
	detail = fmt.Sprintf("unit exists=%t, is-active=%t", exists, active)
	switch {
	case active:
		return "active", detail
	case exists:
		return "installed (inactive)", detail
	}
	return "absent", detail
}

func (s systemd) mainPID(ctx context.Context, r run, unit string) int {
	text, err := r(ctx, "systemctl", "--user", "show", "--property=MainPID", "--value", unit)
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(text))
	return pid
}

func (s systemd) restart(ctx context.Context, r run, unit string) error {
	_, err := r(ctx, "systemctl", "--user", "restart", unit)
	return err
}
