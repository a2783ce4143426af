package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay"
)

// stage is what the commands of one script share.
type stage struct {
	place
	gateway  *gate
	started  map[string]*exec.Cmd // stand-ins, by the name that the script gave them
	unlock   func()               // the file that the script has locked
	watchers []*watcher
}

type stageKey struct{}

func on(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

// end leaves nothing of a script running, however it ended.
func (s *stage) end(t testscript.T) {
	if s.gateway != nil {
		s.gateway.close()
	}
	if s.unlock != nil {
		s.unlock()
	}
	if _, err := endAll(s.dir); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range s.started {
		_ = cmd.Wait() // reaps it
	}
	for _, w := range s.watchers {
		_ = w.cmd.Wait()
	}
}

// commands are what scripts can do beside the commands of testscript. Only alive can be negated.
var commands = map[string]func(*testscript.TestScript, bool, []string){
	"status":     cmdStatus,
	"as":         cmdAs,
	"terminal":   cmdTerminal,
	"waitgrep":   cmdWaitGrep,
	"hashtree":   cmdHashTree,
	"scrub":      cmdScrub,
	"moments":    cmdMoments,
	"kill9":      cmdKill9,
	"freeze":     cmdFreeze,
	"signal":     cmdSignal,
	"watching":   cmdWatching,
	"ended":      cmdEnded,
	"passed":     cmdPassed,
	"fetch":      cmdFetch,
	"metric":     cmdMetric,
	"procs":      cmdProcs,
	"standin":    cmdStandIn,
	"alive":      cmdAlive,
	"pidrecord":  cmdPidRecord,
	"record":     cmdRecord,
	"relay":      cmdRelay,
	"gate":       cmdGate,
	"hold":       cmdHold,
	"held":       cmdHeld,
	"release":    cmdRelease,
	"lock":       cmdLock,
	"unlock":     cmdUnlock,
	"inbox":      cmdInbox,
	"arrived":    cmdArrived,
	"reference":  cmdReference,
	"newkey":     cmdNewKey,
	"pinforeign": cmdPinForeign,
	"unpin":      cmdUnpin,
	"setjson":    cmdSetJSON,
	"reslot":     cmdReslot,
	"harmless":   cmdHarmless,
	"nosecret":   cmdNoSecret,
	"identity":   cmdIdentity,
	"modes":      cmdModes,
}

func want(ts *testscript.TestScript, neg bool, args []string, least int, usage string) {
	if neg {
		ts.Fatalf("unsupported: ! %s", usage)
	}
	if len(args) < least {
		ts.Fatalf("usage: %s", usage)
	}
}

// cmdStatus runs a program and wants exactly this exit status. Its output can then be matched.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "status N program args...")
	if got, wanted := statusOf(ts, args[1:]), args[0]; got != wanted {
		ts.Fatalf("exit status %s, want %s", got, wanted)
	}
}

func statusOf(ts *testscript.TestScript, args []string) string {
	err := ts.Exec(args[0], args[1:]...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "0"
	case errors.As(err, &exit):
		return strconv.Itoa(exit.ExitCode())
	}
	ts.Check(err)
	return ""
}

// cmdAs runs a program with WIRE_HOME naming one session; it must succeed.
func cmdAs(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "as SESSION program args...")
	s := on(ts)
	ts.Setenv("WIRE_HOME", s.session(args[0]).Dir)
	err := ts.Exec(args[1], args[2:]...)
	ts.Setenv("WIRE_HOME", s.wh)
	ts.Check(err)
}

// cmdTerminal runs a wire command on a terminal, which must succeed; what it shows there is its stdout.
func cmdTerminal(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "terminal [NAME=VALUE...] args...")
	s := on(ts)
	cmd := s.wire()
	cmd.Dir = ts.MkAbs(".")
	for len(args) > 0 && strings.Contains(args[0], "=") {
		cmd.Env, args = append(cmd.Env, args[0]), args[1:]
	}
	cmd.Args = append(cmd.Args, args...)
	text, err := onTerminal(cmd)
	fmt.Fprint(ts.Stdout(), text)
	ts.Check(err)
}

