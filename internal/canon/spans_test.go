package canon

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// value draws a tree such as Parse returns.
func value(depth int) *rapid.Generator[any] {
	scalars := []*rapid.Generator[any]{
		rapid.Just[any](nil),
		rapid.Bool().AsAny(),
		rapid.String().AsAny(),
		rapid.Uint64().AsAny(),
		rapid.Int64Range(-1<<63, -1).AsAny(),
		rapid.SampledFrom([]float64{0.1, 100, 1e16, 1e-6, -2.5}).AsAny(),
	}
	if depth == 0 {
		return rapid.OneOf(scalars...)
	}
	return rapid.OneOf(append(scalars,
		rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return value(depth - 1) }), 0, 3).AsAny(),
		doc(depth-1).AsAny(),
	)...)
}

var keys = rapid.SampledFrom([]string{"", "a", "b", "c", "agents", "peers", "é", "\n", `"`, "zz", "a\\", "😀"})

func doc(depth int) *rapid.Generator[Doc] {
	return rapid.MapOfN(keys, rapid.Deferred(func() *rapid.Generator[any] { return value(depth) }), 0, 6)
}

// editTree does to a tree what Set and Delete promise to do to the text.
func editTree(d Doc, path []string, v any, remove bool) {
	for ; len(path) > 1; path = path[1:] {
		next, ok := d[path[0]].(Doc)
		if !ok {
			if remove {
				return
			}
			next = Doc{}
			d[path[0]] = next
		}
		d = next
	}
	if remove {
		delete(d, path[0])
		return
	}
	d[path[0]] = v
}

func clone(t *rapid.T, v any) Doc {
	c, err := ParseObject(Compact(v))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSpansEqualTreeEdits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := doc(3).Draw(t, "doc")
		tree := clone(t, start)
		text := Pretty(start)
		spans, err := ReadSpans(text, "agents", "peers")
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 12).Draw(t, "edits") {
			path := rapid.SliceOfN(keys, 1, 3).Draw(t, "path")
			if rapid.Bool().Draw(t, "delete") {
				spans.Delete(path...)
				editTree(tree, path, nil, true)
			} else {
				v := value(2).Draw(t, "value")
				spans.Set(AppendPretty(nil, v, len(path)), path...)
				editTree(tree, path, v, false)
			}
			at := rapid.SliceOfN(keys, 0, 2).Draw(t, "look")
			sameMembers(t, spans, tree, at)
		}
		if got, want := string(spans.Bytes()), string(Pretty(tree)); got != want {
			t.Fatalf("spans and tree differ: %s", cmp.Diff(want, got))
		}
		if spans.Changed() != !bytes.Equal(text, spans.Bytes()) {
			t.Fatalf("Changed is %v", spans.Changed())
		}
	})
}

func sameMembers(t *rapid.T, spans *Spans, tree Doc, at []string) {
	for _, k := range at {
		tree, _ = tree[k].(Doc)
	}
	got := spans.Keys(at...)
	if want := slices.Sorted(maps.Keys(tree)); !slices.Equal(got, want) {
		t.Fatalf("keys at %q: %q, want %q", at, got, want)
	}
	for _, k := range got {
		raw, ok := spans.Raw(append(slices.Clone(at), k)...)
		v, err := Parse(raw)
		if !ok || err != nil || !bytes.Equal(Compact(v), Compact(tree[k])) {
			t.Fatalf("%q of %q: %v %v %s", k, at, ok, err, raw)
		}
	}
}

type step struct {
	raw  string // "" deletes
	path []string
}

