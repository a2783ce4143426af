package identity

import "time"

// FormatTime is RFC 3339 in UTC with 0 to 9 fraction digits (identity.md 3.5); a year that it cannot write
// gives 1970-01-01T00:00:00Z.
func FormatTime(t time.Time) string {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return "1970-01-01T00:00:00Z"
	}
	return t.Format(time.RFC3339Nano)
}
