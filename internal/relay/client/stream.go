package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"
)

// errSilent is a stream that a keepalive comment should have broken the silence of long ago.
var errSilent = fmt.Errorf("no byte on the stream: %w", errTimedOut)

// Stream subscribes and calls wake for every data line until ctx ends (its error), the relay closes (nil) or
// an error. opened is called once the relay has accepted. 90 s without a byte is an error. Neither
// callback may block: the stream is not read meanwhile.
func (c *Client) Stream(ctx context.Context, s Slot, opened, wake func()) error {
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(c.timeout, func() { cancel(errTimedOut) })
	defer timer.Stop()

	r := request{call: "stream", method: "GET", path: "/v1/events/" + url.PathEscape(s.ID) + "/stream", token: s.Token}
	resp, shown, err := c.send(ctx, s.URL, r, "text/event-stream")
	if err != nil {
		return firstOf(outer.Err(), err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return refusal(r.call, shown, resp)
	}
	timer.Stop()
	silent := time.AfterFunc(c.silence, func() { cancel(errSilent) })
	defer silent.Stop()
	opened()
	err = readStream(resp.Body, func() { silent.Reset(c.silence) }, wake)
	if err != nil {
		return firstOf(outer.Err(), &CallError{Method: r.method, URL: shown, Err: causeOf(ctx, err)})
	}
	return outer.Err()
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// readStream calls alive for each piece read and wake for each line that starts with "data:". Lines are
// not kept: an event may be 256 KiB and nobody here wants it. The clean end is nil.
func readStream(body io.Reader, alive, wake func()) error {
	r := bufio.NewReaderSize(body, 512)
	start := true
	for {
		piece, err := r.ReadSlice('\n')
		if len(piece) > 0 {
			alive()
			if start && bytes.HasPrefix(piece, []byte("data:")) {
				wake()
			}
		}
		start = err == nil
		switch {
		case err == nil, errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return nil
		default:
			return err
		}
	}
}
