package mailbox

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/relay/client"
)

// receiveCase is one batch through the receive loop of the reference (vectors/identity/receive.json).
type receiveCase struct {
	Name         string            `json:"name"`
	Events       []string          `json:"events"`
	CursorBefore *string           `json:"cursor_before"`
	CursorAfter  *string           `json:"cursor_after"`
	InboxBefore  map[string]string `json:"inbox_before"`
	InboxAfter   map[string]string `json:"inbox_after"`
	Written      []struct {
		EventID string `json:"event_id"`
		From    string `json:"from"`
	}
	Rejected []struct {
		EventID       string `json:"event_id"`
		Reason        string `json:"reason"`
		Transient     bool   `json:"transient"`
		SchemaVersion string `json:"schema_version"`
	}
}

// Where we differ from receive.json on purpose. What is written and refused, and why, is the same in all 48 but
// hidden; in these the cursor is not where the reference leaves it, or the inbox file is whole where its is not.
const (
	steppedOver = "a refused event is stepped over, not waited for (design.md section 8, quirk 1)"
	noEmptyID   = "an event without an id does not become the cursor (quirk 5)"
)

var cursorDiffers = map[string]string{
	"unknown signer blocks; later events are still processed": steppedOver,
	"unknown signer first":           steppedOver,
	"unknown key blocks":             steppedOver,
	"kind 2":                         steppedOver,
	"kind 9999":                      steppedOver,
	"kind 1900":                      steppedOver,
	"kind 0":                         steppedOver,
	"kind -1":                        steppedOver,
	"kind 1.0 (float)":               steppedOver,
	`kind "1" (string)`:              steppedOver,
	"kind null":                      steppedOver,
	"kind 2^32+2":                    steppedOver,
	"kind 2^64-1":                    steppedOver,
	"kind absent":                    steppedOver,
	`schema_version "v4.0"`:          steppedOver,
	`schema_version "3.1"`:           steppedOver,
	`schema_version ""`:              steppedOver,
	`schema_version "V3.1"`:          steppedOver,
	`schema_version " v3.1"`:         steppedOver,
	"only an event without event_id": noEmptyID,
	"order: schema before kind before signature": steppedOver,
}

const torn = "the torn line, which nobody will finish, goes, so the next one is not lost (section 6.1)"

var inboxDiffers = map[string]string{
	"inbox file without a final newline": "the unfinished line is ended first, so neither is lost (section 6.1)",
	"inbox file with a torn line":        torn,
}

// hidden is the batch in which a line under the event's id, with another content, keeps the event out of the
// reference's inbox: only the event itself is a duplicate of it (field failure G27).
const hidden = "inbox line with the same event_id and other content"

func TestReceiveVectors(t *testing.T) {
	var file struct {
		Trust   string
		Batches []receiveCase
	}
	check(json.Unmarshal(must(os.ReadFile("testdata/receive.json")), &file))
	if len(file.Batches) != 48 {
		t.Fatalf("%d batches", len(file.Batches))
	}
	for _, c := range file.Batches {
		t.Run(c.Name, func(t *testing.T) {
			srv := newSlotServer(t, c.Events...)
			s := aliceHome(t, file.Trust, srv.URL, c.CursorBefore)
			for name, text := range c.InboxBefore {
				check(os.WriteFile(filepath.Join(s.InboxDir(), name), []byte(text), 0o600))
			}
			cl := client.New(0)
			defer cl.Close()
			res, err := Open(s, cl).Pull(t.Context())
			if err != nil || len(res.Failed) > 0 {
				t.Fatalf("%v %v", err, res.Failed)
			}
			var written []Written
			for _, x := range c.Written {
				written = append(written, Written{x.EventID, x.From})
			}
			var rejected []Rejected
			if c.Name == hidden {
				if len(c.Events) != 1 || len(c.Written) != 0 || len(c.Rejected) != 1 {
					t.Fatalf("the vector changed: %+v", c)
				}
				written = []Written{{c.Rejected[0].EventID, "bob"}}
				c.Rejected = nil
				c.InboxAfter = map[string]string{"bob.jsonl": c.InboxBefore["bob.jsonl"] + c.Events[0] + "\n"}
			}
			for _, x := range c.Rejected {
				rejected = append(rejected, Rejected{x.EventID, x.Reason, x.Transient, x.SchemaVersion})
			}
			if diff := cmp.Diff(written, res.Written); diff != "" {
				t.Errorf("written (-reference +ours):\n%s", diff)
			}
			if diff := cmp.Diff(rejected, res.Rejected); diff != "" {
				t.Errorf("rejected (-reference +ours):\n%s", diff)
			}
			checkCursor(t, c, res.Cursor)
			checkInbox(t, c, s)
		})
	}
}

