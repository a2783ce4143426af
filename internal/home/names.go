package home

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	nameless = "wire-session" // what sanitizing leaves of nothing
	maxName  = 32             // bytes of a sanitized name
)

// Sanitize is home-and-daemon.md 5.2, for directory and session names.
func Sanitize(raw string) string {
	out := make([]byte, 0, maxName)
	dash := false
	for _, r := range raw {
		switch {
		case r >= 'A' && r <= 'Z':
			r += 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_':
		default:
			dash = true
			continue
		}
		if dash && len(out) > 0 {
			out = append(out, '-')
		}
		dash = false
		out = append(out, byte(r))
	}
	if len(out) == 0 {
		return nameless
	}
	if len(out) > maxName {
		out = out[:maxName]
	}
	return strings.TrimRight(string(out), "-")
}

// DeriveName is 5.3 for a cwd that has no name yet: taken holds the names already in use. Where the reference
// would make a name longer than a directory's, which then is another session's (cli.md 6.1, quirk 7), the base
// is cut short.
func DeriveName(cwd string, taken map[string]bool) string {
	base := nameless
	if last, ok := lastComponent(cwd); ok && utf8.ValidString(last) {
		base = Sanitize(last)
	}
	if !taken[base] {
		return base
	}
	sum := sha256.Sum256([]byte(RegistryKey(cwd)))
	hash := hex.EncodeToString(sum[:2])
	if name := withSuffix(base, hash); !taken[name] {
		return name
	}
	for n := 2; n <= 999; n++ {
		if name := withSuffix(base, strconv.Itoa(n)); !taken[name] {
			return name
		}
	}
	return withSuffix(base, hash+"-overflow")
}

// withSuffix is base-suffix, within the length of a name.
func withSuffix(base, suffix string) string {
	if room := maxName - len(suffix) - 1; len(base) > room {
		base = strings.TrimRight(base[:room], "-")
	}
	return base + "-" + suffix
}

// lastComponent is the last name in a path; there is none in "/", "", "." and what ends in "..".
func lastComponent(path string) (string, bool) {
	for path != "" {
		i := strings.LastIndexByte(path, '/')
		last := path[i+1:]
		path = path[:max(i, 0)]
		switch last {
		case "", ".":
			continue
		case "..":
			return "", false
		}
		return last, true
	}
	return "", false
}

// RegistryKey is a path as the registry spells it: each ill-formed sequence of bytes is one U+FFFD (2.3).
func RegistryKey(path string) string {
	if utf8.ValidString(path) {
		return path
	}
	var b strings.Builder
	for len(path) > 0 {
		r, n := utf8.DecodeRuneInString(path)
		if r == utf8.RuneError && n == 1 {
			n = illFormed(path)
		}
		b.WriteRune(r)
		path = path[n:]
	}
	return b.String()
}

// illFormed is the length of the ill-formed sequence that s starts with: as many bytes as begin some
// character, at least one. "\xe2\x82" is one such sequence where Go's range sees two.
func illFormed(s string) int {
	want, lo, hi := 0, byte(0x80), byte(0xbf)
	switch c := s[0]; {
	case c >= 0xc2 && c <= 0xdf:
		want = 1
	case c >= 0xe0 && c <= 0xef:
		want = 2
		if c == 0xe0 {
			lo = 0xa0
		} else if c == 0xed {
			hi = 0x9f
		}
	case c >= 0xf0 && c <= 0xf4:
		want = 3
		if c == 0xf0 {
			lo = 0x90
		} else if c == 0xf4 {
			hi = 0x8f
		}
	}
	n := 1
	for ; n <= want && n < len(s) && s[n] >= lo && s[n] <= hi; n++ {
		lo, hi = 0x80, 0xbf
	}
	return n
}

// Physical resolves the longest existing prefix of an absolute path to its physical path; exists says
// whether all of it was there. A link that leads nowhere counts as not there, and stays in the result.
func Physical(path string) (phys string, exists bool, err error) {
	if !filepath.IsAbs(path) {
		return "", false, &FileError{path, errRelative}
	}
	if phys, err = filepath.EvalSymlinks(path); err == nil {
		return phys, true, nil
	}
	rest := ""
	for path = filepath.Clean(path); errors.Is(err, fs.ErrNotExist); {
		if phys, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Join(phys, rest), rest == "", nil
		}
		if path == "/" {
			break
		}
		rest = filepath.Join(filepath.Base(path), rest)
		path = filepath.Dir(path)
	}
	return "", false, err
}
