package canon

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// seed gives f the vectors' documents.
func seed(f *testing.F, add func(doc []byte)) {
	f.Helper()
	data, err := os.ReadFile("testdata/canon.json")
	if err != nil {
		f.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Input       string
			InputBase64 string `json:"input_base64"`
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		f.Fatal(err)
	}
	for _, c := range file.Cases {
		raw, err := base64.StdEncoding.DecodeString(c.InputBase64)
		if err != nil {
			f.Fatal(err)
		}
		if c.InputBase64 == "" {
			raw = []byte(c.Input)
		}
		if len(raw) < 4096 {
			add(raw)
		}
	}
	add([]byte("{\n  \"agents\": {\n    \"bob\": null\n  },\n  \"version\": 1\n}"))
	add([]byte(event))
}

func FuzzParse(f *testing.F) {
	seed(f, func(doc []byte) { f.Add(doc) })
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Parse(data)
		if validErr := Valid(data); (validErr == nil) != (err == nil) || err != nil && validErr.Error() != err.Error() {
			t.Fatalf("Parse says %v, Valid %v", err, validErr)
		}
		_, isObject := v.(Doc)
		if _, err := ReadSpans(data, "a"); (err == nil) != isObject {
			t.Fatalf("ReadSpans says %v of an object", err)
		}
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("accepted what is no JSON: %q", data)
		}
		if Depth(v) > MaxDepth {
			t.Fatalf("depth %d", Depth(v))
		}
		if _, found := Unstable(v); found || bytes.Contains(data, []byte("RawValue")) {
			return
		}
		text := Compact(v)
		for _, form := range [][]byte{text, Pretty(v)} {
			back, err := Parse(form)
			if err != nil {
				t.Fatalf("%v in our own text %q", err, form)
			}
			if again := Compact(back); !bytes.Equal(again, text) {
				t.Fatalf("%q becomes %q", text, again)
			}
		}
	})
}

func FuzzSpans(f *testing.F) {
	seed(f, func(doc []byte) {
		for _, key := range []string{"", "a", "agents", "zz", "\u00e9"} {
			f.Add(doc, key, key, []byte(`{"x":[1]}`), uint8(len(doc)))
		}
	})
	f.Fuzz(func(t *testing.T, data []byte, first, second string, value []byte, how uint8) {
		tree, err := ParseObject(data)
		if err != nil || bytes.Contains(data, []byte("RawValue")) {
			return
		}
		v, err := Parse(value)
		if err != nil || bytes.Contains(value, []byte("RawValue")) {
			return
		}
		first, second = clean(first), clean(second)
		path := []string{first, second}
		if how&1 != 0 {
			path = path[:1]
		}
		// Once as it came, where only the tree must agree, and once pretty, where every byte must.
		checkEdit(t, data, path, v, how&2 != 0)
		checkEdit(t, Pretty(tree), path, v, how&2 != 0)
	})
}

func clean(s string) string {
	v, _ := Parse(appendString(nil, s))
	return v.(string)
}

func checkEdit(t *testing.T, data []byte, path []string, v any, remove bool) {
	t.Helper()
	tree, err := ParseObject(data)
	if err != nil {
		return // a float that drifted out of range
	}
	pretty := bytes.Equal(Pretty(tree), data)
	before := slices.Clone(data)
	spans, err := ReadSpans(data, path[0])
	if err != nil {
		t.Fatalf("%v in %q", err, data)
	}
	if remove {
		spans.Delete(path...)
	} else {
		spans.Set(AppendPretty(nil, v, len(path)), path...)
	}
	editTree(tree, path, v, remove)
	if Depth(tree) > MaxDepth {
		return // whoever sets it cannot read it back
	}
	got := spans.Bytes()
	if !bytes.Equal(before, data) {
		t.Fatalf("the text that was read changed to %q", data)
	}
	if spans.Changed() == bytes.Equal(got, data) {
		t.Fatalf("Changed is %v: %q", spans.Changed(), got)
	}
	if want := Pretty(tree); pretty && !bytes.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
	if _, found := Unstable(v); found {
		return
	}
	back, err := spans.Tree()
	if err != nil {
		t.Fatalf("%v in %q", err, got)
	}
	if want := Compact(tree); !bytes.Equal(Compact(back), want) {
		t.Fatalf("%q reads %q, want %q", got, Compact(back), want)
	}
}
