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
