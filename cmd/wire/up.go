package main

import (
	"fmt"
	"net/url"
	"strings"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/enroll"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/internal/upkeep"
)

type claimCmd struct {
	Nick      string `arg:"" help:"2 to 32 of a-z, 0-9, _ and -."`
	Relay     string `placeholder:"RELAY" help:"Where to allocate a slot if this session has none. Default: https://wireup.net."`
	PublicURL string `name:"public-url" placeholder:"PUBLIC_URL" help:"Where others reach the relay."`
	Hidden    bool   `help:"Without an entry in the phonebook."`
	jsonFlag
}

func (c *claimCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	got, err := enroll.Claim(a.ctx, client.New(0), s, enroll.ClaimOptions{
		Nick: c.Nick, Relay: c.Relay, PublicURL: c.PublicURL, Hidden: c.Hidden,
	})
	if err != nil {
		return err
	}
	if got.Elsewhere {
		fmt.Fprintf(a.err, "wire claim: this session is bound to %s, so the nick is claimed there, not on %s\n", got.Relay, c.Relay)
	}
	if c.JSON {
		answer, err := canon.Parse(got.Answer)
		if err != nil {
			return err
		}
		return a.printDoc(canon.Doc{"nick": c.Nick, "relay": got.Relay, "response": answer})
	}
	return a.sayClaimed(c.Nick, got.Relay)
}

func (a *app) sayClaimed(nick, relay string) error {
	at := nick + "@" + hostOf(relay)
	_, err := fmt.Fprintf(a.out, "claimed %s on %s — others can reach you at: %s\nverify with: wire whois %s\n", nick, relay, at, at)
	return err
}

// hostOf is what a relay is called behind an @: its host, and its port if it has one.
func hostOf(relay string) string {
	if u, err := url.Parse(relay); err == nil && u.Host != "" {
		return u.Host
	}
	return relay
}

type upCmd struct {
	Handle string `arg:"" name:"handle" help:"The handle, and after an @ the relay. Default relay: https://wireup.net."`
	Name   string `placeholder:"NAME" help:"Its name for people."`
	jsonFlag
}

// upSteps are what `wire up` has done so far.
type upSteps struct {
	a     *app
	quiet bool // the JSON line says it all
	list  []any
}

func (u *upSteps) step(stage, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	u.list = append(u.list, canon.Doc{"detail": detail, "stage": stage})
	if !u.quiet {
		fmt.Fprintf(u.a.err, "wire up: %s — %s\n", stage, detail)
	}
}

func (c *upCmd) Run(a *app) error {
	nick, relay := upTarget(c.Handle)
	if err := identity.CheckHandle(nick); err != nil {
		return err
	}
	env := a.adopted()
	s, err := env.Session()
	if err != nil {
		return err
	}
	done := &upSteps{a: a, quiet: c.JSON}
	if err := done.identity(s, enroll.Person{Handle: nick, Name: c.Name}, relay); err != nil {
		return err
	}
	bound, err := done.bind(s, relay)
	if err != nil {
		return err
	}
	done.claim(s, nick, bound)
	done.daemon(env, s)
	done.step("ready", "ready. `wire pair <peer>@<relay>` to pair, `wire send <peer> <body>` to send")
	if c.JSON {
		return a.printDoc(canon.Doc{"nick": nick, "relay": relay, "steps": done.list})
	}
	return nil
}

// upTarget takes HANDLE[@HOST] apart; a host without scheme means https.
func upTarget(arg string) (nick, relay string) {
	nick, host, found := strings.Cut(arg, "@")
	switch {
	case !found || host == "":
		return nick, enroll.DefaultRelay
	case strings.Contains(host, "://"):
		return nick, strings.TrimRight(host, "/")
	}
	return nick, "https://" + strings.TrimRight(host, "/")
}

func (u *upSteps) identity(s home.Session, who enroll.Person, relay string) error {
	if !s.Initialized() {
		info, slot, err := u.a.makeIdentity(s, who, relay)
		if err != nil {
			return err
		}
		if !u.quiet {
			if err := sayInit(u.a.out, s, info, slot); err != nil {
				return err
			}
		}
		u.step("init", "created identity %s bound to %s", who.Handle, relay)
		return nil
	}
	card, err := s.ReadCard()
	if err != nil {
		return err
	}
	info, err := identity.ReadCard(card)
	if err != nil {
		return err
	}
	if info.Handle != who.Handle {
		return fmt.Errorf("wire up: already initialized as %s but you asked for %s: one home holds one identity; "+
			"`wire session new` makes another", identity.Quote(info.Handle), identity.Quote(who.Handle))
	}
	u.step("init", "already initialized as %s", info.Handle)
	return nil
}

// bind is where the session is bound afterwards.
func (u *upSteps) bind(s home.Session, relay string) (bound string, err error) {
	file, err := s.ReadRelay()
	if err != nil {
		return "", err
	}
	slot, ok := home.Flat(file.Self())
	switch {
	case !ok:
		if err := enroll.First(u.a.ctx, client.New(0), s, relay); err != nil {
			return "", err
		}
		u.step("bind-relay", "bound to %s", relay)
		return relay, nil
	case strings.TrimRight(slot.RelayURL, "/") != relay:
		u.step("bind-relay", "WARNING: identity bound to %s but you specified %s; keeping the existing binding. `wire bind-relay %[2]s` moves it",
			slot.RelayURL, relay)
	default:
		u.step("bind-relay", "already bound to %s", relay)
	}
	return slot.RelayURL, nil
}

func (u *upSteps) claim(s home.Session, nick, relay string) {
	got, err := enroll.Claim(u.a.ctx, client.New(0), s, enroll.ClaimOptions{Nick: nick, Relay: relay})
	if err == nil && !u.quiet {
		err = u.a.sayClaimed(nick, got.Relay)
	}
	if err != nil {
		u.step("claim", "WARNING: claim failed: %v", err)
		return
	}
	u.step("claim", "%s@%s claimed", nick, hostOf(got.Relay))
}

func (u *upSteps) daemon(env home.Env, s home.Session) {
	s, err := s.Abs(env)
	var armed upkeep.Armed
	if err == nil {
		armed, err = upkeep.Daemon(u.a.ctx, s, "up")
	}
	switch {
	case err != nil:
		u.step("daemon", "WARNING: could not start the background daemon: %v", err)
	case armed.Started:
		u.step("daemon", "started fresh background daemon")
	default:
		u.step("daemon", "already running")
	}
}
