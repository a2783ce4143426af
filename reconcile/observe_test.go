package reconcile

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"

	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/relay/client"
	"wirefleet.dev/wire/spec"
)

// A relay that answers and dies before it is asked who it is, is down; one that only serves another state is up.
func TestRelayThatHasJustDied(t *testing.T) {
	for name, c := range map[string]struct {
		answers int32
		want    RelayFact
	}{
		"dead":       {2, RelayDown}, // the two requests of one look
		"dying":      {1, RelayDown},
		"of another": {1000, RelayUp},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			var s *httptest.Server
			s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Connection", "close")
				if asked.Add(1) >= c.answers {
					_ = s.Listener.Close()
				}
				if r.URL.Path == "/healthz" {
					_, _ = w.Write([]byte("ok\n"))
					return
				}
				w.WriteHeader(http.StatusNotFound)
				_, _ = w.Write([]byte(`{"error":"unknown slot"}`))
			}))
			s.Start()
			t.Cleanup(s.Close)
			base := t.TempDir()
			d := &spec.Desired{LocalRelay: spec.Relay{URL: s.URL, Bind: s.Listener.Addr().String(), Managed: true}}
			m := home.Machine{Root: filepath.Join(base, "sessions"), Base: base}
			o, err := Observer{Machine: m, Client: client.New(0), Desired: d}.Observe(t.Context())
			if must(t, err); o.Relay.Fact != c.want || o.Relay.PID != 0 {
				t.Errorf("%+v", o.Relay)
			}
		})
	}
}
