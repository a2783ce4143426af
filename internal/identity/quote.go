package identity

import (
	"strconv"
	"strings"
	"unicode"
)

// quote writes a name inside a reason text as the reference does (identity.md 3.4); scripts match it.
func quote(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\t':
			b.WriteString(`\t`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case 0:
			b.WriteString(`\0`)
		default:
			if unicode.IsPrint(r) && !extends(r) {
				b.WriteRune(r)
				break
			}
			b.WriteString(`\u{`)
			b.WriteString(strconv.FormatInt(int64(r), 16))
			b.WriteByte('}')
		}
	}
	b.WriteByte('"')
	return b.String()
}

// extends says whether r continues the grapheme before it (Unicode's Grapheme_Extend).
func extends(r rune) bool {
	return unicode.In(r, unicode.Mn, unicode.Me, unicode.Other_Grapheme_Extend)
}
