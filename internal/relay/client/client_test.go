package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/identity"
)

// TestMain clears what net/http would read once for the whole process.
func TestMain(m *testing.M) {
	for _, v := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "WIRE_INSECURE_SKIP_TLS_VERIFY"} {
		os.Unsetenv(v)
		os.Unsetenv(strings.ToLower(v))
	}
	os.Exit(m.Run())
}

func TestRedirectVectors(t *testing.T) {
	// A relay at another host or port: it must not get the token.
	other := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			says(500, "the token came along")(w, r)
			return
		}
		says(201, stored)(w, r)
	})
	to := func(code int, where string) script {
		return func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.URL.Path, "/v1/") {
				if r.Method == "GET" {
					says(200, `[]`)(w, r)
					return
				}
				says(201, stored)(w, r)
				return
			}
			w.Header().Set("Location", where)
			w.WriteHeader(code)
		}
	}
	loop := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path+"x", http.StatusTemporaryRedirect)
	}
	answers := map[string]script{
		"post: 301 to another path":                  to(301, "/other"),
		"post: 302 to another path":                  to(302, "/other"),
		"post: 303 to another path":                  to(303, "/other"),
		"post: 307 to another path":                  to(307, "/other"),
		"post: 308 to another path":                  to(308, "/other"),
		"list: 301 to another path":                  to(301, "/other"),
		"list: 307 to another path":                  to(307, "/other"),
		"post: 307 to another host name (localhost)": to(307, strings.Replace(other, "127.0.0.1", "localhost", 1)+"/other"),
		"post: 307 to another port of the same host": to(307, other+"/other"),
		"post: 307 loop":                             loop,
		"post: 301 without Location":                 says(301, ""),
		"post: 308 to a relative path":               to(308, "../../x"),
	}
	for _, v := range group(t, "redirects") {
		t.Run(v.Name, func(t *testing.T) {
			answer := answers[v.Name]
			if answer == nil {
				t.Fatal("vector without an answer")
			}
			slot := Slot{URL: scripted(t, answer), ID: "11", Token: identity.NewToken("secret")}
			if strings.HasPrefix(v.Name, "list") {
				if _, err := newClient(t).List(t.Context(), slot, "", 5); err != nil {
					t.Fatal(err)
				}
				return
			}
			_, err := newClient(t).Post(t.Context(), slot, []byte(`{}`))
			want := v.reason(t)
			if (err == nil) != (want == "") {
				t.Fatalf("got %v, the reference says %q", err, want)
			}
			for _, part := range []string{"too many redirects", "post_event failed: 301 Moved Permanently: ", "error decoding response body"} {
				if strings.Contains(want, part) && !strings.Contains(err.Error(), part) {
					t.Errorf("got %q, want %q", err, want)
				}
			}
		})
	}
}

func TestTLSVectors(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(says(201, stored)))
	srv.Config.ErrorLog = quiet()
	srv.StartTLS()
	defer srv.Close()
	cleartext := scripted(t, says(201, stored))
	for _, v := range group(t, "TLS") {
		if v.Env["SSL_CERT_FILE"] != "" || len(v.Args) < 1 || v.Args[0] != "push" {
			continue // the first is the standard library's own and read once a process, the second is accept's
		}
		t.Run(v.Name, func(t *testing.T) {
			base := srv.URL
			if v.Name == "https to a cleartext relay (the reference relay)" {
				base = strings.Replace(cleartext, "http://", "https://", 1)
			}
			for k, s := range v.Env {
				t.Setenv(k, s)
			}
			_, err := newClient(t).Post(t.Context(), Slot{URL: base, ID: "11"}, []byte(`{}`))
			want := v.reason(t)
			if class(Describe(err)) != class(want) || (err == nil) != (want == "") {
				t.Errorf("got %q, want %q", Describe(err), want)
			}
		})
	}
}

