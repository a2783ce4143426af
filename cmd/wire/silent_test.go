package main_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"wirefleet.dev/wire/actuators"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// ear is a session api of which the tests of silence look at the daemon. What passes is the hour after which silence
// counts, by the clock of the plan alone, which nothing else reads.
type ear struct {
	place
	desired *spec.Desired
	client  *client.Client
}

// earAt makes the sessions api and web, of which api shall have a daemon and perhaps has one; relay is what wire.yaml
// says of it.
func earAt(t *testing.T, p place, relay string, started bool) ear {
	t.Helper()
	text := func(daemon bool) string {
		return fmt.Sprintf("version: 1\nrelays: {local: {%s}}\ndefaults: {daemon: false}\nsessions: [{name: api, daemon: %t}, {name: web}]\n", relay, daemon)
	}
	p.file(t, "wire.yaml", text(started))
	must(t, p.wire("apply"))
	p.file(t, "wire.yaml", text(true))
	file, err := spec.Load("wire.yaml", []byte(p.expand(text(true))))
	check(t, err)
	e := ear{place: p, client: client.New(10 * time.Second)}
	e.desired, err = spec.Resolve(file, spec.Env{Path: p.dir + "/wire.yaml", Dir: p.dir})
	check(t, err)
	t.Cleanup(e.client.Close)
	return e
}

// look is what there is, after a while. This process plans in place of the program.
func (e ear) look(ctx context.Context, passed time.Duration) (reconcile.Observed, error) {
	o, err := reconcile.Observer{Machine: e.machine(), Client: e.client, Desired: e.desired}.Observe(ctx)
	o.Now = o.Now.Add(passed)
	if ours := o.Session("api").Daemon.Ours; ours != nil {
		ours.SameExe = ours.Exe == filepath.Join(suite.bin, "wire")
	}
	return o, err
}

// plan is what apply would do, after a while.
func (e ear) plan(t *testing.T, passed time.Duration) []reconcile.Change {
	t.Helper()
	o, err := e.look(t.Context(), passed)
	check(t, err)
	return reconcile.Diff(e.desired, o, reconcile.Options{}).Changes
}

// ask has web send api a message.
func (e ear) ask(t *testing.T) {
	t.Helper()
	must(t, e.wireAt(e.session("web").Dir, "send", "api", "do you hear me?"))
	must(t, e.wireAt(e.session("web").Dir, "push"))
}

// heal wants a plan that replaces a silent daemon, and executes it.
func (e ear) heal(t *testing.T) {
	t.Helper()
	plan := e.plan(t, time.Hour)
	if len(plan) != 1 || plan[0].Kind != reconcile.RestartDaemon || plan[0].Reason.Code != "daemon-silent" {
		t.Fatalf("it has not pulled for an hour: %v", plan)
	}
	passed := time.Hour
	sum, err := reconcile.Runner{
		Observe: func(ctx context.Context) (reconcile.Observed, error) {
			defer func() { passed = 0 }() // then it is served again, and nobody has been silent for long
			return e.look(ctx, passed)
		},
		Diff: func(o reconcile.Observed) reconcile.Plan { return reconcile.Diff(e.desired, o, reconcile.Options{}) },
		Actuators: actuators.All(actuators.Site{
			Machine: e.machine(), Client: e.client, Desired: e.desired, Exe: filepath.Join(suite.bin, "wire"),
		}),
	}.Run(t.Context())
	check(t, err)
	if len(sum.Results) != 1 || sum.Results[0].Outcome != reconcile.Done || !sum.Remaining.Converged() {
		t.Fatalf("%+v, left %+v", sum.Results, sum.Remaining)
	}
}

// TestSilentDaemon: ours lives, is not stopped, and does not pull, for an answer to it never comes while the relay
// answers everybody else. It is replaced, and the next one hears.
func TestSilentDaemon(t *testing.T) {
	t.Parallel()
	p := placeFor(t)
	check(t, p.startRelay())
	g, err := openGate(p.gate, p.relay)
	check(t, err)
	t.Cleanup(g.close)
	e := earAt(t, p, "url: $GATE, managed: false", true)
	if plan := e.plan(t, 0); len(plan) > 0 {
		t.Fatalf("it has just started: %v", plan)
	}
	first, _, _, err := process.ReadLife(p.life("api"))
	check(t, err)

	own, err := p.session("api").ReadRelay()
	check(t, err)
	check(t, g.hold("^GET /v1/events/"+own.Self()[0].SlotID+"$", 0, false))
	e.ask(t)
	check(t, g.wait()) // now it asks, and waits
	if i, alive := process.Lookup(first.PID); !alive || i.State == 'T' {
		t.Fatalf("pid %d, alive: %v, state %c", first.PID, alive, i.State)
	}
	e.heal(t)
	if _, alive := process.Lookup(first.PID); alive {
		t.Errorf("pid %d goes on beside its successor", first.PID)
	}
	next, held, proven, err := process.ReadLife(p.life("api"))
	if err != nil || !held || !proven || next.PID == first.PID {
		t.Errorf("pid %d, held %v, proven %v, %v", next.PID, held, proven, err)
	}
	check(t, p.arrived("api", "web", 1))
	must(t, p.wire("plan", "--detailed-exitcode"))
}

// TestSilentReference: a daemon of the reference that never pulls. It moves its cursor all the time: what counts is what
// the relay has seen.
func TestSilentReference(t *testing.T) {
	t.Parallel()
	p := placeFor(t)
	e := earAt(t, p, "url: $RELAY", false)
	// Another file than this process runs, or it would pass for one of ours that is about to take its lock.
	self, err := os.Executable()
	check(t, err)
	exe := filepath.Join(p.dir, "reference")
	check(t, exec.Command("cp", self, exe).Run()) // not written here: who forks meanwhile would keep it busy
	ref := &exec.Cmd{
		Path: exe, Args: []string{"wire", "daemon", "--interval", "5"}, Dir: p.dir,
		Env: append(p.env(), standInVar+"=reference", "WIRE_HOME="+p.session("api").Dir),
	}
	check(t, ref.Start())
	ended := make(chan error, 1)
	go func() { ended <- ref.Wait() }()
	t.Cleanup(func() { _ = ref.Process.Kill() })
	check(t, until(func() error {
		o, err := e.look(t.Context(), 0)
		if err == nil && len(o.Session("api").Daemon.Others) != 1 {
			err = errors.New("the stand-in is not there yet")
		}
		return err
	}))
	if plan := e.plan(t, 0); len(plan) > 0 {
		t.Errorf("it has just started: %v", plan)
	}

	// Somebody pulls its slot: it is not silent, but will be.
	rf, err := p.session("api").ReadRelay()
	check(t, err)
	own := rf.Self()[0]
	_, err = e.client.List(t.Context(), client.Slot{URL: own.RelayURL, ID: own.SlotID, Token: own.SlotToken}, "", 10)
	check(t, err)
	if plan := e.plan(t, 30*time.Second); len(plan) > 0 {
		t.Errorf("it has pulled half a minute ago: %v", plan)
	}
	e.heal(t)
	check(t, <-ended)
	e.ask(t)
	check(t, p.arrived("api", "web", 1))
	must(t, p.wire("plan", "--detailed-exitcode"))
}
