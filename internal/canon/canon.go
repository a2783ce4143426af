// Package canon is the one codec for everything that wire hashes, signs, stores or sends: the canonical
// JSON of reference/identity.md section 1, which is neither RFC 8785 nor encoding/json.
//
// A parsed value is one of nil, bool, string, uint64, int64 (negative only), float64, []any and
// map[string]any. Parsing is strict where the reference is (depth 127, no lone surrogates, no invalid
// UTF-8, its inexact floats); writing sorts keys by bytes at every depth.
//
// Law of the room: it is the ground floor, it imports nothing of ours and knows no file and no key name
// beyond the three that stripping removes. What it writes it can read back, but for two things of the
// reference: floats that drift (Unstable) and a magic key that sorting puts first (identity.md 1.1).
package canon

// Doc is a JSON object as a tree. Unknown members are kept from parse to write.
type Doc = map[string]any

// MaxDepth is the deepest nesting that parses (identity.md 1.1).
const MaxDepth = 127

// Strip selects which top-level keys are outside the canonical bytes (identity.md 1.4).
type Strip int

// The two modes: cards drop signature and public_key_id, events drop event_id as well.
const (
	StripCard Strip = iota
	StripEvent
)

func (s Strip) drops(key string) bool {
	switch key {
	case "signature", "public_key_id":
		return true
	case "event_id":
		return s == StripEvent
	}
	return false
}

// Canonical is the compact form of v without the top-level keys of the mode; v is not changed.
func Canonical(v any, s Strip) []byte { return AppendCanonical(nil, v, s) }

// AppendCanonical is Canonical behind dst, for callers that hash many documents with one buffer.
func AppendCanonical(dst []byte, v any, s Strip) []byte {
	doc, ok := v.(map[string]any)
	if !ok {
		return Append(dst, v)
	}
	var few [fewKeys]string
	keys := few[:0]
	for k := range doc {
		if !s.drops(k) {
			keys = append(keys, k)
		}
	}
	return appendObject(dst, doc, keys)
}

// Depth is the number of nested arrays and objects of v: 0 for a scalar, 1 for {} (identity.md 1.1).
func Depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			deepest = max(deepest, Depth(e))
		}
	case map[string]any:
		for _, e := range v {
			deepest = max(deepest, Depth(e))
		}
	default:
		return 0
	}
	return deepest + 1
}
