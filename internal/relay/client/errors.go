package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Errors that a caller decides on; use errors.Is. Every error also carries URL, status and body.
var (
	ErrRefused      = errors.New("connection refused")
	ErrTimeout      = errors.New("timeout")
	ErrUnauthorized = errors.New("401 unauthorized")      // no token
	ErrForbidden    = errors.New("403 forbidden")         // wrong token: the slot is lost to us
	ErrNotFound     = errors.New("404 not found")         // the slot is lost
	ErrTooLarge     = errors.New("413 too large")         // event or slot quota
	ErrRateLimited  = errors.New("429 too many requests") // after the client's own retries
	ErrNoRelay      = errors.New("not a wire relay")      // something else answers there
)

// CallError is a call that got no answer, or one that is not what the call needs.
type CallError struct {
	Method   string
	URL      string // without userinfo
	Err      error
	Answered bool // a 2xx head came, its body is what is wrong
}

func (e *CallError) Error() string { return e.Method + " " + e.URL + ": " + e.Err.Error() }
func (e *CallError) Unwrap() error { return e.Err }

// Is tells ErrRefused and ErrTimeout by the type of the cause.
func (e *CallError) Is(target error) bool {
	switch target {
	case ErrRefused:
		return errors.Is(e.Err, syscall.ECONNREFUSED)
	case ErrTimeout:
		return timedOut(e.Err)
	}
	return false
}

// StatusError is an answer that is not 2xx: "<call> failed: <code> <reason>: <body>" (relay.md 8.2).
type StatusError struct {
	Call       string // allocate, post_event, list_events, ...
	URL        string // without userinfo
	Code       int
	Body       string        // as it came, at most 64 KiB
	RetryAfter time.Duration // from retry-after or x-ratelimit-after; 0 if absent
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s failed: %d %s: %s", e.Call, e.Code, reasonPhrase(e.Code), e.Body)
}

// Is tells the status classes by their code.
func (e *StatusError) Is(target error) bool {
	switch target {
	case ErrUnauthorized:
		return e.Code == http.StatusUnauthorized
	case ErrForbidden:
		return e.Code == http.StatusForbidden
	case ErrNotFound:
		return e.Code == http.StatusNotFound
	case ErrTooLarge:
		return e.Code == http.StatusRequestEntityTooLarge
	case ErrRateLimited:
		return e.Code == http.StatusTooManyRequests
	}
	return false
}

// reasonPhrase is the reference's name of a status; scripts look for "413 Payload Too Large" and the like.
func reasonPhrase(code int) string {
	switch code {
	case http.StatusRequestEntityTooLarge:
		return "Payload Too Large"
	case http.StatusRequestURITooLong:
		return "URI Too Long"
	case http.StatusRequestedRangeNotSatisfiable:
		return "Range Not Satisfiable"
	}
	if s := http.StatusText(code); s != "" {
		return s
	}
	return "<unknown status code>"
}

// Describe is the class and the causes of an error as push results and warnings show them (relay.md 8.3).
func Describe(err error) string {
	if err == nil {
		return ""
	}
	if class := classOf(err); class != "" {
		return class + ": " + err.Error()
	}
	return err.Error()
}

// classOf is the class prefix of an error, first match wins as in the reference, but by type.
func classOf(err error) string {
	var (
		cert  *tls.CertificateVerificationError
		alert tls.AlertError
		auth  x509.UnknownAuthorityError
		name  x509.HostnameError
		bad   x509.CertificateInvalidError
		dns   *net.DNSError
	)
	switch {
	case errors.As(err, &cert), errors.As(err, &alert), errors.As(err, &auth), errors.As(err, &name), errors.As(err, &bad):
		return "TLS error"
	case errors.As(err, &dns) && !dns.IsTimeout:
		return "DNS error"
	case timedOut(err):
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return "connect error"
	}
	return ""
}

func timedOut(err error) bool {
	if errors.Is(err, errTimedOut) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// retryAfter reads how long a 429 wants us to wait; the reference sends only its own header.
func retryAfter(h http.Header) time.Duration {
	for _, key := range []string{"Retry-After", "X-Ratelimit-After"} {
		v := strings.TrimSpace(h.Get(key))
		if v == "" {
			continue
		}
		if n, err := strconv.ParseUint(v, 10, 31); err == nil {
			return time.Duration(n) * time.Second
		}
		if at, err := http.ParseTime(v); err == nil {
			return max(time.Until(at), 0)
		}
	}
	return 0
}
