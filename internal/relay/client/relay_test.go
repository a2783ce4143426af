package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/internal/relay/relaytest"

	"wirefleet.dev/wire/internal/identity"
)

// TestRealRelay is the whole client against our own server.
func TestRealRelay(t *testing.T) {
	url := relaytest.Start(t, relaytest.Config{}).URL()
	c := client.New(0)
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	if err := c.Healthy(ctx, url); err != nil {
		t.Fatal(err)
	}
	if err := c.Identify(ctx, url); err != nil {
		t.Fatal(err)
	}
	slot, err := c.Allocate(ctx, url, "api")
	if err != nil || len(slot.ID) != 32 || len(slot.Token.Reveal()) != 64 {
		t.Fatalf("%v, %v", slot, err)
	}

	opened, woken := make(chan struct{}), make(chan struct{}, 8)
	streamed := make(chan error, 1)
	streaming, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		streamed <- c.Stream(streaming, slot, func() { close(opened) }, func() { woken <- struct{}{} })
	}()
	<-opened

	event := func(n int) []byte { return fmt.Appendf(nil, `{"event_id":"id-%d","n":%d}`, n, n) }
	for n := range 3 {
		if p, err := c.Post(ctx, slot, event(n)); err != nil || p.Duplicate || p.EventID != fmt.Sprintf("id-%d", n) {
			t.Fatalf("%+v, %v", p, err)
		}
		<-woken
	}
	if p, err := c.Post(ctx, slot, event(1)); err != nil || !p.Duplicate {
		t.Errorf("again: %+v, %v", p, err)
	}

	st, err := c.State(ctx, slot)
	if err != nil || st.EventCount != 3 || st.LastPull != nil {
		t.Errorf("%+v, %v", st, err)
	}
	page, err := c.List(ctx, slot, "id-0", 1)
	if err != nil || !slices.EqualFunc(page, [][]byte{event(1)}, slices.Equal) {
		t.Errorf("%q, %v", page, err)
	}
	if page, err = c.List(ctx, slot, "", 1000); err != nil || len(page) != 3 {
		t.Errorf("%q, %v", page, err)
	}
	if st, err = c.State(ctx, slot); err != nil || st.LastPull == nil {
		t.Errorf("%+v, %v", st, err)
	}

	for want, s := range map[error]client.Slot{
		client.ErrUnauthorized: {URL: url, ID: slot.ID},
		client.ErrForbidden:    {URL: url, ID: slot.ID, Token: identity.NewToken("wrong")},
		client.ErrNotFound:     {URL: url, ID: "00000000000000000000000000000000", Token: identity.NewToken("wrong")},
	} {
		if _, err := c.List(ctx, s, "", 1); !errors.Is(err, want) {
			t.Errorf("list: %v, want %v", err, want)
		}
		if err := c.Stream(ctx, s, func() {}, func() {}); !errors.Is(err, want) {
			t.Errorf("stream: %v, want %v", err, want)
		}
	}
	big := append(append([]byte(`{"a":"`), slices.Repeat([]byte("x"), 262144)...), `"}`...)
	if _, err := c.Post(ctx, slot, big); !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}

	stop()
	if err := <-streamed; !errors.Is(err, context.Canceled) {
		t.Errorf("stream: %v", err)
	}
}
