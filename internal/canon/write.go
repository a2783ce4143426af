package canon

import (
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// fewKeys is how many keys of one object are sorted without allocating.
const fewKeys = 16

// firstSize holds most events and cards without growing.
const firstSize = 1 << 10

// Append appends the compact form of v: no white space, sorted keys, escapes of identity.md 1.2.
// It panics on a Go type that Parse never returns (int is accepted as a convenience for literals).
// Bytes in a string that are no UTF-8 become U+FFFD.
func Append(dst []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		var few [fewKeys]string
		keys := few[:0]
		for k := range v {
			keys = append(keys, k)
		}
		return appendObject(dst, v, keys)
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = Append(dst, e)
		}
		return append(dst, ']')
	}
	return appendScalar(dst, v)
}

// appendObject writes the members of doc that keys names, compactly. It sorts keys in place.
func appendObject(dst []byte, doc Doc, keys []string) []byte {
	slices.Sort(keys)
	dst = append(dst, '{')
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, k), ':')
		dst = Append(dst, doc[k])
	}
	return append(dst, '}')
}

// Compact is Append to a new slice.
func Compact(v any) []byte { return Append(make([]byte, 0, firstSize), v) }

// Pretty is the two-space form of agent-card.json, trust.json and relay.json; no final newline.
func Pretty(v any) []byte { return AppendPretty(make([]byte, 0, firstSize), v, 0) }

// AppendPretty appends the pretty form of v as it stands depth levels deep in a document: the first line
// unindented, the following ones indented by depth*2 spaces more. It is what Spans.Set wants.
func AppendPretty(dst []byte, v any, depth int) []byte {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			return append(dst, "{}"...)
		}
		var few [fewKeys]string
		keys := few[:0]
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		dst = append(dst, '{')
		for i, k := range keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(appendLine(dst, depth+1), k)
			dst = append(dst, ": "...)
			dst = AppendPretty(dst, v[k], depth+1)
		}
		return append(appendLine(dst, depth), '}')
	case []any:
		if len(v) == 0 {
			return append(dst, "[]"...)
		}
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendPretty(appendLine(dst, depth+1), e, depth+1)
		}
		return append(appendLine(dst, depth), ']')
	}
	return appendScalar(dst, v)
}

const manySpaces = "                                                                "

// appendLine starts a line that is indented for depth.
func appendLine(dst []byte, depth int) []byte {
	dst = append(dst, '\n')
	n := 2 * depth
	for ; n > len(manySpaces); n -= len(manySpaces) {
		dst = append(dst, manySpaces...)
	}
	return append(dst, manySpaces[:n]...)
}

func appendScalar(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case string:
		return appendString(dst, v)
	case uint64:
		return strconv.AppendUint(dst, v, 10)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case float64:
		return appendFloat(dst, v)
	}
	panic(fmt.Sprintf("canon: a document cannot hold %T", v))
}

// appendString writes s in quotes, everything but what JSON forbids raw.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for s != "" {
		start := len(dst)
		dst = append(dst, s...)
		end := plain(dst, start)
		if end == len(dst) {
			break
		}
		s = s[end-start:]
		r, n := utf8.DecodeRuneInString(s)
		if r >= utf8.RuneSelf {
			// One or, if s is not UTF-8 there, the character that says so.
			dst = utf8.AppendRune(dst[:end], r)
		} else {
			dst = appendEscape(dst[:end], byte(r))
		}
		s = s[n:]
	}
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\t':
		return append(dst, `\t`...)
	case '\n':
		return append(dst, `\n`...)
	case '\f':
		return append(dst, `\f`...)
	case '\r':
		return append(dst, `\r`...)
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
