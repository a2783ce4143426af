package relay

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// invites are the short links of 6.13.
type invites struct {
	mu      sync.Mutex
	byToken map[string]*invite
}

type invite struct {
	token, url       string
	expires, created int64   // unix seconds
	uses             *uint64 // that are left; nil: no limit
}

const invitesFile = "invites.jsonl"

// Bounds of an invite's lifetime in seconds and of its URL in bytes.
const (
	defaultTTL   = 86400
	minTTL       = 60
	maxTTL       = 604800
	maxInviteURL = 8192
)

// loadInvites keeps what has not expired; of lines with one token the last counts (relay.md section 7).
func (st *store) loadInvites(now time.Time) error {
	st.invites.byToken = map[string]*invite{}
	data, err := os.ReadFile(st.path(invitesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range bytes.Lines(data) {
		doc, err := canon.ParseObject(bytes.TrimSpace(line))
		if err != nil {
			continue
		}
		if i := inviteOf(doc); i != nil && i.expires > now.Unix() {
			st.invites.byToken[i.token] = i
		}
	}
	return nil
}

func inviteOf(doc canon.Doc) *invite {
	token, ok1 := doc["token"].(string)
	url, ok2 := doc["invite_url"].(string)
	expires, ok3 := doc["expires_unix"].(uint64)
	created, _ := doc["created_unix"].(uint64)
	i := &invite{token: token, url: url, expires: int64(expires), created: int64(created)}
	switch uses := doc["uses_remaining"].(type) {
	case nil:
	case uint64:
		i.uses = &uses
	default:
		return nil
	}
	if !ok1 || !ok2 || !ok3 {
		return nil
	}
	return i
}

func (i *invite) usesLeft() any {
	if i.uses == nil {
		return nil
	}
	return *i.uses
}

// save appends the invite as it is now. mu is held.
func (st *store) saveInvite(i *invite) error {
	return st.appendLine(invitesFile, canon.Compact(canon.Doc{
		"token": i.token, "invite_url": i.url, "expires_unix": int(i.expires), "uses_remaining": i.usesLeft(),
		"created_unix": int(i.created),
	}))
}

// register is POST /v1/invite/register.
func (s *server) register(w http.ResponseWriter, r *http.Request, _ string) {
	i, err := s.readInvite(w, r)
	if err != nil {
		refuse(w, err)
		return
	}
	if i.url == "" {
		replyError(w, http.StatusBadRequest, "invite_url required")
		return
	}
	if len(i.url) > maxInviteURL {
		replyError(w, http.StatusRequestEntityTooLarge, "invite_url > 8 KiB")
		return
	}
	// The reference's 24 bits can be tried out; clients append any token to /i/ (relay.md Q26).
	var random [16]byte
	rand.Read(random[:])
	i.token = hex.EncodeToString(random[:])
	in := &s.store.invites
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := s.store.saveInvite(i); err != nil {
		replyPersist(w, err)
		return
	}
	in.byToken[i.token] = i
	replyDoc(w, http.StatusCreated, canon.Doc{
		"token": i.token, "path": "/i/" + i.token, "expires_unix": int(i.expires), "uses_remaining": i.usesLeft(),
	})
}

func (s *server) readInvite(w http.ResponseWriter, r *http.Request) (*invite, error) {
	body, done, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	defer done()
	f, err := readFields(body, "invite_url", "ttl_seconds", "uses")
	if err != nil {
		return nil, err
	}
	now := s.now().Unix()
	i := &invite{created: now}
	if i.url, err = f.text("invite_url"); err != nil {
		return nil, err
	}
	ttl, err := f.number("ttl_seconds", 1<<64-1)
	if err != nil {
		return nil, err
	}
	i.expires = now + defaultTTL
	if ttl != nil {
		i.expires = now + int64(min(max(*ttl, minTTL), maxTTL))
	}
	i.uses, err = f.number("uses", 1<<32-1)
	return i, err
}

// number is an unsigned integer where the member is there and not null.
func (f fields) number(key string, most uint64) (*uint64, error) {
	if f[key] == nil {
		return nil, nil
	}
	switch n, _ := canon.Parse(f[key]); n := n.(type) {
	case nil:
		return nil, nil
	case uint64:
		if n <= most {
			return &n, nil
		}
	}
	return nil, wrongShape(key + ": expected an unsigned integer")
}

// fetch is GET /i/{token}.
func (s *server) fetch(w http.ResponseWriter, r *http.Request, token string) {
	q, err := readQuery(r.URL.RawQuery, "format")
	if err != nil {
		refuse(w, err)
		return
	}
	in := &s.store.invites
	in.mu.Lock()
	defer in.mu.Unlock()
	i := in.byToken[token]
	switch {
	case i == nil:
		replyText(w, http.StatusNotFound, "not found\n")
		return
	case s.now().Unix() >= i.expires:
		replyText(w, http.StatusGone, "this invite has expired\n")
		return
	case i.uses != nil && *i.uses == 0:
		replyText(w, http.StatusGone, "this invite has been used up\n")
		return
	}
	asURL := q["format"] != nil && *q["format"] == "url"
	// A look (HEAD) is no use, and a use is remembered over a restart (relay.md Q26).
	if !asURL && i.uses != nil && r.Method != http.MethodHead {
		left := *i.uses - 1
		used := *i
		used.uses = &left
		if err := s.store.saveInvite(&used); err != nil {
			replyPersist(w, err)
			return
		}
		in.byToken[token] = &used
	}
	w.Header()["Cache-Control"] = inviteCache
	if asURL {
		replyText(w, http.StatusOK, i.url)
		return
	}
	replyAs(w, http.StatusOK, scriptType, strings.Replace(inviteScript, "INVITE", strings.ReplaceAll(i.url, "'", `'\''`), 1))
}

// sweep forgets expired invites a day after their end; until then a fetch is told why it fails.
func (in *invites) sweep(now time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for token, i := range in.byToken {
		if now.Unix() >= i.expires+defaultTTL {
			delete(in.byToken, token)
		}
	}
}

// inviteScript is what `curl URL | sh` runs. The URL is data, whatever is in it.
const inviteScript = `#!/bin/sh
set -eu
url='INVITE'
if ! command -v wire >/dev/null 2>&1; then
	PATH="$HOME/.local/bin:$PATH"
	export PATH
fi
if ! command -v wire >/dev/null 2>&1; then
	echo 'wire is not installed. Install it, then run:'
	printf '  wire accept "%s"\n' "$url"
	exit 0
fi
exec wire accept "$url"
`
