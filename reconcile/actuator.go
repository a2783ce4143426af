package reconcile

import "context"

// Outcome is what became of a change; it completes the sentence "api was ...".
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"
	Already Outcome = "already" // true before the actuator came
	Failed  Outcome = "failed"  //
	Begun   Outcome = "begun"   // a daemon that takes long to become ready was left to itself
	Skipped Outcome = "skipped" // what it needs failed, or the run was interrupted
)

// Outcomes are all of them.
var Outcomes = []Outcome{Done, Already, Failed, Begun, Skipped}

// Actuator makes a change true. Do may be called again after a crash at any line: it looks first, does what
// is missing, and returns nil only after it has observed the result itself.
type Actuator interface {
	Do(ctx context.Context, c Change) (Outcome, error)
}