// TestClassOfCertificates is what needs a trusted but wrong certificate or a name server to happen for real.
func TestClassOfCertificates(t *testing.T) {
	in := func(err error) error {
		return &CallError{Method: "POST", URL: "https://r", Err: fmt.Errorf("wrapped: %w", err)}
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{in(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), "TLS error: "},
		{in(x509.CertificateInvalidError{Reason: x509.Expired, Cert: &x509.Certificate{}}), "TLS error: "},
		{in(x509.HostnameError{Host: "a", Certificate: &x509.Certificate{}}), "TLS error: "},
		{in(tls.AlertError(40)), "TLS error: "},
		{in(&net.DNSError{Err: "no such host", Name: "nosuch.invalid", IsNotFound: true}), "DNS error: "},
		{in(&net.DNSError{Err: "i/o timeout", Name: "slow.invalid", IsTimeout: true}), "timeout: "},
		{in(context.DeadlineExceeded), "timeout: "},
		{in(errors.New("network is unreachable")), ""},
	} {
		if got := Describe(c.err); class(got) != c.want || !strings.Contains(got, "POST https://r: wrapped: ") {
			t.Errorf("%v: %q, want class %q", c.err, got, c.want)
		}
	}
}

// TestProxyVectors: the vectors' relay is on loopback, where we never use a proxy (8.1, SHOULD).
func TestProxyVectors(t *testing.T) {
	proxy := scripted(t, says(502, "proxy says no"))
	for _, v := range group(t, "proxy variables") {
		for k, s := range v.Env {
			t.Setenv(k, strings.ReplaceAll(s, "127.0.0.1:{port}", strings.TrimPrefix(proxy, "http://")))
		}
		if v.Relay == "" {
			t.Fatalf("%s: no relay", v.Name)
		}
		_, err := newClient(t).Post(t.Context(), Slot{URL: v.Relay, ID: "11"}, []byte(`{}`))
		if !errors.Is(err, ErrRefused) {
			t.Errorf("%s %v: %v", v.Name, v.Env, err)
		}
	}
}

func TestProxyOfOthers(t *testing.T) {
	for _, c := range []struct{ target, all, no, want string }{
		{"http://relay.example/x", "http://p:3128", "", "http://p:3128"},
		{"https://relay.example/x", "p:3128", "", "http://p:3128"},
		{"http://relay.example/x", "", "", ""},
		{"http://relay.example/x", "http://p:3128", "*", ""},
		{"http://relay.example/x", "http://p:3128", "other.example, example", ""},
		{"http://relay.example/x", "http://p:3128", ".relay.example", ""},
		{"http://notrelay.example/x", "http://p:3128", "relay.example", "http://p:3128"},
		{"http://192.0.2.7/x", "http://p:3128", "192.0.2.0/24", ""},
		{"http://192.0.3.7/x", "http://p:3128", "192.0.2.0/24", "http://p:3128"},
		{"http://localhost:8771/x", "http://p:3128", "", ""},
		{"http://127.9.9.9:8771/x", "http://p:3128", "", ""},
		{"http://[::1]:8771/x", "http://p:3128", "", ""},
		{"http://a.localhost/x", "http://p:3128", "", ""},
	} {
		t.Setenv("ALL_PROXY", c.all)
		t.Setenv("NO_PROXY", c.no)
		u, err := url.Parse(c.target)
		if err != nil {
			t.Fatal(err)
		}
		got, err := proxyFor(&http.Request{URL: u})
		if err != nil || (got == nil) != (c.want == "") || got != nil && got.String() != c.want {
			t.Errorf("%+v: got %v, %v", c, got, err)
		}
	}
}

