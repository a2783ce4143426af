package mailbox

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// oddCase is one odd event (or some) in the slot of alpha and what the reference made of it
// (vectors/home/odd-events.json).
type oddCase struct {
	Case   string            `json:"case"`
	Events []json.RawMessage `json:"events"`
	Change struct {
		Added, Changed []struct {
			Path string                     `json:"path"`
			Text string                     `json:"text"`
			JSON map[string]json.RawMessage `json:"json_change"`
		}
	} `json:"change_1"`
	Pull struct {
		Written  []struct{ From string }
		Rejected []struct{ Reason string }
	} `json:"pull_1"`
	Status []int `json:"relay_status"`
}

// oddDiffers is where we deviate from the reference on purpose: what we do instead, and why. Everywhere else
// the written and refused events, the pins, the routes and the new files are the same. (The cursor never is
// where the reference blocks: TestReceiveVectors lists those.)
var oddDiffers = map[string]odd{
	"drop without nonce": stored(1),
	"drop without nonce, then a message of its sender":          stored(2),
	"drop without nonce under a pinned handle, another key":     {refused: []string{`key "beth:dbc29825" not found for agent "beth": pair request stored`}, files: []string{"beth.json"}, why: quirk1},
	"drop without nonce from the already pinned peer, new slot": {written: 2, peers: []string{"beth"}, why: "a drop of a pinned peer refreshes its address and asks for nothing (pairing Q3)"},

	"drop with unknown nonce":                                    nonce(1),
	"drop with unknown nonce, then a message of its sender":      nonce(2),
	"drop with nonce that is not hex":                            nonce(1),
	"drop with empty endpoints and unknown nonce":                nonce(1),
	"drop with endpoints of an unknown scope":                    nonce(1),
	"drop with unknown nonce under a pinned handle, another key": {refused: []string{`key "beth:dbc29825" not found for agent "beth": pair request stored`}, files: []string{"beth.json"}, why: quirk3},
	"drop, policy not a bool":                                    stored(1),

	"drop, card handle empty":                               {refused: []string{`signer "mallory" not in trust`}, log: "card refused", why: "the reference crashes (quirk 4)"},
	"drop, card handle differs from DID":                    {refused: []string{`signer "mallory" not in trust`}, log: "card refused", why: "the card is checked before the event"},
	"drop, card handle with slashes":                        {refused: []string{`signer "mallory" not in trust`}, log: "card refused", why: quirk4},
	"drop, card of someone else":                            {refused: []string{`signer "mallory" not in trust`}, log: "event sig verify failed", why: "same outcome"},
	"drop, DID with slashes":                                {refused: []string{`signer "../../up" not in trust`}, log: "card refused", why: quirk4},
	"drop, card fingerprint differs from key":               {refused: []string{`signer "mallory" not in trust`}, log: "card refused", why: "whose DID names another key is refused (pairing Q6)"},
	"drop, DID and card handle with slashes":                {refused: []string{`signer "../../../escaped" not in trust`}, log: "card refused", why: quirk4},
	"drop, DID and card handle with slashes, unknown nonce": {refused: []string{`signer "../../../escaped" not in trust`}, log: "card refused", why: quirk4},
	`drop, DID and card handle "..", no nonce`:              {refused: []string{`signer ".." not in trust`}, log: "card refused", why: quirk4},

	"ack of a pinned peer with empty endpoints":  {written: 2, peers: []string{"beth"}, why: "an empty list counts as none, the flat fields stand (4.2)"},
	"ack of a stranger":                          {refused: []string{`signer "mallory" not in trust`}, why: "an ack is verified first (7.4, pairing Q5)"},
	"ack in the name of a pinned peer, unsigned": {refused: []string{"missing field: public_key_id"}, why: "an ack is verified first (7.4, pairing Q5)"},
}

const (
	quirk1 = "a stranger's drop is stored and passed (quirk 1)"
	quirk3 = "a nonce that no invite has is no nonce (quirk 3)"
	quirk4 = "a handle that is no file name is refused (quirk 4)"
)

// odd is our outcome: refusals in order, how many events were written (default: the good one), the requests
// stored, the peers whose route changed, a word of the rejection log.
type odd struct {
	refused []string
	written int
	files   []string
	peers   []string
	log     string
	why     string
}

func stored(n int) odd {
	o := odd{refused: []string{`signer "mallory" not in trust: pair request stored`}, files: []string{"mallory.json"}, why: quirk1}
	if n == 2 {
		o.refused = append(o.refused, `signer "mallory" not in trust`)
	}
	return o
}

func nonce(n int) odd {
	o := stored(n)
	o.why = quirk3
	return o
}

