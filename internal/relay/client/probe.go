package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// Healthy is nil if /healthz answers 2xx.
func (c *Client) Healthy(ctx context.Context, url string) error {
	_, err := c.health(ctx, url)
	return err
}

func (c *Client) health(ctx context.Context, url string) (answer, error) {
	return c.do(ctx, url, request{call: "healthz", method: "GET", path: "/healthz"})
}

// Identify is nil if the right program is there: /healthz says ok and a made-up slot is 404 `unknown slot`
// (design.md section 4; an unmatched path would drain a reference's limiter). Another program is ErrNoRelay.
func (c *Client) Identify(ctx context.Context, url string) error {
	a, err := c.health(ctx, url)
	var refused *StatusError
	if errors.As(err, &refused) {
		return fmt.Errorf("%s: %w: %w", refused.URL, ErrNoRelay, err)
	}
	if err != nil {
		return err
	}
	if said := strings.TrimSpace(string(a.body)); said != "ok" {
		return fmt.Errorf("%s: %w: it does not say ok", a.url, ErrNoRelay)
	}
	slot := madeUpSlot()
	a, err = c.do(ctx, url, request{call: "slot_state", method: "GET", path: statePath(slot), token: identity.NewToken(slot)})
	if err == nil {
		return fmt.Errorf("%s: %w: it knows a slot that does not exist", a.url, ErrNoRelay)
	}
	if !errors.As(err, &refused) {
		return err
	}
	if doc, bad := canon.ParseObject([]byte(refused.Body)); bad == nil && refused.Code == 404 && doc["error"] == "unknown slot" {
		return nil
	}
	return fmt.Errorf("%s: %w: a made-up slot is not an unknown slot: %d %s", refused.URL, ErrNoRelay, refused.Code,
		reasonPhrase(refused.Code))
}

// madeUpSlot is a slot id that no relay has given away.
func madeUpSlot() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
