package relay

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"wirefleet.dev/wire/internal/canon"
)

// maxBody is the largest request body (relay.md 2.2).
const maxBody = 2 << 20

// badRequest is a body or query that is refused before the token is looked at.
type badRequest struct {
	code int
	text string
}

func (e *badRequest) Error() string { return e.text }

// bodies are read into reused buffers: most are a few hundred bytes, and nothing keeps a body.
var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 8<<10); return &b }}

// readBody checks content type, size and syntax in the order of relay.md 2.2. The body stays valid until
// done is called.
func readBody(w http.ResponseWriter, r *http.Request) (body []byte, done func(), err error) {
	if !jsonContent(r.Header["Content-Type"]) {
		return nil, nil, &badRequest{http.StatusUnsupportedMediaType, "Expected request with `Content-Type: application/json`"}
	}
	buf := bodies.Get().(*[]byte)
	done = func() {
		if cap(*buf) <= 1<<20 {
			bodies.Put(buf)
		}
	}
	b, err := readAll((*buf)[:0], http.MaxBytesReader(w, r.Body, maxBody), r.ContentLength)
	*buf = b[:0]
	if err == nil {
		if e := canon.Valid(b); e != nil {
			err = &badRequest{http.StatusBadRequest, "Failed to parse the request body as JSON: " + e.Error()}
		}
	} else if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		err = &badRequest{http.StatusRequestEntityTooLarge, "length limit exceeded"}
	} else {
		err = &badRequest{http.StatusBadRequest, "cannot read the request body"}
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return b, done, nil
}

// readAll is io.ReadAll into dst, grown once where the length is announced.
func readAll(dst []byte, r io.Reader, announced int64) ([]byte, error) {
	if n := int(min(max(announced, 0), maxBody)) + 1; cap(dst) < n {
		dst = make([]byte, 0, n)
	}
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

// jsonContent says whether the first Content-Type line is application/json or application/*+json. It is
// what keeps cross-site HTML forms out (relay.md Q24).
func jsonContent(lines []string) bool {
	if len(lines) == 0 {
		return false
	}
	if lines[0] == "application/json" {
		return true
	}
	kind, _, _ := strings.Cut(lines[0], ";")
	sub, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(kind)), "application/")
	if !ok {
		return false
	}
	suffix, ok := strings.CutSuffix(sub, "+json")
	return sub == "json" || ok && suffix != ""
}

// fields are the known members of a request body as their raw text; nil where absent.
type fields map[string][]byte

// readFields takes the known keys out of a valid JSON text: anything but an object, and a known key that
// comes twice, is 422.
func readFields(body []byte, known ...string) (fields, error) {
	f := make(fields, len(known))
	err := members(body, func(key string, raw []byte) error {
		for _, k := range known {
			if k != key {
				continue
			}
			if f[k] != nil {
				return wrongShape("duplicate field `" + k + "`")
			}
			f[k] = raw
		}
		return nil
	})
	return f, err
}

func wrongShape(text string) error {
	return &badRequest{http.StatusUnprocessableEntity, "Failed to deserialize the JSON body: " + text}
}

// need is the raw text of a required member, null included.
func (f fields) need(key string) ([]byte, error) {
	if f[key] == nil {
		return nil, wrongShape("missing field `" + key + "`")
	}
	return f[key], nil
}

// text is a required string.
func (f fields) text(key string) (string, error) {
	raw, err := f.need(key)
	if err != nil {
		return "", err
	}
	v, _ := canon.Parse(raw)
	s, ok := v.(string)
	if !ok {
		return "", wrongShape(key + ": expected a string")
	}
	return s, nil
}

// optional is a string where the member is there and not null.
func (f fields) optional(key string) (s string, ok bool, err error) {
	if raw := f[key]; raw == nil || string(raw) == "null" {
		return "", false, nil
	}
	s, err = f.text(key)
	return s, err == nil, err
}

// refuse answers what readBody, readFields and their kin found wrong.
func refuse(w http.ResponseWriter, err error) {
	bad := new(badRequest)
	if !errors.As(err, &bad) {
		replyError(w, http.StatusInternalServerError, err.Error())
		return
	}
	if bad.code == http.StatusRequestEntityTooLarge {
		w.Header().Set("Connection", "close")
	}
	replyText(w, bad.code, bad.text)
}
