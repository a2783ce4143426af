package canon

import (
	"bytes"
	"slices"
	"strings"
)

// object is one cut up object: where its members stand in data, and what became of them. One that the
// document lacked has no data.
type object struct {
	data       []byte
	start, end int // of the braces, the closing one included
	depth      int // of the object: 0 for the document
	members    []member
	byKey      []int32 // the members that count, by key; nil if members is that already
	edits      map[string]edit
}

type member struct {
	key        string
	at         int // of the key's opening quote
	start, end int // of the value
	object     *object
}

// edit is what a member became: cut up, other bytes, or (neither) gone.
type edit struct {
	object *object
	raw    []byte
}

func (e edit) gone() bool { return e.object == nil && e.raw == nil }

// cut takes the object at pos, its members named in nest cut up as well.
func (s *scanner) cut(nest []string) (*object, bool) {
	o := &object{data: s.data, start: s.pos, depth: s.depth}
	if !s.open() {
		return nil, false
	}
	var names []byte // all keys in one allocation
	var ends []int
	ascending := true
	for first := true; ; first = false {
		key, more := s.nextKey(first)
		if !more {
			break
		}
		m := member{at: key.start - 1}
		from := len(names)
		if raw := s.data[key.start:key.end]; key.escaped {
			names = unescape(names, raw)
		} else {
			names = append(names, raw...)
		}
		ends = append(ends, len(names))
		if n := len(ends) - 2; n >= 0 {
			before := 0
			if n > 0 {
				before = ends[n-1]
			}
			ascending = ascending && bytes.Compare(names[before:ends[n]], names[from:]) < 0
		}
		c, ok := s.peek("a value")
		if !ok {
			return nil, false
		}
		m.start = s.pos
		if c == '{' && slices.Contains(nest, string(names[from:])) {
			m.object, ok = s.cut(nil)
		} else {
			ok = s.skip()
		}
		if !ok {
			return nil, false
		}
		m.end = s.pos
		o.members = append(o.members, m)
	}
	if s.err != nil {
		return nil, false
	}
	o.end = s.pos
	all, from := string(names), 0
	for i, end := range ends {
		o.members[i].key = all[from:end]
		from = end
	}
	if !ascending {
		o.sort()
	}
	return o, true
}

// sort fills byKey.
func (o *object) sort() {
	o.byKey = make([]int32, len(o.members))
	for i := range o.byKey {
		o.byKey[i] = int32(i)
	}
	slices.SortFunc(o.byKey, func(a, b int32) int {
		if c := strings.Compare(o.members[a].key, o.members[b].key); c != 0 {
			return c
		}
		return int(b - a) // the last first, for CompactFunc keeps the first
	})
	o.byKey = slices.CompactFunc(o.byKey, func(a, b int32) bool { return o.members[a].key == o.members[b].key })
}

// count and nth walk the members that count, by key.
func (o *object) count() int {
	if o.byKey != nil {
		return len(o.byKey)
	}
	return len(o.members)
}

func (o *object) nth(i int) *member {
	if o.byKey != nil {
		i = int(o.byKey[i])
	}
	return &o.members[i]
}

// find is the original member of that name, or nil.
func (o *object) find(key string) *member {
	low, high := 0, o.count()
	for low < high {
		mid := (low + high) / 2
		switch m := o.nth(mid); strings.Compare(m.key, key) {
		case 0:
			return m
		case -1:
			low = mid + 1
		default:
			high = mid
		}
	}
	return nil
}

// child is the object under key, cut up now if it was not; nil if there is none.
func (o *object) child(key string) *object {
	if e, edited := o.edits[key]; edited {
		if e.object == nil && len(e.raw) > 0 && e.raw[0] == '{' {
			e.object = cutUp(e.raw, 0, o.depth+1)
			o.edits[key] = e
		}
		return e.object
	}
	m := o.find(key)
	if m == nil || o.data[m.start] != '{' {
		return nil
	}
	if m.object == nil {
		m.object = cutUp(o.data, m.start, o.depth+1)
	}
	return m.object
}

// cutUp cuts up an object in a text known to be valid.
func cutUp(data []byte, at, depth int) *object {
	s := scanner{data: data, pos: at, depth: depth}
	o, ok := s.cut(nil)
	if !ok {
		panic("canon: Spans.Set was given " + s.err.Reason)
	}
	return o
}

func (o *object) raw(key string) ([]byte, bool) {
	if e, edited := o.edits[key]; edited {
		return e.text()
	}
	m := o.find(key)
	if m == nil {
		return nil, false
	}
	return o.text(m), true
}

// text is what an unedited member's value reads now.
func (o *object) text(m *member) []byte {
	if m.object != nil && m.object.changed() {
		return m.object.append(nil)
	}
	return o.data[m.start:m.end:m.end]
}

