// Package actuators makes changes true, one file per kind of change.
//
// Law of the room: an actuator looks before it acts, does what is missing, verifies that it took, and may
// be called again after a crash at any line. None weighs whether a change is wanted: Diff did.
package actuators

import (
	"time"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/reconcile"
	"wirefleet.dev/wire/spec"
)

// Site is what the actuators of one run share.
type Site struct {
	Machine   home.Machine
	Client    *client.Client
	Desired   *spec.Desired
	Workers   int             // for the mesh; 0 means 8
	Grace     time.Duration   // between TERM and KILL; 0 means 5 s
	Keep      bool            // destroyed sessions leave key, card and relay.json in the trash
	MoreNicks int             // how many further nicks to try where the handle is taken
	Going     map[string]bool // sessions that the same run destroys: no pin of theirs is worth removing
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
		reconcile.AllocateSlot:   allocateSlot{s},
		reconcile.ClaimHandle:    claimHandle{s},
		reconcile.RegisterDir:    registerDir{s},
		reconcile.PairMesh:       pairMesh{s},
		reconcile.RemovePins:     removePins{s},
		reconcile.StartDaemon:    startDaemon{s},
		reconcile.RestartDaemon:  restartDaemon{s},
		reconcile.StopDaemon:     stopDaemon{s},
		reconcile.StopDuplicate:  stopDuplicate{s},
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
