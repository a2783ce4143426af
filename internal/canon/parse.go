package canon

// Parse reads exactly one JSON value with nothing but white space around it. Errors are *SyntaxError.
func Parse(data []byte) (any, error) {
	p := parser{scanner: scanner{data: data}}
	v, ok := p.value()
	if !ok || !p.end() {
		return nil, p.failure()
	}
	return v, nil
}

// ParseObject is Parse for a text that must be an object.
func ParseObject(data []byte) (Doc, error) {
	v, err := Parse(data)
	if err != nil {
		return nil, err
	}
	doc, ok := v.(map[string]any)
	if !ok {
		return nil, &SyntaxError{Offset: 0, Reason: "wanted an object"}
	}
	return doc, nil
}

// parser builds the tree.
type parser struct {
	scanner
	scratch []byte
	keys    [32]string // keys seen, by a small hash: documents repeat the same few
}

func (p *parser) value() (any, bool) {
	c, ok := p.peek("a value")
	if !ok {
		return nil, false
	}
	switch {
	case c == '"':
		t, ok := p.text()
		if !ok {
			return nil, false
		}
		return p.string(t), true
	case c == '{':
		return p.object()
	case c == '[':
		return p.array()
	case c == '-' || isDigit(c):
		n, ok := p.number()
		if !ok {
			return nil, false
		}
		return n.value(), true
	}
	if !p.literal(c) {
		return nil, false
	}
	if c == 'n' {
		return nil, true
	}
	return c == 't', true
}

func (p *parser) object() (any, bool) {
	if !p.open() {
		return nil, false
	}
	doc := Doc{}
	for first := true; ; first = false {
		key, more := p.nextKey(first)
		if !more {
			return doc, p.err == nil
		}
		name := p.key(key)
		v, ok := p.value()
		if !ok {
			return nil, false
		}
		doc[name] = v
	}
}

func (p *parser) array() (any, bool) {
	if !p.open() {
		return nil, false
	}
	list := []any{}
	for first := true; p.nextElement(first); first = false {
		v, ok := p.value()
		if !ok {
			return nil, false
		}
		list = append(list, v)
	}
	return list, p.err == nil
}

func (p *parser) string(t text) string { return string(p.bytes(t)) }

func (p *parser) bytes(t text) []byte {
	raw := p.data[t.start:t.end]
	if t.escaped {
		p.scratch = unescape(p.scratch[:0], raw)
		return p.scratch
	}
	return raw
}

func (p *parser) key(t text) string {
	b := p.bytes(t)
	if len(b) == 0 || len(b) > 32 {
		return string(b)
	}
	known := &p.keys[(int(b[0])+3*int(b[len(b)-1])+7*len(b))%len(p.keys)]
	if *known != string(b) {
		*known = string(b)
	}
	return *known
}
