package relay

import (
	"net/http"
	"strconv"

	"wirefleet.dev/wire/internal/canon"
)

// runHeader tells a reader of a slot, if it asks by a header of that name, which run of the relay answers: what lies
// in the slots may have changed between two of them. The reference does not know it.
const runHeader = "Wire-Relay-Run"

func replyText(w http.ResponseWriter, code int, text string) { replyAs(w, code, plainType, text) }

func replyAs(w http.ResponseWriter, code int, contentType []string, text string) {
	w.Header()["Content-Type"] = contentType
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text)) // the client may be gone
}

// replyJSON answers with one compact JSON value.
func replyJSON(w http.ResponseWriter, code int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	if len(body) > countedByHTTP {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(code)
	_, _ = w.Write(body) // the client may be gone
}

// countedByHTTP is up to which length net/http itself finds out the Content-Length of an answer.
const countedByHTTP = 1 << 10

func replyDoc(w http.ResponseWriter, code int, doc canon.Doc) { replyJSON(w, code, canon.Compact(doc)) }

func replyError(w http.ResponseWriter, code int, text string) {
	replyDoc(w, code, canon.Doc{"error": text})
}

// replyPersist is the answer where the disk said no (relay.md 2.4).
func replyPersist(w http.ResponseWriter, err error) {
	replyError(w, http.StatusInternalServerError, "persist failed: "+err.Error())
}

// Header values are shared between answers, so nothing may append to them.
var (
	jsonType   = []string{"application/json"}
	plainType  = []string{"text/plain; charset=utf-8"}
	streamType = []string{"text/event-stream"}
	scriptType = []string{"text/x-shellscript; charset=utf-8"}
	noCache    = []string{"no-cache"}

	inviteCache = []string{"private, no-store, max-age=0"}
)