// aliceHome is the home of receive.json: seed bytes 00 to 1f, one federation slot at url.
func aliceHome(t *testing.T, trust, url string, cursor *string) home.Session {
	t.Helper()
	s := home.At(filepath.Join(t.TempDir(), "alice"))
	check(s.Ensure())
	seed := make([]byte, 32)
	for i := range seed {
		seed[i] = byte(i)
	}
	key := must(identity.KeyFromSeed(seed))
	check(s.CreateKey(key))
	check(s.WriteCard(identity.SignCard(identity.NewCard("alice", "", key.Public()), key)))
	check(os.WriteFile(s.TrustFile(), []byte(trust), 0o600))
	self := canon.Doc{"relay_url": url, "slot_id": "0123456789abcdef0123456789abcdef", "slot_token": "t"}
	if cursor != nil {
		self["last_pulled_event_id"] = *cursor
	}
	check(os.WriteFile(s.RelayFile(), canon.Pretty(canon.Doc{"peers": canon.Doc{}, "self": self}), 0o600))
	return s
}

func checkCursor(t *testing.T, c receiveCase, got string) {
	t.Helper()
	want := ""
	if c.CursorAfter != nil {
		want = *c.CursorAfter
	}
	reason, differs := cursorDiffers[c.Name]
	if !differs {
		if got != want {
			t.Errorf("cursor %q, the reference's %q", got, want)
		}
		return
	}
	if got == want {
		t.Errorf("cursor %q is the reference's; listed as differing: %s", got, reason)
	}
	// Ours stands behind the last event that has a right id, or where it stood.
	last := ""
	if c.CursorBefore != nil {
		last = *c.CursorBefore
	}
	for _, text := range c.Events {
		if e, err := canon.ParseObject([]byte(text)); err == nil && identity.EventID(e) == e["event_id"] {
			last = identity.EventID(e)
		}
	}
	if got != last {
		t.Errorf("cursor %q, want %q", got, last)
	}
}

func checkInbox(t *testing.T, c receiveCase, s home.Session) {
	t.Helper()
	got := map[string]string{}
	for _, e := range must(os.ReadDir(s.InboxDir())) {
		got[e.Name()] = string(must(os.ReadFile(filepath.Join(s.InboxDir(), e.Name()))))
	}
	reason, differs := inboxDiffers[c.Name]
	if !differs {
		if diff := cmp.Diff(c.InboxAfter, got, cmp.Transformer("nil", func(m map[string]string) map[string]string {
			if m == nil {
				return map[string]string{}
			}
			return m
		})); diff != "" {
			t.Errorf("inbox (-reference +ours):\n%s", diff)
		}
		return
	}
	for name, want := range c.InboxAfter {
		before := c.InboxBefore[name]
		whole := before + "\n"
		if reason == torn {
			whole = before[:strings.LastIndex(before, "\n")+1]
		}
		if ours := whole + strings.TrimPrefix(want, before); got[name] != ours {
			t.Errorf("%s\ngot:  %s\nwant: %s", reason, got[name], ours)
		}
	}
}
