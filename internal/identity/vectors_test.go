package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"wirefleet.dev/wire/internal/canon"
)

// readVectors decodes the envelope with encoding/json; documents inside are strings for our own parser.
func readVectors(t testing.TB, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func parse(t *testing.T, text string) any {
	t.Helper()
	v, err := canon.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func parseDoc(t *testing.T, text string) canon.Doc {
	t.Helper()
	doc, ok := parse(t, text).(canon.Doc)
	if !ok {
		t.Fatalf("no object: %s", text)
	}
	return doc
}

func keyOf(t testing.TB, seed string) Key {
	t.Helper()
	raw, err := hex.DecodeString(seed)
	if err != nil {
		t.Fatal(err)
	}
	k, err := KeyFromSeed(raw)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// verdict is the vectors' word for the outcome of a check.
func verdict(err error) string {
	if err == nil {
		return "ok"
	}
	return err.Error()
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}
