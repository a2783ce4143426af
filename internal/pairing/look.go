package pairing

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// Survey is what the files of N sessions say of each other.
type Survey struct {
	Members []Member
	pins    []pin            // n*n, row From
	reasons []map[int]oddity // per From, by To: what cannot be said by the state alone
}

// pin is a verdict in two bytes, for a mesh of 410 has 167,690 of them.
type pin struct {
	state code
	write what
}

type code uint8

const (
	notAsked code = iota
	absent
	noTrust
	noRoute
	good
	odd // Survey.reasons has it
)

// what is which records have to be written to make a pin good.
type what uint8

const (
	writeTrust what = 1 << iota
	writeRoute
)

// oddity is a pin that is neither good nor simply missing.
type oddity struct {
	state     Pin
	why       string
	did       identity.DID // the pinned one
	trustHash uint64       // of the records as they were judged
	routeHash uint64
}

// Pin is the state of from's pin of to. A session's pin of itself is PinUnknown.
func (s *Survey) Pin(from, to int) Directed {
	d := Directed{From: from, To: to, State: PinUnknown}
	for _, i := range []int{from, to} {
		if m := s.Members[i]; m.Err != nil {
			d.Why = m.Err.Error()
			return d
		}
	}
	switch s.at(from, to).state {
	case notAsked:
		d.Why = "not looked at"
	case absent:
		d.State, d.Why = PinAbsent, whyAbsent
	case noTrust:
		d.State, d.Why = PinHalf, whyNoTrust
	case noRoute:
		d.State, d.Why = PinHalf, whyNoRoute
	case good:
		d.State = PinGood
	case odd:
		o := s.reasons[from][to]
		d.State, d.Why = o.state, o.why
	}
	return d
}

func (s *Survey) at(from, to int) *pin { return &s.pins[from*len(s.Members)+to] }

// TwinError is a member whose handle another member has too: pins are kept by handle, so no file could
// tell the two apart.
type TwinError struct {
	Handle  string
	Names   []string // the sessions that have it
	SameDID bool     // a copied home rather than a chance
}

func (e *TwinError) Error() string {
	if e.SameDID {
		return fmt.Sprintf("%s have the same identity %s: one home is a copy", strings.Join(e.Names, " and "), e.Handle)
	}
	return fmt.Sprintf("%s have the same handle %s", strings.Join(e.Names, " and "), e.Handle)
}

// Advice is what a user does about it: no program can tell which of them is meant.
func (e *TwinError) Advice() string {
	if e.SameDID {
		return "move the copy out of the sessions root, or `wire session destroy` it, then `wire apply`: both read the same mail and sign as one"
	}
	return "`wire session destroy` one of them, and make it anew under a name that no other has as its handle"
}

// Look reads each session's card, trust.json and relay.json once, concurrently, and judges every directed
// pin among them; a relay.json that holds an odd route is read once more. It writes nothing and asks no
// relay. The result does not hold the files. The error is ctx's only; what is wrong with a session is its
// Member.Err.
func Look(ctx context.Context, sessions []home.Session, workers int) (*Survey, error) {
	l := newLook(sessions, workers)
	if err := l.run(ctx); err != nil {
		return nil, err
	}
	survey := l.Survey // a copy: the cards and renderings go
	return &survey, nil
}

// look is a survey under way. Its three steps each read one file of every session, so that one file a worker
// is in memory: who everybody is, then own slots and the hashes of all routes, then trust and the verdicts.
type look struct {
	Survey
	workers int
	want    [][]int   // per From the To's to judge; nil: all
	sisters []*sister // nil where the member cannot take part
	loose   []bool    // group-writable home
	seed    maphash.Seed
	routes  []uint64 // n*n, row From: hash of its route to To; 0 if there is none
	own     []uint64 // hash of the route to a sister as it should be
}

// LookFrom is Look for the pins of one session only, the one at index from: of the others no trust.json is read.
func LookFrom(ctx context.Context, sessions []home.Session, from, workers int) (*Survey, error) {
	l := newLook(sessions, workers)
	l.want = make([][]int, len(sessions))
	for j := range sessions {
		if j != from {
			l.want[from] = append(l.want[from], j)
		}
	}
	if err := l.run(ctx); err != nil {
		return nil, err
	}
	survey := l.Survey
	return &survey, nil
}

func newLook(sessions []home.Session, workers int) *look {
	n := len(sessions)
	l := &look{
		Survey: Survey{
			Members: make([]Member, n),
			pins:    make([]pin, n*n),
			reasons: make([]map[int]oddity, n),
		},
		workers: workers,
		sisters: make([]*sister, n),
		loose:   make([]bool, n),
		seed:    maphash.MakeSeed(),
		routes:  make([]uint64, n*n),
		own:     make([]uint64, n),
	}
	for i, s := range sessions {
		l.Members[i].Session = s
	}
	return l
}

func (l *look) run(ctx context.Context) error {
	steps := []func(int){l.readCard, l.readRelay, l.readTrust}
	for k, step := range steps {
		each(ctx, len(l.Members), l.workers, step)
		if err := ctx.Err(); err != nil {
			return err
		}
		if k == 0 {
			l.findTwins()
		}
	}
	return nil
}

