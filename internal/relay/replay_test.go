package relay

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
)

// The exchange files are what the reference answered (shared/vectors/relay/README.md says how to read
// them). Every exchange is played; where ours answers otherwise on purpose, deviations names it.
//
// A reference relay serves any Host. Ours refuses foreign ones, so the Host that the raw requests happen to
// carry is replaced by a loopback name; two exchanges about Host itself are among the deviations.

// deviation is an exchange that ours answers otherwise, and how.
type deviation struct {
	why    string
	status int
	body   string // part of the body
	apart  bool   // played on a copy of the state, for what it stores would show in later exchanges
	only   string // the mode in which it deviates; "": both
}

const (
	strictHTTP   = "net/http refuses it before any handler; nobody depends on the empty body (relay.md 2.1)"
	laxHTTP      = "net/http is more tolerant here and no client notices (relay.md 2.1)"
	positional   = "a top-level array is no object (relay.md 2.2: MAY reject)"
	trailing     = "what follows the first JSON value is refused (relay.md 2.2: MAY reject)"
	rebinding    = "a foreign Host or Origin is refused in local-only mode (relay.md Q24)"
	takeover     = "a DID must be that of the key that signed the card, and a nick stays with its key (relay.md Q22)"
	poison       = "only the same content is a duplicate (relay.md Q23)"
	noPages      = "the relay has no pages for people (relay.md 6.15: MAY be omitted)"
	allSlots     = "a slot counts whether it has events or not"
	fairUses     = "HEAD is no use of an invite, and uses outlive a restart (relay.md Q26)"
	doubledSlash = "//v1/... is served, for reference daemons bound with a trailing slash (relay.md Q27)"
)

var deviations = map[string]deviation{
	"http/cross-origin preflight":                            {why: rebinding, only: "local-only", status: 403},
	"http/foreign origin and host are not checked":           {why: rebinding, only: "local-only", status: 403},
	"http/absolute-form target":                              {why: rebinding, only: "local-only", status: 403},
	"http/404: doubled slash before v1":                      {why: doubledSlash, status: 401},
	"http/invalid percent escape in a parameter":             {why: strictHTTP, status: 400},
	"http/HTTP/1.1 without Host":                             {why: strictHTTP, status: 400},
	"http/HTTP/1.1 with two Hosts":                           {why: strictHTTP, status: 400},
	"http/HTTP/2 preface":                                    {why: laxHTTP, status: 404},
	"http/HTTP/1.2":                                          {why: laxHTTP, status: 200},
	"http/not HTTP":                                          {why: strictHTTP, status: 400, body: "400 Bad Request"},
	"http/header line without colon":                         {why: strictHTTP, status: 400, body: "400 Bad Request"},
	"http/obsolete folded header":                            {why: laxHTTP, status: 200},
	"http/two different Content-Length":                      {why: strictHTTP, status: 400, body: "400 Bad Request"},
	"http/negative Content-Length":                           {why: strictHTTP, status: 400, body: "400 Bad Request"},
	"http/large header of 500,000 bytes":                     {why: strictHTTP, status: 431, body: "431 Request Header Fields Too Large"},
	"http/target of 70,000 bytes":                            {why: laxHTTP, status: 200},
	"bodies/trailing garbage":                                {why: trailing, status: 400},
	"bodies/second value":                                    {why: trailing, status: 400},
	"bodies/trailing comma after the object":                 {why: trailing, status: 400},
	"bodies/top level array, right length":                   {why: positional, status: 422},
	"bodies/top level array, too long":                       {why: positional, status: 422},
	"allocate/array body (positional)":                       {why: positional, status: 422},
	"allocate/empty array body":                              {why: positional, status: 422},
	"events/same event_id, other content":                    {why: poison, status: 201, body: `"status":"stored"`, apart: true},
	"statistics and static pages/page /":                     {why: noPages, only: "federation", status: 404},
	"statistics and static pages/page /favicon.svg":          {why: noPages, only: "federation", status: 404},
	"statistics and static pages/page /og.png":               {why: noPages, only: "federation", status: 404},
	"statistics and static pages/page /demo.cast":            {why: noPages, only: "federation", status: 404},
	"statistics and static pages/page /install":              {why: noPages, only: "federation", status: 404},
	"statistics and static pages/page /install.sh":           {why: noPages, only: "federation", status: 404},
	"statistics and static pages/page /openshell-policy.sh":  {why: noPages, only: "federation", status: 404},
	"statistics and static pages/page /phonebook":            {why: noPages, only: "federation", status: 404},
	"statistics and static pages/page /phonebook.html":       {why: noPages, only: "federation", status: 404},
	"statistics and static pages/page /stats.html":           {why: noPages, only: "federation", status: 404},
	"statistics and static pages/page / head":                {why: noPages, only: "federation", status: 404},
	"statistics and static pages/page / post":                {why: noPages, only: "federation", status: 404},
	"statistics and static pages/range is ignored":           {why: noPages, only: "federation", status: 404},
	"statistics and static pages/stats, Accept html":         {why: noPages, only: "federation", status: 200, body: `"events_posted_total":2`},
	"statistics and static pages/stats after a restart":      {why: allSlots, only: "federation", status: 200, body: `"slots_active":2`},
	"short invites/used up":                                  {why: fairUses, only: "federation", status: 200, body: "wire://pair?two"},
	"short invites/used-up invite is back after a restart":   {why: fairUses, only: "federation", status: 410},
	"short invites/fetch encoded traversal":                  {why: strictHTTP, only: "federation", status: 400},
	"handle resolution/takeover by DID string":               {why: takeover, only: "federation", status: 400},
	"handle resolution/now another slot and key":             {why: takeover, only: "federation", status: 200, body: `"slot_id":"{slot_b}"`},
	"handle claim/takeover of a nick":                        {why: takeover, status: 400},
	"handle intro/a post of an introduced id is a duplicate": {why: poison, status: 201, body: `"status":"stored"`, apart: true},
}

