package canon

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestSyntaxErrorsSayWhere(t *testing.T) {
	deep := strings.Repeat("[", 128)
	for text, want := range map[string]string{
		"":                   "not valid JSON at byte 0: text ends, wanted a value",
		" {\"a\":1,}":        "not valid JSON at byte 8: wanted a key in double quotes",
		`{"a" 1}`:            `not valid JSON at byte 5: wanted ":"`,
		`{"a":1 "b":2}`:      `not valid JSON at byte 7: wanted "," or "}"`,
		`[1 2]`:              `not valid JSON at byte 3: wanted "," or "]"`,
		`[1,]`:               "not valid JSON at byte 3: no value starts like this",
		`nul`:                "not valid JSON at byte 0: no value starts like this",
		`"abc`:               "not valid JSON at byte 4: string without end",
		`"ab\x"`:             "not valid JSON at byte 3: bad escape in a string",
		`"\ud83d\u0041"`:     "not valid JSON at byte 1: bad escape in a string",
		"\"a\tb\"":           "not valid JSON at byte 2: control character in a string",
		"\"abcdefghij\xff\"": "not valid JSON at byte 11: string is not UTF-8",
		"01":                 "not valid JSON at byte 1: number with a leading zero",
		"-":                  "not valid JSON at byte 1: number without a digit",
		"1.":                 "not valid JSON at byte 2: number without a digit behind the point",
		"1e+":                "not valid JSON at byte 3: exponent without a digit",
		"[1e400]":            "not valid JSON at byte 1: number out of range",
		"1 2":                "not valid JSON at byte 2: text after the value",
		deep:                 "not valid JSON at byte 127: nested deeper than 127",
	} {
		v, err := Parse([]byte(text))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || err.Error() != want {
			t.Errorf("%.20q: %v %v, want %s", text, v, err, want)
		}
	}
	if _, err := ParseObject([]byte("[]")); err == nil {
		t.Error("ParseObject took an array")
	}
}

func TestWriteWhatCannotBeParsed(t *testing.T) {
	for want, v := range map[string]any{
		"-3":               -3,
		"null":             math.NaN(),
		"[null]":           []any{math.Inf(-1)},
		"\"a\ufffdb\\n\"":  "a\xffb\n",
		"{\"\ufffd\":1}":   Doc{"\xc3": uint64(1)},
		"\"\ufffd\ufffd\"": "\xed\xa0", // half a surrogate
	} {
		if got := string(Compact(v)); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	defer func() {
		if r := recover(); r != "canon: a document cannot hold []string" {
			t.Errorf("recovered %v", r)
		}
	}()
	Compact(Doc{"a": []string{}})
}

func TestCanonicalLeavesItsArgument(t *testing.T) {
	doc := Doc{"event_id": "e", "signature": "s", "public_key_id": "k", "body": Doc{"signature": "in"}}
	for strip, want := range map[Strip]string{
		StripCard:  `{"body":{"signature":"in"},"event_id":"e"}`,
		StripEvent: `{"body":{"signature":"in"}}`,
	} {
		if got := string(Canonical(doc, strip)); got != want {
			t.Errorf("mode %d: %s", strip, got)
		}
	}
	if len(doc) != 4 {
		t.Errorf("changed to %v", doc)
	}
}

func TestDepth(t *testing.T) {
	for text, want := range map[string]int{
		"1": 0, `"x"`: 0, "{}": 1, "[]": 1, `{"a":[1]}`: 2, `[{},[[]]]`: 3,
		strings.Repeat("[", 127) + strings.Repeat("]", 127): 127,
	} {
		v, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := Depth(v); got != want {
			t.Errorf("%.20s: %d, want %d", text, got, want)
		}
	}
}

func TestUnstableNamesThePath(t *testing.T) {
	for text, want := range map[string]string{
		"3731107626654660e22":                                   "",
		`{"body":{"x":[1,0.5,3731107626654660e22]}}`:            "body.x[2]",
		`[[0.1],[[3731107626654660e22]]]`:                       "[1][0][0]",
		`{"b":3731107626654660e22,"a":[3731107626654660e22]}`:   "a[0]",
		`{"a":{"b":{"c":3731107626654660e22}},"z":"untouched"}`: "a.b.c",
	} {
		v, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if path, found := Unstable(v); !found || path != want {
			t.Errorf("%s: %q %v, want %q", text, path, found, want)
		}
	}
	for _, v := range []any{nil, "1.5", uint64(1), 0.1, 1e15, 100.0, Doc{"a": []any{1.5}}} {
		if path, found := Unstable(v); found {
			t.Errorf("%v: %q", v, path)
		}
	}
}

func TestPrettyDepth(t *testing.T) {
	v, want := any(uint64(1)), "1"
	for depth := 99; depth >= 0; depth-- {
		v = []any{v}
		want = "[\n" + strings.Repeat("  ", depth+1) + want + "\n" + strings.Repeat("  ", depth) + "]"
	}
	if got := string(Pretty(v)); got != want {
		t.Errorf("got %s", got)
	}
	if got := string(AppendPretty([]byte("x"), Doc{"a": []any{}}, 2)); got != "x{\n      \"a\": []\n    }" {
		t.Errorf("got %q", got)
	}
}

func TestValidBuildsNothing(t *testing.T) {
	text := Pretty(fleet(3))
	if n := testing.AllocsPerRun(10, func() {
		if Valid(text) != nil {
			t.Error("not valid")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
