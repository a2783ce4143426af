package identity

import (
	"errors"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
)

// FuzzCard feeds cards as strangers may send them: nothing may panic, and what CheckOwner lets pass can be
// pinned under the name and the key it reports.
func FuzzCard(f *testing.F) {
	var file struct {
		Verify []struct{ Card string }
	}
	readVectors(f, "cards.json", &file)
	for _, c := range file.Verify {
		f.Add([]byte(c.Card))
	}
	k := keyOf(f, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := canon.Parse(data)
		if err != nil {
			return
		}
		var cardErr *CardError
		if err := VerifyCard(v); err != nil && !errors.As(err, &cardErr) {
			t.Fatalf("%T", err)
		}
		card, ok := v.(canon.Doc)
		if !ok {
			return
		}
		handle, rec, pinErr := PinRecord(card, TierVerified, now, []any{v})
		if pinErr == nil && (CheckHandle(handle) != nil || Tier(rec) != TierVerified) {
			t.Fatalf("pinned as %q: %v", handle, rec)
		}
		for _, c := range []canon.Doc{card, SignCard(card, k)} { // signed, more of them get to the later checks
			info, err := CheckOwner(c)
			if err != nil {
				continue
			}
			name, rec, err := PinRecord(c, TierVerified, now, nil)
			if err != nil || name != info.Handle || len(rec["public_keys"].([]any)) == 0 || info.Public == nil {
				t.Fatalf("%+v passed, but pins as %q: %v", info, name, err)
			}
		}
	})
}

// FuzzVerifyEvent feeds events and trust documents: nothing may panic, and only what alice signed passes.
func FuzzVerifyEvent(f *testing.F) {
	var file struct {
		Trusts map[string]string
		Cases  []struct{ Event, Trust string }
	}
	readVectors(f, "events-verify.json", &file)
	for _, c := range file.Cases {
		f.Add([]byte(c.Event), []byte(file.Trusts[c.Trust]))
	}
	f.Fuzz(func(t *testing.T, event, trust []byte) {
		e, err := canon.Parse(event)
		if err != nil {
			return
		}
		v, err := canon.Parse(trust)
		if err != nil {
			return
		}
		doc, _ := v.(canon.Doc)
		_ = CheckSchema(e)
		_ = CheckKind(e, "0")
		err = VerifyEvent(e, doc)
		var verifyErr *VerifyError
		if err != nil && !errors.As(err, &verifyErr) {
			t.Fatalf("%T", err)
		}
		if err == nil {
			changed := e.(canon.Doc)
			changed["one more"] = true
			if VerifyEvent(changed, doc) == nil {
				t.Fatal("a changed event passes")
			}
		}
	})
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2026-01-02T03:04:05.5Z", "2026-12-31T15:59:60-08:00", "9999-12-31t23:59:59+23:59", "30m", "+7d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseTime(s)
		if reference, refErr := time.Parse(time.RFC3339, s); refErr == nil && err == nil && !got.Equal(reference) {
			t.Fatalf("%q: %v, time.Parse says %v", s, got, reference)
		}
		if err == nil && got.UTC().Year() >= 0 && got.UTC().Year() <= 9999 {
			if again, err := ParseTime(FormatTime(got)); err != nil || !again.Equal(got) {
				t.Fatalf("%q: %v %v", s, again, err)
			}
		}
		if deadline, err := ParseDeadline(s, time.Unix(1767323045, 0)); err == nil {
			if _, err := ParseTime(deadline); err != nil {
				t.Fatalf("%q gives the deadline %q: %v", s, deadline, err)
			}
		}
	})
}
