package canon

import (
	"math"
	"slices"
	"strconv"
)

// Unstable returns the first float below v whose printed text reads back as another double, as a path such
// as "body.x[2]": such an event is lost on its way (identity.md 1.3, float drift). "First" is the order of
// the canonical bytes; the path of v itself is "".
func Unstable(v any) (path string, found bool) {
	switch v := v.(type) {
	case float64:
		return "", drifts(v)
	case []any:
		for i, e := range v {
			if below, found := Unstable(e); found {
				return join("["+strconv.Itoa(i)+"]", below), true
			}
		}
	case map[string]any:
		// Which one is first matters only if there is one, and almost never is there.
		var bad []string
		for k, e := range v {
			if _, found := Unstable(e); found {
				bad = append(bad, k)
			}
		}
		if len(bad) > 0 {
			first := slices.Min(bad)
			below, _ := Unstable(v[first])
			return join(first, below), true
		}
	}
	return "", false
}

func join(head, below string) string {
	if below == "" || below[0] == '[' {
		return head + below
	}
	return head + "." + below
}

func drifts(f float64) bool {
	var buf [32]byte
	back, err := Parse(appendFloat(buf[:0], f))
	if err != nil {
		return true // at the upper end a text could overflow
	}
	g, ok := back.(float64) // NaN and the infinities are written as null
	return !ok || math.Float64bits(g) != math.Float64bits(f)
}