type exchangeGroup struct {
	Group     string
	Fresh     bool `json:"fresh_relay"`
	Setup     json.RawMessage
	Exchanges []exchange
}

type exchange struct {
	N         int
	Name      string
	Action    string
	Seconds   float64
	Request   request
	Response  *expected
	Responses []expected
	Capture   map[string]string
}

type request struct {
	Method, Path string
	Headers      map[string]any
	Body         *requestBody
	Raw          []any
	RawParts     []part               `json:"raw_parts"`
	RawHeaders   *struct{ Count int } `json:"raw_headers"`
	HalfClose    bool                 `json:"half_close"`
}

type requestBody struct {
	JSON  json.RawMessage
	Text  *string
	Hex   *string
	Parts []part
}

type part struct {
	Text, Repeat string
	Times        int
}

type expected struct {
	Status   *int
	Headers  map[string]string
	Body     map[string]json.RawMessage
	Volatile map[string]string
	FreeText []string `json:"free_text"`
	Contains map[string]any
	Names    any  `json:"body_names"`
	Unsorted bool `json:"raw_differs_from_sorted_compact"`
}

// replay is one group under way.
type replay struct {
	t     *testing.T
	relay *running
	texts map[string]string // variables as text
	docs  map[string]any    // those that are JSON values
	clock *movingClock
}

func TestExchanges(t *testing.T) {
	shared, err := filepath.Glob("testdata/exchanges/*.json")
	if err != nil || len(shared) != 12 {
		t.Fatalf("exchange files: %d, %v", len(shared), err)
	}
	t.Run("local-only", func(t *testing.T) { playAll(t, true, shared, 539) })
	// The first eleven groups were recorded in both modes and came out the same.
	federation, err := filepath.Glob("testdata/exchanges-federation/*.json")
	if err != nil || len(federation) != 4 {
		t.Fatalf("exchange files: %d, %v", len(federation), err)
	}
	t.Run("federation", func(t *testing.T) { playAll(t, false, append(shared[:11:11], federation...), 724) })
}

