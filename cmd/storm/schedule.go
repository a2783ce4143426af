package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Kind is what a blow does.
type Kind string

// The closed set of blows.
const (
	KillDaemon    Kind = "kill-daemon"
	KillRelay     Kind = "kill-relay"
	KillApply     Kind = "kill-apply" // a one-shot apply, half-way
	KillWatcher   Kind = "kill-watcher"
	StopDaemon    Kind = "stop-daemon" // SIGSTOP
	StopRelay     Kind = "stop-relay"
	RecordDeleted Kind = "record-deleted"
	RecordTorn    Kind = "record-torn"
	RecordDecoy   Kind = "record-decoy" // the record names a living stranger
	RelayLost     Kind = "relay-state-lost"
	RelayLostDown Kind = "relay-state-lost-stopped"
	PinDeleted    Kind = "pin-deleted"
	TrustDeleted  Kind = "trust-deleted"
	RegistryGone  Kind = "registry-deleted"
	RelayRewrite  Kind = "relay-json-rewritten" // in place, without the lock, as the reference does
	InboxFrozen   Kind = "inbox-frozen"
	SpecEdited    Kind = "file-edited"
	SpecBroken    Kind = "file-broken"
	SpecReplaced  Kind = "file-replaced"
	KillSend      Kind = "kill-send"
)

// weights say how often each blow falls beside the others: what costs every slot and edge falls rarely.
var weights = []struct {
	kind   Kind
	weight int
}{
	{KillDaemon, 16},
	{KillRelay, 5},
	{KillApply, 5},
	{KillWatcher, 4},
	{StopDaemon, 5},
	{StopRelay, 2},
	{RecordDeleted, 4},
	{RecordTorn, 4},
	{RecordDecoy, 4},
	{RelayLost, 1},
	{RelayLostDown, 1},
	{PinDeleted, 8},
	{TrustDeleted, 6},
	{RegistryGone, 3},
	{RelayRewrite, 8},
	{InboxFrozen, 4},
	{SpecEdited, 4},
	{SpecBroken, 3},
	{SpecReplaced, 4},
	{KillSend, 8},
}

// pairwise are the blows with two subjects.
var pairwise = map[Kind]bool{PinDeleted: true, TrustDeleted: true, KillSend: true}

// single are those with one; the others strike what all share.
var single = map[Kind]bool{
	KillDaemon: true, StopDaemon: true, RecordDeleted: true, RecordTorn: true, RecordDecoy: true,
	RelayRewrite: true, InboxFrozen: true, SpecEdited: true,
}

// Blow is one thing that happens.
type Blow struct {
	At       time.Duration // since the start
	Kind     Kind
	Subjects []string
	Delay    time.Duration // for what is killed half-way: after how long
}

// Schedule is what a seed means: the same for the same arguments, on every machine.
func Schedule(seed uint64, duration time.Duration, sessions int) []Blow {
	r := rand.New(rand.NewPCG(seed, 0x73746f726d))
	total := 0
	for _, w := range weights {
		total += w.weight
	}
	var blows []Blow
	for at := time.Second; ; {
		at += time.Duration(300+r.IntN(1700)) * time.Millisecond
		if at >= duration {
			return blows
		}
		b := Blow{At: at, Delay: time.Duration(2+r.IntN(40)) * time.Millisecond}
		n := r.IntN(total)
		for _, w := range weights {
			if n -= w.weight; n < 0 {
				b.Kind = w.kind
				break
			}
		}
		first := r.IntN(sessions)
		second := (first + 1 + r.IntN(sessions-1)) % sessions
		switch {
		case pairwise[b.Kind]:
			b.Subjects = []string{nameOf(first), nameOf(second)}
		case single[b.Kind]:
			b.Subjects = []string{nameOf(first)}
		}
		blows = append(blows, b)
	}
}

func nameOf(i int) string { return fmt.Sprintf("s%02d", i) }

// String is one line of a schedule: milliseconds, blow, delay in milliseconds, subjects.
func (b Blow) String() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s %d %s", b.At.Milliseconds(), b.Kind, b.Delay.Milliseconds(), strings.Join(b.Subjects, " ")))
}

// FormatSchedule is a schedule as text, one blow a line.
func FormatSchedule(blows []Blow) string {
	var b strings.Builder
	for _, blow := range blows {
		b.WriteString(blow.String() + "\n")
	}
	return b.String()
}

// ParseSchedule reads what FormatSchedule wrote; empty lines and lines that start with # are passed over.
func ParseSchedule(text string) ([]Blow, error) {
	var blows []Blow
	for n, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		b, err := parseBlow(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		blows = append(blows, b)
	}
	return blows, nil
}

func parseBlow(fields []string) (Blow, error) {
	if len(fields) < 3 {
		return Blow{}, fmt.Errorf("a blow has a time, a kind and a delay")
	}
	at, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil || at < 0 {
		return Blow{}, fmt.Errorf("%q is no time in milliseconds", fields[0])
	}
	delay, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || delay < 0 {
		return Blow{}, fmt.Errorf("%q is no delay in milliseconds", fields[2])
	}
	b := Blow{
		At: time.Duration(at) * time.Millisecond, Kind: Kind(fields[1]),
		Delay: time.Duration(delay) * time.Millisecond,
	}
	if len(fields) > 3 {
		b.Subjects = fields[3:]
	}
	want := 0
	known := false
	for _, w := range weights {
		known = known || w.kind == b.Kind
	}
	switch {
	case !known:
		return Blow{}, fmt.Errorf("%q is no blow", fields[1])
	case pairwise[b.Kind]:
		want = 2
	case single[b.Kind]:
		want = 1
	}
	if len(b.Subjects) != want {
		return Blow{}, fmt.Errorf("%s has %d subjects, not %d", b.Kind, want, len(b.Subjects))
	}
	return b, nil
}
