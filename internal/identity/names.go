package identity

import (
	"errors"
	"fmt"
	"strings"
)

// The error texts of this file are the reference's; they reach its users through commands and tools.

// BareHandle is arg cut at its first "@".
func BareHandle(arg string) string {
	handle, _, _ := strings.Cut(arg, "@")
	return handle
}

// CheckHandle refuses what must never become a file name or a pin: anything but 1 to 200 of [A-Za-z0-9_-].
func CheckHandle(h string) error {
	switch {
	case h == "":
		return errors.New("handle must not be empty")
	case len(h) > 200:
		return fmt.Errorf("handle too long (%d chars; max 200)", len(h))
	case strings.ContainsFunc(h, notWord):
		return fmt.Errorf("handle must be ASCII alphanumeric / '-' / '_' (got %s)", Quote(h))
	}
	return nil
}

// CheckNick refuses what no directory may list: anything but 2 to 32 of [a-z0-9_-] (identity.md 2.4).
func CheckNick(nick string) error {
	if len(nick) < 2 || len(nick) > 32 || strings.ContainsFunc(nick, notLowerWord) {
		return fmt.Errorf("phyllis: %s won't fit in the books — handles need 2-32 chars, lowercase [a-z0-9_-]", Quote(nick))
	}
	return nil
}

// CheckClaim is CheckNick for a nick that shall be one's own: reserved ones are refused, too.
func CheckClaim(nick string) error {
	if ReservedNick(nick) {
		return fmt.Errorf("phyllis: %s won't fit in the books — the nick is reserved", Quote(nick))
	}
	return CheckNick(nick)
}

// CheckRole refuses what is no role tag: anything but 1 to 32 of [A-Za-z0-9_-] (identity.md 2.4).
func CheckRole(role string) error {
	switch {
	case role == "":
		return errors.New("role must not be empty")
	case len(role) > 32:
		return fmt.Errorf("role too long (%d chars; max 32)", len(role))
	}
	if i := strings.IndexFunc(role, notWord); i >= 0 {
		return fmt.Errorf("role contains illegal char %s (allowed: A-Z a-z 0-9 - _)", quoteChar(role[i:]))
	}
	return nil
}

// ParseAddress takes "nick@domain" apart (identity.md 2.4). Reserved nicks pass: they may be resolved,
// only not claimed.
func ParseAddress(s string) (nick, domain string, err error) {
	nick, domain, found := strings.Cut(s, "@")
	switch {
	case !found:
		return "", "", fmt.Errorf("handle missing '@' separator: %s", Quote(s))
	case nick == "" || domain == "":
		return "", "", fmt.Errorf("handle has empty nick or domain: %s", Quote(s))
	}
	if err := CheckNick(nick); err != nil {
		return "", "", err
	}
	if !validDomain(domain) {
		return "", "", fmt.Errorf("domain %s invalid — must be lowercase ASCII, dot-separated", Quote(domain))
	}
	return nick, domain, nil
}

func validDomain(domain string) bool {
	if len(domain) > 253 {
		return false
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, notLabel) {
			return false
		}
	}
	return true
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

func notLabel(r rune) bool     { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
func notLowerWord(r rune) bool { return notLabel(r) && r != '_' }
func notWord(r rune) bool      { return notLowerWord(r) && (r < 'A' || r > 'Z') }
