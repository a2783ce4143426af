package identity

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

func base64OfHex(t *testing.T, s string) string {
	t.Helper()
	raw, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func TestIdentifiers(t *testing.T) {
	var file struct {
		Identities []struct {
			Seed, Handle, DID, Fingerprint string
			PublicKey                      string `json:"public_key"`
			KeyID                          string `json:"key_id"`
			DIDLegacy                      string `json:"did_legacy"`
		}
		Bare []struct{ In, Bare string }               `json:"bare_handle"`
		DIDs []struct{ Handle, DID, DIDLegacy string } `json:"did_passthrough"`
		From []struct{ In, Handle string }             `json:"handle_from_did"`
	}
	readVectors(t, "keys.json", &file)
	for _, c := range file.Identities {
		k := keyOf(t, c.Seed)
		same(t, c.Handle+": seed", hex.EncodeToString(k.Seed()), c.Seed)
		same(t, c.Handle+": public key", hex.EncodeToString(k.Public()), c.PublicKey)
		same(t, c.Handle+": fingerprint", Fingerprint(k.Public()), c.Fingerprint)
		same(t, c.Handle+": key id", KeyID(c.Handle, k.Public()), c.KeyID)
		same(t, c.Handle+": DID", string(NewDID(c.Handle, k.Public())), c.DID)
		same(t, c.Handle+": legacy DID", string(LegacyDID(c.Handle)), c.DIDLegacy)
		same(t, c.Handle+": back", NewDID(c.Handle, k.Public()).Fingerprint(), c.Fingerprint)
	}
	for _, c := range file.Bare {
		same(t, "bare "+c.In, BareHandle(c.In), c.Bare)
	}
	alice := keyOf(t, file.Identities[0].Seed)
	for _, c := range file.DIDs {
		same(t, "DID as handle", string(NewDID(c.Handle, alice.Public())), c.DID)
	}
	for _, c := range file.From {
		same(t, "handle of "+c.In, DID(c.In).Handle(), c.Handle)
	}
}

func TestNicks(t *testing.T) {
	var file struct {
		Nick []struct {
			In        string
			Claimable bool
			SyntaxOK  bool `json:"syntax_ok"`
		}
		Addresses []struct {
			In, Nick, Domain string
			Accepts          bool
		} `json:"nick_at_domain"`
		Reserved []string `json:"reserved_nicks"`
	}
	readVectors(t, "names.json", &file)
	for _, c := range file.Nick {
		ok := CheckNick(c.In) == nil
		if ok != c.SyntaxOK || (ok && !ReservedNick(c.In)) != c.Claimable {
			t.Errorf("nick %q: syntax %v, reserved %v", c.In, ok, ReservedNick(c.In))
		}
	}
	for _, c := range file.Addresses {
		nick, domain, err := ParseAddress(c.In)
		if (err == nil) != c.Accepts || nick != c.Nick || domain != c.Domain {
			t.Errorf("%q: %q %q %v", c.In, nick, domain, err)
		}
	}
	for _, nick := range file.Reserved {
		if !ReservedNick(nick) {
			t.Errorf("%q is not reserved", nick)
		}
	}
	if len(file.Reserved) != 52 {
		t.Errorf("%d reserved nicks in the vectors", len(file.Reserved))
	}
}

func TestCheckHandleAndRole(t *testing.T) {
	long := strings.Repeat("x", 201)
	for handle, want := range map[string]string{
		"alice": "ok", "A_b-9": "ok", "-": "ok", long[1:]: "ok",
		"":           "handle must not be empty",
		long:         "handle too long (201 chars; max 200)",
		"Bad Name":   `handle must be ASCII alphanumeric / '-' / '_' (got "Bad Name")`,
		"../x":       `handle must be ASCII alphanumeric / '-' / '_' (got "../x")`,
		"ümlaut":     `handle must be ASCII alphanumeric / '-' / '_' (got "ümlaut")`,
		"did:wire:x": `handle must be ASCII alphanumeric / '-' / '_' (got "did:wire:x")`,
		"a\xff":      `handle must be ASCII alphanumeric / '-' / '_' (got "a�")`,
	} {
		same(t, handle, verdict(CheckHandle(handle)), want)
	}
	for role, want := range map[string]string{
		"reviewer": "ok", "A-b_9": "ok", long[:32]: "ok",
		"":        "role must not be empty",
		long[:33]: "role too long (33 chars; max 32)",
		"a b":     "role contains illegal char ' ' (allowed: A-Z a-z 0-9 - _)",
		"it's":    `role contains illegal char '\'' (allowed: A-Z a-z 0-9 - _)`,
	} {
		same(t, role, verdict(CheckRole(role)), want)
	}
}

func TestAddressErrors(t *testing.T) {
	for address, want := range map[string]string{
		"bob":     `handle missing '@' separator: "bob"`,
		"bob@":    `handle has empty nick or domain: "bob@"`,
		"@x":      `handle has empty nick or domain: "@x"`,
		"Bob@x.y": `phyllis: "Bob" won't fit in the books — handles need 2-32 chars, lowercase [a-z0-9_-]`,
		"bob@X.Y": `domain "X.Y" invalid — must be lowercase ASCII, dot-separated`,
		"bob@x:1": `domain "x:1" invalid — must be lowercase ASCII, dot-separated`,
	} {
		_, _, err := ParseAddress(address)
		same(t, address, verdict(err), want)
	}
}
