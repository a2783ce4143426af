package identity

import (
	"fmt"
	"strings"
)

// BareHandle is arg cut at its first "@".
func BareHandle(arg string) string {
	handle, _, _ := strings.Cut(arg, "@")
	return handle
}

// CheckHandle refuses what must never become a file name or a pin: anything but 1 to 200 of [A-Za-z0-9_-].
func CheckHandle(h string) error {
	switch {
	case h == "":
		return fmt.Errorf("handle is empty")
	case len(h) > 200:
		return fmt.Errorf("handle has %d bytes, at most 200 are allowed", len(h))
	case !only(h, isNickByte, isUpper):
		return fmt.Errorf("handle %q has other characters than ASCII letters, digits, '-' and '_'", h)
	}
	return nil
}

// CheckNick refuses what no directory may list: anything but 2 to 32 of [a-z0-9_-] (identity.md 2.4).
func CheckNick(nick string) error {
	if len(nick) < 2 || len(nick) > 32 || !only(nick, isNickByte) {
		return fmt.Errorf("nick %q is not 2 to 32 of a-z, 0-9, '-' and '_'", nick)
	}
	return nil
}

// CheckRole refuses what is no role tag: anything but 1 to 32 of [A-Za-z0-9_-] (identity.md 2.4).
func CheckRole(role string) error {
	if role == "" || len(role) > 32 || !only(role, isNickByte, isUpper) {
		return fmt.Errorf("role %q is not 1 to 32 ASCII letters, digits, '-' and '_'", role)
	}
	return nil
}

// ParseAddress takes "nick@domain" apart (identity.md 2.4). Reserved nicks pass: they may be resolved,
// only not claimed.
func ParseAddress(s string) (nick, domain string, err error) {
	nick, domain, found := strings.Cut(s, "@")
	if !found {
		return "", "", fmt.Errorf("%q is not nick@domain", s)
	}
	if err := CheckNick(nick); err != nil {
		return "", "", err
	}
	if domain == "" || len(domain) > 253 {
		return "", "", fmt.Errorf("domain %q is not 1 to 253 bytes", domain)
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || !only(label, isLabelByte) {
			return "", "", fmt.Errorf("domain %q is not dot-separated labels of a-z, 0-9 and '-'", domain)
		}
	}
	return nick, domain, nil
}

// ReservedNick says whether a nick may not be claimed.
func ReservedNick(nick string) bool {
	switch nick {
	case "abuse", "admin", "agent", "all", "anthropic", "api", "bar", "baz", "bot", "claude", "contact",
		"copilot", "cursor", "daemon", "demo", "everyone", "example", "foo", "gemini", "help", "here",
		"hostmaster", "info", "kernel", "me", "mistral", "mod", "moderator", "none", "noreply", "null",
		"official", "openai", "ops", "owner", "postmaster", "robot", "root", "security", "self", "server",
		"service", "slancha", "staff", "support", "sys", "system", "team", "test", "webmaster", "wire", "you":
		return true
	}
	return false
}

func isLabelByte(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' }
func isNickByte(c byte) bool  { return isLabelByte(c) || c == '_' }
func isUpper(c byte) bool     { return 'A' <= c && c <= 'Z' }

func only(s string, classes ...func(byte) bool) bool {
	for i := range len(s) {
		found := false
		for _, in := range classes {
			found = found || in(s[i])
		}
		if !found {
			return false
		}
	}
	return true
}