// targets calls do for every sister that i's pins are asked about.
func (l *look) targets(i int, do func(j int, s *sister)) {
	if l.want != nil {
		for _, j := range l.want[i] {
			if s := l.sisters[j]; s != nil && j != i {
				do(j, s)
			}
		}
		return
	}
	for j, s := range l.sisters {
		if s != nil && j != i {
			do(j, s)
		}
	}
}

// readCard settles who i is and whether same-uid trust applies to its home.
func (l *look) readCard(i int) {
	m := &l.Members[i]
	if m.Err != nil {
		return
	}
	m.Err = func() error {
		if !m.Session.Initialized() {
			return home.ErrNotInitialized
		}
		var err error
		if l.loose[i], err = m.Session.CheckOwned(); err != nil {
			return err
		}
		card, err := m.Session.ReadCard()
		if err != nil {
			return err
		}
		if m.Info, err = checkOwner(card); err != nil {
			return fmt.Errorf("agent card: %w", err)
		}
		if l.sisters[i], err = newSister(card, m.Info); err != nil {
			return fmt.Errorf("agent card: %w", err)
		}
		return nil
	}()
}

// findTwins takes members out that no pin could tell apart.
func (l *look) findTwins() {
	byHandle := make(map[string][]int, len(l.Members))
	for i, s := range l.sisters {
		if s != nil {
			byHandle[s.info.Handle] = append(byHandle[s.info.Handle], i)
		}
	}
	for handle, twins := range byHandle {
		if len(twins) < 2 {
			continue
		}
		e := &TwinError{Handle: handle, SameDID: true}
		for _, i := range twins {
			e.Names = append(e.Names, label(l.Members[i].Session))
			e.SameDID = e.SameDID && l.sisters[i].info.DID == l.sisters[twins[0]].info.DID
		}
		for _, i := range twins {
			l.Members[i].Err = e
			l.sisters[i] = nil
		}
	}
}

// readRelay takes i's own endpoints and the hashes of its routes. Of the other members only the handle is
// known by now, for their own endpoints stand in the same kind of file.
func (l *look) readRelay(i int) {
	if l.sisters[i] == nil {
		return
	}
	m := &l.Members[i]
	file, err := m.Session.ReadRelay()
	if err != nil {
		m.Err = err
		return
	}
	m.Endpoints, m.SelfFault = file.Self(), file.SelfFault()
	m.Unpinned = unpinned(m.Session, file)
	l.sisters[i].setEndpoints(m.Endpoints)
	l.own[i] = l.hash(l.sisters[i].route, true)
	row := l.routes[i*len(l.Members):]
	l.targets(i, func(j int, s *sister) {
		raw, there := file.PeerRaw(s.info.Handle)
		row[j] = l.hash(raw, there)
	})
}

// unpinned says whether an outbox holds mail for somebody who is not in relay.json. It is asked while that file is
// at hand, for with many sisters it is long. What cannot be read holds none.
func unpinned(s home.Session, file *home.RelayFile) bool {
	names, err := s.OutboxFiles()
	return err == nil && slices.ContainsFunc(names, func(name string) bool {
		stem, ok := strings.CutSuffix(name, ".jsonl")
		if !ok {
			return false
		}
		_, pinned := file.PeerRaw(stem)
		return !pinned
	})
}

// hash stands for a record without holding it; 0 if there is none.
func (l *look) hash(raw []byte, there bool) uint64 {
	if !there {
		return 0
	}
	return max(1, maphash.Bytes(l.seed, raw))
}

// readTrust judges all of i's pins.
func (l *look) readTrust(i int) {
	m := &l.Members[i]
	if m.Err != nil || l.want != nil && len(l.want[i]) == 0 {
		return
	}
	trust, err := m.Session.ReadTrust()
	if err != nil {
		m.Err = err
		return
	}
	row := l.routes[i*len(l.Members):]
	var again *home.RelayFile
	l.targets(i, func(j int, s *sister) {
		if m.Err != nil {
			return
		}
		raw, there := trust.Raw("agents", s.info.Handle)
		t := s.viewTrust(raw, there)
		r := routeView{near: true}
		switch {
		case row[j] == 0: // no route
		case s.route != nil && row[j] == l.own[j]:
			r = s.ownRoute()
		default:
			if again == nil {
				if again, m.Err = m.Session.ReadRelay(); m.Err != nil {
					return
				}
			}
			raw, there := again.PeerRaw(s.info.Handle)
			row[j] = l.hash(raw, there)
			r = s.viewRoute(raw, there)
		}
		l.settle(i, j, t, r, l.hash(raw, there), row[j])
	})
}

// settle records a verdict.
func (l *look) settle(i, j int, t trustView, r routeView, trustHash, routeHash uint64) {
	v := judge(t, r)
	p := l.at(i, j)
	if v.trust {
		p.write |= writeTrust
	}
	if v.route {
		p.write |= writeRoute
	}
	switch {
	case v.state == PinGood:
		p.state = good
	case trustHash == 0 && routeHash == 0:
		p.state = absent
	case v.state == PinHalf && t.good && routeHash == 0:
		p.state = noRoute
	case v.state == PinHalf && r.good && trustHash == 0:
		p.state = noTrust
	default:
		p.state = odd
		if l.reasons[i] == nil {
			l.reasons[i] = make(map[int]oddity)
		}
		l.reasons[i][j] = oddity{state: v.state, why: v.why, did: t.did, trustHash: trustHash, routeHash: routeHash}
	}
}