func TestSpansLayouts(t *testing.T) {
	set := func(raw string, path ...string) step { return step{raw, path} }
	del := func(path ...string) step { return step{"", path} }
	for _, c := range []struct {
		name, doc string
		steps     []step
		want      string
	}{
		{"insert into the empty document", `{}`, []step{set("1", "a")}, "{\n  \"a\": 1\n}"},
		{"insert into an empty nest", "{\n  \"n\": {}\n}", []step{set("1", "n", "k")}, "{\n  \"n\": {\n    \"k\": 1\n  }\n}"},
		{"missing nest", "{\n  \"a\": 1,\n  \"z\": 2\n}", []step{set("1", "n", "k")}, "{\n  \"a\": 1,\n  \"n\": {\n    \"k\": 1\n  },\n  \"z\": 2\n}"},
		{"null nest", "{\n  \"n\": null\n}", []step{set("1", "n", "k")}, "{\n  \"n\": {\n    \"k\": 1\n  }\n}"},
		{"array nest", "{\n  \"n\": [1]\n}", []step{set("1", "n", "k")}, "{\n  \"n\": {\n    \"k\": 1\n  }\n}"},
		{"string on the way down", "{\n  \"n\": {\n    \"k\": \"s\"\n  }\n}", []step{set("1", "n", "k", "l")}, "{\n  \"n\": {\n    \"k\": {\n      \"l\": 1\n    }\n  }\n}"},
		{"delete the last member", "{\n  \"n\": {\n    \"k\": 1\n  }\n}", []step{del("n", "k")}, "{\n  \"n\": {}\n}"},
		{"delete all", "{\n  \"a\": 1,\n  \"b\": 2\n}", []step{del("a"), del("b")}, "{}"},
		{"delete all, insert", "{\n  \"a\": 1,\n  \"b\": 2\n}", []step{del("a"), del("b"), set("3", "c")}, "{\n  \"c\": 3\n}"},
		{"delete first", "{\n  \"a\": 1,\n  \"b\": 2\n}", []step{del("a")}, "{\n  \"b\": 2\n}"},
		{"delete in a missing nest", "{\n  \"a\": 1\n}", []step{del("n", "k")}, "{\n  \"a\": 1\n}"},
		{"set and take back", "{\n  \"a\": 1\n}", []step{set("2", "a"), set("1", "a"), set("5", "b"), del("b")}, "{\n  \"a\": 1\n}"},
		{"delete and put back", "{\n  \"a\": 1,\n  \"b\": 2\n}", []step{del("a"), set("1", "a")}, "{\n  \"a\": 1,\n  \"b\": 2\n}"},
		{"set a nest whole after its member", "{\n  \"n\": {\n    \"k\": 1\n  }\n}", []step{set("2", "n", "k"), set("{}", "n"), set("3", "n", "l")}, "{\n  \"n\": {\n    \"l\": 3\n  }\n}"},
		{"put a nest back whole", "{\n  \"n\": {\n    \"k\": 1\n  }\n}", []step{set("2", "n", "k"), set("{\n    \"k\": 1\n  }", "n")}, "{\n  \"n\": {\n    \"k\": 1\n  }\n}"},
		{"compact", `{"a":1,"n":{"k":1,"l":2},"z":3}`, []step{set("9", "n", "k"), set("8", "b"), del("z")}, `{"a":1,"b": 8,"n":{"k":9,"l":2}}`},
		{"unsorted", `{"z":1, "a":2, "m":3}`, []step{set("9", "a"), set("8", "b"), set("7", "zz")}, `{"b": 8,"z":1, "a":9, "m":3,"zz": 7}`},
		{"white space around", " \t{ \"a\" : 1 , \"b\" :\r\n2 } \n", []step{set("3", "b")}, " \t{ \"a\" : 1 , \"b\" :\r\n3 } \n"},
		{"repeated keys, set", `{"a":1,"b":2,"a":3}`, []step{set("4", "a")}, `{"b":2,"a":4}`},
		{"repeated keys, set to the last", `{"a":1,"b":2,"a":3}`, []step{set("3", "a")}, `{"a":1,"b":2,"a":3}`},
		{"repeated keys, delete", `{"a":1,"b":2,"a":3}`, []step{del("a")}, `{"b":2}`},
		{"repeated nest", `{"n":{"k":1},"n":{"l":2}}`, []step{set("3", "n", "k")}, `{"n":{"k":1},"n":{"k": 3,"l":2}}`},
		{"escaped keys", `{"\u0061":1,"b\n":2}`, []step{set("3", "a"), set("4", "b\n"), set("5", "\"")}, `{"\"": 5,"\u0061":3,"b\n":4}`},
		{"odd numbers and unknown members stay", `{"x":1.50,"y":[1e2,  {}],"a":0}`, []step{set("1", "a")}, `{"x":1.50,"y":[1e2,  {}],"a":1}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := ReadSpans([]byte(c.doc), "n")
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range c.steps {
				if step.raw == "" {
					s.Delete(step.path...)
				} else {
					s.Set([]byte(step.raw), step.path...)
				}
			}
			if got := string(s.Bytes()); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if s.Changed() != (c.doc != c.want) {
				t.Errorf("Changed is %v", s.Changed())
			}
			if _, err := s.Tree(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSpansRead(t *testing.T) {
	doc := []byte(` {"b":{"y": [1, 2] ,"x":"q","y":3},"a":null,"c":7} `)
	s, err := ReadSpans(doc, "a", "b", "c", "d")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want string
		path []string
	}{
		{"null", []string{"a"}},
		{`{"y": [1, 2] ,"x":"q","y":3}`, []string{"b"}},
		{"3", []string{"b", "y"}},
		{`"q"`, []string{"b", "x"}},
		{"-", []string{"b", "z"}},
		{"-", []string{"a", "x"}},
		{"-", []string{"c", "x"}},
		{"-", []string{"d", "x"}},
		{"-", []string{"d"}},
		{string(doc), nil},
	} {
		got, ok := s.Raw(c.path...)
		if !ok {
			got = []byte("-")
		}
		if string(got) != c.want {
			t.Errorf("%q: %s, want %s", c.path, got, c.want)
		}
	}
	for _, c := range []struct {
		want []string
		path []string
	}{
		{[]string{"a", "b", "c"}, nil},
		{[]string{"x", "y"}, []string{"b"}},
		{nil, []string{"a"}},
		{nil, []string{"c"}},
		{nil, []string{"d"}},
	} {
		if got := s.Keys(c.path...); !slices.Equal(got, c.want) {
			t.Errorf("keys at %q: %q, want %q", c.path, got, c.want)
		}
	}
	for k := range s.Members() {
		if k != "a" {
			t.Errorf("second member %q of a loop that stops", k)
		}
		break
	}
	if &s.Bytes()[0] != &doc[0] {
		t.Error("Bytes copied an unchanged document")
	}
	for _, bad := range []string{"", "[]", "1", `{"a":}`, `{"a":1} x`, `{"n":{"x":1,}}`} {
		if _, err := ReadSpans([]byte(bad), "n"); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}
