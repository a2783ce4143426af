// Package actuators makes changes true, one file per kind of change.
//
// Law of the room: an actuator looks before it acts, does what is missing, verifies that it took, and may
// be called again after a crash at any line. None weighs whether a change is wanted: Diff did.
package actuators

import (
	"cmp"
	"context"
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/process"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// Site is what the actuators of one run share.
type Site struct {
	Machine   home.Machine
	Client    *client.Client
	Desired   *spec.Desired
	Workers   int                     // for the mesh; 0 means 8
	Grace     time.Duration           // between TERM and KILL; 0 means 5 s
	Patience  time.Duration           // for a daemon or notifier to become ready before others are seen to; 0: as long as it takes
	Keep      bool                    // destroyed sessions leave key, card and relay.json in the trash
	MoreNicks int                     // how many further nicks to try where the handle is taken
	Going     map[string]bool         // sessions that the same run destroys: no pin of theirs is worth removing
	By        string                  // the verb whose run this is; "" for apply, which marks what it makes
	Tell      func(Told)              // hears what an outcome does not say, from several goroutines; nil for nobody
	Homes     map[string]home.Session // homes that are no sessions of the machine, by the name that changes use
	Units     Units                   // of a service manager, which replaces its processes itself; nil for none
	Exe       string                  // what daemons and notifiers run; "" means this executable
}

// lasts is an error where what daemons would run may be gone soon.
func (s Site) lasts() error {
	if s.Exe != "" {
		return nil
	}
	_, err := process.CheckExecutable()
	return err
}

// Units is what an actuator needs of a service manager.
type Units interface {
	// Owner is the unit whose main process a process is, if it is one's.
	Owner(ctx context.Context, pid int) (unit string, ok bool)
	// Restart replaces the process of a unit.
	Restart(ctx context.Context, unit string) error
}

// home is the home that a change calls by that name.
func (s Site) home(name string) home.Session {
	if h, ok := s.Homes[name]; ok {
		return h
	}
	return s.Machine.Session(name)
}

// Told is something that an actuator did or found beside its outcome: Claimed, Refused, LeftAlone, Kept, Stopped.
type Told interface{ told() }

// Claimed is a nick that a session has now, which need not be its handle.
type Claimed struct{ Session, Nick string }

// Refused is a nick that it could not have.
type Refused struct {
	Session, Nick string
	Err           error
}

// LeftAlone is a process that a session's record names and that is somebody else's.
type LeftAlone struct {
	Session string
	PID     int
	Why     string
}

// Kept is a sister, or the registry, that could not be rid of what it knows of a session that went.
type Kept struct {
	Session string
	Err     error // says where
}

// Stopped is a daemon or notifier that was ended.
type Stopped struct{ PID int }

func (Stopped) told()   {}
func (Claimed) told()   {}
func (Refused) told()   {}
func (LeftAlone) told() {}
func (Kept) told()      {}

func (s Site) tell(t Told) {
	if s.Tell != nil {
		s.Tell(t)
	}
}

// startedBy is what a process that this run starts says of who started it.
func (s Site) startedBy() map[string]string {
	return map[string]string{"WIRE_STARTED_BY": cmp.Or(s.By, reconcile.StartedByApply), "WIRE_OWNER": s.Desired.Owner}
}

// All are the actuators of a site by the kind of change that each makes true.
func All(s Site) map[reconcile.Kind]reconcile.Actuator {
	if s.Grace == 0 {
		s.Grace = 5 * time.Second
	}
	if s.Workers == 0 {
		s.Workers = 8
	}
	return map[reconcile.Kind]reconcile.Actuator{
		reconcile.StartRelay:     startRelay{s},
		reconcile.RestartRelay:   restartRelay{s},
		reconcile.StopRelay:      stopRelay{s},
		reconcile.CreateSession:  createSession{s},
		reconcile.StopLeftover:   stopLeftover{s},
		reconcile.AllocateSlot:   allocateSlot{s},
		reconcile.MendRecord:     mendRecord{s},
		reconcile.ClaimHandle:    claimHandle{s},
		reconcile.RegisterDir:    registerDir{s},
		reconcile.PairMesh:       pairMesh{s},
		reconcile.RemovePins:     removePins{s},
		reconcile.DropRequests:   dropRequests{s},
		reconcile.StartDaemon:    startDaemon{s},
		reconcile.RestartDaemon:  restartDaemon{s},
		reconcile.StopDaemon:     stopDaemon{s},
		reconcile.StopDuplicate:  stopDuplicate{s},
		reconcile.StartNotify:    startNotify{s},
		reconcile.RestartNotify:  restartNotify{s},
		reconcile.StopNotify:     stopNotify{s},
		reconcile.StopAll:        stopAll{s},
		reconcile.DestroySession: destroySession{s},
	}
}

// wanted is the desired session of that name; a session that the file does not list has only its name.
func (s Site) wanted(name string) spec.Session {
	for _, w := range s.Desired.Sessions {
		if w.Name == name {
			return w
		}
	}
	return spec.Session{Name: name}
}

// outcome is that of an actuator that did something, had nothing to do or failed.
func outcome(did bool, err error) (reconcile.Outcome, error) {
	switch {
	case err != nil:
		return reconcile.Failed, err
	case !did:
		return reconcile.Already, nil
	}
	return reconcile.Done, nil
}
