package main_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/pairing"
)

// cmdHashTree writes what lies below WIRE_HOME and HOME to a file: names, modes, sizes, inodes, times and
// hashes, so that a write of equal bytes shows as well.
func cmdHashTree(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "hashtree FILE")
	text, err := on(ts).hashTree()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// hashTree leaves out what changes by itself or without a meaning: the relay's counters and pull times, which
// replaces a file in its directory, the time of apply.lock, which says who applies at the moment, and that of watch.lock,
// which is when the last pass was.
func (p place) hashTree() (string, error) {
	var b strings.Builder
	for _, root := range []string{p.wh, filepath.Join(p.dir, "home")} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && path == root {
				return nil
			}
			if err != nil || d.Name() == "counters.json" || d.Name() == "pulls.json" {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			when := info.ModTime().Format(time.RFC3339Nano)
			if d.Name() == "apply.lock" || d.Name() == "watch.lock" || path == p.relayState() {
				when = "-"
			}
			fmt.Fprintf(&b, "%s %s %d %s", strings.TrimPrefix(path, p.dir+"/"), info.Mode(), info.Sys().(*syscall.Stat_t).Ino, when)
			if info.Mode().IsRegular() {
				data, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				fmt.Fprintf(&b, " %d %x", len(data), sha256.Sum256(data))
			}
			b.WriteByte('\n')
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// cmdModes prints the permissions of files, one a line.
func cmdModes(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "modes FILE...")
	for _, path := range args {
		info, err := os.Stat(ts.MkAbs(path))
		ts.Check(err)
		fmt.Fprintf(ts.Stdout(), "%03o\n", info.Mode().Perm())
	}
}

// cmdIdentity prints who a session is: its DID and a hash of its key.
func cmdIdentity(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "identity SESSION")
	key, card, err := on(ts).session(args[0]).Identity()
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%v %x\n", card["did"], sha256.Sum256(key.Seed()))
}

// entry is one place of a tree in shared/vectors/home.
type entry struct {
	Path   string  `json:"path"`
	Mode   string  `json:"mode"`
	Dir    bool    `json:"dir"`
	Text   *string `json:"text"`
	Base64 *string `json:"base64"`
}

// cmdReference puts a tree that 0.6.10 left behind below WIRE_HOME, as under umask 022 or another one. The
// relay gets the slots of its sessions.
func cmdReference(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "reference VECTOR [UMASK]")
	mask := uint64(0o022)
	if len(args) > 1 {
		var err error
		mask, err = strconv.ParseUint(args[1], 8, 32)
		ts.Check(err)
	}
	data, err := os.ReadFile(filepath.Join("testdata", "reference", args[0]+".json"))
	ts.Check(err)
	ts.Check(on(ts).materialise(data, fs.FileMode(mask)))
}

func (p place) materialise(vector []byte, mask fs.FileMode) error {
	var tree []entry
	if err := json.Unmarshal(vector, &tree); err != nil {
		return err
	}
	old := strings.NewReplacer("/home/dev/wh", p.wh, "/home/dev/src", filepath.Join(p.dir, "src"), "http://127.0.0.1:8771", "http://"+p.relay)
	for _, e := range tree {
		mode, err := strconv.ParseUint(e.Mode, 8, 32)
		if err != nil {
			return err
		}
		perm := fs.FileMode(mode)
		switch perm { // the modes that follow from the umask, which was 022
		case 0o755:
			perm = 0o777 &^ mask
		case 0o644:
			perm = 0o666 &^ mask
		}
		path := old.Replace(e.Path)
		switch {
		case e.Dir:
			err = os.MkdirAll(path, perm)
		case e.Base64 != nil:
			var data []byte
			if data, err = base64.StdEncoding.DecodeString(*e.Base64); err == nil {
				err = os.WriteFile(path, data, perm)
			}
		case e.Text != nil:
			err = os.WriteFile(path, []byte(old.Replace(*e.Text)), perm)
		default:
			err = fmt.Errorf("%s: neither directory nor file", e.Path)
		}
		if err == nil {
			err = os.Chmod(path, perm) // our own umask does not count
		}
		if err != nil {
			return err
		}
	}
	return p.grantSlots()
}

// grantSlots makes the relay's state hold the slots that the sessions on disk have (relay.md section 7).
func (p place) grantSlots() error {
	sessions, err := home.Machine{Root: filepath.Join(p.wh, "sessions")}.Sessions()
	if err != nil {
		return err
	}
	tokens := map[string]string{}
	for _, s := range sessions {
		rf, err := s.ReadRelay()
		if err != nil {
			return err
		}
		for _, e := range rf.Self() {
			tokens[e.SlotID] = e.SlotToken.Reveal()
		}
	}
	data, err := json.Marshal(tokens)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(p.relayState(), "slots"), 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.relayState(), "tokens.json"), data, 0o600)
}

// cmdNewKey gives a session another identity under its name; slot and pins stay.
func cmdNewKey(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "newkey SESSION")
	s := on(ts).session(args[0])
	ts.Check(os.Remove(s.KeyFile()))
	_, err := identify(s)
	ts.Check(err)
}

// identify makes key, card and trust of a session whose directories are there.
func identify(s home.Session) (identity.CardInfo, error) {
	key, err := identity.NewKey()
	if err != nil {
		return identity.CardInfo{}, err
	}
	card := identity.SignCard(identity.NewCard(s.Name, "", key.Public()), key)
	info, err := identity.ReadCard(card)
	if err != nil {
		return info, err
	}
	self := canon.AppendPretty(nil, identity.SelfRecord(info, time.Now().UTC()), 2)
	return info, errors.Join(s.CreateKey(key), s.WriteCard(card), s.UpdateTrust(context.Background(), func(t *canon.Spans) error {
		t.Set(self, "agents", info.Handle)
		return nil
	}))
}

// cmdPinForeign makes a session pin somebody from elsewhere under a handle, as `wire add` across machines
// would.
func cmdPinForeign(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "pinforeign SESSION HANDLE")
	s := on(ts).session(args[0])
	key, err := identity.NewKey()
	ts.Check(err)
	card := identity.SignCard(identity.NewCard(args[1], "", key.Public()), key)
	handle, rec, err := identity.PinRecord(card, identity.TierVerified, time.Now().UTC(), nil)
	ts.Check(err)
	ts.Check(s.UpdateTrust(context.Background(), func(t *canon.Spans) error {
		t.Set(canon.AppendPretty(nil, rec, 2), "agents", handle)
		return nil
	}))
	ts.Check(s.UpdateRelay(context.Background(), func(r *home.RelayFile) error {
		r.SetPeer(handle, []home.Endpoint{{
			RelayURL: "https://relay.example", SlotID: strings.Repeat("5", 32),
			SlotToken: identity.NewToken(strings.Repeat("7", 64)), Scope: home.Federation,
		}})
		return nil
	}))
}

// cmdUnpin removes one side of an edge: what the session knows of its peer.
func cmdUnpin(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "unpin SESSION PEER")
	s := on(ts)
	card, err := s.session(args[1]).ReadCard()
	ts.Check(err)
	info, err := identity.ReadCard(card)
	ts.Check(err)
	changed, err := pairing.Unpin(context.Background(), s.session(args[0]), info.Handle, info.DID)
	ts.Check(err)
	if !changed {
		ts.Fatalf("%s had no pin of %s", args[0], args[1])
	}
}
