package main_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/rogpeppe/go-internal/testscript"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
)

// cmdSetJSON changes one value of a JSON file in place, as programs do that know nothing of locks: members and
// indices separated by slashes, in which %ESC% clears a terminal, then the value as JSON; "-" removes it, "@PATH" is
// what the file has there.
func cmdSetJSON(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 3, "setjson FILE PATH VALUE...")
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	var doc any
	ts.Check(json.Unmarshal(data, &doc))
	for pairs := args[1:]; len(pairs) > 1; pairs = pairs[2:] {
		var value any
		switch from, copied := strings.CutPrefix(pairs[1], "@"); {
		case copied:
			value, err = getIn(doc, strings.Split(from, "/"))
			ts.Check(err)
		case pairs[1] != "-":
			ts.Check(json.Unmarshal([]byte(pairs[1]), &value))
		}
		at := strings.Split(escaped(pairs[0]), "/")
		ts.Check(setIn(doc, at, value, pairs[1] == "-"))
	}
	data, err = json.MarshalIndent(doc, "", "  ")
	ts.Check(err)
	ts.Check(os.WriteFile(path, data, 0o600))
}

func getIn(doc any, at []string) (any, error) {
	for _, name := range at {
		m, ok := doc.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("no member %q", name)
		}
		doc = m[name]
	}
	return doc, nil
}

func setIn(doc any, at []string, value any, remove bool) error {
	switch d := doc.(type) {
	case []any:
		i, err := strconv.Atoi(at[0])
		if err != nil || i >= len(d) || remove {
			return fmt.Errorf("no element %q", at[0])
		}
		if len(at) == 1 {
			d[i] = value
			return nil
		}
		return setIn(d[i], at[1:], value, remove)
	case map[string]any:
		next, there := d[at[0]]
		switch {
		case len(at) > 1:
			return setIn(next, at[1:], value, remove)
		case !remove:
			d[at[0]] = value
			return nil
		case there:
			delete(d, at[0])
			return nil
		}
	}
	return fmt.Errorf("no member %q", at[0])
}

// escaped has what clears a terminal in place of %ESC%.
func escaped(text string) string { return strings.ReplaceAll(text, "%ESC%", "\x1b[2J") }

// cmdReslot gives a session another slot on a relay and tells nobody: what a rotation amounts to for those who miss
// its notice. The relay is $RELAY unless it is named.
func cmdReslot(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "reslot SESSION [URL]")
	s, url := on(ts), "http://"+on(ts).relay
	if len(args) > 1 {
		url = args[1]
	}
	c := client.New(5 * time.Second)
	defer c.Close()
	slot, err := c.Allocate(context.Background(), url, args[0])
	ts.Check(err)
	ts.Check(s.session(args[0]).UpdateRelay(context.Background(), func(r *home.RelayFile) error {
		r.SetSelf([]home.Endpoint{{RelayURL: slot.URL, SlotID: slot.ID, SlotToken: slot.Token, Scope: home.Local}})
		return nil
	}))
}

// cmdHarmless runs a program, whatever its exit status, whose output must hold no character that commands a terminal.
func cmdHarmless(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "harmless program args...")
	for i := range args {
		args[i] = escaped(args[i])
	}
	statusOf(ts, args)
	for _, stream := range []string{"stdout", "stderr"} {
		for _, r := range ts.ReadFile(stream) {
			if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r) {
				ts.Fatalf("%s holds %q", stream, r)
			}
		}
	}
}

// cmdNoSecret runs a program, whatever its exit status, whose output must hold no slot token and no key of the
// machine; with -file it looks into a file instead.
func cmdNoSecret(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "nosecret program args...|-file FILE")
	where := []string{"stdout", "stderr"}
	if args[0] == "-file" {
		where = args[1:]
	} else {
		statusOf(ts, args)
	}
	secrets, err := on(ts).secrets()
	ts.Check(err)
	if len(secrets) < 3 {
		ts.Fatalf("only %d secrets on this machine", len(secrets))
	}
	for _, name := range where {
		text := ts.ReadFile(name)
		for what, secret := range secrets {
			if strings.Contains(text, secret) {
				ts.Fatalf("%s holds %s", name, what)
			}
		}
	}
}

// secrets are the slot tokens in the relay's and all sessions' files, and the keys, by where they stand.
func (p place) secrets() (map[string]string, error) {
	out := map[string]string{}
	err := filepath.WalkDir(p.wh, func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		if err != nil || name != "relay.json" && name != "tokens.json" && name != "private.key" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if name == "private.key" {
			out["the key of "+path] = base64.StdEncoding.EncodeToString(data)
			out["the key in hex of "+path] = hex.EncodeToString(data)
			return nil
		}
		var doc any
		if err := json.Unmarshal(data, &doc); err != nil {
			return err
		}
		tokensIn(doc, path, name == "tokens.json", out)
		return nil
	})
	return out, err
}

func tokensIn(v any, at string, all bool, out map[string]string) {
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			tokensIn(e, fmt.Sprint(at, "/", i), all, out)
		}
	case map[string]any:
		for k, e := range v {
			if text, ok := e.(string); ok && text != "" && (all || k == "slot_token") {
				out["a token of "+at] = text
			} else {
				tokensIn(e, at+"/"+k, all, out)
			}
		}
	}
}
