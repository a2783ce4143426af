package relay

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"
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
	limiter   *rate.Limiter // nil in local-only mode
	started   time.Time
	runID     []string // header value, another one after each start
	now       func() time.Time
	keepalive time.Duration
}

// handler answers one request; param is the decoded path parameter, "" where the path has none.
type handler func(w http.ResponseWriter, r *http.Request, param string)

// endpoint is one path of the route table (relay.md section 5) with its handlers by method.
type endpoint struct {
	path       string // the parameter is written {}
	federation bool   // not served in local-only mode
	limited    bool   // shares the rate limit of federation mode (section 4)
	get, post  handler
	before     string // of the parameter
	after      string
}

func (s *server) table() []endpoint {
	return []endpoint{
		{path: "/healthz", get: s.healthz},
		{path: "/v1/slot/allocate", limited: true, post: s.allocate},
		{path: "/v1/events/{}", get: s.list, post: s.post},
		{path: "/v1/events/{}/stream", get: s.stream},
		{path: "/v1/slot/{}/state", get: s.state},
		{path: "/v1/slot/{}/responder-health", post: s.setHealth},
		{path: "/v1/pair", limited: true, post: s.pairOpen},
		{path: "/v1/pair/{}", get: s.pairGet},
		{path: "/v1/pair/{}/bootstrap", limited: true, post: s.pairBootstrap},
		{path: "/v1/pair/abandon", limited: true, post: s.pairAbandon},
		{path: "/v1/handle/claim", post: s.claim},
		{path: "/v1/handle/intro/{}", post: s.intro},
		{path: "/.well-known/wire/agent", federation: true, get: s.agent},
		{path: "/.well-known/agent-card.json", federation: true, get: s.agentCard},
		{path: "/v1/handles", federation: true, get: s.phonebook},
		{path: "/v1/invite/register", federation: true, post: s.register},
		{path: "/i/{}", federation: true, get: s.fetch},
		{path: "/stats", federation: true, get: s.stats},
		{path: "/stats.json", federation: true, get: s.stats},
		{path: "/stats.history", federation: true, get: s.history},
	}
}

func newServer(st *store, c Config) *server {
	s := &server{
		store: st, localOnly: c.LocalOnly, stderr: c.Stderr, closing: make(chan struct{}),
		exact: map[string]*endpoint{}, now: c.clock(), keepalive: cmp.Or(c.keepalive, keepaliveEvery),
	}
	s.started, s.runID = s.now(), []string{rand.Text()}
	if !c.LocalOnly {
		s.limiter = rate.NewLimiter(limitedPerSecond, limitedBurst)
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
	if e.limited && s.limiter != nil && !s.allowed(w) {
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

// The limit of what makes slots and pair slots in federation mode. The reference means to allow as much, and
// allows one request every 10 s after the first 50; it also counts every 404 (relay.md section 4, Q6). A
// local-only relay limits nothing: whoever reaches it may fill the disk anyway.
const (
	limitedPerSecond = 10
	limitedBurst     = 50
)

// allowed answers 429 and is false if there were too many limited requests.
func (s *server) allowed(w http.ResponseWriter) bool {
	now := s.now()
	turn := s.limiter.ReserveN(now, 1)
	wait := turn.DelayFrom(now)
	if wait == 0 {
		return true
	}
	turn.CancelAt(now)
	h := w.Header()
	h.Set("X-Ratelimit-After", strconv.Itoa(int(wait.Seconds())))
	h.Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
	replyText(w, http.StatusTooManyRequests, "Too Many Requests! Wait for "+wait.String())
	return false
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
			if !s.localOnly {
				s.store.invites.sweep(s.now())
				if err := s.noteHistory(s.now()); err != nil {
					fmt.Fprintf(s.stderr, "history append failed: %v\n", err)
				}
			}
		}
	}
}

// saveEvery is how often counters are written where they moved (relay.md section 7).
const saveEvery = 30 * time.Second
