package verbs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"wirefleet.dev/wire/actuators"
	"wirefleet.dev/wire/internal/enroll"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// Wish is what a command line asks `session new` for (reference/cli.md 1.1).
type Wish struct {
	Cwd        string  // the physical working directory, which is registered
	Name       *string // nil: derived from Cwd
	Relay      string  // federation relay
	RelayNamed bool    // it was named, rather than the default
	WithLocal  bool
	LocalOnly  bool
	LocalRelay string // for the two before
	Daemon     bool
}

func (w Wish) locally() bool { return w.WithLocal || w.LocalOnly }

// named says whether the command line names any relay.
func (w Wish) named() bool { return w.locally() || w.RelayNamed }

// reach is on which relays the session shall be: of one that exists only where the command line says so, for
// no other relay is touched.
func (w Wish) reach(existed bool) spec.Reach {
	federates := !w.LocalOnly && (w.RelayNamed || !existed)
	switch {
	case federates && w.locally():
		return spec.ReachBoth
	case federates:
		return spec.ReachFederation
	case w.locally():
		return spec.ReachLocal
	}
	return spec.ReachNone
}

// Made is a session as `session new` left it, also where it failed halfway.
type Made struct {
	Name    string // as registered; its directory's may be shorter
	Session home.Session
	Existed bool // it had a card before
	DID     string
	Handle  string
	Info    identity.CardInfo // zero where the card says too little
	Shown   bool              // there is a card to show

	Slot    *home.Endpoint // the federation slot that it got now; nil: none
	Local   *home.Endpoint // the local one
	Nick    string         // that it has claimed now
	Refused []error        // why it could not have other nicks
	Remarks []string       // for people: what was not done, and what to do
}

// moreNicks is how many nicks are tried beside the name.
const moreNicks = 4

// New makes a session, or completes one that exists on the relays that w names, and registers the working
// directory for it. What is there is never replaced: no key, no slot that answers, no running daemon.
//
// An error comes with what was made, unless nothing was.
func (s Site) New(ctx context.Context, w Wish) (*Made, error) {
	for _, url := range []string{w.Relay, w.LocalRelay} {
		if err := enroll.CheckRelay(url); err != nil {
			return nil, err
		}
	}
	unlock, err := s.lock(ctx, "session new")
	if err != nil {
		var held *home.LockedError
		if !errors.As(err, &held) {
			name, _ := s.name(w, home.Registry{})
			err = fmt.Errorf("creating session dir %q: %w", s.Machine.Session(name).Dir, err)
		}
		return nil, err
	}
	defer unlock()
	reg, err := s.Machine.Registry()
	if err != nil {
		return nil, fmt.Errorf("%w\n  next: repair the file or move it away; nothing was changed", err)
	}
	n := &creation{Site: s, wish: w}
	n.made.Name, n.made.Existed = s.name(w, reg)
	n.made.Session = s.Machine.Session(n.made.Name)
	err = n.work(ctx)
	if cardErr := n.made.readCard(); err == nil && cardErr != nil {
		n.made.Remarks = nil // they say the same
		err = cardErr
	}
	return &n.made, err
}

// name is what the session is called, and whether it exists.
func (s Site) name(w Wish, reg home.Registry) (name string, exists bool) {
	if w.Name != nil {
		name = home.Sanitize(*w.Name)
		return name, s.Machine.Session(name).HasCard()
	}
	name = reg.NameFor(w.Cwd)
	exists = s.Machine.Session(name).HasCard()
	if !exists && home.Sanitize(name) != name {
		// A longer name of the reference, whose session is gone: not worth making anew.
		name = home.DeriveName(w.Cwd, reg.Names())
		exists = s.Machine.Session(name).HasCard()
	}
	return name, exists
}

// creation is one call of New.
type creation struct {
	Site
	wish    Wish
	made    Made
	desired *spec.Desired
	lacks   map[home.Scope]error // slots that could not be had, and why
}

func (n *creation) work(ctx context.Context) error {
	n.lacks = map[home.Scope]error{}
	reach, daemon := n.wish.reach(n.made.Existed), n.wish.Daemon
	if !n.made.Existed && n.wish.locally() {
		if err := n.probe(ctx); err != nil {
			n.staying(fmt.Sprintf("local relay at %s unreachable (%v)", n.wish.LocalRelay, err))
			n.lacks[home.Local] = err
			reach = without(reach, home.Local)
		}
	}
	for {
		if n.wish.LocalOnly && n.lacks[home.Local] != nil && !n.made.Existed {
			daemon = false // it would serve nothing
		}
		sum, err := n.attempt(ctx, reach, daemon)
		if err != nil {
			return err
		}
		scope, why := n.lacking(sum)
		if scope == "" {
			return n.verdict(sum)
		}
		n.lacks[scope] = why
		if scope == home.Federation && !n.made.Existed {
			return n.verdict(sum)
		}
		if scope == home.Local && !n.made.Existed {
			n.staying(fmt.Sprintf("local relay slot allocation failed on %s (%v)", n.wish.LocalRelay, why))
		}
		reach = without(reach, scope)
	}
}

