package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/home"
)

// patience is how long a condition is waited for. It is no assertion about speed: a healthy run needs a
// hundredth of it, and a machine that is busy with other things shall not fail a test. It is less than the
// minute after which a daemon looks everywhere again, so that what only that finds counts as lost.
const patience = 30 * time.Second

// place is where one test lives.
type place struct {
	dir   string // work directory
	wh    string // WIRE_HOME, the machine's base
	relay string // host:port of its relay
	gate  string // host:port for what stands in front of the relay
	vital string // host:port where a watcher answers
}

// newPlace is the place of a test in dir, which it may already have filled.
func newPlace(dir string) (place, error) {
	p := place{dir: dir, wh: filepath.Join(dir, "wh")}
	var err error
	if p.relay, err = ownAddress(8771); err != nil {
		return p, err
	}
	host, _, _ := net.SplitHostPort(p.relay)
	if p.gate = net.JoinHostPort(host, "8772"); runtime.GOOS != "linux" {
		p.gate, err = ownAddress(8772)
	}
	if p.vital = net.JoinHostPort(host, "8773"); runtime.GOOS != "linux" && err == nil {
		p.vital, err = ownAddress(8773)
	}
	return p, errors.Join(err, os.MkdirAll(filepath.Join(dir, "home"), 0o700), os.MkdirAll(filepath.Join(dir, "tmp"), 0o700))
}

// placeFor is the place of a Go test or benchmark. What it starts is ended with it.
func placeFor(tb testing.TB) place {
	tb.Helper()
	dir, err := os.MkdirTemp(suite.root, strings.ReplaceAll(tb.Name(), "/", "-")+"-")
	if err != nil {
		tb.Fatal(err)
	}
	p, err := newPlace(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if _, err := endAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return p
}

var addresses atomic.Uint32

// ownAddress is an address that no other test has. Linux has a loopback network of 24 bits: process and test
// make one of it, with the port that people use. Elsewhere there is one address, and ports are tried one
// after the other, below those that the system gives to clients.
func ownAddress(port int) (string, error) {
	n := addresses.Add(1)
	if runtime.GOOS == "linux" {
		v := uint32(os.Getpid())&0x3fff<<9 | n&0x1ff
		return fmt.Sprintf("127.%d.%d.%d:%d", 128+v>>16, v>>8&0xff, v&0xff, port), nil
	}
	for try := range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+(os.Getpid()*37+int(n)*7+try)%20000)
		l, err := net.Listen("tcp", addr)
		if err == nil {
			return addr, l.Close()
		}
	}
	return "", fmt.Errorf("no free port for %d", port)
}

// env is the environment of everything that a test starts: nothing of the account's own.
func (p place) env() []string {
	return append(raceEnv(),
		"HOME="+filepath.Join(p.dir, "home"),
		"XDG_CONFIG_HOME=", "XDG_STATE_HOME=", "XDG_DATA_HOME=", "XDG_CACHE_HOME=", "XDG_RUNTIME_DIR=",
		"TMPDIR="+filepath.Join(p.dir, "tmp"),
		"WIRE_HOME="+p.wh,
		"PATH="+suite.path,
		"LANG=C.UTF-8", "TERM=xterm",
		"RELAY=http://"+p.relay,
		"GATE=http://"+p.gate,
		"VITAL="+p.vital,
	)
}

func (p place) session(name string) home.Session {
	return home.At(filepath.Join(p.wh, "sessions", name))
}

// expand puts the test's addresses into the files that a test brought along.
func (p place) expand(text string) string {
	return strings.NewReplacer("$RELAY", "http://"+p.relay, "$GATE", "http://"+p.gate, "$WORK", p.dir).Replace(text)
}

// until waits for a condition; what is its last complaint.
func until(ok func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := ok()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited in vain: %w", err)
		}
		time.Sleep(5 * time.Millisecond) // between two looks at the condition
	}
}

// event is what tests look at in a line of an inbox or outbox.
type event struct {
	ID   string `json:"event_id"`
	From string `json:"from"`
	Kind uint32 `json:"kind"`
	Body any    `json:"body"`
}

// inbox is what a session has received from a peer, in order of arrival.
func (p place) inbox(name, peer string) ([]event, error) {
	path, err := p.session(name).Inbox(peer)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var events []event
	for line := range strings.Lines(string(data)) {
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		events = append(events, e)
	}
	return events, nil
}
