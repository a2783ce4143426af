package notify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"

	"wirefleet.dev/wire/internal/process"
)

var desktops = []desktop{overBus, bySend}

// What the reference calls itself, and its icon.
const (
	appName = "wire"
	appIcon = "mail-message-new"
)

// overBus asks the desktop itself, without a program in between (Desktop Notifications Specification 1.2).
// The connection lasts for one notification: a notifier rests for most of its life.
func overBus(ctx context.Context, t note) error {
	address, err := busAddress()
	if err != nil {
		return err
	}
	conn, err := dbus.Connect(address, dbus.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("session bus: %w", err)
	}
	defer conn.Close()
	desk := conn.Object("org.freedesktop.Notifications", "/org/freedesktop/Notifications")
	var can []string
	if err := desk.CallWithContext(ctx, "org.freedesktop.Notifications.GetCapabilities", 0).Store(&can); err != nil {
		return fmt.Errorf("session bus: %w", err)
	}
	body := t.body
	if slices.Contains(can, "body-markup") {
		body = escaped(body)
	}
	const byDesktop = int32(-1) // how long it stays
	err = desk.CallWithContext(ctx, "org.freedesktop.Notifications.Notify", 0,
		appName, uint32(0), appIcon, t.title, body, []string{}, map[string]dbus.Variant{}, byDesktop).Err
	if err != nil {
		return fmt.Errorf("session bus: %w", err)
	}
	return nil
}

// busAddress is where the session bus is. The library would look in the account's own runtime directory
// whatever the environment says, and start a bus where there is none.
func busAddress() (string, error) {
	if a := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); a != "" && a != "autolaunch:" {
		return a, nil
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		bus := filepath.Join(dir, "bus")
		if st, err := os.Stat(bus); err == nil && st.Mode().Type() == fs.ModeSocket {
			return "unix:path=" + dbus.EscapeBusAddressValue(bus), nil
		}
	}
	return "", errors.New("no session bus")
}

// bySend is the reference's way. The program hands its text to the desktop as markup; behind "--" nothing is
// an option.
func bySend(ctx context.Context, t note) error {
	err := process.Task{
		Args: []string{"notify-send", "--app-name=" + appName, "--icon=" + appIcon, "--", t.title, escaped(t.body)},
	}.Run(ctx)
	if err != nil {
		return fmt.Errorf("notify-send: %w", err)
	}
	return nil
}

// escaped is text in the desktop's markup. Quotes need nothing there.
func escaped(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
