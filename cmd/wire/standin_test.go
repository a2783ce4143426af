package main_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
)

// standInVar makes the test binary be somebody else: see standIn.
const standInVar = "WIRE_TEST_STANDIN"

// standIn is the main of the programs that wire meets and that are not wire. All but addpeers run until
// somebody ends them.
func standIn(kind string) int {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	var err error
	switch kind {
	case "stranger": // has the pid that a record names
	case "wrapper": // the same, and what it runs may be a daemon
	case "squatter": // has the relay's port and is no relay
		err = squat(os.Getenv("SQUAT"))
	case "reference": // a daemon as 0.6.10 runs it
		err = beReference(os.Getenv("WIRE_HOME"), end)
	case "midwrite": // the same, halfway through a write that it ends when it is continued; like that one it dies of TERM
		signal.Reset(syscall.SIGTERM)
		err = beMidWrite(os.Getenv("WIRE_HOME"))
	case "notifier": // shows what arrives, as 0.6.10 does
		err = beNotifier(os.Getenv("WIRE_HOME"), end)
	case "addpeers": // writes relay.json as 0.6.10 does outside its daemon: in place and without a lock
		return fail(addPeers(os.Getenv("WIRE_HOME"), 300))
	default:
		err = fmt.Errorf("no stand-in called %q", kind)
	}
	if err != nil {
		return fail(err)
	}
	<-end
	return 0
}

func fail(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "stand-in:", err)
		return 1
	}
	return 0
}

// standInCmd is the test binary as a stand-in of p. Its output goes to a file: it may outlive what reads it.
func (p place) standInCmd(kind string, argv []string, env ...string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(p.dir, kind+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := &exec.Cmd{
		Path: exe, Args: argv, Dir: p.dir, Stdout: log, Stderr: log,
		Env: append(append(p.env(), standInVar+"="+kind), env...),
	}
	return cmd, cmd.Start()
}

func squat(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") }))
	}()
	return nil
}

// beNotifier writes its record and its cursor as 0.6.10 does: in place, in a folder that it makes again where it is
// gone.
func beNotifier(dir string, end <-chan os.Signal) error {
	st := filepath.Join(dir, "state", "wire")
	rec := process.Record{
		Schema: process.Schema, PID: os.Getpid(), BinPath: "/usr/local/bin/wire", Version: process.Level,
		StartedAt: time.Now().UTC().Format(time.RFC3339Nano),
	}
	if err := os.WriteFile(filepath.Join(st, "notify.pid"), rec.Text(), 0o644); err != nil {
		return err
	}
	for {
		select {
		case <-end:
			os.Exit(0)
		case <-time.After(50 * time.Millisecond):
		}
		if err := os.MkdirAll(st, 0o755); err != nil {
			return err
		}
		_ = os.WriteFile(filepath.Join(st, "notify.cursor"), []byte("{}"), 0o644)
	}
}

func addPeers(dir string, n int) error {
	path := filepath.Join(dir, "config", "wire", "relay.json")
	for i := range n {
		err := rewriteInPlace(path, func(doc map[string]any) {
			peers, ok := doc["peers"].(map[string]any)
			if !ok {
				peers = map[string]any{}
				doc["peers"] = peers
			}
			peers[fmt.Sprintf("ghost%d", i)] = map[string]any{
				"relay_url": "https://relay.example", "slot_id": strings.Repeat("0", 32), "slot_token": "t",
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func beMidWrite(dir string) error {
	s := home.At(dir)
	rec := process.Record{Schema: process.Schema, PID: os.Getpid(), StartedAt: time.Now().UTC().Format(time.RFC3339Nano)}
	data, err := os.ReadFile(s.RelayFile())
	if err != nil {
		return err
	}
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	if err := os.WriteFile(s.RelayFile(), data[:len(data)/2], 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(s.DaemonPID(), rec.Text(), 0o644); err != nil {
		return err
	}
	<-continued
	return os.WriteFile(s.RelayFile(), data, 0o600)
}

// rewriteInPlace is read, change, truncate, write. What does not parse at the moment is left alone.
func rewriteInPlace(path string, change func(map[string]any)) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var doc map[string]any
	if json.Unmarshal(data, &doc) != nil {
		return nil
	}
	change(doc)
	if data, err = json.MarshalIndent(doc, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}
