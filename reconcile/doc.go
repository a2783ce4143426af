// Package reconcile compares what a wire.yaml wants with what a machine is, and makes the two equal
// (design.md sections 4 and 5).
//
// Words: desired state is a resolved wire.yaml (spec.Desired); observed state (Observed) is what Observe
// found, each fact yes, no or unknown; drift is a difference between the two; a plan is the list of
// changes that removes the drift; an actuator makes one change true; a round is plan, run, observe again.
//
// Law of the room: Diff is pure, total and deterministic. Observe writes nothing, on disk or relay. Run
// weighs no wish: it executes a plan in dependency order through the Actuator interface and knows no file,
// process or HTTP path. Only cmd prints.
package reconcile
