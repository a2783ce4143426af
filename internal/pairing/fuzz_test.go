package pairing

import (
	"testing"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

// FuzzRecords judges any two records and repairs them: the repaired ones are good, whatever was there.
func FuzzRecords(f *testing.F) {
	key := keyOf(f, "beth")
	card := identity.NewCard("beth", "", key.Public())
	card["verify_keys"].(canon.Doc)["zz"] = canon.Doc{"key": []any{}}
	card = identity.SignCard(card, key)
	info, err := identity.CheckOwner(card)
	if err != nil {
		f.Fatal(err)
	}
	s, err := newSister(card, info)
	if err != nil {
		f.Fatal(err)
	}
	s.setEndpoints([]home.Endpoint{
		endpoint("https://wireup.net", home.Federation, "beth"), endpoint(relayURL, home.Local, "beth"),
	})
	text := func(rec any) []byte {
		switch rec := rec.(type) {
		case nil:
			return nil
		case string:
			return []byte(rec)
		default:
			return canon.Compact(rec)
		}
	}
	for _, state := range pinStates {
		_, rec, err := identity.PinRecord(card, identity.TierVerified, someTime, nil)
		if err != nil {
			f.Fatal(err)
		}
		files := &pinFiles{
			trust: rec, route: home.PeerRecord(s.endpoints),
			former: pinOf(f, "beth", "a former beth"), stranger: pinOf(f, "beth", "a stranger"),
		}
		state.spoil(files)
		f.Add(text(files.trust), text(files.route))
	}
	f.Add([]byte(`{"did":"`+string(info.DID)+`","public_keys":[{"active":false,"key":[],"key_id":"zz"}]}`), []byte(`{"endpoints":[{"relay_url":{},"slot_id":[],"scope":"x"}]}`))
	f.Fuzz(func(t *testing.T, trust, route []byte) {
		if len(trust) > 0 && canon.Valid(trust) != nil || len(route) > 0 && canon.Valid(route) != nil {
			t.Skip("no such member can stand in a file that is read")
		}
		seenTrust, seenRoute := s.viewTrust(trust, len(trust) > 0), s.viewRoute(route, len(route) > 0)
		v := judge(seenTrust, seenRoute)
		if (v.state == PinGood) != (v.why == "") || (v.state == PinGood) != (!v.trust && !v.route) {
			t.Errorf("verdict %+v", v)
		}
		if v.trust && !seenTrust.off {
			text, err := s.repin(trust, someTime)
			if err != nil {
				t.Fatal(err)
			}
			if again := s.viewTrust(text, true); !again.good {
				t.Errorf("repaired trust is not good: %s\n%s", again.why, text)
			}
		}
		if v.route {
			if again := s.viewRoute(s.reroute(route), true); !again.good {
				t.Errorf("repaired route is not good: %s\n%s", again.why, s.reroute(route))
			}
		}
	})
}
