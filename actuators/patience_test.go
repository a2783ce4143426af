package actuators

import (
	"context"
	"errors"
	"testing"
	"time"

	"wirefleet.dev/wire/reconcile"
)

// What takes long to become ready is left to itself; what ends sooner says how.
func TestPatience(t *testing.T) {
	ready := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	slow := func(ctx context.Context) (reconcile.Outcome, error) {
		<-ready
		return reconcile.Done, ctx.Err()
	}
	if out, err := (Site{Patience: time.Nanosecond}).patiently(ctx, slow); out != reconcile.Begun || err != nil {
		t.Errorf("%s, %v", out, err)
	}
	cancel()
	close(ready)
	if out, err := (Site{Patience: time.Hour}).patiently(ctx, slow); out != reconcile.Done || err != nil {
		t.Errorf("%s, %v", out, err)
	}
	if out, err := (Site{}).patiently(ctx, slow); out != reconcile.Done || !errors.Is(err, context.Canceled) {
		t.Errorf("without patience: %s, %v", out, err)
	}
}
