package reconcile

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestTurn(t *testing.T) {
	taken, no := 0, errors.New("no")
	var refuse error
	turn := turn{gate: make(chan struct{}, 1), lock: func(context.Context) (func(), error) {
		if refuse != nil {
			return nil, refuse
		}
		taken++
		return func() { taken-- }, nil
	}}
	one, err := turn.take(t.Context())
	must(t, err)
	refuse = no
	two, err := turn.take(t.Context()) // which has it already
	must(t, err)
	one()
	if taken != 1 {
		t.Error("let go of while one has it")
	}
	two()
	if taken != 0 {
		t.Error("not let go of")
	}
	if _, err := turn.take(t.Context()); !errors.Is(err, no) {
		t.Error(err)
	}
	refuse = nil
	three, err := turn.take(t.Context())
	if must(t, err); taken != 1 {
		t.Error("not taken again")
	}
	three()
	turn.gate <- struct{}{} // somebody waits for the lock
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := turn.take(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// Whose time is up says who has the lock, as if it had been the one to wait for it.
	refuse = no
	ctx, cancel = context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := turn.take(ctx); !errors.Is(err, no) {
		t.Error(err)
	}
}
