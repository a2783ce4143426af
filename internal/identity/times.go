package identity

import (
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const epochText = "1970-01-01T00:00:00Z"

// FormatTime is RFC 3339 in UTC with 0 to 9 fraction digits (identity.md 3.5); a year that it cannot write
// gives 1970-01-01T00:00:00Z.
func FormatTime(t time.Time) string {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return epochText
	}
	return t.Format(time.RFC3339Nano)
}

// ParseTime reads what the reference takes for RFC 3339 (identity.md 3.5): any one byte between date and
// time, fractions beyond nanoseconds cut off, a leap second as the nanosecond before its end.
func ParseTime(s string) (time.Time, error) {
	errForm := errors.New("not an RFC 3339 time: " + Quote(s))
	const form = "dddd-dd-dd?dd:dd:dd"
	if len(s) <= len(form) {
		return time.Time{}, errForm
	}
	for i := range len(form) {
		if c := s[i]; form[i] == 'd' && (c < '0' || c > '9') || form[i] != 'd' && form[i] != '?' && form[i] != c {
			return time.Time{}, errForm
		}
	}
	part := func(from, to int) int {
		n, _ := strconv.Atoi(s[from:to]) // digits by the form
		return n
	}
	year, month, day := part(0, 4), time.Month(part(5, 7)), part(8, 10)
	hour, minute, second := part(11, 13), part(14, 16), part(17, 19)
	nanos, rest, ok := fraction(s[len(form):])
	if !ok {
		return time.Time{}, errForm
	}
	zone, ok := offset(rest)
	if !ok || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, errForm
	}
	if second == 60 {
		t := time.Date(year, month, day, hour, minute, 59, 999_999_999, time.UTC).Add(-zone)
		if t.Hour() != 23 || t.Minute() != 59 || t.Day() != daysIn(t.Year(), t.Month()) {
			return time.Time{}, errForm
		}
		return t, nil
	}
	return time.Date(year, month, day, hour, minute, second, nanos, time.UTC).Add(-zone), nil
}

// fraction takes ".ddd" from the start of s, if it starts so.
func fraction(s string) (nanos int, rest string, ok bool) {
	if s == "" || s[0] != '.' {
		return 0, s, true
	}
	n, unit := 1, 100_000_000
	for ; n < len(s) && '0' <= s[n] && s[n] <= '9'; n++ {
		nanos += int(s[n]-'0') * unit
		unit /= 10
	}
	return nanos, s[n:], n > 1
}

// offset reads "Z" or "±hh:mm", which must be all of s.
func offset(s string) (time.Duration, bool) {
	if s == "Z" || s == "z" {
		return 0, true
	}
	if len(s) != 6 || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	t, err := time.Parse("15:04", s[1:])
	if err != nil {
		return 0, false
	}
	d := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	if s[0] == '-' {
		d = -d
	}
	return d, true
}

func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// DeadlineError is why a deadline is refused, in the reference's words. Its tool server says Reason alone,
// its command line adds the cause.
type DeadlineError struct{ Reason, Cause string }

func (e *DeadlineError) Error() string {
	if e.Cause == "" {
		return e.Reason
	}
	return e.Reason + ": " + e.Cause
}

// ParseDeadline makes an event's time_sensitive_until of a --deadline argument: RFC 3339 as typed, but
// trimmed, or a positive number with m, h or d behind it, counted from now (identity.md 3.5, cli.md 2.5).
// Errors are *DeadlineError.
func ParseDeadline(arg string, now time.Time) (string, error) {
	trimmed := strings.TrimSpace(arg)
	if _, err := ParseTime(trimmed); err == nil {
		return trimmed, nil
	}
	_, last := utf8.DecodeLastRuneInString(trimmed)
	amount, unit := trimmed[:len(trimmed)-last], trimmed[len(trimmed)-last:]
	n, err := strconv.ParseInt(amount, 10, 64)
	if err != nil {
		return "", &DeadlineError{"deadline must be `30m`, `2h`, `1d`, or RFC3339: " + Quote(arg), numberCause(amount, err)}
	}
	if n <= 0 {
		return "", &DeadlineError{Reason: "deadline duration must be positive: " + Quote(arg)}
	}
	seconds := int64(60)
	switch unit {
	case "m":
	case "h":
		seconds *= 60
	case "d":
		seconds *= 24 * 60
	default:
		return "", &DeadlineError{Reason: "deadline must end in m, h, d, or be RFC3339: " + Quote(arg)}
	}
	const tenMillennia = 10_000 * 366 * 24 * 60 * 60
	if n <= tenMillennia/seconds {
		then := time.Unix(now.Unix()+n*seconds, int64(now.Nanosecond())).UTC()
		if then.Year() <= 9999 {
			return FormatTime(then), nil
		}
	}
	return "", &DeadlineError{Reason: "deadline is beyond the year 9999: " + Quote(arg)}
}

func numberCause(amount string, err error) string {
	switch {
	case amount == "":
		return "cannot parse integer from empty string"
	case !errors.Is(err, strconv.ErrRange):
		return "invalid digit found in string"
	case amount[0] == '-':
		return "number too small to fit in target type"
	}
	return "number too large to fit in target type"
}
