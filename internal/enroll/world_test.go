package enroll

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/internal/relay/relaytest"
)

// newHome is an empty WIRE_HOME.
func newHome(t *testing.T, name string) home.Session {
	t.Helper()
	return home.At(filepath.Join(t.TempDir(), "sessions", name))
}

func newClient(t *testing.T) *client.Client {
	t.Helper()
	c := client.New(0)
	t.Cleanup(c.Close)
	return c
}

// nobody is the URL of a port on which nobody listens.
const nobody = "http://127.0.0.1:1"

// vector is a scenario of the reference in a directory of the test, its relays being ours.
type vector struct {
	root  string
	steps []step
	local string // URLs of the relays
	fed   string
}

type step struct {
	Do     string  `json:"do"`
	State  string  `json:"state"`
	Tree   []entry `json:"tree"`
	Change struct {
		Changed []entry `json:"changed"`
	} `json:"change"`
	JSON map[string]any `json:"stdout_json"`
}

type entry struct {
	Path   string `json:"path"`
	Dir    bool   `json:"dir"`
	Text   string `json:"text"`
	Base64 string `json:"base64"`
}

// readVector materialises the tree before a scenario. Its relays have the slots that the tree names.
func readVector(t *testing.T, name string) vector {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	v := vector{root: t.TempDir()}
	tokens := tokensIn(t, string(data))
	v.local = relaytest.Start(t, relaytest.Config{Tokens: tokens}).URL()
	v.fed = relaytest.Start(t, relaytest.Config{Federation: true, Tokens: tokens}).URL()
	text := strings.NewReplacer(
		"http://127.0.0.1:8771", v.local, "http://127.0.0.1:8790", v.fed, "/home/dev", v.root,
	).Replace(string(data))
	var doc struct {
		Steps []step `json:"steps"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	v.steps = doc.Steps
	for _, e := range v.steps[0].Tree {
		if e.Dir {
			continue
		}
		content := []byte(e.Text)
		if e.Base64 != "" {
			content, _ = base64.StdEncoding.DecodeString(e.Base64)
		}
		err := os.MkdirAll(filepath.Dir(e.Path), 0o700)
		if err == nil {
			err = os.WriteFile(e.Path, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func (v vector) session(name string) home.Session {
	return home.At(filepath.Join(v.root, "wh", "sessions", name))
}

// tokensIn are the tokens of all slots that relay.json files in the text of a vector name.
func tokensIn(t *testing.T, text string) map[string]string {
	t.Helper()
	var doc struct {
		Steps []struct {
			Tree []entry `json:"tree"`
		} `json:"steps"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{}
	for _, e := range doc.Steps[0].Tree {
		if filepath.Base(e.Path) != "relay.json" {
			continue
		}
		file, err := home.ParseRelay([]byte(e.Text))
		if err != nil {
			t.Fatal(err)
		}
		for _, slot := range file.Self() {
			tokens[slot.SlotID] = slot.SlotToken.Reveal()
		}
	}
	return tokens
}

// events are those in a slot.
func events(t *testing.T, c *client.Client, e home.Endpoint) []map[string]any {
	t.Helper()
	list, err := c.List(t.Context(), slotOf(e), "", 100)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for _, text := range list {
		var event map[string]any
		if err := json.Unmarshal(text, &event); err != nil {
			t.Fatal(err)
		}
		all = append(all, event)
	}
	return all
}
