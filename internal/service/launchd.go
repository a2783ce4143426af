package service

import (
	"context"
	"encoding/xml"
	"fmt"
	"html"
	"path/filepath"
	"strconv"
	"strings"
)

// launchd is the user's graphical domain of it.
type launchd struct{ home, domain string }

func (launchd) platform() string { return "macos-launchd" }

func (launchd) unit(k Kind) string { return "sh.slancha.wire." + string(k) }

func (l launchd) path(k Kind) string {
	return filepath.Join(l.home, "Library", "LaunchAgents", l.unit(k)+".plist")
}

func (l launchd) text(u Unit) (string, error) {
	var b strings.Builder
	b.WriteString(xml.Header)
	b.WriteString(`<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">` + "\n")
	if u.Kind == Watch && !strings.Contains(u.File, "--") { // which a comment cannot hold
		b.WriteString("<!-- " + fileMark + plain(u.File) + " -->\n")
	}
	b.WriteString("<plist version=\"1.0\">\n<dict>\n")
	str := func(indent int, s string) {
		fmt.Fprintf(&b, "%*s<string>%s</string>\n", indent, "", plain(s))
	}
	key := func(k string) { fmt.Fprintf(&b, "  <key>%s</key>\n", k) }
	key("Label")
	str(2, l.unit(u.Kind))
	key("ProgramArguments")
	b.WriteString("  <array>\n")
	for _, arg := range append([]string{u.Exe}, u.args()...) {
		str(4, arg)
	}
	b.WriteString("  </array>\n")
	if u.WireHome != "" {
		key("EnvironmentVariables")
		b.WriteString("  <dict>\n    <key>WIRE_HOME</key>\n")
		str(4, u.WireHome)
		b.WriteString("  </dict>\n")
	}
	key("RunAtLoad")
	b.WriteString("  <true/>\n")
	key("KeepAlive")
	b.WriteString("  <true/>\n")
	if u.Kind == Watch { // the daemons that it has started serve on when it ends
		key("AbandonProcessGroup")
		b.WriteString("  <true/>\n")
	}
	key("ProcessType")
	str(2, "Background")
	for _, stream := range []string{"StandardOutPath", "StandardErrorPath"} {
		key(stream)
		str(2, filepath.Join(l.home, "Library", "Logs", "wire-"+string(u.Kind)+".log"))
	}
	b.WriteString("</dict>\n</plist>\n")
	return b.String(), nil
}

func (launchd) file(text string) string {
	_, rest, ok := strings.Cut(text, "<!-- "+fileMark)
	file, _, ended := strings.Cut(rest, " -->")
	if !ok || !ended {
		return ""
	}
	return html.UnescapeString(file)
}

// plain is a text between tags.
func plain(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

func (l launchd) install(ctx context.Context, r run, k Kind) (status, detail string) {
	_, _ = r(ctx, "launchctl", "bootout", l.domain+"/"+l.unit(k)) // an older one, if it is loaded
	if _, err := r(ctx, "launchctl", "bootstrap", l.domain, l.path(k)); err != nil {
		return "written", fmt.Sprintf("plist written; `launchctl bootstrap %s %s` failed (%v)", l.domain, l.path(k), err)
	}
	return "loaded", "plist written + bootstrapped; logs in ~/Library/Logs/wire-" + string(k) + ".log"
}

func (l launchd) uninstall(ctx context.Context, r run, k Kind) string {
	_, _ = r(ctx, "launchctl", "bootout", l.domain+"/"+l.unit(k))
	return "launchctl bootout + plist removed"
}

func (launchd) forget(context.Context, run, Kind) {}

func (l launchd) status(ctx context.Context, r run, k Kind, exists bool) (status, detail string) {
	_, err := r(ctx, "launchctl", "print", l.domain+"/"+l.unit(k))
	loaded := err == nil
	detail = fmt.Sprintf("plist exists=%t, loaded=%t", exists, loaded)
	switch {
	case loaded:
		return "loaded", detail
	case exists:
		return "installed (not loaded)", detail
	}
	return "absent", detail
}

// mainPID reads the line "	pid = 4711" of what launchctl prints of a service.
func (l launchd) mainPID(ctx context.Context, r run, unit string) int {
	text, err := r(ctx, "launchctl", "print", l.domain+"/"+unit)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(text) {
		if number, ok := strings.CutPrefix(strings.TrimSpace(line), "pid = "); ok {
			pid, _ := strconv.Atoi(number)
			return pid
		}
	}
	return 0
}

func (l launchd) restart(ctx context.Context, r run, unit string) error {
	_, err := r(ctx, "launchctl", "kickstart", "-k", l.domain+"/"+unit)
	return err
}
