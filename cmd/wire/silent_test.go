package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// TestSilentDaemon: a process that is there, looks like a daemon and never pulls is hung, once it has had its time
// while the relay answers. The time passes here by the clock of the plan, which nothing else reads.
func TestSilentDaemon(t *testing.T) {
	t.Parallel()
	p := placeFor(t)
	p.file(t, "wire.yaml", `
version: 1
relays: {local: {url: $RELAY}}
defaults: {daemon: false}
sessions: [{name: api}, {name: web}]
`)
	must(t, p.wire("apply"))
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
	t.Cleanup(func() {
		_ = ref.Process.Kill()
		_ = ref.Wait()
	})

	file, err := spec.Load("wire.yaml", []byte(p.expand(`
version: 1
relays: {local: {url: $RELAY}}
sessions: [{name: api}, {name: web, daemon: false}]
`)))
	check(t, err)
	d, err := spec.Resolve(file, spec.Env{Path: p.dir + "/wire.yaml", Dir: p.dir})
	check(t, err)
	c := client.New(10 * time.Second)
	t.Cleanup(c.Close)
	look := func() reconcile.Observed {
		o, err := reconcile.Observer{Machine: p.machine(), Client: c, Desired: d}.Observe(t.Context())
		check(t, err)
		return o
	}
	var o reconcile.Observed
	check(t, until(func() error {
		if o = look(); len(o.Session("api").Daemon.Others) != 1 {
			return errors.New("the stand-in is not there yet")
		}
		return nil
	}))
	if plan := reconcile.Diff(d, o, reconcile.Options{}); !plan.Empty() {
		t.Errorf("it has just started: %v", plan.Changes)
	}
	o.Now = o.Now.Add(time.Hour)
	plan := reconcile.Diff(d, o, reconcile.Options{})
	if len(plan.Changes) != 1 || plan.Changes[0].Kind != reconcile.RestartDaemon || plan.Changes[0].Reason.Code != "daemon-silent" {
		t.Errorf("it has not pulled for an hour: %v", plan.Changes)
	}

	// Somebody pulls its slot: it is not silent any more.
	rf, err := p.session("api").ReadRelay()
	check(t, err)
	own := rf.Self()[0]
	_, err = c.List(t.Context(), client.Slot{URL: own.RelayURL, ID: own.SlotID, Token: own.SlotToken}, "", 10)
	check(t, err)
	o = look()
	o.Now = o.Now.Add(30 * time.Second)
	if plan := reconcile.Diff(d, o, reconcile.Options{}); !plan.Empty() {
		t.Errorf("it has pulled half a minute ago: %v", plan.Changes)
	}
	o.Now = o.Now.Add(time.Hour)
	if plan := reconcile.Diff(d, o, reconcile.Options{}); len(plan.Changes) != 1 {
		t.Errorf("it has not pulled for an hour: %v", plan.Changes)
	}
}