// cmdWaitGrep waits until a file, or one of those in a directory, has a match. It may not be there yet.
func cmdWaitGrep(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "waitgrep REGEX FILE")
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	ts.Check(until(func() error {
		data, err := readAll(ts.MkAbs(args[1]))
		if err == nil && !re.Match(data) {
			err = fmt.Errorf("%s: no match for %s in:\n%s", args[1], re, data)
		}
		return err
	}))
}

func readAll(path string) ([]byte, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return os.ReadFile(path)
	}
	var all []byte
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(path, e.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, data...)
	}
	return all, nil
}

// cmdKill9 kills the daemon of a session, or the relay, without warning. The pid is then in $PID.
func cmdKill9(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "kill9 SESSION|relay|federation|watcher")
	pid, err := kill9(on(ts).life(args[0]))
	ts.Check(err)
	ts.Setenv("PID", strconv.Itoa(pid))
}

// life is the life lock of a session's daemon, of its notifier (notify:SESSION), of the relay, of the one for other
// machines (federation), or of the watcher.
func (p place) life(name string) string {
	switch name {
	case "relay":
		return relay.LifeLock(p.relayState())
	case "watcher":
		return p.machine().WatchLife()
	case "federation":
		return relay.LifeLock(filepath.Dir(p.relayState()))
	}
	if session, ok := strings.CutPrefix(name, "notify:"); ok {
		return p.session(session).NotifyLife()
	}
	return p.session(name).DaemonLife()
}

// cmdFreeze stops one of these where it is (SIGSTOP). The pid is then in $PID.
func cmdFreeze(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "freeze SESSION|relay|watcher")
	pid, err := freeze(on(ts).life(args[0]))
	ts.Check(err)
	ts.Setenv("PID", strconv.Itoa(pid))
}

func (p place) relayState() string { return filepath.Join(p.wh, "state", "wire-relay", "local") }

// cmdProcs wants exactly so many processes that belong to the script's WIRE_HOME.
func cmdProcs(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "procs N")
	var found []string
	for _, i := range carriers(on(ts).wh) {
		found = append(found, fmt.Sprintf("%d %q", i.PID, i.Args))
	}
	if strconv.Itoa(len(found)) != args[0] {
		ts.Fatalf("%d processes, want %s: %v", len(found), args[0], found)
	}
}

// cmdStandIn starts somebody who is not wire (see standIn) under a name; its pid is then in $NAME.
func cmdStandIn(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "standin NAME stranger|wrapper|squatter|reference|midwrite|notifier|addpeers [SESSION]")
	s, name, kind := on(ts), args[0], args[1]
	argv, env := []string{kind}, []string{"SQUAT=" + s.relay}
	if len(args) > 2 {
		env = append(env, "WIRE_HOME="+s.session(args[2]).Dir)
	}
	switch kind {
	case "reference", "midwrite":
		argv = []string{"wire", "daemon", "--interval", "5"}
	case "notifier":
		argv = []string{"wire", "notify", "--interval", "2"}
	case "wrapper":
		argv = []string{"timeout", "9d", "wire", "daemon"}
	}
	cmd, err := s.standInCmd(kind, argv, env...)
	ts.Check(err)
	s.started[name] = cmd
	ts.Setenv(strings.ToUpper(name), strconv.Itoa(cmd.Process.Pid))
	switch kind {
	case "squatter":
		ts.Check(until(func() error { return dial(s.relay) }))
	case "reference", "midwrite":
		ts.Check(until(func() error {
			if r, _ := process.ReadRecord(s.session(args[2]).DaemonPID()); r.PID != cmd.Process.Pid {
				return errors.New("no record yet")
			}
			return nil
		}))
	case "notifier":
		ts.Check(until(func() error {
			_, err := os.Stat(s.session(args[2]).NotifyCursor())
			return err
		}))
	case "addpeers":
		ts.Check(cmd.Wait())
		delete(s.started, name)
	}
}

func dial(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		err = c.Close()
	}
	return err
}

// cmdAlive says whether a stand-in still runs.
func cmdAlive(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, false, args, 1, "[!] alive NAME")
	cmd, ok := on(ts).started[args[0]]
	if !ok {
		ts.Fatalf("no stand-in called %s", args[0])
	}
	if _, alive := process.Lookup(cmd.Process.Pid); alive == neg {
		ts.Fatalf("pid %d alive: %v", cmd.Process.Pid, alive)
	}
}

