package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// linger stays in the background; the channels tell of the answer and of the end.
func linger(t *testing.T, ctx context.Context, url string) (answered chan struct{}, ended chan string) {
	t.Helper()
	c := New(time.Second)
	t.Cleanup(c.Close)
	answered, ended = make(chan struct{}), make(chan string, 1)
	go func() {
		reached, err := c.Linger(ctx, url, func() { close(answered) })
		if err == nil {
			t.Error("it ends without a reason")
		}
		ended <- fmt.Sprint(reached)
	}()
	return answered, ended
}

func TestLinger(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/healthz" {
			t.Errorf("it asks for %s %s", r.Method, r.URL.Path)
		}
		fmt.Fprintln(w, "ok")
	}))
	answered, ended := linger(t, t.Context(), s.URL)
	<-answered
	s.CloseClientConnections()
	if got := <-ended; got != "true" {
		t.Error("a connection that was closed was none:", got)
	}
	s.Close()
	if _, ended = linger(t, t.Context(), s.URL); <-ended != "false" {
		t.Error("a refused connection was one")
	}
	reached, err := New(time.Second).Linger(t.Context(), "https://127.0.0.1", func() { t.Error("answered") })
	if reached || !errors.Is(err, errors.ErrUnsupported) {
		t.Error(reached, err)
	}
}

// Whoever has the port and says nothing is held on to as well; the end of the context ends it.
func TestLingerAtAMuteOne(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answered, ended := linger(t, ctx, "http://"+l.Addr().String())
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != nil { // it has asked
		t.Fatal(err)
	}
	select {
	case <-answered:
		t.Error("answered by nobody")
	case got := <-ended:
		t.Error("it does not stay:", got)
	default:
	}
	cancel()
	if got := <-ended; got != "true" {
		t.Error(got)
	}
}
