package canon

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// SyntaxError says where a text stops being acceptable JSON.
type SyntaxError struct {
	Offset int    // byte offset into the input
	Reason string // what is wrong there, in words
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("not valid JSON at byte %d: %s", e.Offset, e.Reason)
}

// magicKey stands, as the first key of an object, for something else than a member in the reference's
// build; such documents are refused (identity.md 1.1).
const magicKey = "$serde_json::private::RawValue"

// Valid reports what Parse would, without building the tree.
func Valid(data []byte) error {
	s := scanner{data: data}
	if s.skip() {
		s.end()
	}
	return s.failure()
}

// scanner holds the grammar, once for Parse, Valid and ReadSpans. Its methods report false, and set err,
// where the text is not acceptable; pos is the next byte to look at.
type scanner struct {
	data  []byte
	pos   int
	depth int
	err   *SyntaxError
}

// failure keeps a nil *SyntaxError from becoming a non-nil error.
func (s *scanner) failure() error {
	if s.err == nil {
		return nil
	}
	return s.err
}

func (s *scanner) fail(at int, reason string) bool {
	s.err = &SyntaxError{Offset: at, Reason: reason}
	return false
}

// end demands that nothing but white space follows.
func (s *scanner) end() bool {
	if s.space() {
		return s.fail(s.pos, "text after the value")
	}
	return true
}

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// space skips white space and says whether a byte follows.
func (s *scanner) space() bool {
	data, pos := s.data, s.pos
	for pos < len(data) {
		switch data[pos] {
		case ' ', '\n', '\t', '\r':
			pos++
			// Indentation is most of a pretty document: over up to eight blanks at once.
			for pos+8 <= len(data) {
				other := binary.LittleEndian.Uint64(data[pos:]) ^ lows*' '
				pos += bits.TrailingZeros64(other) / 8
				if other != 0 {
					break
				}
			}
		default:
			s.pos = pos
			return true
		}
	}
	s.pos = pos
	return false
}

// peek skips white space and returns the next byte, without taking it.
func (s *scanner) peek(wanted string) (byte, bool) {
	if !s.space() {
		return 0, s.fail(s.pos, "text ends, wanted "+wanted)
	}
	return s.data[s.pos], true
}

// skip validates the value that comes next.
func (s *scanner) skip() bool {
	c, ok := s.peek("a value")
	if !ok {
		return false
	}
	switch {
	case c == '"':
		_, ok = s.text()
		return ok
	case c == '{':
		if !s.open() {
			return false
		}
		for first := true; ; first = false {
			if _, more := s.nextKey(first); !more {
				return s.err == nil
			}
			if !s.skip() {
				return false
			}
		}
	case c == '[':
		if !s.open() {
			return false
		}
		for first := true; s.nextElement(first); first = false {
			if !s.skip() {
				return false
			}
		}
		return s.err == nil
	case c == '-' || isDigit(c):
		_, ok = s.number()
		return ok
	}
	return s.literal(c)
}

// literal takes null, true or false.
func (s *scanner) literal(c byte) bool {
	word := "null"
	switch c {
	case 't':
		word = "true"
	case 'f':
		word = "false"
	}
	if end := s.pos + len(word); end <= len(s.data) && string(s.data[s.pos:end]) == word {
		s.pos = end
		return true
	}
	return s.fail(s.pos, "no value starts like this")
}

// open takes the bracket at pos.
func (s *scanner) open() bool {
	if s.depth == MaxDepth {
		return s.fail(s.pos, "nested deeper than 127")
	}
	s.depth++
	s.pos++
	return true
}

func (s *scanner) shut() bool {
	s.depth--
	s.pos++
	return false
}

