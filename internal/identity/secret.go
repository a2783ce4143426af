package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
)

const redacted = "<redacted>"

// Key is an Ed25519 private key. It formats as "<redacted>" under every verb and in JSON, slog and go-cmp.
// The zero Key holds none; only Zero and Equal may be called on it.
type Key struct {
	// A function, because printers that walk values (go-cmp, spew) cannot see into one.
	open func() ed25519.PrivateKey
}

// NewKey makes a key from the operating system's random source.
func NewKey() (Key, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(seed); err != nil {
		return Key{}, fmt.Errorf("new key: %w", err)
	}
	return KeyFromSeed(seed)
}

// KeyFromSeed is the key of a 32-byte seed, the content of private.key; any other length is an error.
func KeyFromSeed(seed []byte) (Key, error) {
	if len(seed) != ed25519.SeedSize {
		return Key{}, fmt.Errorf("private key must be 32 bytes, got %d", len(seed))
	}
	priv := ed25519.NewKeyFromSeed(seed)
	return Key{open: func() ed25519.PrivateKey { return priv }}, nil
}

// Zero says whether k holds no key.
func (k Key) Zero() bool { return k.open == nil }

// Seed is the 32 bytes that private.key holds.
func (k Key) Seed() []byte { return k.open().Seed() }

// Public is the 32-byte public key.
func (k Key) Public() ed25519.PublicKey { return k.open().Public().(ed25519.PublicKey) }

// Sign signs message itself (identity.md 4.2); an event is signed by SignEvent.
func (k Key) Sign(message []byte) []byte { return ed25519.Sign(k.open(), message) }

// Equal says whether both hold the same key, or both none.
func (k Key) Equal(o Key) bool {
	if k.Zero() || o.Zero() {
		return k.Zero() == o.Zero()
	}
	return k.open().Equal(o.open())
}

func (k Key) String() string               { return redacted }
func (k Key) Format(f fmt.State, _ rune)   { writeRedacted(f) }
func (k Key) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (k Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Token is a slot token: whoever has it reads and writes the slot. It formats as "<redacted>"; Reveal is
// for the Authorization header and for relay.json only. Tokens compare with ==; the zero Token is "".
type Token struct {
	// Not the token: printers that walk values (go-cmp) print the bytes of a string without asking its
	// type. Under a pad that lives as long as the process they print noise, and == still means the same.
	padded string
}

// NewToken wraps a token read from a file or a reply.
func NewToken(token string) Token { return Token{padded: pad(token)} }

// Reveal is the token itself.
func (t Token) Reveal() string { return pad(t.padded) }

// Zero says whether t is the empty token.
func (t Token) Zero() bool { return t.padded == "" }

// Equal is == in constant time; go-cmp uses it.
func (t Token) Equal(o Token) bool {
	return subtle.ConstantTimeCompare([]byte(t.padded), []byte(o.padded)) == 1
}

func (t Token) String() string               { return redacted }
func (t Token) Format(f fmt.State, _ rune)   { writeRedacted(f) }
func (t Token) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (t Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText refuses: a token that went through text is lost, and must not come back as "<redacted>".
func (t *Token) UnmarshalText([]byte) error {
	return errors.New("a token is read with NewToken, not decoded")
}

func writeRedacted(w io.Writer) { _, _ = io.WriteString(w, redacted) }

var processPad struct {
	once  sync.Once
	bytes [64]byte
}

// pad is its own inverse.
func pad(s string) string {
	if s == "" {
		return ""
	}
	processPad.once.Do(func() {
		_, _ = rand.Read(processPad.bytes[:]) // never fails: crypto/rand ends the program instead
	})
	b := []byte(s)
	for i := range b {
		b[i] ^= processPad.bytes[i%len(processPad.bytes)]
	}
	return string(b)
}
