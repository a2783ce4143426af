package canon

import "iter"

// Spans is a JSON object kept as bytes: one validating pass finds the raw text of each member, and of the
// members of those named in nest, and no tree is built (design.md section 6). Replaced members are spliced
// in; everything else, unknown keys included, stays byte for byte.
//
// A path names a member: one key for the document's own, more to go down through objects. Objects outside
// nest are cut up when a path first goes through them, so not even reading is safe from two goroutines.
type Spans struct {
	data []byte
	root *object
}

// ReadSpans validates data, which must be an object, and cuts it up. The members named in nest are cut up
// too where they are objects; null and absent nest members read as empty. Of a repeated key the last
// counts. data is kept, not copied.
func ReadSpans(data []byte, nest ...string) (*Spans, error) {
	s := scanner{data: data}
	if c, ok := s.peek("an object"); ok && c != '{' {
		s.fail(s.pos, "wanted an object")
	}
	if s.err != nil {
		return nil, s.failure()
	}
	root, ok := s.cut(nest)
	if !ok || !s.end() {
		return nil, s.failure()
	}
	return &Spans{data: data, root: root}, nil
}

// Raw is the text of the member at path, without surrounding white space. It aliases the document where
// the member is unchanged.
func (s *Spans) Raw(path ...string) ([]byte, bool) {
	o := s.root
	for ; len(path) > 1; path = path[1:] {
		if o = o.child(path[0]); o == nil {
			return nil, false
		}
	}
	if len(path) == 0 {
		return s.Bytes(), true
	}
	return o.raw(path[0])
}

// Keys are the member names at path (none: of the document itself), sorted by bytes.
func (s *Spans) Keys(path ...string) []string {
	var keys []string
	for k := range s.Members(path...) {
		keys = append(keys, k)
	}
	return keys
}

// Members are the names and texts of the members at path in the order of Keys. The document must not be
// changed meanwhile.
func (s *Spans) Members(path ...string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		o := s.root
		for _, key := range path {
			if o = o.child(key); o == nil {
				return
			}
		}
		o.all(yield)
	}
}

// Tree is the document with its changes as a tree.
func (s *Spans) Tree() (Doc, error) { return ParseObject(s.Bytes()) }

// Set puts raw, rendered by AppendPretty at the depth of its place (the length of path), in place of the
// member at path, or inserts it in key order. What path goes through is made where it is missing, and
// replaced where it is no object. raw must be valid JSON; it is kept, not copied.
func (s *Spans) Set(raw []byte, path ...string) {
	o := s.root
	for ; len(path) > 1; path = path[1:] {
		next := o.child(path[0])
		if next == nil {
			next = &object{depth: o.depth + 1}
			o.edit(path[0], edit{object: next})
		}
		o = next
	}
	o.set(path[0], raw)
}

// Delete removes the member at path if it is there.
func (s *Spans) Delete(path ...string) {
	o := s.root
	for ; len(path) > 1; path = path[1:] {
		if o = o.child(path[0]); o == nil {
			return
		}
	}
	o.delete(path[0])
}

// Changed says whether a Set or Delete altered a byte.
func (s *Spans) Changed() bool { return s.root.changed() }

// Bytes is the document with its changes. A document that was in the pretty form stays in it exactly: the
// result equals Pretty of the changed tree. Without changes it is the text that was read, not a copy.
func (s *Spans) Bytes() []byte {
	if !s.Changed() {
		return s.data
	}
	dst := make([]byte, 0, len(s.data)+s.root.growth())
	dst = append(dst, s.data[:s.root.start]...)
	dst = s.root.append(dst)
	return append(dst, s.data[s.root.end:]...)
}
