package notify

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// asShown is a text as notify-send gets it: the desktop reads it as markup.
func asShown(s string) string {
	s = strings.ReplaceAll(s, "&", "&amp;")
	return strings.ReplaceAll(strings.ReplaceAll(s, "<", "&lt;"), ">", "&gt;")
}

// options are what the program gets in front of the texts.
const options = "--app-name=wire|--icon=mail-message-new|--|"

// bus is a session bus with a desktop on it, as far as a notifier talks to them: it answers calls one after
// the other and keeps those of Notify.
type bus struct {
	t     *testing.T
	path  string
	can   []string // capabilities; nil: there is no desktop on the bus
	notes chan []any
}

func newBus(t *testing.T, can []string) *bus {
	t.Helper()
	dir, err := os.MkdirTemp("", "bus") // a socket's path must be short
	check(err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &bus{t: t, path: filepath.Join(dir, "bus"), can: can, notes: make(chan []any, 10)}
	l, err := net.Listen("unix", b.path)
	check(err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go b.serve(c)
		}
	}()
	return b
}

func (b *bus) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for { // the handshake is lines
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		answer := "ERROR\r\n"
		switch word, how, _ := strings.Cut(strings.Trim(line, "\x00\r\n"), " "); {
		case word == "AUTH" && how == "":
			answer = "REJECTED EXTERNAL\r\n"
		case word == "AUTH":
			answer = "OK 0123456789abcdef0123456789abcdef\r\n"
		case word == "BEGIN":
			b.calls(c, in)
			return
		}
		if _, err := c.Write([]byte(answer)); err != nil {
			return
		}
	}
}

func (b *bus) calls(c net.Conn, in *bufio.Reader) {
	for {
		m, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		reply := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldReplySerial: dbus.MakeVariant(m.Serial()), dbus.FieldSender: dbus.MakeVariant("org.freedesktop.Notifications"),
		}}
		member, _ := m.Headers[dbus.FieldMember].Value().(string)
		switch {
		case member == "Hello":
			reply.Body = []any{":1.7"}
		case b.can == nil:
			reply.Type = dbus.TypeError
			reply.Headers[dbus.FieldErrorName] = dbus.MakeVariant("org.freedesktop.DBus.Error.ServiceUnknown")
			reply.Body = []any{"The name is not provided by any .service files"}
		case member == "GetCapabilities":
			reply.Body = []any{b.can}
		case member == "Notify":
			b.notes <- m.Body
			reply.Body = []any{uint32(1)}
		}
		if len(reply.Body) > 0 {
			reply.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(reply.Body...))
		}
		if err := reply.EncodeTo(c, binary.LittleEndian); err != nil {
			b.t.Error(err)
			return
		}
	}
}

// TestBus: the desktop is asked itself where there is a bus, and gets markup only where it reads it.
func TestBus(t *testing.T) {
	for _, c := range []struct {
		can  []string
		body string
	}{
		{[]string{"body", "body-markup", "actions"}, "claim: &lt;b&gt;x&lt;/b&gt; &amp; y"},
		{[]string{"body"}, "claim: <b>x</b> & y"},
	} {
		s := newSite(t)
		s.begin()
		b := newBus(t, c.can)
		for name, at := range map[string]func(){
			"by its address": func() { t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+b.path) },
			"in the runtime directory": func() {
				t.Setenv("DBUS_SESSION_BUS_ADDRESS", "autolaunch:")
				t.Setenv("XDG_RUNTIME_DIR", filepath.Dir(b.path))
			},
		} {
			at()
			s.arrives("api", "<b>x</b> & y")
			if got := s.once(Config{}); got != "" {
				t.Errorf("%s: %s", name, got)
			}
			n := <-b.notes
			want := []any{"wire", uint32(0), "mail-message-new", "wire ← api", c.body}
			if !slices.Equal(n[:5], want) || len(n[5].([]string)) != 0 || len(n[6].(map[string]dbus.Variant)) != 0 || n[7] != int32(-1) {
				t.Errorf("%s: %v", name, n)
			}
		}
		s.want() // nothing went the other way
	}
}

// TestBusWithoutDesktop: then the program is tried.
func TestBusWithoutDesktop(t *testing.T) {
	s := newSite(t)
	s.begin()
	b := newBus(t, nil)
	for _, address := range []string{"unix:path=" + b.path, "unix:path=" + b.path + ".not", "nonsense"} {
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
		s.forget()
		s.arrives("api", "hello")
		if got := s.once(Config{}); got != "" {
			t.Errorf("%s: %s", address, got)
		}
		s.want("wire ← api: claim: hello")
	}
}

// TestHungBus: a bus that does not answer holds nobody up for long.
func TestHungBus(t *testing.T) {
	newSite(t)
	dir, err := os.MkdirTemp("", "bus")
	check(err)
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "bus"))
	check(err)
	defer l.Close()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+filepath.Join(dir, "bus"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := overBus(ctx, note{"wire", "hello"}); err == nil || ctx.Err() == nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}