func (n *creation) staying(why string) { n.remark("%s; staying federation-only", why) }

func (n *creation) remark(format string, args ...any) {
	n.made.Remarks = append(n.made.Remarks, fmt.Sprintf(format, args...))
}

// probeTime is how long a local relay may take to say that it is well.
const probeTime = 500 * time.Millisecond

func (n *creation) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	return n.Client.Healthy(ctx, n.wish.LocalRelay)
}

// observeTime is how long the relays may take to say what they know of a session.
const observeTime = 15 * time.Second

// attempt makes the session as far as a reach goes.
func (n *creation) attempt(ctx context.Context, reach spec.Reach, daemon bool) (reconcile.Summary, error) {
	d := &spec.Desired{Sessions: []spec.Session{{
		Name: n.made.Session.Name, Handle: n.made.Name, Reach: reach,
		Dir: home.RegistryKey(n.wish.Cwd), DirAsTyped: n.wish.Cwd, DirExists: true,
		Daemon: daemon, Interval: spec.DefaultInterval,
	}}}
	if reach.Federates() {
		d.Federation.URL = trim(n.wish.Relay)
	}
	if reach.Locally() {
		d.LocalRelay.URL = trim(n.wish.LocalRelay)
		_, d.LocalRelay.Bind, _ = strings.Cut(d.LocalRelay.URL, "://")
	}
	n.desired = d
	opt := reconcile.Options{Complete: true, TakeDirs: true, InOrder: !n.made.Existed}
	sum, err := n.run(ctx, reconcile.Runner{
		Observe: reconcile.Observer{Machine: n.Machine, Client: n.Client, Desired: d, Probe: observeTime, MoreNicks: moreNicks}.Observe,
		Diff:    func(o reconcile.Observed) reconcile.Plan { return reconcile.Diff(d, o, opt) },
	}, actuators.Site{Desired: d, MoreNicks: moreNicks, By: "session new", Tell: n.told})
	n.took(sum)
	return sum, err
}

func (n *creation) told(t actuators.Told) {
	switch t := t.(type) {
	case actuators.Claimed:
		n.made.Nick = t.Nick
	case actuators.Refused:
		if t.Nick == n.made.Name {
			n.made.Refused = nil // a new round of them
		}
		n.made.Refused = append(n.made.Refused, t.Err)
	}
}

// took notes the slots that a run has brought.
func (n *creation) took(sum reconcile.Summary) {
	for _, r := range sum.Results {
		if r.Change.Kind != reconcile.AllocateSlot || r.Outcome != reconcile.Done {
			continue
		}
		rf, err := n.made.Session.ReadRelay()
		if err != nil {
			continue
		}
		for _, e := range rf.Self() {
			switch {
			case trim(e.RelayURL) != r.Change.Relay:
			case e.Scope == home.Local:
				n.made.Local = &e
			default:
				n.made.Slot = &e
			}
		}
	}
}

// lacking is the scope of a slot that a run should have brought and did not; "" if there is none.
func (n *creation) lacking(sum reconcile.Summary) (home.Scope, error) {
	at := func(url string) home.Scope {
		if url == n.desired.Federation.URL {
			return home.Federation
		}
		return home.Local
	}
	for _, r := range sum.Results {
		if r.Change.Kind == reconcile.AllocateSlot && r.Outcome == reconcile.Failed {
			return at(r.Change.Relay), r.Err
		}
	}
	if _, blocked := report(sum, n.made.Session.Name, "slot-blocked"); !blocked {
		return "", nil
	}
	for _, url := range []string{n.desired.Federation.URL, n.desired.LocalRelay.URL} {
		if b, ok := report(sum, url, ""); url != "" && ok {
			return at(url), errors.New(b.Reason.Text)
		}
	}
	return "", nil
}

// report is what a run left blocked for a subject; an empty code stands for any.
func report(sum reconcile.Summary, subject, code string) (reconcile.Report, bool) {
	for _, b := range sum.Remaining.Blocked {
		if b.Subject == subject && (code == "" || b.Reason.Code == code) {
			return b, true
		}
	}
	return reconcile.Report{}, false
}

// failed is why a change of that kind failed in a run.
func failed(sum reconcile.Summary, k reconcile.Kind) error {
	for _, r := range sum.Results {
		if r.Change.Kind == k && r.Outcome == reconcile.Failed {
			return r.Err
		}
	}
	return nil
}

