package relay

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// readQuery reads the known keys of a query string by the rules of relay.md 2.3; nil where absent.
func readQuery(query string, known ...string) (map[string]*string, error) {
	values := map[string]*string{}
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		k, v, _ := strings.Cut(pair, "=")
		k, v = formDecode(k), formDecode(v)
		for _, key := range known {
			if k != key {
				continue
			}
			if values[key] != nil {
				return nil, badQuery("duplicate field `" + key + "`")
			}
			values[key] = &v
		}
	}
	return values, nil
}

func badQuery(text string) error {
	return &badRequest{http.StatusBadRequest, "Failed to deserialize query string: " + text}
}

// readNumber is an unsigned number of a query; one plus sign is allowed.
func readNumber(key, text string) (uint64, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "+"), 10, 64)
	if err != nil {
		return 0, badQuery(key + ": invalid digit found in string")
	}
	return n, nil
}

// readPage reads since and limit of a list request (6.4).
func readPage(query string) (since *string, limit int, err error) {
	if query == "" {
		return nil, defaultPage, nil
	}
	q, err := readQuery(query, "since", "limit")
	if err != nil {
		return nil, 0, err
	}
	since = q["since"]
	if q["limit"] == nil {
		return since, defaultPage, nil
	}
	n, err := readNumber("limit", *q["limit"])
	return since, int(min(n, maxPage)), err
}

// formDecode decodes a key or value as HTML forms do: a bad escape stays, bad UTF-8 becomes U+FFFD.
func formDecode(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			out = append(out, ' ')
		case s[i] == '%' && i+2 < len(s):
			if b, err := url.PathUnescape(s[i : i+3]); err == nil {
				out = append(out, b...)
				i += 2
				continue
			}
			out = append(out, '%')
		default:
			out = append(out, s[i])
		}
	}
	return strings.ToValidUTF8(string(out), "\uFFFD")
}
