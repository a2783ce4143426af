package relay

import (
	"cmp"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// quietLog drops what net/http says of broken clients: a relay has no access log.
var quietLog = log.New(io.Discard, "", 0)

// server answers requests from the store.
type server struct {
	store     *store
	localOnly bool
	name      string // the host that it was told to bind
	stderr    io.Writer
	closing   chan struct{} // closed at shutdown: streams end
	exact     map[string]*endpoint
	params    []*endpoint
	pairs     pairTable
	now       func() time.Time
	keepalive time.Duration
}

// handler answers one request; param is the decoded path parameter, "" where the path has none.
type handler func(w http.ResponseWriter, r *http.Request, param string)

// endpoint is one path of the route table (relay.md section 5) with its handlers by method.
type endpoint struct {
	path       string // the parameter is written {}
	federation bool   // not served in local-only mode
	get, post  handler
	before     string // of the parameter
	after      string
}

func (s *server) table() []endpoint {
	return []endpoint{
		{path: "/healthz", get: s.healthz},
		{path: "/v1/slot/allocate", post: s.allocate},
		{path: "/v1/events/{}", get: s.list, post: s.post},
		{path: "/v1/events/{}/stream", get: s.stream},
		{path: "/v1/slot/{}/state", get: s.state},
		{path: "/v1/slot/{}/responder-health", post: s.setHealth},
		{path: "/v1/pair", post: s.pairOpen},
		{path: "/v1/pair/{}", get: s.pairGet},
		{path: "/v1/pair/{}/bootstrap", post: s.pairBootstrap},
		{path: "/v1/pair/abandon", post: s.pairAbandon},
		{path: "/v1/handle/claim", post: s.claim},
		{path: "/v1/handle/intro/{}", post: s.intro},
	}
}

func newServer(st *store, c Config) *server {
	s := &server{
		store: st, localOnly: c.LocalOnly, stderr: c.Stderr, closing: make(chan struct{}),
		exact: map[string]*endpoint{}, now: time.Now, keepalive: cmp.Or(c.keepalive, keepaliveEvery),
	}
	s.name, _, _ = net.SplitHostPort(c.Bind)
	for _, e := range s.table() {
		if e.federation && c.LocalOnly {
			continue
		}
		before, after, hasParam := strings.Cut(e.path, "{}")
		if !hasParam {
			s.exact[e.path] = &e
			continue
		}
		e.before, e.after = before, after
		s.params = append(s.params, &e)
	}
	return s
}

// ServeHTTP routes on the raw path, exactly: no cleaning, no redirects (relay.md 2.1).
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.localOnly && !s.fromHere(r) {
		replyText(w, http.StatusForbidden, "this relay serves its own machine only: foreign Host or Origin")
		return
	}
	if len(r.Header)+1 > maxHeaderLines { // Host is not among them
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestHeaderFieldsTooLarge)
		return
	}
	e, raw := s.find(rawPath(r))
	if e == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	h := e.get
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		h = e.post
	default:
		h = nil
	}
	if h == nil {
		w.Header().Set("Allow", e.allow())
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	param, ok := decodeParam(raw)
	if !ok {
		replyText(w, http.StatusBadRequest, "the path is not UTF-8")
		return
	}
	h(w, r, param)
}

// maxHeaderLines is a limit of the reference's HTTP library; beyond it 431.
const maxHeaderLines = 100

func (e *endpoint) allow() string {
	switch {
	case e.get == nil:
		return "POST"
	case e.post == nil:
		return "GET,HEAD"
	default:
		return "POST,GET,HEAD"
	}
}

// find matches a raw path. An empty last parameter is no match, an empty middle one is. "//v1/…" counts as
// "/v1/…", for reference clients bound with a trailing slash ask for that (relay.md Q27).
func (s *server) find(path string) (*endpoint, string) {
	if strings.HasPrefix(path, "//v1/") {
		path = path[1:]
	}
	if e := s.exact[path]; e != nil {
		return e, ""
	}
	for _, e := range s.params {
		if len(path) < len(e.before)+len(e.after) || !strings.HasPrefix(path, e.before) || !strings.HasSuffix(path, e.after) {
			continue
		}
		param := path[len(e.before) : len(path)-len(e.after)]
		if strings.IndexByte(param, '/') >= 0 || param == "" && e.after == "" {
			continue
		}
		return e, param
	}
	return nil, ""
}

// rawPath is the path as sent, without query; of an absolute-form target the part after the authority.
func rawPath(r *http.Request) string {
	p, _, _ := strings.Cut(r.RequestURI, "?")
	if strings.HasPrefix(p, "/") {
		return p
	}
	if _, rest, ok := strings.Cut(p, "://"); ok {
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			return rest[i:]
		}
	}
	return p
}

func decodeParam(raw string) (string, bool) {
	if strings.IndexByte(raw, '%') < 0 {
		return raw, utf8.ValidString(raw)
	}
	p, err := url.PathUnescape(raw)
	if err != nil {
		p = raw
	}
	return p, utf8.ValidString(p)
}

func (s *server) healthz(w http.ResponseWriter, _ *http.Request, _ string) {
	replyText(w, http.StatusOK, "ok\n")
}

// housekeeping saves the counters and looks whether the state is still there.
func (s *server) housekeeping(ctx context.Context) {
	t := time.NewTicker(saveEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			s.pairs.sweep(s.now())
			s.store.rest()
		}
	}
}

// saveEvery is how often counters are written where they moved (relay.md section 7).
const saveEvery = 30 * time.Second
