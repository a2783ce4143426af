package spec

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// TestSchemaFile holds schema.json to the types; -update (go generate) writes it.
func TestSchemaFile(t *testing.T) {
	want := generateSchema(t)
	if *update {
		if err := os.WriteFile("schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), string(Schema())); diff != "" {
		t.Errorf("schema.json is not what file.go says (go generate ./spec): -want +got:\n%s", diff)
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("wire.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("wire.schema.json") // checks it against the draft's own schema, too
	if err != nil {
		t.Fatal(err)
	}
	if s.DraftVersion != 2020 {
		t.Fatalf("draft %d, want 2020-12", s.DraftVersion)
	}
	return s
}

// TestSchemaAccepts demands that everything that people are given to copy passes schema and Load.
func TestSchemaAccepts(t *testing.T) {
	s := compileSchema(t)
	paths := glob(t, "testdata/good/*.yaml")
	paths = append(paths, glob(t, "../wire.yaml.example")...)
	paths = append(paths, glob(t, "../examples/*/wire.yaml")...)
	for _, path := range paths {
		t.Run(strings.TrimPrefix(path, "../"), func(t *testing.T) {
			load(t, path)
			var v any
			if err := yaml.Unmarshal(read(t, path), &v); err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(v); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		})
	}
}

// TestSchemaRejects demands that what Load refuses the schema refuses, except for what no schema can see.
func TestSchemaRejects(t *testing.T) {
	s := compileSchema(t)
	blind := map[string]string{
		"two-documents": "a schema sees one document",
		"version-hex":   "0x1 is 1 once the YAML is read",
		"relays-same":   "a schema cannot compare two values",
		"line-breaks":   "the YAML reader knows more line breaks than editors",
		"merge":         "the YAML reader merges before the schema looks",
		"keys-twice":    "the YAML reader refuses it, or keeps one",
	}
	for _, path := range glob(t, "testdata/bad/*.yaml") {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			var v any
			if err := yaml.Unmarshal(read(t, path), &v); err != nil {
				return // no YAML at all: nothing that a schema could look at
			}
			err := s.Validate(v)
			if reason, ok := blind[name]; ok {
				if err != nil {
					t.Errorf("is rejected although %s; take it off the list: %v", reason, err)
				}
				return
			}
			if err == nil {
				t.Errorf("the schema accepts %s", path)
			}
		})
	}
}
