package notify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/mailbox"
)

// requests shows who asks to be paired, each once: the reference's pull does (13.3). Which were shown stands
// in a file of ours; where that is lost they are one notification.
func (n *notifier) requests(ctx context.Context) error {
	waiting, err := n.Session.InboundRequests()
	if err != nil {
		return err
	}
	waiting = slices.DeleteFunc(waiting, func(r home.Inbound) bool { return n.Peer != "" && r.Handle != n.Peer })
	shown, known := n.Session.Notified()
	if len(waiting) == 0 && !known || ctx.Err() != nil {
		return nil
	}
	var ids []string
	var fresh []home.Inbound
	for _, r := range waiting {
		if ids = append(ids, r.EventID); !slices.Contains(shown, r.EventID) {
			fresh = append(fresh, r)
		}
	}
	if n.Peer != "" { // what this one passes over, another one may show
		ids = append(ids, shown...)
	}
	if slices.Equal(ids, shown) {
		return nil
	}
	if err := n.Session.SetNotified(ids); err != nil {
		return err
	}
	if len(fresh) > mostRequests || !known && len(fresh) > 1 {
		n.show(ctx, note{fmt.Sprintf("wire — %d pair requests", len(fresh)), "from " + handles(fresh[:min(len(fresh), mostNamed)]) + ": " + whatToDo})
		return nil
	}
	for _, r := range fresh {
		n.show(ctx, note{"wire — pair request from " + handles([]home.Inbound{r}), whatToDo})
	}
	return nil
}

// whatToDo names no stranger: it may be pasted into a shell.
const whatToDo = "wire pair-list-inbound shows it, pair-accept or pair-reject answers"

// mostRequests are shown one by one: anybody can make them.
const mostRequests = 3

// longest is how much of a handle is shown that a stranger has chosen.
const longest = 40

// mostNamed are the names in one notification.
const mostNamed = 8

func handles(list []home.Inbound) string {
	var names []string
	for _, r := range list {
		name := []rune(mailbox.OneLine(r.Handle))
		names = append(names, string(name[:min(len(name), longest)]))
	}
	return strings.Join(names, ", ")
}
