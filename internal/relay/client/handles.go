package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// Claim asks for a nick in a relay's directory (relay.md 6.9).
type Claim struct {
	Nick      string
	Card      canon.Doc
	PublicURL string // where others reach the relay; "" leaves it open
	Hidden    bool   // no phonebook entry; false keeps what the directory has
}

// Claim claims a nick for slot s. The answer is the relay's JSON text; a nick of somebody else is a
// *StatusError with code 409.
func (c *Client) Claim(ctx context.Context, s Slot, cl Claim) ([]byte, error) {
	body := canon.Doc{"nick": cl.Nick, "slot_id": s.ID, "card": cl.Card, "relay_url": nil}
	if cl.PublicURL != "" {
		body["relay_url"] = cl.PublicURL
	}
	if cl.Hidden {
		body["discoverable"] = false
	}
	a, err := c.do(ctx, s.URL, request{
		call: "handle_claim", method: "POST", path: "/v1/handle/claim", token: s.Token, body: canon.Compact(body),
	})
	return a.json("POST", err)
}

// Intro drops a signed introduction into the slot behind a nick (relay.md 6.10). The answer is the relay's
// JSON text.
func (c *Client) Intro(ctx context.Context, base, nick string, event []byte) ([]byte, error) {
	a, err := c.do(ctx, base, request{
		call: "handle_intro", method: "POST", path: "/v1/handle/intro/" + url.PathEscape(nick), body: envelope(event),
	})
	return a.json("POST", err)
}

// Resolved is what a directory says of a nick (relay.md 6.11).
type Resolved struct {
	Doc      canon.Doc // the payload as it came: nick or handle, did, card, slot_id, relay_url, claimed_at
	DID      string
	SlotID   string // "" where the answer has none
	RelayURL string // "" where the answer has none
	Card     canon.Doc
}

// Resolve looks a nick up: the directory of wire first, and where that fails the card of the A2A format. The
// card's signature is verified; on the first way the payload's DID must be the card's, too.
func (c *Client) Resolve(ctx context.Context, base, nick string) (Resolved, error) {
	query := "?handle=" + url.QueryEscape(nick)
	a, err := c.do(ctx, base, request{call: "well_known_agent", method: "GET", path: "/.well-known/wire/agent" + query})
	if err == nil {
		if doc, err := a.object("GET"); err == nil {
			return resolved(doc, true)
		}
	}
	if a, err = c.do(ctx, base, request{call: "well_known_agent_card_a2a", method: "GET", path: "/.well-known/agent-card.json" + query}); err != nil {
		return Resolved{}, err
	}
	doc, err := a.object("GET")
	if err != nil {
		return Resolved{}, err
	}
	params := wireParams(doc)
	if params == nil {
		name, _ := doc["name"].(string)
		did, _ := doc["id"].(string)
		end, _ := doc["endpoint"].(string)
		return Resolved{
			DID: did, RelayURL: end,
			Doc: canon.Doc{
				"a2a_only": true, "a2a_card": doc, "card": nil, "slot_id": nil, "did": did, "nick": name,
				"relay_url": end, "claimed_at": nil,
			},
		}, nil
	}
	return resolved(params, false)
}

// wireParams are the parameters of the first extension of ours in an A2A card, nil if there is none.
func wireParams(a2a canon.Doc) canon.Doc {
	list, _ := a2a["extensions"].([]any)
	for _, e := range list {
		ext, _ := e.(canon.Doc)
		uri, _ := ext["uri"].(string)
		if strings.HasPrefix(uri, "https://slancha.ai/wire/ext") {
			params, _ := ext["params"].(canon.Doc)
			return params
		}
	}
	return nil
}

func resolved(doc canon.Doc, sameDID bool) (Resolved, error) {
	r := Resolved{Doc: doc}
	r.DID, _ = doc["did"].(string)
	r.SlotID, _ = doc["slot_id"].(string)
	r.RelayURL, _ = doc["relay_url"].(string)
	card, ok := doc["card"].(canon.Doc)
	if !ok {
		if sameDID {
			return r, errors.New("the directory's answer has no card")
		}
		return r, nil
	}
	if err := identity.VerifyCard(card); err != nil {
		return r, fmt.Errorf("the card of the directory's answer: %w", err)
	}
	if did, _ := card["did"].(string); sameDID && (did == "" || did != r.DID) {
		return r, errors.New("the directory's answer names another DID than its card")
	}
	r.Card = card
	return r, nil
}
