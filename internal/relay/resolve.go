package relay

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"wirefleet.dev/wire/internal/canon"
)

// extension is how clients find our part of an A2A card.
const extension = "https://slancha.ai/wire/ext/v0.5"

// resolve finds the handle that a well-known request asks for (6.11); nil means that it has answered.
func (s *server) resolve(w http.ResponseWriter, r *http.Request) *handle {
	q, err := readQuery(r.URL.RawQuery, "handle")
	if err == nil && q["handle"] == nil {
		err = badQuery("missing field `handle`")
	}
	if err != nil {
		refuse(w, err)
		return nil
	}
	nick, _, _ := strings.Cut(*q["handle"], "@")
	if nick == "" {
		replyError(w, http.StatusBadRequest, "handle missing nick")
		return nil
	}
	h := s.store.handles.get(nick)
	if h == nil {
		replyError(w, http.StatusNotFound, "nick not claimed on this relay")
	}
	return h
}

// agent is GET /.well-known/wire/agent.
func (s *server) agent(w http.ResponseWriter, r *http.Request, _ string) {
	h := s.resolve(w, r)
	if h == nil {
		return
	}
	doc := h.doc()
	delete(doc, "discoverable")
	replyDoc(w, http.StatusOK, doc)
}

// agentCard is GET /.well-known/agent-card.json: the same as an A2A card.
func (s *server) agentCard(w http.ResponseWriter, r *http.Request, _ string) {
	h := s.resolve(w, r)
	if h == nil {
		return
	}
	card, _ := h.card.(canon.Doc)
	profile, _ := card["profile"].(canon.Doc)
	name, _ := profile["display_name"].(string)
	motto, _ := profile["motto"].(string)
	base := ""
	if h.relayURL != nil {
		base = strings.TrimRight(*h.relayURL, "/")
	}
	replyDoc(w, http.StatusOK, canon.Doc{
		"id": h.did, "name": cmp.Or(name, h.nick), "description": motto, "version": "wire/0.5",
		"endpoint":     base + "/v1/handle/intro/" + h.nick,
		"provider":     canon.Doc{"name": "wire", "url": "https://wirefleet.dev"},
		"capabilities": canon.Doc{"streaming": false, "pushNotifications": false, "extendedAgentCard": true},
		"securitySchemes": canon.Doc{"ed25519-event-sig": canon.Doc{
			"type": "signature", "alg": "EdDSA", "description": "every event is signed by its sender's Ed25519 key",
		}},
		"security": []any{canon.Doc{"ed25519-event-sig": []any{}}}, "skills": []any{}, "signature": card["signature"],
		"extensions": []any{canon.Doc{
			"uri": extension, "description": "a wire mailbox and its signed card", "required": false,
			"params": canon.Doc{
				"did": h.did, "handle": h.nick, "slot_id": h.slotID, "relay_url": orNull(h.relayURL), "card": h.card,
				"profile": card["profile"], "claimed_at": h.claimedAt,
			},
		}},
	})
}

// Limits of a page of the phonebook (6.12).
const (
	defaultPhonebook = 100
	maxPhonebook     = 500
)

// phonebook is GET /v1/handles.
func (s *server) phonebook(w http.ResponseWriter, r *http.Request, _ string) {
	q, err := readQuery(r.URL.RawQuery, "cursor", "limit", "vibe")
	limit := uint64(defaultPhonebook)
	if err == nil && q["limit"] != nil {
		limit, err = readNumber("limit", *q["limit"])
	}
	if err != nil {
		refuse(w, err)
		return
	}
	limit = min(max(limit, 1), maxPhonebook)
	var next any
	entries := []any{}
	for _, h := range s.store.handles.listed() {
		if q["cursor"] != nil && h.nick <= *q["cursor"] || q["vibe"] != nil && !h.vibes(*q["vibe"]) {
			continue
		}
		if uint64(len(entries)) == limit {
			next = entries[limit-1].(canon.Doc)["nick"]
			break
		}
		entries = append(entries, h.entry())
	}
	replyDoc(w, http.StatusOK, canon.Doc{"handles": entries, "next_cursor": next})
}

// listed are the handles that the phonebook shows, by nick.
func (d *directory) listed() []*handle {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var all []*handle
	for _, h := range d.byNick {
		hidden := h.discoverable != nil && !*h.discoverable
		if !hidden && h.profile()["listed"] != false && !strings.HasPrefix(h.nick, "demo-") && !strings.HasPrefix(h.nick, "test-") {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b *handle) int { return strings.Compare(a.nick, b.nick) })
	return all
}

func (h *handle) profile() canon.Doc {
	card, _ := h.card.(canon.Doc)
	profile, _ := card["profile"].(canon.Doc)
	return profile
}

// vibes says whether the profile has this vibe, whatever the case of its ASCII letters.
func (h *handle) vibes(want string) bool {
	list, _ := h.profile()["vibe"].([]any)
	for _, v := range list {
		if text, ok := v.(string); ok && asciiLower(text) == asciiLower(want) {
			return true
		}
	}
	return false
}

// asciiLower leaves letters like the Kelvin sign alone, which strings.EqualFold takes for a k.
func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// entry is a handle as the phonebook shows it.
func (h *handle) entry() canon.Doc {
	profile := canon.Doc{}
	for _, key := range []string{"emoji", "motto", "vibe", "pronouns", "now"} {
		profile[key] = h.profile()[key]
	}
	return canon.Doc{"nick": h.nick, "did": h.did, "claimed_at": h.claimedAt, "profile": profile}
}