func (e edit) text() ([]byte, bool) {
	if e.object != nil {
		return e.object.append(nil), true
	}
	return e.raw, !e.gone()
}

func (o *object) edit(key string, e edit) {
	if o.edits == nil {
		o.edits = map[string]edit{}
	}
	o.edits[key] = e
}

func (o *object) set(key string, raw []byte) {
	m := o.find(key)
	if m != nil && bytes.Equal(o.data[m.start:m.end], raw) {
		delete(o.edits, key)
		if m.object != nil {
			m.object = nil // whatever was changed below is undone
		}
		return
	}
	o.edit(key, edit{raw: raw})
}

func (o *object) delete(key string) {
	if o.find(key) == nil {
		delete(o.edits, key)
		return
	}
	o.edit(key, edit{})
}

func (o *object) changed() bool {
	if o.data == nil || len(o.edits) > 0 {
		return true
	}
	for i := range o.members {
		if below := o.members[i].object; below != nil && below.changed() {
			return true
		}
	}
	return false
}

// all yields the members as they are now, by key.
func (o *object) all(yield func(string, []byte) bool) {
	added := o.added()
	for i := range o.count() {
		m := o.nth(i)
		for ; len(added) > 0 && added[0] < m.key; added = added[1:] {
			if raw, _ := o.edits[added[0]].text(); !yield(added[0], raw) {
				return
			}
		}
		raw := o.text(m)
		if e, edited := o.edits[m.key]; edited {
			var there bool
			if raw, there = e.text(); !there {
				continue
			}
		}
		if !yield(m.key, raw) {
			return
		}
	}
	for _, key := range added {
		if raw, _ := o.edits[key].text(); !yield(key, raw) {
			return
		}
	}
}

// added are the names the original lacked, sorted.
func (o *object) added() []string {
	var keys []string
	for key := range o.edits {
		if o.find(key) == nil {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// growth is how many bytes the changes may add at most.
func (o *object) growth() int {
	n := 2*o.depth + 4
	for key, e := range o.edits {
		n += 6*len(key) + 2*o.depth + 10 + len(e.raw)
		if e.object != nil {
			n += len(e.object.data) + e.object.growth()
		}
	}
	for i := range o.members {
		if below := o.members[i].object; below != nil {
			n += below.growth()
		}
	}
	return n
}

// append writes the object with its changes. White space stays with the member it stands before; new
// members stand like the first old one, or as in the pretty form.
func (o *object) append(dst []byte) []byte {
	if !o.changed() {
		return append(dst, o.data[o.start:o.end]...)
	}
	var lead []byte
	if len(o.members) > 0 {
		lead = o.data[o.start+1 : o.members[0].at]
	} else {
		lead = appendLine(nil, o.depth+1)
	}
	dst = append(dst, '{')
	empty := true
	comma := func() {
		if !empty {
			dst = append(dst, ',')
		}
		empty = false
	}
	insert := func(key string) {
		comma()
		dst = appendString(append(dst, lead...), key)
		dst = append(dst, ": "...)
		dst = o.edits[key].append(dst)
	}
	added := o.added()
	gap := o.start + 1 // where the white space before the next member begins
	for i := range o.members {
		m := &o.members[i]
		for ; len(added) > 0 && added[0] < m.key; added = added[1:] {
			insert(added[0])
		}
		before := o.data[gap:m.at]
		gap = o.commaBehind(i)
		e, edited := o.edits[m.key]
		if edited && (e.gone() || o.find(m.key) != m) {
			continue
		}
		comma()
		dst = append(dst, before...)
		dst = append(dst, o.data[m.at:m.start]...)
		switch {
		case edited:
			dst = e.append(dst)
		case m.object != nil:
			dst = m.object.append(dst)
		default:
			dst = append(dst, o.data[m.start:m.end]...)
		}
		if gap > m.end {
			dst = append(dst, o.data[m.end:gap-1]...)
		}
	}
	for _, key := range added {
		insert(key)
	}
	if empty {
		return append(dst, '}')
	}
	if n := len(o.members); n > 0 {
		return append(dst, o.data[o.members[n-1].end:o.end]...)
	}
	return append(appendLine(dst, o.depth), '}')
}

// commaBehind is the position behind the comma that follows member i; for the last one its end.
func (o *object) commaBehind(i int) int {
	end := o.members[i].end
	if i == len(o.members)-1 {
		return end
	}
	return end + bytes.IndexByte(o.data[end:], ',') + 1
}

func (e edit) append(dst []byte) []byte {
	if e.object != nil {
		return e.object.append(dst)
	}
	return append(dst, e.raw...)
}
