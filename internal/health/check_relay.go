package health

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/enroll"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
)

const repairRelayFile = "repair relay.json or move it away; then `wire bind-relay <url>` gets a slot, and peers must be added again"

// bound asks the relay of the flat slot whether it is well, as the reference does; the others are asked with
// their slots.
func (e *exam) bound(ctx context.Context) []Check {
	const id = "relay"
	if e.relayErr != nil {
		return e.one(Fail, id, repairRelayFile, "could not read relay state: %v", e.relayErr)
	}
	at := e.relay.flat.RelayURL
	if at == "" {
		return e.one(Warn, id, "`wire bind-relay <url>`, or `wire up <handle>@<relay>`", "no relay bound — wire send/pull will not work")
	}
	err := e.Client.Healthy(ctx, at)
	if err == nil { // as anything may answer that has the port (field-failures.md C3)
		err = e.Client.Identify(ctx, at)
	}
	var refused *client.StatusError
	switch {
	case errors.Is(err, client.ErrNoRelay):
		return e.one(Fail, id, "stop that program, or `wire bind-relay <url>` to a relay elsewhere", "something that is no relay answers at %s", shown(at))
	case err == nil:
		return pass(id, "%s healthz=200", shown(at))
	case errors.As(err, &refused):
		return e.one(Fail, id, startRelay(at), "%s healthz=%d: it is not well, or no relay", shown(at), refused.Code)
	}
	return e.one(Fail, id, startRelay(at), "%s unreachable: %s", shown(at), client.Describe(err))
}

// startRelay is what makes a relay answer; one elsewhere is not ours to start.
func startRelay(url string) string {
	_, bind, _ := strings.Cut(strings.TrimRight(url, "/"), "://")
	if strings.HasPrefix(bind, "127.") || strings.HasPrefix(bind, "localhost") || strings.HasPrefix(bind, "[::1]") {
		return "`wire relay-server --bind " + bind + " --local-only` (or `wire apply`, `wire service install --local-relay`) starts it"
	}
	return "is the network up, and that relay? `curl -v " + shown(url) + "` asks it from this machine"
}

// slots asks each own slot whether it still is ours, and whether anybody pulls it.
func (e *exam) slots(ctx context.Context) []Check {
	const id = "slots"
	if e.relayErr != nil {
		return e.one(Warn, id, repairRelayFile, "its slots are not known: %v", e.relayErr)
	}
	own := e.relay.own
	states := make([]SlotState, len(own))
	var all sync.WaitGroup
	for i, slot := range own {
		if enroll.CheckRelay(slot.RelayURL) == nil {
			all.Go(func() { states[i] = Slot(ctx, e.Client, slot) })
		}
	}
	all.Wait()
	var out []Check
	add := func(v Verdict, fix, format string, args ...any) {
		out = append(out, e.finding(v, id, fix, format, args...))
	}
	for i, slot := range own {
		st, at := states[i], shown(slot.RelayURL)
		if err := enroll.CheckRelay(slot.RelayURL); err != nil {
			add(Fail, "`wire bind-relay <url>` with an address that is only one", "its %s slot: %v", slot.Scope, err)
			continue
		}
		switch st.Fact {
		case SlotLost:
			add(Fail, "`wire apply`, or here `wire bind-relay "+at+"` (with --migrate-pinned if peers know it)",
				"its %s slot on %s is lost: %s", slot.Scope, at, st.Why)
		case SlotUnknown:
			add(Warn, startRelay(slot.RelayURL), "its %s slot on %s could not be asked: %s", slot.Scope, at, st.Why)
		case SlotGood:
			if pid, silent := e.silent(slot, st, time.Now()); silent > 0 {
				add(Warn, "`wire upgrade` replaces its daemon", "nobody has pulled its %s slot on %s for %s, though pid %d serves it",
					slot.Scope, at, silent.Round(time.Second), pid)
			}
		}
	}
	if people := e.Machine.Env.Neighbours(); len(people) > 0 && slices.ContainsFunc(own, func(s home.Endpoint) bool { return s.Scope == home.Local }) {
		add(Warn, "run it on a machine, or in a container, of your own; what is in a slot takes its token, which only you can read",
			"other people of this machine reach its local relay, too, can allocate slots and fill the disk: %s", strings.Join(people[:min(len(people), 5)], ", "))
	}
	if d := e.daemons.Serving; d.Ours == nil && len(d.Others) > 0 && len(own) > 1 {
		add(Warn, "`wire upgrade` replaces it by one that serves all", "pid %d, a daemon of the reference, serves one of its %d slots", d.Others[0].PID, len(own))
	}
	if len(out) > 0 {
		return out
	}
	if len(own) == 0 {
		return pass(id, "no slot to ask for")
	}
	return pass(id, "%d slot(s) answer to their tokens", len(own))
}

// defaultInterval is that of a daemon that does not say its own.
const defaultInterval = 5 * time.Second

// silent is how long a good slot has gone without a pull, where its daemon should have pulled meanwhile; 0 if it
// need not have.
func (e *exam) silent(slot home.Endpoint, st SlotState, now time.Time) (pid int, silent time.Duration) {
	if st.LastPull == nil || len(e.daemons.Serving.All()) == 0 {
		return 0, 0
	}
	d := e.daemons.Serving.All()[0]
	interval := defaultInterval
	if d.Interval > 0 {
		interval = time.Duration(d.Interval) * time.Second
	}
	limit := Silence(interval)
	quiet := now.Sub(*st.LastPull)
	if quiet <= limit || now.Sub(d.Started) <= limit {
		return 0, 0
	}
	if e.daemons.Ours == nil && slot.Scope == home.Local && e.relay.flat.SlotID != slot.SlotID {
		return 0, 0 // a daemon of the reference pulls its flat slot alone
	}
	return d.PID, quiet
}

// cursor shows how far the flat slot has been read.
func (e *exam) cursor() []Check {
	const id = "cursor"
	if e.relayErr != nil {
		return e.one(Warn, id, repairRelayFile, "could not read relay state: %v", e.relayErr)
	}
	at := e.relay.cursor
	if len(at) > 16 {
		at = at[:16]
	}
	if at == "" {
		at = "<none>"
	}
	return pass(id, "current cursor: %s. A refused event never holds it up — see blocked_events", at)
}
