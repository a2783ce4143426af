package client

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

// vectorRequest is the first request of a vector, written out in full.
type vectorRequest struct {
	Body, Method, Path string
}

// resolvedCard is the card that the scripted relay of group resolve served.
func resolvedCard(t *testing.T) canon.Doc {
	t.Helper()
	var out struct{ JSON json.RawMessage }
	if err := json.Unmarshal(group(t, "resolve")[0].Stdout, &out); err != nil {
		t.Fatal(err)
	}
	doc, err := canon.ParseObject(out.JSON)
	if err != nil {
		t.Fatal(err)
	}
	card, _ := doc["card"].(canon.Doc)
	if err := identity.VerifyCard(card); err != nil {
		t.Fatal(err)
	}
	return card
}

func TestResolveVectors(t *testing.T) {
	card := resolvedCard(t)
	tampered := canon.Doc{}
	for k, v := range card {
		tampered[k] = v
	}
	tampered["name"] = "Mallory"
	payload := func(card, did any) string {
		doc := canon.Doc{"nick": "bobby", "did": did, "slot_id": "00", "relay_url": nil, "claimed_at": "t"}
		if card != nil {
			doc["card"] = card
		}
		return string(canon.Compact(doc))
	}
	a2a := func(card canon.Doc, did any) string {
		return string(canon.Compact(canon.Doc{"extensions": []any{
			canon.Doc{"uri": "https://example.org/other", "params": canon.Doc{}},
			canon.Doc{"uri": "https://slancha.ai/wire/ext/v0.5", "params": canon.Doc{"card": card, "did": did, "handle": "bobby"}},
		}}))
	}
	good := says(200, a2a(card, card["did"]))
	type pair struct{ native, a2a script }
	answers := map[string]pair{
		"wire-native":                                           {says(200, payload(card, card["did"])), nil},
		"wire-native 404: falls back":                           {says(404, "{}"), good},
		"wire-native 500: falls back":                           {says(500, ""), good},
		"wire-native closed: falls back":                        {raw("", false), good},
		"wire-native not JSON: falls back":                      {says(200, "<html>"), good},
		"wire-native 429: falls back":                           {says(429, ""), good},
		"wire-native 200 with a tampered card: no fallback":     {says(200, payload(tampered, card["did"])), nil},
		"wire-native 200 with another did outside: no fallback": {says(200, payload(card, "did:wire:other")), nil},
		"wire-native 200 without a card: no fallback":           {says(200, payload(nil, card["did"])), nil},
		"A2A with a tampered card":                              {says(404, ""), says(200, a2a(tampered, card["did"]))},
		"A2A with another did in params":                        {says(404, ""), says(200, a2a(card, "did:wire:other"))},
		"A2A without the extension":                             {says(404, ""), says(200, `{"description":"","endpoint":"/x","extensions":[],"id":"did:wire:bob-727fb040","name":"Bob","version":"1"}`)},
		"both 404":                                              {says(404, `{"error":"one"}`), says(404, `{"error":"two"}`)},
		"nothing listens":                                       {},
	}
	for _, v := range group(t, "resolve") {
		t.Run(v.Name, func(t *testing.T) {
			p, known := answers[v.Name]
			if !known {
				t.Fatal("vector without an answer")
			}
			base := v.Relay
			if base == "" {
				base = scripted(t, func(w http.ResponseWriter, r *http.Request) {
					switch {
					case r.URL.Path == "/.well-known/wire/agent" && r.URL.RawQuery == "handle=bobby":
						p.native(w, r)
					case r.URL.Path == "/.well-known/agent-card.json" && r.URL.RawQuery == "handle=bobby" && p.a2a != nil:
						p.a2a(w, r)
					default:
						t.Errorf("%s %s", r.Method, r.RequestURI)
					}
				})
			}
			r, err := newClient(t).Resolve(t.Context(), base, "bobby")
			if v.Exit != 0 {
				if err == nil {
					t.Fatal("resolved")
				}
				for _, part := range []string{"signature did not verify", `well_known_agent_card_a2a failed: 404 Not Found: {"error":"two"}`} {
					if strings.Contains(v.Stderr, part) && !strings.Contains(err.Error(), part) {
						t.Errorf("got %q, want %q", err, v.Stderr)
					}
				}
				if v.Name == "nothing listens" && !errors.Is(err, ErrRefused) {
					t.Errorf("%v", err)
				}
				return
			}
			var want struct{ JSON map[string]any }
			if jsonErr := json.Unmarshal(v.Stdout, &want); jsonErr != nil || err != nil {
				t.Fatal(err, jsonErr)
			}
			for _, k := range []string{"did", "a2a_only"} {
				if r.Doc[k] != want.JSON[k] {
					t.Errorf("%s: %v, want %v", k, r.Doc[k], want.JSON[k])
				}
			}
			if r.DID != want.JSON["did"] || (r.Card == nil) != (want.JSON["card"] == nil) {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestClaimVectors(t *testing.T) {
	ok := says(201, `{"did":"d","nick":"bobby","status":"claimed"}`)
	answers := map[string]script{
		"201": ok, "201, hidden": ok, "201, public url": ok,
		"200 with any JSON": says(200, "[1]"),
		"201, not JSON":     says(201, "x"),
		"409":               says(409, `{"error":"already taken","nick":"bobby","claimed_by":"did:wire:x"}`),
		"400":               says(400, `{"error":"reserved","nick":"bobby"}`),
		"404":               says(404, `{"error":"unknown slot"}`),
		"401":               says(401, `{"error":"missing Bearer token"}`),
	}
	var file struct {
		Groups map[string][]struct{ Requests []json.RawMessage }
	}
	if err := json.Unmarshal(readVectors(t), &file); err != nil {
		t.Fatal(err)
	}
	for i, v := range group(t, "claim") {
		t.Run(v.Name, func(t *testing.T) {
			answer := answers[v.Name]
			if answer == nil {
				t.Fatal("vector without an answer")
			}
			var sent []byte
			base := scripted(t, func(w http.ResponseWriter, r *http.Request) {
				sent, _ = io.ReadAll(r.Body)
				if r.Header.Get("Authorization") != "Bearer secret" || r.RequestURI != "/v1/handle/claim" {
					t.Errorf("%s %v", r.RequestURI, r.Header)
				}
				answer(w, r)
			})
			claim := Claim{Nick: "bobby", Hidden: v.Name == "201, hidden"}
			if v.Name == "201, public url" {
				claim.PublicURL = "https://pub.example/"
			}
			// The first two requests are written out in full: ours are the same bytes.
			var full vectorRequest
			if json.Unmarshal(file.Groups["claim"][i].Requests[0], &full) == nil && full.Body != "" {
				doc, err := canon.ParseObject([]byte(strings.ReplaceAll(full.Body, "{self_slot_id}", "11")))
				if err != nil {
					t.Fatal(err)
				}
				claim.Card, _ = doc["card"].(canon.Doc)
				defer func() {
					if string(sent) != string(canon.Compact(doc)) {
						t.Errorf("sent %s\nwant %s", sent, canon.Compact(doc))
					}
				}()
			}
			got, err := newClient(t).Claim(t.Context(), Slot{URL: base, ID: "11", Token: identity.NewToken("secret")}, claim)
			if (err != nil) != (v.Exit != 0) {
				t.Fatalf("%s, %v", got, err)
			}
			if err != nil && strings.Contains(v.Stderr, "handle_claim failed") && "error: "+err.Error() != v.Stderr {
				t.Errorf("got %q, want %q", err, v.Stderr)
			}
		})
	}
}

func TestIntroVectors(t *testing.T) {
	answers := map[string]script{
		"201":           says(201, `{"event_id":"x","status":"dropped","to_nick":"bobby"}`),
		"200 duplicate": says(200, `{"event_id":"x","status":"duplicate"}`),
		"404":           says(404, `{"error":"not claimed"}`),
		"413":           says(413, `{"error":"target slot quota exceeded"}`),
		"400":           says(400, `{"error":"kind=1100"}`),
		"429":           says(429, `x`),
		"500":           says(500, ``),
	}
	for _, v := range group(t, "intro") {
		answer := answers[v.Name]
		if answer == nil {
			t.Fatalf("%s: vector without an answer", v.Name)
		}
		var uri, body string
		base := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			data, _ := io.ReadAll(r.Body)
			uri, body = r.RequestURI, string(data)
			answer(w, r)
		})
		got, err := newClient(t).Intro(t.Context(), base, "bobby", []byte(`{"kind":1100}`))
		if uri != "/v1/handle/intro/bobby" || body != `{"event":{"kind":1100}}` {
			t.Errorf("%s: sent %s %s", v.Name, uri, body)
		}
		if (err != nil) != (v.Exit != 0) || err != nil && strings.TrimSpace("error: "+err.Error()) != v.Stderr {
			t.Errorf("%s: %s, %v, want %q", v.Name, got, err, v.Stderr)
		}
	}
}

func TestSetResponderHealth(t *testing.T) {
	var sent string
	base := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		sent = r.Method + " " + r.RequestURI + " " + string(data)
		says(200, string(data))(w, r)
	})
	c := newClient(t)
	got, err := c.SetResponderHealth(t.Context(), Slot{URL: base, ID: "11"}, canon.Doc{"status": "online", "set_at": "t"})
	if want := `{"set_at":"t","status":"online"}`; err != nil || string(got) != want || sent != "POST /v1/slot/11/responder-health "+want {
		t.Errorf("%s, %v, sent %s", got, err, sent)
	}
	_, err = c.SetResponderHealth(t.Context(), Slot{URL: scripted(t, says(500, `{"error":"persist failed: x"}`))}, canon.Doc{})
	if err == nil || err.Error() != `responder_health_set failed: 500 Internal Server Error: {"error":"persist failed: x"}` {
		t.Errorf("%v", err)
	}
}
