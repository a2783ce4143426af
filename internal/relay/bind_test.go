package relay

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The bind strings of process.json with --local-only, at port 0 instead of the reference's 8771. What the
// command line alone decides (flags, WIRE_HOME, signals) is tested at cmd/wire.
func TestBindStrings(t *testing.T) {
	var vectors struct {
		Cases []struct {
			Name, Stderr string
			Args         []string
			Created      []string
			Running      bool
			Listening    []string
		}
	}
	readJSON(t, "testdata/process.json", &vectors)
	played := 0
	for _, c := range vectors.Cases {
		if !strings.HasPrefix(c.Name, "local-only bind ") {
			continue
		}
		played++
		t.Run(c.Name, func(t *testing.T) {
			bind := strings.Replace(c.Args[slices.Index(c.Args, "--bind")+1], ":8771", ":0", 1)
			bind = strings.Replace(bind, ":08771", ":00", 1)
			dir := stateDir(t)
			r, err := tryStart(t, Config{Bind: bind, LocalOnly: true, StateDir: dir})
			if c.Running && err != nil && strings.Contains(c.Listening[0], "[::1]") {
				t.Skipf("no IPv6 loopback here: %v", err)
			}
			if (err == nil) != c.Running {
				t.Fatalf("error %v, want running %v", err, c.Running)
			}
			_, missing := os.Stat(filepath.Join(dir, "slots"))
			if made := missing == nil; made != (len(c.Created) > 0) {
				t.Errorf("state directory made: %v, want %v", made, len(c.Created) > 0)
			}
			if !c.Running {
				if bad := new(BindError); !errors.As(err, &bad) || bad.Bind != bind {
					t.Errorf("error %v, want a BindError of %q", err, bind)
				}
				if strings.Contains(c.Stderr, "non-loopback") && !strings.Contains(err.Error(), "non-loopback") {
					t.Errorf("error %v, want it to say non-loopback", err)
				}
				return
			}
			if line := "wire relay-server (LOCAL-ONLY) listening on " + bind + " "; !strings.HasPrefix(r.stderr.String(), line) {
				t.Errorf("stderr %q, want it to begin %q", r.stderr, line)
			}
			host, _, _ := strings.Cut(c.Listening[0], ":8771")
			if host = strings.TrimSuffix(host, ":<a free port>"); !strings.HasPrefix(r.addr, host+":") {
				t.Errorf("listens on %s, want %s", r.addr, host)
			}
		})
	}
	if played != 31 {
		t.Errorf("%d bind strings played, want 31", played)
	}
}

// TestCanListen: it says whether, and leaves nothing behind.
func TestCanListen(t *testing.T) {
	first := start(t, stateDir(t))
	for _, bind := range []string{first.addr, "127.0.0.1", "192.0.2.1:8771"} {
		if err := CanListen(t.Context(), bind); err == nil {
			t.Errorf("%s: it could", bind)
		}
	}
	for range 2 {
		if err := CanListen(t.Context(), "127.0.0.1:0"); err != nil {
			t.Error(err)
		}
	}
}

// An occupied port is an error that leaves the directory behind, and the life lock free.
func TestPortTaken(t *testing.T) {
	first := start(t, stateDir(t))
	dir := stateDir(t)
	_, err := tryStart(t, Config{Bind: first.addr, LocalOnly: true, StateDir: dir})
	if bad := new(BindError); !errors.As(err, &bad) {
		t.Fatalf("error %v, want a BindError", err)
	}
	start(t, dir)
}
