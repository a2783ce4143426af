package main

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/mailbox"
)

type monitorCmd struct {
	jsonFlag
	Peer             string `placeholder:"PEER" complete:"peers" help:"Only what this peer sends."`
	IncludeHandshake bool   `help:"Also pair_drop, pair_drop_ack and heartbeat."`
	IntervalMs       int    `default:"500" help:"How often to look where the system tells of no change; at least 50."`
	Replay           int    `default:"0" help:"First print the newest so many that are stored."`
}

// Run prints what arrives until it is interrupted.
func (c *monitorCmd) Run(a *app) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	box := mailbox.Open(s, nil)
	from, err := box.Ends()
	if err != nil {
		return err
	}
	out := bufio.NewWriter(a.out)
	r := box.Reader(from)
	if c.Replay > 0 {
		r.Seek(nil)
		if err := c.replay(out, r); err != nil {
			return err
		}
	}
	broken := ""
	every := time.Duration(max(50, c.IntervalMs)) * time.Millisecond
	return mailbox.Follow(a.ctx, s, every, func() error {
		err := r.Sweep(func(e mailbox.Arrival) error {
			c.print(out, e)
			return nil
		})
		// A file that cannot be read now may be whole again at the next look.
		if err != nil && err.Error() != broken {
			fmt.Fprintln(a.err, "wire monitor: "+err.Error())
		}
		if broken = ""; err != nil {
			broken = err.Error()
		}
		return out.Flush()
	})
}

// replay prints the newest of what is stored, by the time that their senders say.
func (c *monitorCmd) replay(out *bufio.Writer, r *mailbox.Reader) error {
	var all []mailbox.Arrival
	err := r.Sweep(func(e mailbox.Arrival) error {
		if c.shows(e) {
			all = append(all, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b mailbox.Arrival) int { return strings.Compare(a.Timestamp, b.Timestamp) })
	for _, e := range all[max(0, len(all)-c.Replay):] {
		c.print(out, e)
	}
	return out.Flush()
}

func (c *monitorCmd) shows(e mailbox.Arrival) bool {
	return (c.Peer == "" || e.Peer == c.Peer) && (c.IncludeHandshake || !e.Handshake())
}

func (c *monitorCmd) print(out *bufio.Writer, e mailbox.Arrival) {
	switch {
	case !c.shows(e):
	case c.JSON:
		out.Write(e.JSON())
		out.WriteByte('\n')
	default:
		fmt.Fprintln(out, e.Line())
	}
}