func TestIdentify(t *testing.T) {
	relay := func(health, state script) script {
		return func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/healthz":
				health(w, r)
			case strings.HasPrefix(r.URL.Path, "/v1/slot/") && strings.HasSuffix(r.URL.Path, "/state") && r.Header.Get("Authorization") != "":
				state(w, r)
			default:
				says(418, "")(w, r)
			}
		}
	}
	ok, unknown := says(200, "ok\n"), says(404, `{"error":"unknown slot"}`)
	for _, c := range []struct {
		name   string
		answer script
		want   error
	}{
		{"a relay", relay(ok, unknown), nil},
		{"another health text", relay(says(200, "fine"), unknown), ErrNoRelay},
		{"a web server", says(404, "not found"), ErrNoRelay},
		{"a server that says ok to everything", says(200, "ok"), ErrNoRelay},
		{"404 of a web server", relay(ok, says(404, "not found")), ErrNoRelay},
		{"health check fails", relay(says(500, ""), unknown), ErrNoRelay},
		{"the state needs something else", relay(ok, says(401, `{"error":"missing Bearer token"}`)), ErrNoRelay},
	} {
		err := newClient(t).Identify(t.Context(), scripted(t, c.answer))
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if err := newClient(t).Identify(t.Context(), "http://127.0.0.1:9"); !errors.Is(err, ErrRefused) || errors.Is(err, ErrNoRelay) {
		t.Errorf("refused: %v", err)
	}
}

// TestStaleConnection: a kept connection that the relay has closed meanwhile must not cost a post.
func TestStaleConnection(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	secondRead := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 4096)
			_, _ = conn.Read(buf)
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 201 Created\r\ncontent-length: %d\r\n\r\n%s", len(stored), stored)
			if n == 0 { // the next request on it is read, then dropped
				_, _ = conn.Read(buf)
				close(secondRead)
			}
			_ = conn.Close()
		}
	}()
	c := newClient(t)
	slot := Slot{URL: "http://" + ln.Addr().String(), ID: "11"}
	for range 2 {
		if _, err := c.Post(t.Context(), slot, []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	<-secondRead
}

func TestElements(t *testing.T) {
	for in, want := range map[string][]string{
		`[]`:                            nil,
		" [ ] \n":                       nil,
		`[1]`:                           {`1`},
		`[1 , "a,]\"\\" ,null]`:         {`1`, `"a,]\"\\"`, `null`},
		`[{"a":[1,{"b":"]"}]},[[]],""]`: {`{"a":[1,{"b":"]"}]}`, `[[]]`, `""`},
		"[\n{\"a\": 1}\n,\ttrue]":       {`{"a": 1}`, `true`},
	} {
		got, err := elements([]byte(in))
		var text []string
		for _, e := range got {
			text = append(text, string(e))
		}
		if diff := cmp.Diff(want, text); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", in, err, diff)
		}
	}
	for _, in := range []string{``, `{}`, `[`, `[1,]`, `null`, `[] x`, `5`, ` `} {
		if _, err := elements([]byte(in)); err == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}

func TestNoUserinfoInErrors(t *testing.T) {
	_, err := newClient(t).List(t.Context(), Slot{URL: "http://u:hidden@127.0.0.1:9", ID: "11", Token: identity.NewToken("hidden")}, "", 1)
	if err == nil || strings.Contains(Describe(err), "hidden") {
		t.Errorf("%v", err)
	}
}

// FuzzElements compares with encoding/json, which copies.
func FuzzElements(f *testing.F) {
	for _, s := range []string{`[]`, `[1,"a\"]",{"b":[null]}]`, "[\t{}\n, -1.5e3 ]", `{}`, `[`, `["\\"]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want []json.RawMessage
		err := json.Unmarshal(data, &want)
		got, gotErr := elements(data)
		if (err == nil && want != nil) != (gotErr == nil) {
			t.Fatalf("%v, encoding/json says %v", gotErr, err)
		}
		if gotErr != nil {
			return
		}
		if len(got) != len(want) {
			t.Fatalf("%q, want %q", got, want)
		}
		for i := range got {
			if string(got[i]) != string(want[i]) {
				t.Fatalf("%q, want %q", got[i], want[i])
			}
		}
	})
}