// nextKey goes from the opening brace (first) or the end of a member to the value of the next one. It
// takes the closing brace and reports false behind the last.
func (s *scanner) nextKey(first bool) (text, bool) {
	c, ok := s.peek(`"," or "}"`)
	if !ok {
		return text{}, false
	}
	if c == '}' {
		return text{}, s.shut()
	}
	if !first {
		if c != ',' {
			return text{}, s.fail(s.pos, `wanted "," or "}"`)
		}
		s.pos++
		if c, ok = s.peek("a key"); !ok {
			return text{}, false
		}
	}
	if c != '"' {
		return text{}, s.fail(s.pos, "wanted a key in double quotes")
	}
	key, ok := s.text()
	if !ok {
		return text{}, false
	}
	if first && key.len() >= len(magicKey) && s.is(key, magicKey) {
		return text{}, s.fail(key.start, "this key may not come first")
	}
	if c, ok = s.peek(`":"`); !ok {
		return text{}, false
	}
	if c != ':' {
		return text{}, s.fail(s.pos, `wanted ":"`)
	}
	s.pos++
	return key, true
}

// nextElement goes from the opening bracket (first) or the end of an element to the next one. It takes
// the closing bracket and reports false behind the last.
func (s *scanner) nextElement(first bool) bool {
	c, ok := s.peek(`"," or "]"`)
	if !ok {
		return false
	}
	if c == ']' {
		return s.shut()
	}
	if first {
		return true
	}
	if c != ',' {
		return s.fail(s.pos, `wanted "," or "]"`)
	}
	s.pos++
	return true
}

// text is a string of the document: the bytes between its quotes, still escaped.
type text struct {
	start, end int
	escaped    bool // holds a backslash
}

func (t text) len() int { return t.end - t.start }

// is compares without making a string.
func (s *scanner) is(t text, want string) bool {
	raw := s.data[t.start:t.end]
	if t.escaped {
		raw = unescape(nil, raw)
	}
	return string(raw) == want
}

// text takes the string whose opening quote is at pos.
func (s *scanner) text() (text, bool) {
	data, pos := s.data, s.pos+1
	t := text{start: pos}
	for {
		pos = plain(data, pos)
		if pos >= len(data) {
			return t, s.fail(pos, "string without end")
		}
		switch c := data[pos]; {
		case c == '"':
			t.end = pos
			s.pos = pos + 1
			return t, true
		case c == '\\':
			t.escaped = true
			n := escapeLen(data[pos:])
			if n == 0 {
				return t, s.fail(pos, "bad escape in a string")
			}
			pos += n
		case c < 0x20:
			return t, s.fail(pos, "control character in a string")
		default:
			r, n := utf8.DecodeRune(data[pos:])
			if r == utf8.RuneError && n == 1 {
				return t, s.fail(pos, "string is not UTF-8")
			}
			pos += n
		}
	}
}

// plain is the position at or behind from of the first byte that a string cannot hold as it is, or that is
// not ASCII: a control, a quote, a backslash, 0x80 and above. It is len(b) if there is none.
func plain(b []byte, from int) int {
	// Eight bytes at a time. The subtractions borrow only out of bytes that count, so the lowest mark is right.
	for from+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[from:])
		if mark := ((w - lows*0x20) | ((w ^ lows*'"') - lows) | ((w ^ lows*'\\') - lows) | w) & highs; mark != 0 {
			return from + bits.TrailingZeros64(mark)/8
		}
		from += 8
	}
	for from < len(b) {
		if c := b[from]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			break
		}
		from++
	}
	return from
}

// escapeLen is the length of the escape at the start of b, of both halves for a surrogate pair; 0 if it
// is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		r := hex4(b)
		switch {
		case r < 0 || r >= 0xDC00 && r <= 0xDFFF:
			return 0
		case r < 0xD800 || r > 0xDFFF:
			return 6
		}
		if low := hex4(b[6:]); low >= 0xDC00 && low <= 0xDFFF {
			return 12
		}
	}
	return 0
}

// hex4 is the number in the \uXXXX at the start of b, or -1.
func hex4(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// unescape appends what raw, which text accepted, stands for.
func unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		c := raw[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		n := escapeLen(raw[i:])
		switch e := raw[i+1]; e {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(raw[i:])
			if n == 12 {
				r = (r-0xD800)<<10 + hex4(raw[i+6:]) - 0xDC00 + 0x10000
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, e)
		}
		i += n
	}
	return dst
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