// fromReference is the outcome as the vector has it.
func fromReference(c oddCase) odd {
	o := odd{written: len(c.Pull.Written)}
	for _, r := range c.Pull.Rejected {
		o.refused = append(o.refused, r.Reason)
	}
	for _, f := range append(c.Change.Added, c.Change.Changed...) {
		if name, ok := strings.CutPrefix(f.Path, "state/wire/pending-inbound-pairs/"); ok {
			o.files = append(o.files, name)
		}
		if f.Path == "state/wire/pair-rejected.jsonl" {
			var line struct{ Detail string }
			check(json.Unmarshal([]byte(f.Text), &line))
			o.log = line.Detail
		}
		for pointer := range f.JSON {
			if parts := strings.Split(pointer, "/"); parts[1] == "peers" && !slices.Contains(o.peers, parts[2]) {
				o.peers = append(o.peers, parts[2])
			}
		}
	}
	return o
}

func TestOddEventVectors(t *testing.T) {
	var file struct {
		BaseHome []struct {
			Path, Text, Base64 string
			Dir                bool
		} `json:"base_home"`
		Seed  string `json:"beth_seed_base64"`
		Cases []oddCase
	}
	check(json.Unmarshal(must(os.ReadFile("testdata/odd-events.json")), &file))
	if len(file.Cases) != 65 {
		t.Fatalf("%d cases", len(file.Cases))
	}
	w := newWorld(t)
	w.key["beth"] = must(identity.KeyFromSeed(must(base64.StdEncoding.DecodeString(file.Seed))))
	w.card["beth"] = identity.SignCard(identity.NewCard("beth", "", w.key["beth"].Public()), w.key["beth"])
	seen := 0
	for i, c := range file.Cases {
		t.Run(c.Case, func(t *testing.T) {
			if c.Case == "the same event twice in the slot file" {
				t.Skip("no relay of ours stores it twice; TestReceiveVectors has it")
			}
			s := home.At(filepath.Join(w.root, fmt.Sprint("case", i), "sessions", "alpha"))
			for _, e := range file.BaseHome {
				path := filepath.Join(s.Dir, strings.TrimPrefix(e.Path, "/home/dev/wh/sessions/alpha"))
				switch {
				case e.Dir:
					check(os.MkdirAll(path, 0o700))
				case e.Base64 != "":
					check(os.WriteFile(path, must(base64.StdEncoding.DecodeString(e.Base64)), 0o600))
				default:
					check(os.WriteFile(path, []byte(e.Text), 0o600))
				}
			}
			switch c.Case {
			case "drop, policy closed", "drop with unknown nonce, policy closed":
				check(os.WriteFile(s.PolicyFile(), []byte(`{"accept_unknown_pair_drops": false}`), 0o600))
			case "drop, policy not a bool":
				check(os.WriteFile(s.PolicyFile(), []byte(`{"accept_unknown_pair_drops": "no"}`), 0o600))
			}
			slot := must(w.client.Allocate(t.Context(), w.relay.URL(), "alpha"))
			self := home.Endpoint{RelayURL: slot.URL, SlotID: slot.ID, SlotToken: slot.Token, Scope: home.Local}
			check(s.UpdateRelay(t.Context(), func(r *home.RelayFile) error { r.SetSelf([]home.Endpoint{self}); return nil }))

			for _, e := range c.Events {
				_, err := w.client.Post(t.Context(), slot, e)
				if (err == nil) != (c.Status[0] < 300) {
					t.Fatalf("post: %v, the reference's relay said %d", err, c.Status[0])
				}
			}
			if !strings.HasSuffix(c.Case, "nothing after it") {
				must(w.client.Post(t.Context(), slot, canon.Compact(w.event("beth", "good "+c.Case))))
			}
			before := must(s.ReadRelay())
			res, err := Open(s, w.client).Pull(t.Context())
			if err != nil || len(res.Failed) > 0 {
				t.Fatalf("%v %v", err, res.Failed)
			}
			want, differs := oddDiffers[c.Case]
			if differs {
				seen++
				if want.written == 0 {
					want.written = 1
				}
			} else {
				want = fromReference(c)
			}
			got := outcome(t, s, before, res)
			if want.log != "" && strings.Contains(got.log, want.log) {
				got.log = want.log
			}
			want.why = ""
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(odd{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if again, err := Open(s, w.client).Pull(t.Context()); err != nil || len(again.Written) > 0 || len(again.Requests) > 0 {
				t.Errorf("second pull: %+v, %v", again, err)
			}
			if _, err := os.Stat(filepath.Join(s.Dir, "escaped.json")); err == nil {
				t.Error("a file outside ST")
			}
		})
	}
	if seen != len(oddDiffers) {
		t.Errorf("%d of %d deviations met", seen, len(oddDiffers))
	}
}

func outcome(t *testing.T, s home.Session, before *home.RelayFile, res PullResult) odd {
	t.Helper()
	o := odd{written: len(res.Written), refused: refusals(res.Rejected)}
	entries, _ := os.ReadDir(s.Inbound())
	for _, e := range entries {
		o.files = append(o.files, e.Name())
	}
	after := must(s.ReadRelay())
	for _, h := range after.Peers() {
		if !slices.Equal(before.Peer(h), after.Peer(h)) {
			o.peers = append(o.peers, h)
		}
	}
	if log, err := os.ReadFile(s.Rejections()); err == nil {
		var line struct{ Detail string }
		check(json.Unmarshal(log, &line)) // one line
		o.log = line.Detail
	}
	return o
}
