package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// maxSize is far beyond any wire.yaml (410 sessions take 30 kB) and small enough to parse at once.
const maxSize = 1 << 20

// parse is the one document of data as a tree, or what keeps it from being one.
func parse(file string, data []byte) (*yaml.Node, Problems) {
	fault := func(line, column int, format string, args ...any) Problems {
		return Problems{{File: file, Line: line, Column: column, Text: fmt.Sprintf(format, args...)}}
	}
	if len(data) > maxSize {
		return nil, fault(0, 0, "is %d bytes long; a wire.yaml has at most %d", len(data), maxSize)
	}
	if i, what := notText(data); i >= 0 {
		line, column := position(data[:i])
		return nil, fault(line, column, "%s", what)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF), err == nil && doc.Content[0].ShortTag() == "!!null":
		return nil, fault(1, 1, "is empty; the least it needs is \"version: %d\" and \"sessions: []\"", Version)
	case err != nil:
		line, column := locate(data)
		return nil, fault(line, column, "%s", syntaxText(err, data, line, column))
	}
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
		return doc.Content[0], nil
	case err != nil:
		line, column := locate(data)
		return nil, fault(line, column, "%s", syntaxText(err, data, line, column))
	}
	return nil, fault(second.Line, second.Column, "a second document starts here; a wire.yaml is one document")
}

// notText is the offset of the first byte that is no text with lines as editors count them, and what is wrong
// with it; -1 if there is none. NUL is refused here since UTF-16, which the YAML parser would accept, is full
// of them, and the line breaks of other ages since the parser counts them as lines.
func notText(data []byte) (offset int, what string) {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == 0, r == utf8.RuneError && n == 1:
			return i, fmt.Sprintf("is not UTF-8 text: byte 0x%02x", data[i])
		case r == '\r' && !bytes.HasPrefix(data[i+1:], []byte{'\n'}), r == '\u0085', r == '\u2028', r == '\u2029':
			return i, fmt.Sprintf("holds the line break %U; lines end with a line feed", r)
		}
		i += n
	}
	return -1, ""
}

// position is where the byte after text stands.
func position(text []byte) (line, column int) {
	start := bytes.LastIndexByte(text, '\n') + 1
	return 1 + bytes.Count(text, []byte{'\n'}), 1 + utf8.RuneCount(text[start:])
}

// locate finds a syntax error. The parser names at best a line, and often that of the enclosing block, one
// off; but it can be asked again: the error stands on the line that turns a good beginning of the file into
// a bad one, at the character that does the same to the line. What is still open at the end (a quote, a
// flow list) is thereby found where it was opened.
func locate(data []byte) (line, column int) {
	lines := []int{0}
	for i, c := range data {
		if c == '\n' {
			lines = append(lines, i+1)
		}
	}
	start := lastGood(data, lines)
	row := data[start:]
	if i := bytes.IndexByte(row, '\n'); i >= 0 {
		row = row[:i]
	}
	var chars []int
	for i := range string(row) {
		chars = append(chars, start+i)
	}
	return position(data[:lastGood(data, chars)])
}

// lastGood is the last of the ascending ends up to which text parses, the first one if none does. It looks
// at the last few one by one, since a beginning that ends inside a flow list is bad without an error in it,
// and halves the rest.
func lastGood(text []byte, ends []int) int {
	const few = 16
	bad := func(i int) bool { return !parses(text[:ends[i]]) }
	for i := len(ends) - 1; i >= max(0, len(ends)-few); i-- {
		if !bad(i) {
			return ends[i]
		}
	}
	return ends[max(0, sort.Search(max(0, len(ends)-few), bad)-1)]
}

func parses(text []byte) bool {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var n yaml.Node
		if err := dec.Decode(&n); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// syntaxText says in the words of somebody who edits the file what the parser stumbled over.
func syntaxText(err error, data []byte, line, column int) string {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(msg, "line "); ok {
		if _, after, ok := strings.Cut(rest, ": "); ok {
			msg = after
		}
	}
	rows := bytes.Split(data, []byte{'\n'})
	at := ""
	if row := []rune(string(rows[line-1])); column <= len(row) {
		at = string(row[column-1])
	}
	switch {
	case at == "\t":
		return "a tab cannot indent YAML; use spaces"
	case strings.Contains(msg, "cannot start any token") && at != "":
		return fmt.Sprintf("text that starts with %q needs quotes", at)
	case strings.Contains(msg, "mapping values are not allowed"):
		return "a \":\" is out of place: wrong indentation, or text that needs quotes"
	case strings.Contains(msg, "could not find expected ':'"):
		return "a key without \":\""
	case at == `"` || at == "'":
		return "a quote that opens here does not close, or holds a faulty escape"
	case at == "[" || at == "{":
		return fmt.Sprintf("%q opens here and does not close, or holds a fault", at)
	case strings.HasPrefix(msg, "did not find expected key"), strings.Contains(msg, "'-' indicator"):
		return "wrong indentation, or a line that fits neither the list nor the mapping around it"
	}
	return "not YAML: " + msg
}
