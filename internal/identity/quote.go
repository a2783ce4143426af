package identity

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Quote writes a name inside a reason text as the reference does (identity.md 3.4); scripts match it.
func Quote(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for _, r := range s {
		quoteRune(&b, r, '"')
	}
	b.WriteByte('"')
	return b.String()
}

// quoteChar is the first character of s as the reference quotes a single one.
func quoteChar(s string) string {
	var b strings.Builder
	r, _ := utf8.DecodeRuneInString(s)
	b.WriteByte('\'')
	quoteRune(&b, r, '\'')
	b.WriteByte('\'')
	return b.String()
}

func quoteRune(b *strings.Builder, r, around rune) {
	switch {
	case r == around || r == '\\':
		b.WriteByte('\\')
		b.WriteRune(r)
	case r == '\t':
		b.WriteString(`\t`)
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\r':
		b.WriteString(`\r`)
	case r == 0:
		b.WriteString(`\0`)
	case unicode.IsPrint(r) && !extends(r):
		b.WriteRune(r)
	default:
		b.WriteString(`\u{`)
		b.WriteString(strconv.FormatInt(int64(r), 16))
		b.WriteByte('}')
	}
}

// extends says whether r continues the grapheme before it (Unicode's Grapheme_Extend).
func extends(r rune) bool {
	return unicode.In(r, unicode.Mn, unicode.Me, unicode.Other_Grapheme_Extend)
}
