package spec

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"testing"
	"time"
)

// The generator is written here rather than taken from a library: half of the types are unions that a
// library would need to be told anyway, and a test file links nothing into the program.

// object is a JSON object whose keys stay in the order of the source.
type object []member

type member struct {
	key   string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		for j, part := range []any{m.key, m.value} {
			if j > 0 {
				out.WriteByte(':')
			}
			enc := json.NewEncoder(&out)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(part); err != nil {
				return nil, err
			}
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

const (
	portPattern        = `([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])`
	loopbackURLPattern = `^[Hh][Tt][Tt][Pp]://(127(\.[0-9]{1,3}){3}|[Ll][Oo][Cc][Aa][Ll][Hh][Oo][Ss][Tt]|\[[0:]*:0*1\]):` + portPattern + `/*$`
	relayURLPattern    = `^[Hh][Tt][Tt][Pp][Ss]?://[^@?#/\s]+(/[^@?#\s]*)?$`
)

// rules are what the loader demands beyond the Go type, by Type.key.
var rules = map[string]object{
	"File.version":        {{"const", Version}},
	"File.name":           {{"pattern", ownerPattern}, {"maxLength", ownerMax}},
	"File.sessions":       {{"maxItems", maxSessions}},
	"LocalRelay.url":      {{"pattern", loopbackURLPattern}},
	"FederationRelay.url": {{"pattern", relayURLPattern}},
	"Entry.name":          {{"pattern", namePattern}, {"maxLength", nameMax}},
	"Entry.dir":           {{"minLength", 1}},
	"Entry.handle":        {{"pattern", handlePattern}},
}

// generateSchema is the content of schema.json.
func generateSchema(t *testing.T) []byte {
	t.Helper()
	g := generator{docs: comments(t)}
	s := append(object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", "wire.yaml"},
	}, g.structure(reflect.TypeFor[File](), reflect.ValueOf(*NewFile()))...)
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type generator struct {
	docs map[string]string
}

// structure is the schema of a struct; defaults is a value of it whose fields are the defaults, or invalid.
func (g generator) structure(t reflect.Type, defaults reflect.Value) object {
	properties, required := object{}, []string{}
	g.fields(t, defaults, &properties, &required)
	s := object{{"description", g.docs[t.Name()]}, {"type", "object"}, {"properties", properties}}
	if len(required) > 0 {
		s = append(s, member{"required", required})
	}
	if t == reflect.TypeFor[Entry]() {
		s = append(s, member{"anyOf", []object{{{"required", []string{"name"}}}, {{"required", []string{"dir"}}}}})
	}
	return append(s, member{"additionalProperties", false})
}

func (g generator) fields(t reflect.Type, defaults reflect.Value, properties *object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("yaml")
		var value reflect.Value
		if defaults.IsValid() {
			value = defaults.Field(i)
		}
		switch {
		case key == ",inline":
			g.fields(f.Type, reflect.Value{}, properties, required)
		case key != "":
			s := object{}
			if doc := g.docs[t.Name()+"."+f.Name]; doc != "" {
				s = append(s, member{"description", doc})
			}
			for _, m := range g.of(f.Type, value) {
				if m.key != "description" || len(s) == 0 {
					s = append(s, m)
				}
			}
			s = append(s, rules[t.Name()+"."+key]...)
			if f.Tag.Get("spec") == "required" {
				*required = append(*required, key)
			} else if value.IsValid() && f.Type.Kind() != reflect.Struct || isUnion(f.Type) && value.IsValid() {
				if d := shown(value); d != nil {
					s = append(s, member{"default", d})
				}
			}
			*properties = append(*properties, member{key, s})
		}
	}
}

func isUnion(t reflect.Type) bool {
	return t == reflect.TypeFor[Daemon]() || t == reflect.TypeFor[Mesh]()
}

// shown is a default as it would stand in the file, nil where there is none.
func shown(v reflect.Value) any {
	switch v := v.Interface().(type) {
	case Daemon:
		return v.On
	case Mesh:
		return "full"
	case time.Duration:
		return v.String()
	case string:
		if v == "" {
			return nil
		}
	}
	return v.Interface()
}

func (g generator) of(t reflect.Type, defaults reflect.Value) object {
	switch t {
	case reflect.TypeFor[Reach]():
		return object{{"enum", []Reach{ReachLocal, ReachFederation, ReachBoth}}}
	case reflect.TypeFor[time.Duration]():
		return object{{"type", "string"}, {"pattern", intervalPattern}, {"minLength", 2}}
	case reflect.TypeFor[Daemon]():
		takeover := object{{"type", "boolean"}}
		return object{{"oneOf", []object{
			{{"type", "boolean"}},
			{
				{"type", "object"},
				{"properties", object{{"takeover", takeover}}},
				{"required", []string{"takeover"}},
				{"additionalProperties", false},
			},
		}}}
	case reflect.TypeFor[Mesh]():
		group := object{{"type", "array"}, {"items", object{{"type", "string"}}}, {"minItems", 2}, {"uniqueItems", true}}
		return object{{"oneOf", []object{
			{{"enum", []string{"full", "none"}}},
			{{"type", "array"}, {"items", group}, {"minItems", 1}},
		}}}
	}
	switch t.Kind() {
	case reflect.Struct:
		return g.structure(t, defaults)
	case reflect.Slice:
		return object{{"type", "array"}, {"items", g.of(t.Elem(), reflect.Value{})}}
	case reflect.String:
		return object{{"type", "string"}}
	case reflect.Bool:
		return object{{"type", "boolean"}}
	case reflect.Int:
		return object{{"type", "integer"}}
	}
	panic("no schema for " + t.String())
}

// comments are the doc comments of the types in file.go and of their fields.
func comments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "file.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]string{}
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, s := range gen.Specs {
			ts := s.(*ast.TypeSpec)
			docs[ts.Name.Name] = description(ts.Name.Name, gen.Doc)
			st, ok := ts.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range st.Fields.List {
				for _, name := range f.Names {
					docs[ts.Name.Name+"."+name.Name] = description(name.Name, f.Doc)
				}
			}
		}
	}
	return docs
}

// description is a doc comment on one line. "Reach is which ..." becomes "Which ...": Go's names are of no
// interest to somebody who edits a wire.yaml.
func description(name string, doc *ast.CommentGroup) string {
	text := strings.Join(strings.Fields(doc.Text()), " ")
	if rest, ok := strings.CutPrefix(text, name+" is "); ok {
		return strings.ToUpper(rest[:1]) + rest[1:]
	}
	return text
}
