package identity

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"wirefleet.dev/wire/internal/canon"
)

// TestHops takes each body of hops.json the way an event goes (signed into an outbox line, posted inside an
// envelope, listed inside an array, verified) and compares where it ends and in which words.
func TestHops(t *testing.T) {
	var file struct {
		Cases []struct {
			Name     string
			BodyFile string   `json:"body_file"`
			Line     string   `json:"body_in_outbox_line"`
			Inbox    []string `json:"bodies_in_peer_inbox"`
			Pull     struct{ Rejected []string }
		}
	}
	readVectors(t, "hops.json", &file)
	_, _, trust, k := exchange(t)
	for _, c := range file.Cases {
		text := c.BodyFile
		if depth, is := strings.CutSuffix(text, " arrays"); is { // the vectors do not spell these out
			n, err := strconv.Atoi(depth)
			if err != nil {
				t.Fatal(err)
			}
			text = strings.Repeat("[", n) + strings.Repeat("]", n)
		}
		body := parse(t, text)
		if !strings.HasSuffix(c.Line, "characters)") {
			same(t, c.Name+": line", string(canon.Compact(body)), c.Line)
		}
		event := SignEvent(canon.Doc{"from": "alice", "kind": uint64(KindClaim), "body": body}, k, "alice-"+DID(Fingerprint(k.Public())))
		arrived, reason := hop(event, trust)
		if delivered := len(c.Inbox) == 2; arrived != delivered {
			t.Errorf("%s: arrived %v, %s", c.Name, arrived, reason)
		}
		if len(c.Pull.Rejected) > 0 {
			same(t, c.Name+": rejected", reason, c.Pull.Rejected[0])
		}
		// The advice of identity.md 1.3 and quirk 16: what a sender should refuse is what does not arrive.
		_, drifts := canon.Unstable(body)
		if advised := drifts || canon.Depth(body) > 125; advised == arrived {
			t.Errorf("%s: refused by the advice %v, arrived %v", c.Name, advised, arrived)
		}
	}
}

func hop(event, trust canon.Doc) (arrived bool, reason string) {
	line := canon.Compact(event)
	if canon.Valid(line) != nil {
		return false, "the outbox line does not parse"
	}
	posted, err := canon.ParseObject(fmt.Appendf(nil, `{"event":%s}`, line))
	if err != nil {
		return false, "the envelope does not parse"
	}
	listed, err := canon.Parse(fmt.Appendf(nil, "[%s]", canon.Compact(posted["event"])))
	if err != nil {
		return false, "the list does not parse"
	}
	if err := VerifyEvent(listed.([]any)[0], trust); err != nil {
		return false, err.Error()
	}
	return true, ""
}
