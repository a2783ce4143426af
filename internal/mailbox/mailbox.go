// Package mailbox moves signed events between a session's files and its relay slots: send, push, pull,
// tail (reference/home-and-daemon.md sections 6 and 7, design.md section 8).
//
// Law of the room: the outbox is only appended to; progress lives in outbox-sent.json. The inbox is synced
// before the cursor moves. Every refused event is stepped over; one whose signer, key, kind or schema is
// unknown goes to the quarantine and is judged again when trust changes. Nobody's signature is believed
// before it is checked, also where the event is a handshake.
package mailbox

import (
	"sync"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
)

// level is the version of the reference whose protocol we speak; refusals of unknown kinds name it.
const level = "0.6.10"

// Box is the mailbox of one session. It keeps what it learns (inbox index, trust, progress) between calls:
// a daemon holds one for life, a command for one call. Not safe for concurrent use, but Push and Pull may
// run beside each other, and so may two Boxes of one session, also in two processes.
type Box struct {
	home  home.Session
	relay *client.Client
	mute  mute
	proof proof
	order order

	pull  sync.Mutex // guards what follows against the endpoints of one Pull
	keys  *agents    // for verification
	in    inbox
	held  quarantine
	tails map[string]passed // by slot
	own   ownSlots

	peers *agents // for Push
	idle  *idle   // nil: the last push left something
}

// Open is the mailbox of s.
func Open(s home.Session, c *client.Client) *Box {
	return &Box{
		home: s, relay: c,
		keys:  &agents{home: s},
		peers: &agents{home: s},
		in:    inbox{home: s},
		order: order{path: s.InboxRead()},
		held:  quarantine{path: s.Quarantine()},
	}
}

func slotOf(e home.Endpoint) client.Slot {
	return client.Slot{URL: e.RelayURL, ID: e.SlotID, Token: e.SlotToken}
}

// isEventID says whether id is what every event that verifies has: 64 lower-case hex digits.
func isEventID(id string) bool {
	if len(id) != 64 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