// playAll plays groups in order, and expects that they have so many exchanges and that every deviation of
// the mode is among them.
func playAll(t *testing.T, localOnly bool, files []string, count int) {
	docs, texts := fixtures(t)
	clock := new(movingClock)
	played, deviated := 0, map[string]bool{}
	var last *running
	for _, file := range files {
		var g exchangeGroup
		readJSON(t, file, &g)
		if g.Fresh || last == nil {
			var err error
			last, err = tryStart(t, Config{Bind: "127.0.0.1:0", LocalOnly: localOnly, StateDir: stateDir(t), now: clock.now})
			if err != nil {
				t.Fatal(err)
			}
		}
		r := &replay{t: t, relay: last, texts: maps.Clone(texts), docs: docs, clock: clock}
		for i, e := range g.Exchanges {
			switch e.Action {
			case "restart":
				r.relay = r.relay.again()
				continue
			case "wait":
				clock.move(e.Seconds)
				continue
			}
			played++
			key := g.Group + "/" + e.Name
			d, ok := deviations[key]
			ok = ok && (d.only == "" || (d.only == "local-only") == localOnly)
			deviated[key] = deviated[key] || ok
			t.Run(fmt.Sprintf("%s/%d %s", g.Group, e.N, e.Name), func(t *testing.T) {
				if ok {
					r.deviates(t, e, d)
					return
				}
				if problem := r.check(t, e, r.exchange(t, e, r.relay)); problem != "" {
					t.Error(problem)
				}
			})
			if i == 0 && g.Group == "paging" {
				r.fillPages()
			}
		}
		last = r.relay
	}
	if played != count {
		t.Errorf("played %d exchanges, want %d", played, count)
	}
	for key, d := range deviations {
		if !deviated[key] && (d.only == "" || (d.only == "local-only") == localOnly) {
			t.Errorf("deviation %q names no exchange", key)
		}
	}
}

// movingClock is the real time and what the waits of a group add to it.
type movingClock struct{ ahead atomic.Int64 }

func (c *movingClock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *movingClock) move(seconds float64) { c.ahead.Add(int64(seconds * float64(time.Second))) }

// deviates plays an exchange that must not come out as the reference's, but as the deviation says.
func (r *replay) deviates(t *testing.T, e exchange, d deviation) {
	at := r.relay
	if d.apart {
		at = at.twin(copyTree(t, at.dir))
		defer at.stop()
	}
	got := r.exchange(t, e, at)
	if r.check(t, e, got) == "" {
		t.Fatalf("answers as the reference does: no deviation any more (%s)", d.why)
	}
	if len(got) == 0 {
		t.Fatalf("no answer, want %d (%s)", d.status, d.why)
	}
	final := got[len(got)-1]
	if final.StatusCode != d.status || !bytes.Contains(final.body, []byte(r.fill(d.body))) {
		t.Errorf("answered %d %.200q, want %d with %q (%s)", final.StatusCode, final.body, d.status, d.body, d.why)
	}
}

// check says what of the answers is not as expected, "" if nothing.
func (r *replay) check(t *testing.T, e exchange, got []answer) string {
	want := e.Responses
	if e.Response != nil {
		want = []expected{*e.Response}
	}
	n := 0
	for _, w := range want {
		if w.Status != nil {
			n++
		}
	}
	if len(want) == 0 {
		return ""
	}
	if n == 0 && len(got) == 1 && got[0].StatusCode == http.StatusBadRequest {
		return "" // the answer to our end of the connection
	}
	if len(got) != n {
		return fmt.Sprintf("%d answers, want %d", len(got), n)
	}
	for name, pointer := range e.Capture {
		v := at1(mustParse(t, got[0].body), pointer)
		text, ok := v.(string)
		if !ok {
			return fmt.Sprintf("%s is %v", pointer, v)
		}
		r.texts[name] = text
		if name == "inv" {
			r.texts["inv_upper"] = strings.ToUpper(text)
		}
		if name == "slot_a" {
			r.texts["slot_a_first_encoded"] = fmt.Sprintf("%%%02x%s", text[0], text[1:])
		}
	}
	for i, a := range got {
		if problem := r.compare(a, want[i]); problem != "" {
			return problem
		}
	}
	return ""
}

