package relay

import (
	"bytes"

	"wirefleet.dev/wire/internal/canon"
)

// The scanners of this file work on JSON that canon.Valid has accepted: they only find where things are.

// members calls visit for each member of a JSON object in order, repeated keys included. Another kind of
// value is 422.
func members(text []byte, visit func(key string, raw []byte) error) error {
	i := skipSpace(text, 0)
	if text[i] != '{' {
		return wrongShape("expected an object")
	}
	for i = skipSpace(text, i+1); text[i] != '}'; {
		end := skipString(text, i)
		key := string(text[i+1 : end-1])
		if bytes.IndexByte(text[i:end], '\\') >= 0 {
			v, _ := canon.Parse(text[i:end])
			key, _ = v.(string)
		}
		i = skipSpace(text, skipSpace(text, end)+1)
		end = skipValue(text, i)
		if err := visit(key, text[i:end]); err != nil {
			return err
		}
		if i = skipSpace(text, end); text[i] == ',' {
			i = skipSpace(text, i+1)
		}
	}
	return nil
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString is the index after the string that starts at i.
func skipString(b []byte, i int) int {
	for i++; ; i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
}

// skipValue is the index after the value that starts at i.
func skipValue(b []byte, i int) int {
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		for depth := 0; ; {
			switch b[i] {
			case '"':
				i = skipString(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			if i++; depth == 0 {
				return i
			}
		}
	}
	for i < len(b) {
		switch b[i] {
		case ',', '}', ']', ' ', '\n', '\t', '\r':
			return i
		}
		i++
	}
	return i
}

// event is one event in its stored form.
type event struct {
	text  []byte // compact, keys sorted: what the reference would write
	id    string // event_id where that is a string
	hasID bool
}

// readEvent brings a valid JSON text into the stored form. Nearly every sender prints that form already;
// one pass finds out, and only the rest is parsed and printed again. text may alias raw.
func readEvent(raw []byte) event {
	c := compactness{b: raw}
	if c.value() && c.i == len(raw) {
		return newEvent(raw, c.id)
	}
	v, _ := canon.Parse(raw)
	text := canon.Compact(v)
	doc, _ := v.(canon.Doc)
	id, ok := doc["event_id"].(string)
	return event{text: text, id: id, hasID: ok}
}

func newEvent(text, rawID []byte) event {
	if len(rawID) == 0 || rawID[0] != '"' {
		return event{text: text}
	}
	if bytes.IndexByte(rawID, '\\') < 0 {
		return event{text: text, id: string(rawID[1 : len(rawID)-1]), hasID: true}
	}
	v, _ := canon.Parse(rawID)
	id, ok := v.(string)
	return event{text: text, id: id, hasID: ok}
}

// compactness walks a valid value and stops where it is not, or might not be, printed as canon prints it:
// floats and odd keys are left to canon. It notes the raw event_id of the outermost object.
type compactness struct {
	b     []byte
	i     int
	depth int
	id    []byte
}

func (c *compactness) value() bool {
	switch ch := c.b[c.i]; ch {
	case '{':
		return c.object()
	case '[':
		return c.array()
	case '"':
		return c.str()
	case 't', 'n':
		c.i += 4
		return true
	case 'f':
		c.i += 5
		return true
	default:
		return c.number()
	}
}

func (c *compactness) object() bool {
	c.depth++
	c.i++
	if c.b[c.i] == '}' {
		c.i++
		c.depth--
		return true
	}
	var last []byte
	for first := true; ; first = false {
		start := c.i
		if c.b[start] != '"' || !c.str() {
			return false
		}
		key := c.b[start+1 : c.i-1]
		if bytes.IndexByte(key, '\\') >= 0 || !first && bytes.Compare(last, key) >= 0 || c.b[c.i] != ':' {
			return false
		}
		last = key
		c.i++
		start = c.i
		if !c.value() {
			return false
		}
		if c.depth == 1 && string(key) == "event_id" {
			c.id = c.b[start:c.i]
		}
		switch c.b[c.i] {
		case ',':
			c.i++
		case '}':
			c.i++
			c.depth--
			return true
		default:
			return false
		}
	}
}

func (c *compactness) array() bool {
	c.depth++
	c.i++
	if c.b[c.i] == ']' {
		c.i++
		c.depth--
		return true
	}
	for {
		if !c.value() {
			return false
		}
		switch c.b[c.i] {
		case ',':
			c.i++
		case ']':
			c.i++
			c.depth--
			return true
		default:
			return false
		}
	}
}

func (c *compactness) str() bool {
	for i := c.i + 1; ; i++ {
		switch c.b[i] {
		case '"':
			c.i = i + 1
			return true
		case '\\':
			i++
			switch c.b[i] {
			case '"', '\\', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if !shortestEscape(c.b[i+1 : i+5]) {
					return false
				}
				i += 4
			default:
				return false
			}
		}
	}
}

// shortestEscape says whether \u with these four digits is how canon prints the character.
func shortestEscape(hex []byte) bool {
	if hex[0] != '0' || hex[1] != '0' || hex[2] > '1' {
		return false
	}
	if hex[3] >= 'A' && hex[3] <= 'F' {
		return false
	}
	if hex[2] == '1' {
		return true
	}
	switch hex[3] {
	case '8', '9', 'a', 'c', 'd':
		return false
	}
	return true
}

// number accepts integers that surely fit 64 bits.
func (c *compactness) number() bool {
	start := c.i
	if c.b[c.i] == '-' {
		c.i++
		if c.b[c.i] == '0' {
			return false
		}
	}
	for c.i < len(c.b) && '0' <= c.b[c.i] && c.b[c.i] <= '9' {
		c.i++
	}
	if n := c.i - start; n == 0 || n > 18 {
		return false
	}
	if c.i < len(c.b) {
		switch c.b[c.i] {
		case '.', 'e', 'E':
			return false
		}
	}
	return true
}
