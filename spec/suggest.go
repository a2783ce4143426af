package spec

import (
	"fmt"
	"strings"
)

// didYouMean is "; did you mean ...?" with the nearest of candidates, the first among equals; "" where none
// is near.
func didYouMean(typed string, candidates []string) string {
	const longest = 64
	if len(typed) > longest {
		return ""
	}
	best, least := "", max(1, len(typed)/3)+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(typed), strings.ToLower(c), least); d < least {
			best, least = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the number of letters to insert, drop, change or swap with their neighbour to make a into b,
// or limit if it is not less than that.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
}
