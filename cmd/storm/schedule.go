package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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

type weighed struct {
	kind   Kind
	weight int
}

// weights say how often each blow falls beside the others: what costs every slot and edge falls rarely.
var weights = []weighed{
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

// subjects says how many sessions each blow strikes; the others strike what all share.
var subjects = map[Kind]int{
	PinDeleted: 2, TrustDeleted: 2, KillSend: 2,
	KillDaemon: 1, StopDaemon: 1, RecordDeleted: 1, RecordTorn: 1, RecordDecoy: 1, RelayRewrite: 1, InboxFrozen: 1,
	SpecEdited: 1, KillApply: 1,
}

// Blow is one thing that happens.
type Blow struct {
	At       time.Duration // since the start, whole milliseconds
	Kind     Kind
	Part     int // 0 to 999, in thousandths: how far on, or how long, within what the blow allows
	Subjects []string
}

// Setting is what a schedule was made for.
type Setting struct {
	Seed     uint64
	Duration time.Duration
	Sessions int
}

func (s Setting) String() string {
	return fmt.Sprintf("# storm --seed %d --duration %s --sessions %d", s.Seed, s.Duration, s.Sessions)
}

func (s Setting) check() error {
	if s.Sessions < 2 || s.Sessions > 64 {
		return errors.New("sessions: 2 to 64")
	}
	if s.Duration < 5*time.Second || s.Duration%time.Millisecond != 0 {
		return errors.New("duration: 5s at least, whole milliseconds")
	}
	return nil
}

// Schedule is what a setting means: the same for the same setting, on every machine. First each kind falls
// once, in an order that the seed says, closely enough for all of them to fall within the duration; then
// they fall by their weights.
func Schedule(s Setting) []Blow {
	r := rand.New(rand.NewPCG(s.Seed, 0x73746f726d))
	deck := make([]Kind, len(weights))
	gaps := make([]time.Duration, len(weights))
	var first time.Duration
	for i, j := range r.Perm(len(weights)) {
		deck[i] = weights[j].kind
		gaps[i] = gap(r)
		first += gaps[i]
	}
	at := time.Second
	if room := s.Duration - at - time.Second; first > room {
		for i := range gaps {
			gaps[i] = time.Duration(float64(gaps[i]) * float64(room) / float64(first)).Truncate(time.Millisecond)
		}
	}
	var blows []Blow
	for i := 0; ; i++ {
		var kind Kind
		if i < len(deck) {
			kind, at = deck[i], at+gaps[i]
		} else {
			kind, at = drawn(r), at+gap(r)
		}
		if at >= s.Duration {
			return blows
		}
		b := Blow{At: at, Kind: kind, Part: r.IntN(1000)}
		one := r.IntN(s.Sessions)
		other := (one + 1 + r.IntN(s.Sessions-1)) % s.Sessions
		b.Subjects = []string{nameOf(one), nameOf(other)}[:subjects[kind]]
		blows = append(blows, b)
	}
}

func gap(r *rand.Rand) time.Duration { return time.Duration(300+r.IntN(1700)) * time.Millisecond }

// drawn is a kind by its weight.
func drawn(r *rand.Rand) Kind {
	total := 0
	for _, w := range weights {
		total += w.weight
	}
	n := r.IntN(total)
	for _, w := range weights {
		if n -= w.weight; n < 0 {
			return w.kind
		}
	}
	panic("the weights do not add up")
}

func nameOf(i int) string { return fmt.Sprintf("s%02d", i) }

// String is one line of a schedule: milliseconds, blow, part, subjects.
func (b Blow) String() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s %d %s", b.At.Milliseconds(), b.Kind, b.Part, strings.Join(b.Subjects, " ")))
}

// FormatSchedule is a schedule as text: what it was made for, then one blow a line.
func FormatSchedule(s Setting, blows []Blow) string {
	var b strings.Builder
	b.WriteString(s.String() + "\n")
	for _, blow := range blows {
		b.WriteString(blow.String() + "\n")
	}
	return b.String()
}

// LineError is a mistake in a schedule's text.
type LineError struct {
	Line int // from 1
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("%d: %v", e.Line, e.Err) }
func (e *LineError) Unwrap() error { return e.Err }

// ParseSchedule reads what FormatSchedule wrote; further lines that are empty or start with # are passed over.
// Times ascend and lie within the duration, and subjects are sessions of the setting. Errors are *LineError.
func ParseSchedule(text string) (Setting, []Blow, error) {
	lines := strings.Split(text, "\n")
	s, err := parseSetting(strings.TrimSuffix(lines[0], "\r"))
	if err != nil {
		return Setting{}, nil, &LineError{1, err}
	}
	var blows []Blow
	last := time.Duration(-1)
	for n, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		b, err := s.parse(fields)
		if err == nil && b.At <= last {
			err = fmt.Errorf("%d is not after %d: times ascend", b.At.Milliseconds(), last.Milliseconds())
		}
		if err != nil {
			return Setting{}, nil, &LineError{n + 2, err}
		}
		last = b.At
		blows = append(blows, b)
	}
	return s, blows, nil
}

func parseSetting(line string) (s Setting, err error) {
	f := strings.Fields(line)
	if len(f) != 8 || strings.Join([]string{f[0], f[1], f[2], f[4], f[6]}, " ") != "# storm --seed --duration --sessions" {
		return s, errors.New("the first line is no `# storm --seed N --duration D --sessions N`")
	}
	if s.Seed, err = strconv.ParseUint(f[3], 10, 64); err != nil {
		return s, fmt.Errorf("%q is no seed", f[3])
	}
	if s.Duration, err = time.ParseDuration(f[5]); err != nil {
		return s, fmt.Errorf("%q is no duration", f[5])
	}
	if s.Sessions, err = strconv.Atoi(f[7]); err != nil {
		return s, fmt.Errorf("%q is no number of sessions", f[7])
	}
	return s, s.check()
}

func (s Setting) parse(fields []string) (Blow, error) {
	if len(fields) < 3 {
		return Blow{}, errors.New("a blow has a time, a kind and a part")
	}
	at, err := strconv.ParseInt(fields[0], 10, 32)
	if err != nil || at < 0 {
		return Blow{}, fmt.Errorf("%q is no time in milliseconds", fields[0])
	}
	part, err := strconv.Atoi(fields[2])
	if err != nil || part < 0 || part > 999 {
		return Blow{}, fmt.Errorf("%q is no part, 0 to 999", fields[2])
	}
	b := Blow{At: time.Duration(at) * time.Millisecond, Kind: Kind(fields[1]), Part: part, Subjects: fields[3:]}
	if b.At >= s.Duration {
		return Blow{}, fmt.Errorf("%d is after the end, %s", at, s.Duration)
	}
	if !slices.ContainsFunc(weights, func(w weighed) bool { return w.kind == b.Kind }) {
		return Blow{}, fmt.Errorf("%q is no blow", fields[1])
	}
	if want := subjects[b.Kind]; len(b.Subjects) != want {
		return Blow{}, fmt.Errorf("%s has %d subjects, not %d", b.Kind, want, len(b.Subjects))
	}
	for i, subject := range b.Subjects {
		if !s.has(subject) {
			return Blow{}, fmt.Errorf("%q is none of the %d sessions", subject, s.Sessions)
		}
		if slices.Contains(b.Subjects[:i], subject) {
			return Blow{}, fmt.Errorf("%s strikes two sessions, not %s twice", b.Kind, subject)
		}
	}
	return b, nil
}

func (s Setting) has(session string) bool {
	for i := range s.Sessions {
		if nameOf(i) == session {
			return true
		}
	}
	return false
}