// cmdPidRecord makes a session's daemon.pid name a stand-in.
func cmdPidRecord(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "pidrecord SESSION NAME")
	s := on(ts)
	cmd, ok := s.started[args[1]]
	if !ok {
		ts.Fatalf("no stand-in called %s", args[1])
	}
	ts.Check(process.WriteRecord(s.session(args[0]).DaemonPID(), process.Record{
		Schema: process.Schema, PID: cmd.Process.Pid, BinPath: "/usr/local/bin/wire", Version: process.Level,
		StartedAt: "2026-05-20T10:11:12.5Z",
	}))
}

// cmdRecord makes a session's daemon.pid hold a text.
func cmdRecord(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "record SESSION TEXT")
	ts.Check(os.WriteFile(on(ts).session(args[0]).DaemonPID(), []byte(args[1]), 0o644))
}

// cmdRelay starts a relay at $RELAY that no apply knows of, or one for other machines too, at $GATE.
func cmdRelay(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 0, "relay [federation]")
	if len(args) > 0 {
		ts.Check(on(ts).startFederation())
		return
	}
	ts.Check(on(ts).startRelay())
}

func (p place) startRelay() error { return p.serve(p.relay, "--local-only") }

func (p place) startFederation() error { return p.serve(p.gate) }

// serve starts a relay and waits until it says that it listens: that somebody answers may be another one, which was
// killed a moment ago and still has the port. Then it is started again.
func (p place) serve(addr string, flags ...string) error {
	log, err := os.OpenFile(filepath.Join(p.dir, "relay.log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	ended := make(chan error, 1)
	var from int64
	start := func() error {
		if from, err = log.Seek(0, io.SeekEnd); err != nil {
			return err
		}
		cmd := exec.Command(filepath.Join(suite.bin, "wire"), append([]string{"relay-server", "--bind", addr}, flags...)...)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.env(), log, log
		if err := cmd.Start(); err != nil {
			return err
		}
		go func() { ended <- cmd.Wait() }()
		return nil
	}
	if err := start(); err != nil {
		return err
	}
	return until(func() error {
		said, err := io.ReadAll(io.NewSectionReader(log, from, 1<<20))
		if err != nil || bytes.Contains(said, []byte(" listening on ")) {
			return err
		}
		select {
		case err := <-ended:
			return errors.Join(fmt.Errorf("the relay ended: %v: %s", err, said), start())
		default:
			return errors.New("the relay does not listen yet")
		}
	})
}

// cmdGate opens $GATE, behind which is the relay.
func cmdGate(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 0, "gate")
	s := on(ts)
	var err error
	s.gateway, err = openGate(s.gate, s.relay)
	ts.Check(err)
}

// slotOf is "SLOT:" and a name of a session in a regular expression: what its first own slot is called.
var slotOf = regexp.MustCompile(`SLOT:([a-z0-9-]+)`)

// cmdHold makes the gate hold a request: of those that match REGEX ("METHOD /path") the one after SKIP;
// with -answer, the answer to it.
func cmdHold(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "hold [-answer] REGEX [SKIP]")
	answer, skip := args[0] == "-answer", 0
	if answer {
		args = args[1:]
	}
	if len(args) > 1 {
		var err error
		skip, err = strconv.Atoi(args[1])
		ts.Check(err)
	}
	pattern := slotOf.ReplaceAllStringFunc(args[0], func(found string) string {
		file, err := on(ts).session(slotOf.FindStringSubmatch(found)[1]).ReadRelay()
		ts.Check(err)
		return regexp.QuoteMeta(file.Self()[0].SlotID)
	})
	ts.Check(on(ts).gateway.hold(pattern, skip, answer))
}

// cmdHeld waits until the request that hold named is there.
func cmdHeld(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 0, "held")
	ts.Check(on(ts).gateway.wait())
}

// cmdRelease lets it go on.
func cmdRelease(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 0, "release")
	on(ts).gateway.open()
}

// cmdLock locks a file, as a program does that takes its time with it.
func cmdLock(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "lock FILE")
	var err error
	on(ts).unlock, err = home.Lock(context.Background(), ts.MkAbs(args[0]))
	ts.Check(err)
}

// cmdUnlock lets go of it.
func cmdUnlock(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 0, "unlock")
	on(ts).unlock()
}

