package identity

import (
	"strconv"
	"testing"
	"time"
)

func TestTimeVectors(t *testing.T) {
	var file struct {
		Formatted []struct {
			Unix, Nanos int64
			Text        *string
		}
		Parsed []struct {
			In, UTC   string
			Accepts   bool
			UnixNanos string `json:"unix_nanos"`
		}
	}
	readVectors(t, "timestamps.json", &file)
	for _, c := range file.Formatted {
		want := "1970-01-01T00:00:00Z"
		if c.Text != nil {
			want = *c.Text
		}
		zone := time.FixedZone("", 3600)
		same(t, "time", FormatTime(time.Unix(c.Unix, c.Nanos).In(zone)), want)
	}
	for _, c := range file.Parsed {
		got, err := ParseTime(c.In)
		if (err == nil) != c.Accepts {
			t.Errorf("%q: %v", c.In, err)
		}
		if err != nil || !c.Accepts {
			continue
		}
		same(t, c.In, FormatTime(got), c.UTC)
		// Beyond what UnixNano holds only the text says which instant it is.
		if nanos, err := strconv.ParseInt(c.UnixNanos, 10, 64); err == nil && got.UnixNano() != nanos {
			t.Errorf("%q: %d, want %d", c.In, got.UnixNano(), nanos)
		}
	}
}

func TestParseDeadline(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("", 7200))
	const (
		form     = "deadline must be `30m`, `2h`, `1d`, or RFC3339: "
		unit     = "deadline must end in m, h, d, or be RFC3339: "
		positive = "deadline duration must be positive: "
		far      = "deadline is beyond the year 9999: "
	)
	// vectors/identity/cli.json and vectors/cli/messages.json; where the reference crashes we refuse.
	for arg, want := range map[string]string{
		"2026-01-02T03:04:05Z":            "2026-01-02T03:04:05Z",
		" 2026-01-02T03:04:05Z ":          "2026-01-02T03:04:05Z",
		"2026-01-02 03:04:05Z":            "2026-01-02 03:04:05Z",
		"2026-01-02t03:04:05+02:30":       "2026-01-02t03:04:05+02:30",
		"2026-01-02T03:04:05.1234567891Z": "2026-01-02T03:04:05.1234567891Z",
		"2026-12-31T23:59:60Z":            "2026-12-31T23:59:60Z",
		"30m":                             "2026-01-02T01:34:05.000000678Z",
		"2h":                              "2026-01-02T03:04:05.000000678Z",
		"1d":                              "2026-01-03T01:04:05.000000678Z",
		"+5m":                             "2026-01-02T01:09:05.000000678Z",
		"007m":                            "2026-01-02T01:11:05.000000678Z",
		" 1h ":                            "2026-01-02T02:04:05.000000678Z",
		"1M":                              unit + `"1M"`,
		"1s":                              unit + `"1s"`,
		"1w":                              unit + `"1w"`,
		"30":                              unit + `"30"`,
		"5\u5206":                         unit + "\"5\u5206\"",
		"m":                               form + `"m": cannot parse integer from empty string`,
		"5":                               form + `"5": cannot parse integer from empty string`,
		"":                                form + `"": cannot parse integer from empty string`,
		"é":                               form + `"é": cannot parse integer from empty string`,
		"1.5h":                            form + `"1.5h": invalid digit found in string`,
		"1 h":                             form + `"1 h": invalid digit found in string`,
		"1_0h":                            form + `"1_0h": invalid digit found in string`,
		"1h30m":                           form + `"1h30m": invalid digit found in string`,
		"tomorrow":                        form + `"tomorrow": invalid digit found in string`,
		"2026-01-02":                      form + `"2026-01-02": invalid digit found in string`,
		"9223372036854775808m":            form + `"9223372036854775808m": number too large to fit in target type`,
		"-9223372036854775809m":           form + `"-9223372036854775809m": number too small to fit in target type`,
		"0m":                              positive + `"0m"`,
		"-1m":                             positive + `"-1m"`,
		"9223372036854775807m":            far + `"9223372036854775807m"`,
		"999999999999d":                   far + `"999999999999d"`,
		"3000000d":                        far + `"3000000d"`,
	} {
		got, err := ParseDeadline(arg, now)
		if err != nil {
			got = err.Error()
		}
		same(t, arg, got, want)
	}
}