// exchange sends a request and reads the answers that come.
func (r *replay) exchange(t *testing.T, e exchange, at *running) []answer {
	conn, err := net.Dial("tcp", at.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	method, parts := r.render(t, e.Request)
	sent := make(chan error, 1)
	go func() {
		for _, p := range parts {
			if _, err := conn.Write(p); err != nil {
				sent <- err
				return
			}
		}
		if wantsSilence(e) || e.Request.HalfClose {
			// What must not be answered yet is answered when no more can come.
			conn.(*net.TCPConn).CloseWrite()
		}
		sent <- nil
	}()
	want := max(1, len(e.Responses))
	if e.Response == nil && len(e.Responses) == 0 {
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		return nil
	}
	br := bufio.NewReader(conn)
	var got []answer
	for len(got) < want {
		m := method
		if len(got) == 1 && strings.HasPrefix(e.Name, "pipelined") {
			m = "HEAD"
		}
		resp, err := http.ReadResponse(br, &http.Request{Method: m})
		if err != nil {
			break
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, answer{resp, body})
	}
	<-sent // a broken pipe is what a refused upload looks like
	return got
}

func wantsSilence(e exchange) bool {
	return len(e.Responses) == 1 && e.Responses[0].Status == nil
}

var hostLine = regexp.MustCompile(`\r?\nHost: (x|a|b)\b`)

// render is the method of a request and the bytes to send.
func (r *replay) render(t *testing.T, q request) (method string, parts [][]byte) {
	loopback := func(s string) []byte {
		s = hostLine.ReplaceAllStringFunc(r.fill(s), func(m string) string {
			return m[:strings.Index(m, "Host: ")] + "Host: localhost"
		})
		return latin1(s)
	}
	switch {
	case q.Raw != nil:
		for _, p := range q.Raw {
			if text, ok := p.(string); ok {
				parts = append(parts, loopback(text))
			}
		}
	case q.RawParts != nil:
		for _, p := range q.RawParts {
			parts = append(parts, loopback(p.Text), []byte(strings.Repeat(p.Repeat, p.Times)))
		}
	case q.RawHeaders != nil:
		var b strings.Builder
		b.WriteString("GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
		for i := 1; i < q.RawHeaders.Count; i++ {
			fmt.Fprintf(&b, "X-%d: y\r\n", i)
		}
		b.WriteString("\r\n")
		parts = [][]byte{[]byte(b.String())}
	default:
		return q.Method, [][]byte{r.plain(t, q)}
	}
	method, _, _ = strings.Cut(string(parts[0]), " ")
	return method, parts
}

func (r *replay) plain(t *testing.T, q request) []byte {
	var body []byte
	if q.Body != nil {
		switch {
		case q.Body.Text != nil:
			body = []byte(r.fill(*q.Body.Text))
		case q.Body.Hex != nil:
			b, err := hex.DecodeString(*q.Body.Hex)
			if err != nil {
				t.Fatal(err)
			}
			body = b
		case q.Body.Parts != nil:
			body = joinParts(r, q.Body.Parts)
		default:
			body = []byte(r.fill(string(canon.Compact(mustParse(t, q.Body.JSON)))))
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", q.Method, r.fill(q.Path))
	if _, ok := q.Headers["Host"]; !ok {
		b.WriteString("Host: localhost\r\n")
	}
	if q.Body != nil {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	for _, name := range slices.Sorted(maps.Keys(q.Headers)) { // the order in which they were sent
		v := q.Headers[name]
		values, ok := v.([]any)
		if !ok {
			values = []any{v}
		}
		for _, v := range values {
			fmt.Fprintf(&b, "%s: ", name)
			b.Write(latin1(r.fill(v.(string))))
			b.WriteString("\r\n")
		}
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

func joinParts(r *replay, parts []part) []byte {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(r.fill(p.Text))
		b.WriteString(strings.Repeat(p.Repeat, p.Times))
	}
	return []byte(b.String())
}

func latin1(s string) []byte {
	out := make([]byte, 0, len(s))
	for _, c := range s {
		if c > 0xff {
			return []byte(s)
		}
		out = append(out, byte(c))
	}
	return out
}

var variable = regexp.MustCompile(`\{[a-z][a-z0-9_]*(:upper)?\}`)

// fill puts the variables into a text; other braces are literal.
func (r *replay) fill(s string) string {
	return variable.ReplaceAllStringFunc(s, func(m string) string {
		name, upper := strings.CutSuffix(m[1:len(m)-1], ":upper")
		v, ok := r.texts[name]
		if !ok {
			return m
		}
		if upper {
			v = strings.ToUpper(v)
		}
		return v
	})
}

// fillDoc does the same in an expected JSON value, where a lone variable may stand for a value.
func (r *replay) fillDoc(v any) any {
	switch v := v.(type) {
	case string:
		if len(v) > 2 && v[0] == '{' {
			if doc, ok := r.docs[v[1:len(v)-1]]; ok {
				return doc
			}
		}
		return r.fill(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = r.fillDoc(v[i])
		}
		return out
	case canon.Doc:
		out := canon.Doc{}
		for k := range v {
			out[k] = r.fillDoc(v[k])
		}
		return out
	}
	return v
}

// compare says how an answer differs from the expected one.
func (r *replay) compare(got answer, want expected) string {
	if want.Status == nil || got.StatusCode != *want.Status {
		return fmt.Sprintf("status %d, want %d; body %.300q", got.StatusCode, deref(want.Status), got.body)
	}
	for _, name := range headerNames(got, want) {
		if g, w := got.Header.Get(name), want.Headers[strings.ToLower(name)]; g != w {
			return fmt.Sprintf("header %s: %q, want %q", name, g, w)
		}
	}
	if raw, ok := want.Body["text"]; ok {
		return r.compareText(got.body, raw, want)
	}
	if raw, ok := want.Body["json"]; ok {
		return r.compareJSON(got.body, raw, want)
	}
	return comparePage(got.body, want)
}

func deref(p *int) int {
	if p == nil {
		return 0
	}
	return *p
}

// headerNames are those to compare: all but the ones that the README leaves out, and Connection on
// answers that end one anyway.
func headerNames(got answer, want expected) []string {
	names := map[string]bool{}
	for name := range got.Header {
		names[name] = true
	}
	for name := range want.Headers {
		names[http.CanonicalHeaderKey(name)] = true
	}
	for _, name := range []string{"Date", "Content-Length", "Connection"} {
		delete(names, name)
	}
	var out []string
	for name := range names {
		out = append(out, name)
	}
	return out
}

func (r *replay) compareText(body []byte, raw json.RawMessage, want expected) string {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err.Error()
	}
	if len(want.FreeText) > 0 {
		names, _ := want.Names.(string)
		if len(body) == 0 || !bytes.Contains(body, []byte(names)) {
			return fmt.Sprintf("text %q does not name %q", body, names)
		}
		return ""
	}
	return cmp.Diff(r.fill(text), string(body))
}

func (r *replay) compareJSON(body []byte, raw json.RawMessage, want expected) string {
	got, err := canon.Parse(body)
	if err != nil {
		return fmt.Sprintf("%v in %.200q", err, body)
	}
	if !want.Unsorted && !bytes.Equal(canon.Compact(got), body) {
		return fmt.Sprintf("not compact with sorted keys: %.300q", body)
	}
	wanted, err := canon.Parse(raw)
	if err != nil {
		return err.Error()
	}
	wanted = r.fillDoc(wanted)
	for pointer, kind := range want.Volatile {
		if problem := r.checkVolatile(at1(got, pointer), kind); problem != "" {
			return pointer + ": " + problem
		}
		set1(got, pointer, "volatile")
		set1(wanted, pointer, "volatile")
	}
	for pointer, parts := range want.Contains {
		text, _ := at1(got, pointer).(string)
		for _, p := range asList(parts) {
			if !strings.Contains(text, p) {
				return fmt.Sprintf("%s: %q lacks %q", pointer, text, p)
			}
		}
	}
	return cmp.Diff(freeText(wanted, wanted), freeText(got, wanted))
}

// freeText blanks the texts whose wording is free.
func freeText(v, wanted any) any {
	switch w := wanted.(type) {
	case string:
		if text, ok := v.(string); ok && (w == "<text>" || w == "<"+wholeSeconds+">" && isWholeSeconds(text)) {
			return w
		}
	case []any:
		list, ok := v.([]any)
		if !ok || len(list) != len(w) {
			return v
		}
		out := make([]any, len(list))
		for i := range list {
			out[i] = freeText(list[i], w[i])
		}
		return out
	case canon.Doc:
		doc, ok := v.(canon.Doc)
		if !ok {
			return v
		}
		out := canon.Doc{}
		for k := range doc {
			out[k] = freeText(doc[k], w[k])
		}
		return out
	}
	return v
}

func asList(v any) []string {
	if s, ok := v.(string); ok {
		return []string{s}
	}
	var out []string
	for _, each := range v.([]any) {
		out = append(out, each.(string))
	}
	return out
}

const wholeSeconds = "rfc3339_whole_seconds_Z"

func isWholeSeconds(text string) bool {
	_, err := time.Parse("2006-01-02T15:04:05Z", text)
	return err == nil && len(text) == 20
}

var hexKind = regexp.MustCompile(`^hex(\d+)$`)

func (r *replay) checkVolatile(v any, kind string) string {
	text, _ := v.(string)
	if ahead, ok := strings.CutPrefix(kind, "now + "); ok {
		n, _ := v.(uint64)
		want, err := strconv.ParseUint(ahead, 10, 64)
		if now := uint64(r.clock.now().Unix()); err != nil || n < now+want-2 || n > now+want {
			return fmt.Sprintf("%v is not %s", v, kind)
		}
		return ""
	}
	switch kind {
	case `"/i/" + token`:
		if !strings.HasPrefix(text, "/i/") {
			return fmt.Sprintf("%v is not %s", v, kind)
		}
		return ""
	case "hex6": // ours are longer, which clients do not mind (relay.md 6.13)
		if _, err := hex.DecodeString(text); err != nil || len(text) < 6 {
			return fmt.Sprintf("%v is not %s", v, kind)
		}
		return ""
	case wholeSeconds:
		if !isWholeSeconds(text) {
			return fmt.Sprintf("%v is not %s", v, kind)
		}
		return ""
	case "string":
		if text == "" {
			return fmt.Sprintf("%v is not %s", v, kind)
		}
		return ""
	case "int":
		if _, ok := v.(uint64); !ok {
			return fmt.Sprintf("%v is not %s", v, kind)
		}
		return ""
	}
	if m := hexKind.FindStringSubmatch(kind); m != nil {
		n, _ := strconv.Atoi(m[1])
		s, _ := v.(string)
		if _, err := hex.DecodeString(s); err != nil || len(s) != n || s != strings.ToLower(s) {
			return fmt.Sprintf("%v is not %s", v, kind)
		}
		return ""
	}
	if n, ok := v.(uint64); kind != "unix_seconds" || !ok || n < 1_700_000_000 {
		return fmt.Sprintf("%v is not %s", v, kind)
	}
	return ""
}

// comparePage checks what is said of a page whose text is left out.
func comparePage(body []byte, want expected) string {
	if _, free := want.Body["free"]; free {
		if len(body) == 0 {
			return "empty body"
		}
		return ""
	}
	v, err := canon.Parse(body)
	events, ok := v.([]any)
	if err != nil || !ok {
		return fmt.Sprintf("no array: %.200q", body)
	}
	if raw, ok := want.Body["event_ids_in_order"]; ok {
		ids := make([]any, len(events))
		for i := range events {
			doc, _ := events[i].(canon.Doc)
			ids[i] = doc["event_id"]
		}
		wanted, err := canon.Parse(raw)
		if err != nil {
			return err.Error()
		}
		return cmp.Diff(wanted, any(ids))
	}
	numbers := func(i int) string { doc, _ := events[i].(canon.Doc); return fmt.Sprint(doc["n"]) }
	if got := strconv.Itoa(len(events)); got != string(want.Body["array_of"]) {
		return fmt.Sprintf("%s events, want %s", got, want.Body["array_of"])
	}
	if numbers(0) != string(want.Body["first_n"]) || numbers(len(events)-1) != string(want.Body["last_n"]) {
		return fmt.Sprintf("events %s to %s, want %s to %s", numbers(0), numbers(len(events)-1), want.Body["first_n"], want.Body["last_n"])
	}
	return ""
}

// fillPages posts what the setup of the paging group describes.
func (r *replay) fillPages() {
	b := box{r.texts["slot_a"], r.texts["token_a"]}
	for n := range 1203 {
		event := fmt.Sprintf(`{"event_id":"p%d","n":%d}`, n, n)
		if n >= 1200 {
			event = fmt.Sprintf(`{"n":%d}`, n)
		}
		if a := r.relay.post(b, event); a.StatusCode != http.StatusCreated {
			r.t.Fatalf("setup post %d: %d %s", n, a.StatusCode, a.body)
		}
	}
}

// at1 is the value at a JSON pointer without escapes.
func at1(v any, pointer string) any {
	for _, key := range strings.Split(pointer, "/")[1:] {
		if list, ok := v.([]any); ok {
			if i, err := strconv.Atoi(key); err == nil && i < len(list) {
				v = list[i]
				continue
			}
		}
		doc, _ := v.(canon.Doc)
		v = doc[key]
	}
	return v
}

func set1(v any, pointer string, to any) {
	i := strings.LastIndexByte(pointer, '/')
	if doc, ok := at1(v, pointer[:i]).(canon.Doc); ok {
		doc[pointer[i+1:]] = to
	}
}

// fixtures are the variables of fixtures.json, as values and as text.
func fixtures(t testing.TB) (docs map[string]any, texts map[string]string) {
	data, err := os.ReadFile("testdata/fixtures.json")
	if err != nil {
		t.Fatal(err)
	}
	docs, texts = map[string]any{}, map[string]string{}
	all := mustParse(t, data).(canon.Doc)["variables"].(canon.Doc)
	for name, v := range all {
		docs[name] = v
		texts[name] = string(canon.Compact(v))
		if doc, ok := v.(canon.Doc); ok {
			if id, ok := doc["event_id"].(string); ok {
				texts[name+"_id"], texts[name+"_id_upper"] = id, strings.ToUpper(id)
			}
		}
	}
	return docs, texts
}

func mustParse(t testing.TB, data []byte) any {
	t.Helper()
	v, err := canon.Parse(bytes.TrimSpace(data))
	if err != nil {
		t.Fatalf("%v in %.200q", err, data)
	}
	return v
}

func readJSON(t testing.TB, file string, to any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, to)
	}
	if err != nil {
		t.Fatal(errors.Join(fmt.Errorf("%s", file), err))
	}
}