// verdict is what the last run of a creation means for who asked for it.
func (n *creation) verdict(sum reconcile.Summary) error {
	m, name := &n.made, n.made.Session.Name
	if err := failed(sum, reconcile.CreateSession); err != nil {
		return fmt.Errorf("`%s` failed inside session dir %q: %w", n.init(), m.Session.Dir, err)
	}
	if b, broken := report(sum, name, "home-broken"); broken {
		if n.wish.named() {
			return fmt.Errorf("%s: %s", name, b.Reason.Text)
		}
		n.remark("%s: %s; %s", name, b.Reason.Text, b.Advice)
		return failed(sum, reconcile.RegisterDir)
	}
	if b, watched := report(sum, name, "watched"); watched {
		n.remark("%s: %s; %s", name, b.Reason.Text, b.Advice)
	}
	if err := n.federation(sum); err != nil {
		return err
	}
	if err := failed(sum, reconcile.RegisterDir); err != nil {
		return err
	}
	if err := n.local(); err != nil {
		return err
	}
	n.missing(sum)
	if err := failed(sum, reconcile.StartDaemon); err != nil {
		return err
	}
	if b, unknown := report(sum, name, "daemon-unknown"); unknown {
		return fmt.Errorf("%s: %s", name, b.Reason.Text)
	}
	return nil
}

// init is what the reference would have run as a child.
func (n *creation) init() string {
	command := "wire init " + n.made.Name
	if !n.wish.LocalOnly {
		command += " --relay " + n.wish.Relay
	}
	return command
}

func (n *creation) federation(sum reconcile.Summary) error {
	m, url := &n.made, n.wish.Relay
	switch why := n.lacks[home.Federation]; {
	case why == nil:
	case m.Existed:
		return fmt.Errorf("%s lacks a slot on %s, and could not get one: %w", m.Name, url, why)
	default:
		return fmt.Errorf("`%s` failed inside session dir %q: couldn't reach %s/healthz: %w\n  next: `wire session new %s --relay %s` goes on from here",
			n.init(), m.Session.Dir, trim(url), why, m.Name, url)
	}
	if err := failed(sum, reconcile.ClaimHandle); err != nil {
		return fmt.Errorf("%d failed attempts to claim a handle on %s for session %s", len(m.Refused), url, m.Name)
	}
	if b, taken := report(sum, m.Session.Name, "handle-taken"); taken {
		return fmt.Errorf("%d failed attempts to claim a handle on %s for session %s: %s", 1+moreNicks, url, m.Name, b.Reason.Text)
	}
	return nil
}

func (n *creation) local() error {
	why := n.lacks[home.Local]
	switch {
	case why == nil:
		return nil
	case n.made.Existed:
		return fmt.Errorf("%s lacks a slot on %s, and could not get one: %w", n.made.Name, n.wish.LocalRelay, why)
	case n.wish.LocalOnly:
		return fmt.Errorf("--local-only requested but local-relay probe at %s failed: %w\n  next: start that relay, then `wire session new %s --local-only` goes on from here",
			n.wish.LocalRelay, why, n.made.Name)
	}
	return nil
}

// missing says what a session that exists lacks and nobody asked for, and what could not be found out.
func (n *creation) missing(sum reconcile.Summary) {
	if !n.made.Existed {
		return
	}
	rf, err := n.made.Session.ReadRelay()
	if err != nil {
		return // said already
	}
	slots := rf.Self()
	if len(slots) == 0 && !n.wish.named() {
		n.remark("%s has no slot on any relay: `wire session new %s --relay URL` or `--with-local` gives it one", n.made.Name, n.made.Name)
	}
	for _, url := range []string{n.desired.Federation.URL, n.desired.LocalRelay.URL} {
		if url == "" {
			continue
		}
		if b, ok := report(sum, url, ""); ok {
			n.remark("%s: %s; what %s has there could not be looked at", url, b.Reason.Text, n.made.Name)
		}
		for _, e := range slots {
			if e.Scope == scopeOf(n.desired, url) && trim(e.RelayURL) != url {
				n.remark("%s has its %s slot on %s and stays there; `wire bind-relay %s` in it moves it", n.made.Name, e.Scope, e.RelayURL, url)
			}
		}
	}
}

func scopeOf(d *spec.Desired, url string) home.Scope {
	if url == d.Federation.URL {
		return home.Federation
	}
	return home.Local
}

func without(r spec.Reach, scope home.Scope) spec.Reach {
	federates := r.Federates() && scope != home.Federation
	locally := r.Locally() && scope != home.Local
	switch {
	case federates && locally:
		return spec.ReachBoth
	case federates:
		return spec.ReachFederation
	case locally:
		return spec.ReachLocal
	}
	return spec.ReachNone
}

// readCard fills in who the session is, as its card says, verified or not.
func (m *Made) readCard() error {
	card, err := m.Session.ReadCard()
	if err != nil {
		return err
	}
	m.Shown = true
	m.DID, _ = card["did"].(string)
	m.Handle, _ = card["handle"].(string)
	if m.Handle == "" && m.DID != "" {
		m.Handle = identity.DID(m.DID).Handle()
	}
	if info, err := identity.ReadCard(card); err == nil {
		m.Info = info
	}
	return nil
}

// trim is a relay URL as it is stored and compared: without trailing slashes (home-and-daemon.md 4.1).
func trim(u string) string { return strings.TrimRight(u, "/") }
