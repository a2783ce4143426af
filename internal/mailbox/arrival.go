package mailbox

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// Arrival is a stored event as readers of the inbox get it (home-and-daemon.md 13.1).
type Arrival struct {
	Peer      string // stem of the inbox file
	EventID   string // "" if it has none
	Kind      string // its type; the kind's number where it has none
	Preview   string // the first 120 characters of its body, of the compact JSON where that is no string
	Verified  bool   // against trust as it is now
	Timestamp string
	Raw       canon.Doc
	End       int64 // offset behind its line in the inbox file
}

const previewLength = 120

func arrivalOf(peer string, event canon.Doc, verified bool) Arrival {
	a := Arrival{Peer: peer, Verified: verified, Raw: event}
	a.EventID, _ = event["event_id"].(string)
	a.Timestamp, _ = event["timestamp"].(string)
	var typed bool
	if a.Kind, typed = event["type"].(string); !typed {
		a.Kind = strconv.FormatUint(uint64(identity.EventKind(event)), 10)
	}
	if body, there := event["body"]; there {
		text, ok := body.(string)
		if !ok {
			text = string(canon.Compact(body))
		}
		a.Preview = firstOf(text, previewLength)
	}
	return a
}

// firstOf is the first n characters of s.
func firstOf(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// Handshake says whether the event is protocol rather than a message: monitor shows it only when asked.
func (a Arrival) Handshake() bool {
	return a.Kind == dropType || a.Kind == ackType || a.Kind == "heartbeat"
}

// JSON is the event as one line without its end, keys in the reference's order (cli.md 2.7).
func (a Arrival) JSON() []byte {
	out := []byte{'{'}
	for i, m := range [...]struct {
		key   string
		value any
	}{
		{"peer", a.Peer},
		{"event_id", a.EventID},
		{"kind", a.Kind},
		{"body_preview", a.Preview},
		{"verified", a.Verified},
		{"timestamp", a.Timestamp},
		{"raw", a.Raw},
	} {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(canon.Append(out, m.key), ':')
		out = canon.Append(out, m.value)
	}
	return append(out, '}')
}

// Line is the event as one line for people (cli.md 2.7).
func (a Arrival) Line() string {
	return OneLine(fmt.Sprintf("[%s] %s/%s (%s) %s", firstOf(a.Timestamp, 19), a.Peer, a.Kind, firstOf(a.EventID, 12), a.Preview))
}

// OneLine is a sender's text as it may stand in one line: line breaks and tabs are spaces, other characters
// that act on what shows them U+FFFD.
func OneLine(s string) string {
	return visible(strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "\t", " ").Replace(s))
}

// visible is a sender's text as it may stand on a terminal: no escape sequences, nothing that turns the
// direction of what follows.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return '\uFFFD'
		}
		return r
	}, s)
}
