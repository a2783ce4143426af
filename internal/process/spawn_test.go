package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

func comm(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// listen listens on an address that no other test has, where there are such: a port that comes free on
// 127.0.0.1 may be somebody else's the next moment.
func listen(t *testing.T) net.Listener {
	t.Helper()
	host := "127.0.0.1"
	if runtime.GOOS == "linux" {
		host = fmt.Sprintf("127.91.%d.%d", os.Getpid()>>8&0xff, os.Getpid()&0xff)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestSpawnedProcessHasOnlyWhatItNeeds(t *testing.T) {
	for key, value := range map[string]string{
		"CLAUDE_SESSION": "x", "OPENAI_API_KEY": "x", "RUST_LOG": "debug", "GOMAXPROCS": "7", "WIRE_HOME": "/elsewhere",
		"WIRE_QUIET_AUTOSESSION": "1", "LC_ALL": "C.UTF-8", "XDG_RUNTIME_DIR": "/run/user/7", "TZ": "UTC", "WIRE_DIAG": "1",
		"WIRE_INSECURE_SKIP_TLS_VERIFY": "1", "SSL_CERT_FILE": "/etc/mine.pem",
	} {
		t.Setenv(key, value)
	}
	s := spec(t, "report")
	s.Env["WIRE_OWNER"] = "laptop"
	if err := os.WriteFile(s.Log, []byte("an earlier start\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Spawn(t.Context(), s)
	if err != nil || !r.Ready || r.PID == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	data, err := os.ReadFile(s.Log)
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Split(strings.TrimSpace(string(data)), "\n")
	wanted := []string{
		"an earlier start", "cwd=" + s.Home, "sid=true", `args=["wire" "daemon" "--interval" "5"]`,
		"WIRE_HOME=" + s.Home, "WIRE_OWNER=laptop", "GOMAXPROCS=1", "LC_ALL=C.UTF-8", "XDG_RUNTIME_DIR=/run/user/7", "TZ=UTC", "WIRE_DIAG=1", "SSL_CERT_FILE=/etc/mine.pem",
		"PATH=" + os.Getenv("PATH"),
	}
	if runtime.GOOS == "linux" {
		wanted = append(wanted, "fd=0 /dev/null", "fd=1 "+s.Log, "fd=2 "+s.Log)
	}
	for _, want := range wanted {
		if !slices.Contains(said, want) {
			t.Errorf("lacks %q", want)
		}
	}
	for _, line := range said {
		for _, never := range []string{"CLAUDE", "OPENAI", "RUST_LOG", "GOMAXPROCS=7", "WIRE_HOME=/elsewhere", "WIRE_QUIET", "WIRE_INSECURE"} {
			if strings.HasPrefix(line, never) {
				t.Errorf("has %q", line)
			}
		}
		if fd, to, ok := strings.Cut(line, " "); ok && strings.HasPrefix(fd, "fd=") && (strings.HasPrefix(to, "socket:") || strings.HasSuffix(to, "_test.go")) {
			t.Errorf("inherited %q", line)
		}
	}
}

func TestSpawnWithoutHome(t *testing.T) {
	s := Spec{Args: []string{"relay-server"}, NoHome: true, Env: map[string]string{"A": "1"}}
	for _, entry := range s.environ([]string{"WIRE_HOME=/w", "HOME=/h"}) {
		if strings.HasPrefix(entry, "WIRE_HOME=") || strings.HasPrefix(entry, "GOMAXPROCS=") {
			t.Errorf("the relay of the default root has %s", entry)
		}
	}
}

func TestSpawnReportsAnEarlyEnd(t *testing.T) {
	for name, c := range map[string]struct{ why, tail string }{
		"die":    {"exit status 3", "boom: no such relay"},
		"refuse": {"not initialized", ""},
		"mute":   {"not ready within", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(t, name)
			if err := os.WriteFile(s.Log, []byte("an earlier start\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if name == "mute" {
				s.Ready = time.Nanosecond
			}
			_, err := Spawn(t.Context(), s)
			var failed *StartError
			if !errors.As(err, &failed) {
				t.Fatalf("%v", err)
			}
			if !strings.Contains(failed.Why, c.why) || failed.Tail != c.tail {
				t.Errorf("why %q, tail %q", failed.Why, failed.Tail)
			}
			if _, ok := Lookup(failed.PID); ok {
				t.Error("the child is left")
			}
		})
	}
}

func TestSpawnFindsTheHomeServed(t *testing.T) {
	r, err := Spawn(t.Context(), spec(t, "held"))
	if err != nil || r.Ready || r.Held == nil || r.Held.PID != 4711 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestSpawnGivenUp(t *testing.T) {
	s := spec(t, "mute")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Spawn(ctx, s); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	all, err := Table()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.WireHome == s.Home {
			t.Errorf("pid %d is left", i.PID)
		}
	}
}

// Reaped at once: no zombie of a long-lived parent passes for alive (quirk 16).
func TestSpawnedProcessIsReaped(t *testing.T) {
	i := start(t, spec(t, "serve"))
	kill9(t, i)
	gone(t, i)
}

func TestSpawnRefusesAFleetingExecutable(t *testing.T) {
	s := spec(t, "serve")
	if _, err := checkExecutable(s.Exe, []string{os.TempDir()}, ""); err == nil {
		t.Skip("this test was built to last: go test -c")
	}
	s.Exe = ""
	if _, err := Spawn(t.Context(), s); err == nil || !strings.Contains(err.Error(), "go install") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(s.Log); !os.IsNotExist(err) {
		t.Error("it left a log")
	}
}

func TestLargeLogIsPutAside(t *testing.T) {
	s := spec(t, "die")
	if err := os.WriteFile(s.Log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.Log, maxLog+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Spawn(t.Context(), s); err == nil {
		t.Fatal("it should have died")
	}
	if st, err := os.Stat(s.Log + ".1"); err != nil || st.Size() != maxLog+1 {
		t.Errorf("put aside: %v", err)
	}
	if data, err := os.ReadFile(s.Log); err != nil || !strings.HasPrefix(string(data), "boom") {
		t.Errorf("%q, %v", data, err)
	}
}

func TestTailIsWholeLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("before\n"+strings.Repeat(strings.Repeat("x", 99)+"\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	got := tail(path, 7)
	if len(got) > maxTail || len(got) < maxTail/2 {
		t.Errorf("%d bytes", len(got))
	}
	for line := range strings.SplitSeq(got, "\n") {
		if len(line) != 99 {
			t.Errorf("a cut line: %q", line)
		}
	}
	if got := tail(path, 7+100*100); got != "" {
		t.Errorf("nothing was said since: %q", got)
	}
}
