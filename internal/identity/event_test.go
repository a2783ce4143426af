package identity

import (
	"strings"
	"testing"

	"wirefleet.dev/wire/internal/canon"
)

func TestSignEvent(t *testing.T) {
	var file struct {
		Signed []struct {
			Name, Handle, Seed, Input, Canonical, Line, Signature string
			EventID                                               string `json:"event_id"`
			PublicKeyID                                           string `json:"public_key_id"`
			LineVerifies                                          string `json:"line_verifies"`
		}
		Lengths []struct {
			Error      string
			PrivateLen int `json:"private_len"`
			PublicLen  int `json:"public_len"`
		} `json:"sign_length_errors"`
	}
	readVectors(t, "events.json", &file)
	for _, c := range file.Signed {
		k := keyOf(t, c.Seed)
		event, ok := parse(t, c.Input).(canon.Doc)
		if !ok {
			// Our SignEvent takes objects only; what is no object has just its bytes compared.
			bytes := canon.Canonical(parse(t, c.Input), canon.StripEvent)
			same(t, c.Name+": canonical", string(bytes), c.Canonical)
			same(t, c.Name+": id", sha(bytes), c.EventID)
			continue
		}
		before := string(canon.Compact(event))
		same(t, c.Name+": canonical", string(canon.Canonical(event, canon.StripEvent)), c.Canonical)
		same(t, c.Name+": id", EventID(event), c.EventID)
		signed := SignEvent(event, k, NewDID(c.Handle, k.Public()))
		same(t, c.Name+": argument", string(canon.Compact(event)), before)
		same(t, c.Name+": key id", signed["public_key_id"].(string), c.PublicKeyID)
		same(t, c.Name+": signature", signed["signature"].(string), c.Signature)
		same(t, c.Name+": line", string(canon.Compact(signed)), c.Line)
	}
	for _, c := range file.Lengths {
		// A Key always has the public half that belongs to it, so only the private length can be wrong.
		if c.PrivateLen != 32 {
			_, err := KeyFromSeed(make([]byte, c.PrivateLen))
			same(t, "length", verdict(err), c.Error)
		}
	}
}

func TestKindsAndSchemas(t *testing.T) {
	var file struct {
		Kinds []struct {
			Kind  uint32
			Known bool
			Name  *string
		}
		Schemas []struct {
			Major   string
			Passes  bool
			Version string `json:"schema_version"`
		} `json:"schema_major"`
	}
	readVectors(t, "events.json", &file)
	for _, c := range file.Kinds {
		name := ""
		if c.Name != nil {
			name = *c.Name
		}
		if KnownKind(c.Kind) != c.Known || KindName(c.Kind) != name {
			t.Errorf("kind %d: known %v, name %q", c.Kind, KnownKind(c.Kind), KindName(c.Kind))
		}
		refused := CheckKind(canon.Doc{"kind": uint64(c.Kind) + 1<<32}, "0.6.10")
		if (refused == nil) != c.Known {
			t.Errorf("kind %d: %v", c.Kind, refused)
		}
	}
	for _, c := range file.Schemas {
		err := CheckSchema(canon.Doc{"schema_version": c.Version})
		if (err == nil) != c.Passes {
			t.Errorf("schema %q: %v", c.Version, err)
		}
		if err != nil && (!err.Transient || err.Reason != "schema_mismatch="+c.Version+" binary_supports=v3.1") {
			t.Errorf("schema %q: %+v", c.Version, err)
		}
	}
	for _, event := range []any{nil, []any{}, canon.Doc{}, canon.Doc{"schema_version": uint64(4)}} {
		if err := CheckSchema(event); err != nil {
			t.Errorf("%v: %v", event, err)
		}
	}
	for _, kind := range []any{nil, "1", -int64(1), 1.0, uint64(7)} {
		err := CheckKind(canon.Doc{"kind": kind}, "9.9")
		want := "unknown_kind=0 binary_version=9.9"
		if kind == uint64(7) {
			want = "unknown_kind=7 binary_version=9.9"
		}
		if err == nil || err.Reason != want || !err.Transient {
			t.Errorf("kind %v: %v", kind, err)
		}
	}
}

func TestKindNumber(t *testing.T) {
	for arg, want := range map[string]uint32{
		"decision": 1, "heartbeat": 100, "claim": 1001, "ack": 1002, "agent_card": 1100, "trust_add_key": 1101,
		"trust_revoke_key": 1102, "wire_open": 1200, "wire_close": 1201,
		"1000": 1000, "+7": 7, "007": 7, "4294967295": 4294967295,
		"4294967296": 1, "-1": 1, "": 1, "+": 1, "++1": 1, "1.0": 1, "Claim": 1, "nonsense": 1, "1_0": 1,
	} {
		if got := KindNumber(arg); got != want {
			t.Errorf("KindNumber(%q) = %d, want %d", arg, got, want)
		}
	}
}

func TestVerifyEvent(t *testing.T) {
	var file struct {
		Trusts map[string]string
		Cases  []struct {
			Name, Event, Trust, Verdict string
			Transient                   bool
		}
	}
	readVectors(t, "events-verify.json", &file)
	for _, c := range file.Cases {
		// One trust document is no object; the reference then knows nobody.
		trust, _ := parse(t, file.Trusts[c.Trust]).(canon.Doc)
		err := VerifyEvent(parse(t, c.Event), trust)
		same(t, c.Name, verdict(err), c.Verdict)
		if err != nil && err.(*VerifyError).Transient != c.Transient {
			t.Errorf("%s: transient %v", c.Name, !c.Transient)
		}
	}
}

func TestEd25519Edges(t *testing.T) {
	var file struct {
		Cases []struct {
			Name, Event, Verdict string
			PublicKey            string `json:"public_key"`
		}
	}
	readVectors(t, "ed25519-edges.json", &file)
	for _, c := range file.Cases {
		event := parseDoc(t, c.Event)
		trust := canon.Doc{"agents": canon.Doc{"edge": canon.Doc{"public_keys": []any{
			canon.Doc{"key_id": event["public_key_id"], "key": base64OfHex(t, c.PublicKey)},
		}}}}
		err := VerifyEvent(event, trust)
		if c.Verdict == "ok" && err != nil || c.Verdict != "ok" && (err == nil || !strings.Contains(err.Error(), c.Verdict)) {
			t.Errorf("%s: %v, want %s", c.Name, err, c.Verdict)
		}
	}
}

func TestTrustIsReadOnlyForWholeEvents(t *testing.T) {
	event, _, trust, _ := exchange(t)
	asked := ""
	agents := func(handle string) (any, bool) {
		asked += handle + ";"
		record, known := trust["agents"].(canon.Doc)[handle]
		return record, known
	}
	same(t, "good", verdict(VerifyEventBy(event, agents)), "ok")
	event["body"] = "changed"
	if VerifyEventBy(event, agents) == nil {
		t.Error("a changed event passes")
	}
	same(t, "asked for", asked, "alice;")
}
