package identity

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSecretsStayHidden prints a key and a token by every way a program prints values and looks for them in
// the output, in the forms in which bytes appear there.
func TestSecretsStayHidden(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	k, other := keyOf(t, secret), keyOf(t, strings.Repeat("07", 32))
	seed := k.Seed()
	type holder struct {
		K Key
		T Token
		P *Token
		M map[Token]Key
		S []Token
		k Key
		t Token
	}
	hold := func(k Key, s string) holder {
		tok := NewToken(s)
		return holder{k, tok, &tok, map[Token]Key{tok: k}, []Token{tok}, k, tok}
	}
	h := hold(k, secret)
	forms := []string{
		secret, strings.ToUpper(secret), string(seed), fmt.Sprint(seed), fmt.Sprintf("%#v", seed), fmt.Sprintf("%q", seed),
		hex.EncodeToString([]byte(secret)), fmt.Sprint([]byte(secret)),
		fmt.Sprintf("%#v", []byte(secret)), base64OfHex(t, secret), fmt.Sprintf("%v", k.open()), fmt.Sprintf("%x", k.open()),
	}
	check := func(how, out string) {
		t.Helper()
		for _, form := range forms {
			if part := form[:len(form)/2]; strings.Contains(out, part) {
				t.Errorf("%s shows %.20q…: %.200q", how, part, out)
			}
		}
		if out == "" {
			t.Errorf("%s shows nothing", how)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%T %v"} {
		for _, v := range []any{h.K, h.T, h.P, h, &h, h.M, h.S, errors.Join(fmt.Errorf("token %v", h.T))} {
			args := []any{v}
			if verb == "%T %v" {
				args = []any{v, v}
			}
			check(verb, fmt.Sprintf(verb, args...))
		}
		if verb != "%T %v" {
			same(t, verb, fmt.Sprintf(verb, h.T), redacted)
			same(t, verb, fmt.Sprintf(verb, h.K), redacted)
		}
	}
	text, err := json.Marshal(map[string]any{"k": h.K, "t": h.T, "all": h.S})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "json", string(text), `{"all":["\u003credacted\u003e"],"k":"\u003credacted\u003e","t":"\u003credacted\u003e"}`)
	if err := json.Unmarshal([]byte(`"<redacted>"`), new(Token)); err == nil {
		t.Error("a redacted token was read back")
	}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("m", "k", h.K, "t", h.T, "h", h, "s", h.S, "e", fmt.Errorf("%w: %v", errors.New("x"), h))
	}
	check("slog", log.String())
	if n := strings.Count(log.String(), redacted); n < 4 {
		t.Errorf("slog shows %d times %s: %s", n, redacted, log.String())
	}
	all := cmp.AllowUnexported(holder{})
	if !cmp.Equal(h, hold(keyOf(t, secret), secret), all) {
		t.Error("equal secrets differ")
	}
	diff := cmp.Diff(h, hold(other, "another token"), all)
	check("go-cmp", diff)
	check("go-cmp", cmp.Diff(h.T, NewToken(secret[1:])))
	if strings.Contains(diff, "another token") {
		t.Errorf("go-cmp shows the other token: %s", diff)
	}
}

func TestToken(t *testing.T) {
	long := strings.Repeat("0123456789", 20) // longer than the pad
	for _, s := range []string{"", "x", long} {
		same(t, "reveal", NewToken(s).Reveal(), s)
		a, b := NewToken(s), NewToken(strings.Clone(s))
		if a != b || !a.Equal(b) || a.Zero() != (s == "") {
			t.Errorf("%q does not compare", s)
		}
	}
	if NewToken("a") == NewToken("b") || NewToken("a").Equal(NewToken("b")) || (Token{}) != NewToken("") {
		t.Error("different tokens are equal")
	}
}

func TestKeys(t *testing.T) {
	a, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	again, err := KeyFromSeed(a.Seed())
	if err != nil {
		t.Fatal(err)
	}
	if a.Equal(b) || !a.Equal(again) || a.Equal(Key{}) || !(Key{}).Equal(Key{}) || a.Zero() || !(Key{}).Zero() {
		t.Error("keys do not compare")
	}
	again.Seed()[0]++
	if !a.Equal(again) {
		t.Error("Seed lends the key's own bytes")
	}
}
