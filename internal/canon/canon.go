// Package canon is the one codec for everything that wire hashes, signs, stores or sends: the canonical
// JSON of reference/identity.md section 1, which is neither RFC 8785 nor encoding/json.
//
// A parsed value is one of nil, bool, string, uint64, int64 (negative only), float64, []any and
// map[string]any. Parsing is strict where the reference is (depth 127, no lone surrogates, no invalid
// UTF-8, its inexact floats); writing sorts keys by bytes at every depth.
//
// Law of the room: it is the ground floor, it imports nothing of ours and knows no file and no key name
// beyond the three that stripping removes.
package canon

// Doc is a JSON object as a tree. Unknown members are kept from parse to write.
type Doc = map[string]any

// MaxDepth is the deepest nesting that parses (identity.md 1.1).
const MaxDepth = 127

// SyntaxError says where a text stops being acceptable JSON.
type SyntaxError struct {
	Offset int    // byte offset into the input
	Reason string // what is wrong there, in words
}

func (e *SyntaxError) Error() string { panic("seam") }

// Parse reads exactly one JSON value with nothing but white space around it. Errors are *SyntaxError.
func Parse(data []byte) (any, error) { panic("seam") }

// ParseObject is Parse for a text that must be an object.
func ParseObject(data []byte) (Doc, error) { panic("seam") }

// Valid reports what Parse would, without building the tree.
func Valid(data []byte) error { panic("seam") }

// Append appends the compact form of v: no white space, sorted keys, escapes of identity.md 1.2.
// It panics on a Go type that Parse never returns (int is accepted as a convenience for literals).
func Append(dst []byte, v any) []byte { panic("seam") }

// Compact is Append to a new slice.
func Compact(v any) []byte { panic("seam") }

// Pretty is the two-space form of agent-card.json, trust.json and relay.json; no final newline.
func Pretty(v any) []byte { panic("seam") }

// AppendPretty appends the pretty form of v as it stands depth levels deep in a document: the first line
// unindented, the following ones indented by depth*2 spaces more. It is what Spans.Set wants.
func AppendPretty(dst []byte, v any, depth int) []byte { panic("seam") }

// Strip selects which top-level keys are outside the canonical bytes (identity.md 1.4).
type Strip int

// The two modes: cards drop signature and public_key_id, events drop event_id as well.
const (
	StripCard Strip = iota
	StripEvent
)

// Canonical is the compact form of v without the top-level keys of the mode; v is not changed.
func Canonical(v any, s Strip) []byte { panic("seam") }

// Depth is the number of nested arrays and objects of v: 0 for a scalar, 1 for {} (identity.md 1.1).
func Depth(v any) int { panic("seam") }

// Unstable returns the first float below v whose printed text reads back as another double, as a path such
// as "body.x[2]": such an event is lost on its way (identity.md 1.3, float drift).
func Unstable(v any) (path string, found bool) { panic("seam") }

// Spans is a JSON object kept as bytes: one validating pass finds the raw text of each member, and of the
// members of those named in nest, and no tree is built (design.md section 6). Replaced members are spliced
// in; everything else, unknown keys included, stays byte for byte.
type Spans struct{}

// ReadSpans validates data, which must be an object, and cuts it up. The members named in nest are cut up
// too where they are objects; null and absent nest members read as empty. Of a repeated key the last
// counts. data is kept, not copied.
func ReadSpans(data []byte, nest ...string) (*Spans, error) { panic("seam") }

// Raw is the text of the member at path (one key, or two where the first is in nest), without surrounding
// white space. It aliases the document.
func (s *Spans) Raw(path ...string) ([]byte, bool) { panic("seam") }

// Keys are the member names at path (none: of the document itself; one: of that nest object), sorted by bytes.
func (s *Spans) Keys(path ...string) []string { panic("seam") }

// Set puts raw, rendered by AppendPretty at the depth of its place (1 at the top, 2 inside a nest member),
// in place of the member at path, or inserts it in key order; a missing or null nest object is made.
func (s *Spans) Set(raw []byte, path ...string) { panic("seam") }

// Delete removes the member at path if it is there.
func (s *Spans) Delete(path ...string) { panic("seam") }

// Changed says whether a Set or Delete altered a byte.
func (s *Spans) Changed() bool { panic("seam") }

// Bytes is the document with its changes. A document that was in the pretty form stays in it exactly: the
// result equals Pretty of the changed tree.
func (s *Spans) Bytes() []byte { panic("seam") }
