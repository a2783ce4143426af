package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
	"wirefleet.dev/wire/internal/process"
)

// reference serves a home as a daemon of 0.6.10 does, as far as others can see it: it holds no life lock and takes no
// lock at all, writes wire-daemon-pid-v1 and rewrites relay.json in place, goes by the flat slots alone, and posts each
// outbox whole in every cycle (home-and-daemon.md 1, 4, 6, 7, 8.1, 10). What it refuses holds its cursor.
type reference struct {
	cfg, st string
	calls   http.Client
}

// referenceCycle is a hundredth of the reference's, which its argv names; referenceRewrites is after how many of
// them it rewrites relay.json though nothing came.
const (
	referenceCycle    = 50 * time.Millisecond
	referenceRewrites = 4
)

func beReference(dir string, end <-chan os.Signal) error {
	r := reference{filepath.Join(dir, "config", "wire"), filepath.Join(dir, "state", "wire"), http.Client{Timeout: 5 * time.Second}}
	rec := process.Record{
		Schema: process.Schema, PID: os.Getpid(), BinPath: "/usr/local/bin/wire", Version: process.Level,
		StartedAt: time.Now().UTC().Format(time.RFC3339Nano),
	}
	if card, err := home.At(dir).ReadCard(); err == nil {
		if did, ok := card["did"].(string); ok {
			rec.DID = &did
		}
	}
	if err := os.WriteFile(filepath.Join(r.st, "daemon.pid"), rec.Text(), 0o644); err != nil {
		return err
	}
	for n := 1; ; n++ {
		select {
		case <-end:
			os.Exit(0)
		case <-time.After(referenceCycle):
		}
		for _, part := range []func() error{r.push, r.pull} {
			if err := part(); err != nil {
				fmt.Fprintln(os.Stderr, err) // an error ends the cycle's part, not the daemon
			}
		}
		if n%referenceRewrites != 0 {
			continue
		}
		err := rewriteInPlace(r.relayFile(), func(doc map[string]any) { doc["cycle"] = n })
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err // that its home is gone is no reason for it to end
		}
	}
}

func (r reference) relayFile() string { return filepath.Join(r.cfg, "relay.json") }

// flatSlot is what the reference's daemon knows of a slot.
type flatSlot struct {
	URL    string `json:"relay_url"`
	Slot   string `json:"slot_id"`
	Token  string `json:"slot_token"`
	Cursor string `json:"last_pulled_event_id"`
}

func (r reference) slots() (self flatSlot, peers map[string]flatSlot, err error) {
	data, err := os.ReadFile(r.relayFile())
	if err != nil {
		return self, nil, err
	}
	var doc struct {
		Self  flatSlot            `json:"self"`
		Peers map[string]flatSlot `json:"peers"`
	}
	err = json.Unmarshal(data, &doc)
	return doc.Self, doc.Peers, err
}

func (r reference) push() error {
	_, peers, err := r.slots()
	if err != nil {
		return err
	}
	for handle, to := range peers {
		data, err := os.ReadFile(filepath.Join(r.st, "outbox", handle+".jsonl"))
		if err != nil || to.Token == "" {
			continue
		}
		for line := range bytes.Lines(data) {
			if !json.Valid(line) {
				continue
			}
			body := fmt.Appendf(nil, `{"event":%s}`, bytes.TrimSpace(line))
			if _, err := r.call("POST", to, "", body); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r reference) pull() error {
	self, _, err := r.slots()
	if err != nil || self.URL == "" {
		return err
	}
	query := "?limit=1000"
	if self.Cursor != "" {
		query += "&since=" + self.Cursor
	}
	data, err := r.call("GET", self, query, nil)
	if err != nil {
		return err
	}
	var events []json.RawMessage
	if err := json.Unmarshal(data, &events); err != nil {
		return err
	}
	trusted, err := os.ReadFile(filepath.Join(r.cfg, "trust.json"))
	if err != nil {
		return err
	}
	trust, err := canon.ParseObject(trusted)
	if err != nil {
		return err
	}
	agents, _ := trust["agents"].(canon.Doc)
	last, blocked := self.Cursor, false
	for _, text := range events {
		event, err := canon.ParseObject(text)
		if err != nil {
			return err
		}
		id, _ := event["event_id"].(string)
		if identity.VerifyEventBy(event, func(h string) (any, bool) { rec, ok := agents[h]; return rec, ok }) != nil {
			blocked = true
			continue
		}
		if err := r.store(event, id); err != nil {
			return err
		}
		if !blocked {
			last = id
		}
	}
	if last == self.Cursor {
		return nil
	}
	return rewriteInPlace(r.relayFile(), func(doc map[string]any) {
		if self, ok := doc["self"].(map[string]any); ok {
			self["last_pulled_event_id"] = last
		}
	})
}

// store appends an event that the sender's inbox does not have.
func (r reference) store(event canon.Doc, id string) error {
	from, _ := event["from"].(string)
	path := filepath.Join(r.st, "inbox", identity.DID(from).Handle()+".jsonl")
	have, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if strings.Contains(string(have), `"event_id":"`+id+`"`) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(canon.Compact(event), '\n'))
	return errors.Join(err, f.Close())
}

func (r reference) call(method string, to flatSlot, query string, body []byte) ([]byte, error) {
	req, err := http.NewRequest(method, strings.TrimRight(to.URL, "/")+"/v1/events/"+to.Slot+query, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+to.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.calls.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s", method, req.URL, resp.Status)
	}
	return answer, err
}
