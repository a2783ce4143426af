package pairing

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/identity"
)

const relayURL = "http://127.0.0.1:8771"

// newSession makes a session as `session new --local-only` leaves it: identity, trust in itself, one slot.
// Key and slot follow from the directory name, so that names say everything.
func newSession(t testing.TB, root, dir, handle string) home.Session {
	t.Helper()
	s := home.At(filepath.Join(root, "wh", "sessions", dir))
	s.Name = dir
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.Ensure(); err != nil {
		t.Fatal(err)
	}
	identify(t, s, handle, dir)
	bind(t, s, endpoint(relayURL, home.Local, dir))
	return s
}

// identify gives a session the identity that follows from seed, in place of the one it has.
func identify(t testing.TB, s home.Session, handle, seed string) identity.CardInfo {
	t.Helper()
	key := keyOf(t, seed)
	card := identity.SignCard(identity.NewCard(handle, "", key.Public()), key)
	info, err := identity.ReadCard(card)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "private.key", key.Seed())
	put(t, s, "agent-card.json", canon.Pretty(card))
	put(t, s, "trust.json", canon.Pretty(identity.NewTrust(info, time.Unix(1770000000, 5e8))))
	return info
}

func keyOf(t testing.TB, seed string) identity.Key {
	t.Helper()
	sum := sha256.Sum256([]byte("seed of " + seed))
	key, err := identity.KeyFromSeed(sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// bind gives a session its own endpoints.
func bind(t testing.TB, s home.Session, endpoints ...home.Endpoint) {
	t.Helper()
	rec := home.PeerRecord(endpoints) // self has the same four members
	put(t, s, "relay.json", canon.Pretty(canon.Doc{"self": rec}))
}

// endpoint is a slot whose id and token follow from name.
func endpoint(url string, scope home.Scope, name string) home.Endpoint {
	id, token := sha256.Sum256([]byte("slot of "+name)), sha256.Sum256([]byte("token of "+name))
	return home.Endpoint{
		RelayURL: url, Scope: scope,
		SlotID: hex.EncodeToString(id[:16]), SlotToken: identity.NewToken(hex.EncodeToString(token[:])),
	}
}

// put writes a file of CFG without a sync, for a test may need a thousand.
func put(t testing.TB, s home.Session, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.ConfigDir(), name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Ino)
	}
	return 0
}