// cmdInbox prints what a session has received from a peer: a line for each event, its body.
func cmdInbox(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "inbox SESSION PEER")
	events, err := on(ts).inbox(args[0], args[1])
	ts.Check(err)
	out := ts.Stdout() // also if there is nothing: what the last command printed goes
	for _, e := range events {
		fmt.Fprintln(out, e.Body)
	}
}

// cmdArrived waits until a session has received so many events from a peer, and wants no more than those and
// none twice.
func cmdArrived(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 3, "arrived SESSION PEER N")
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	ts.Check(on(ts).arrived(args[0], args[1], n))
}

func (p place) arrived(name, peer string, n int) error {
	var events []event
	err := until(func() (err error) {
		events, err = p.inbox(name, peer)
		if err == nil && len(events) < n {
			err = fmt.Errorf("%s has %d events from %s, want %d", name, len(events), peer, n)
		}
		return err
	})
	if err != nil {
		return err
	}
	ids := map[string]bool{}
	for _, e := range events {
		if ids[e.ID] {
			return fmt.Errorf("%s has event %s from %s twice", name, e.ID, peer)
		}
		ids[e.ID] = true
	}
	if len(events) != n {
		return fmt.Errorf("%s has %d events from %s, want %d", name, len(events), peer, n)
	}
	return nil
}

// cmdScrub writes a file, or stdout, or stderr, of the last command to another one with everything replaced
// that differs from run to run. JSON is spread over lines.
func cmdScrub(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "scrub FROM TO")
	text := []byte(ts.ReadFile(args[0]))
	var pretty bytes.Buffer
	if json.Indent(&pretty, text, "", "  ") == nil {
		text = pretty.Bytes()
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(on(ts).scrub(string(text))), 0o600))
}

// cmdMoments writes a file, or stdout, to another one with nothing but its moments replaced.
func cmdMoments(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "moments FROM TO")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), moment.ReplaceAll([]byte(ts.ReadFile(args[0])), []byte("TIME")), 0o600))
}

var moment = regexp.MustCompile(`\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)

var volatile = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`(did:wire:[\w-]+)-[0-9a-f]{8}\b`), "$1-FINGERPRINT"},
	{regexp.MustCompile(`\bfresh \(\d+s\)`), "fresh (Ns)"},
	{regexp.MustCompile(`(\(ed25519:[\w-]+):[0-9a-f]{8}\)`), "$1:FINGERPRINT)"},
	{regexp.MustCompile(`(?m)^(fingerprint: )[0-9a-f]{8}$`), "${1}FINGERPRINT"},
	{regexp.MustCompile(`\(key [0-9a-f]{8}\)`), "(key HEX8)"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "HEX64"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "HEX32"},
	{regexp.MustCompile(`\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\bpid \d+`), "pid N"},
	{regexp.MustCompile(`("pid": )[1-9]\d*`), "${1}1"},
	{regexp.MustCompile(`("(?:last_pull_at_unix|silent_secs)": )\d+`), "${1}1"},
	{regexp.MustCompile(`\b\d+(\.\d+)?m?s ago`), "TIME ago"},
	{regexp.MustCompile(`(changes?) in [\d.]+m?s`), "$1 in TIME"},
	{regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`), "UUID"},
	{regexp.MustCompile(`("rtt_ms": )\d+`), "${1}1"},
	{regexp.MustCompile(`\(\d+ms([,)])`), "(1ms$1"},
	{regexp.MustCompile(`(fingerprint: +)[0-9a-f]{8}\b`), "${1}FINGERPRINT"},
	{regexp.MustCompile(`"signature": "[^"]*"`), `"signature": "SIGNATURE"`},
	{regexp.MustCompile(`("public_key_id": "\w+):[0-9a-f]{8}"`), `$1:FINGERPRINT"`},
	{regexp.MustCompile(`(?m)^\[20[\d:T-]+\] (\S+) \([0-9a-f]{12}\)`), "[TIME] $1 (ID)"},
	{regexp.MustCompile(`\b0\.\d+\.\d+-dev[\w.+-]*`), "VERSION"},
}

func (p place) scrub(text string) string {
	text = strings.NewReplacer(p.dir, "$WORK", p.relay, "RELAY", p.gate, "GATE").Replace(text)
	for _, v := range volatile {
		text = v.re.ReplaceAllString(text, v.to)
	}
	return text
}
